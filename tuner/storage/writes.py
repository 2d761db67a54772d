"""Idempotent writes of trials, fenced by leases, on SQLite and PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, Float, Table, bindparam, cast, select, tuple_

from tuner.optuna_private import models
from tuner.storage import dialects, events, rows, schema, sql
from tuner.storage.database import Database
from tuner.storage.lease import Lease, Update
from tuner.storage.sql import Put

# Idempotent writes of trials into Optuna's tables, to be batched.


_to_value = models.TrialValueModel.value_to_stored_repr
_to_report = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr
Rows = list[dict[str, Any]]


def reports(found: Iterable[tuple[int, int, float]]) -> Put:
    """Intermediate values as (trial id, step, value)."""
    values: Rows = []
    for trial_id, step, report in found:
        value, kind = _to_report(float(report))
        values.append(
            {
                "trial_id": trial_id,
                "step": step,
                "intermediate_value": value,
                "intermediate_value_type": kind.name,
            }
        )
    return Put(rows.REPORTS, ("trial_id", "step"), values)


def attrs(table: Table, found: Iterable[tuple[int, str, Any]], owner: str) -> Put:
    """Attributes as (id, key, value) of the trials or studies that the column `owner` names."""
    values: Rows = [
        {owner: identity, "key": key, "value_json": json.dumps(value)}
        for identity, key, value in found
    ]
    return Put(table, (owner, "key"), values)


def trial_attrs(table: Table, found: Iterable[tuple[int, Mapping[str, Any]]]) -> Put:
    flat = [(trial_id, key, value) for trial_id, each in found for key, value in each.items()]
    return attrs(table, flat, "trial_id")


def values(found: Iterable[tuple[int, Sequence[float]]]) -> Put:
    """Objective values of trials."""
    stored: Rows = []
    for trial_id, objectives in found:
        for objective, each in enumerate(objectives):
            value, kind = _to_value(float(each))
            row = {"trial_id": trial_id, "objective": objective, "value": value}
            stored.append(row | {"value_type": kind.name})
    return Put(rows.VALUES, ("trial_id", "objective"), stored)


def params(found: Iterable[tuple[int, str, float, BaseDistribution]]) -> Put:
    """Parameters as (trial id, name, internal value, distribution); what is there already stays."""
    stored: Rows = [
        {
            "trial_id": trial_id,
            "param_name": name,
            "param_value": value,
            "distribution_json": distribution_to_json(kind),
        }
        for trial_id, name, value, kind in found
    ]
    return Put(rows.PARAMS, ("trial_id", "param_name"), stored, replace=False)


def content(trial_id: int, trial: FrozenTrial) -> list[Put]:
    """A trial's parameters, attributes, intermediate values and values."""
    kinds, steps = trial.distributions, trial.intermediate_values
    drawn = [(trial_id, n, kinds[n].to_internal_repr(v), kinds[n]) for n, v in trial.params.items()]
    return [
        params(drawn),
        trial_attrs(rows.USER_ATTRS, [(trial_id, trial.user_attrs)]),
        trial_attrs(rows.SYSTEM_ATTRS, [(trial_id, trial.system_attrs)]),
        reports([(trial_id, step, value) for step, value in steps.items()]),
        values([] if trial.values is None else [(trial_id, trial.values)]),
    ]


def insert_trial(
    connection: Connection,
    study_id: int,
    head: rows.Head,
    content: Callable[[int], Sequence[Put]],
) -> rows.Head:
    """Insert a trial with its content; the answer has its id. Its study has to be locked."""
    if connection.dialect.name == "sqlite":
        trial_id = dialects.insert_on_sqlite(connection, study_id, head, content)
    else:
        trial_id = dialects.insert_on_postgres(connection, study_id, head, content(head.trial_id))
    return head._replace(trial_id=trial_id)


def start_trial(connection: Connection, head: rows.Head) -> bool:
    """Give a waiting trial this row; False if it is not waiting (any more)."""
    table = rows.TRIALS
    waiting = table.update().where(table.c.trial_id == head.trial_id)
    waiting = waiting.where(table.c.state == TrialState.WAITING)
    new = {"state": head.state, "datetime_start": head.start, "datetime_complete": head.complete}
    return connection.execute(waiting.values(new)).rowcount == 1


def set_state(
    connection: Connection, trial_id: int, state: TrialState, complete: datetime | None
) -> bool:
    """Any unfinished state to any other."""
    table = rows.TRIALS
    values: dict[str, Any] = {"state": state, "datetime_complete": complete}
    done = connection.execute(table.update().where(table.c.trial_id == trial_id).values(values))
    return done.rowcount == 1


# Writes by the holder of a lease, and of nobody else, and the leases themselves.


class Written(NamedTuple):
    """Leases that another worker has by now, and the finished trials' new rows, by trial id."""

    lost: list[Lease]
    finals: dict[int, tuple[TrialState, datetime]]


def write_updates(database: Database, updates: Sequence[Update], durable: bool) -> Written:
    """Write all updates whose holder still has its lease, in one transaction."""
    latest: dict[int, Update] = {}
    for update in sorted(updates, key=lambda update: update.lease.token):
        latest[update.lease.trial_id] = update
    if database.dialect == "sqlite":
        with database.write() as connection:
            held = dialects.write_on_sqlite(connection, latest, _content)
    else:
        with database.read() as connection:
            held = dialects.write_on_postgres(connection, latest, _content(latest), durable)
    kept = {id(latest[trial_id]) for trial_id in held}
    refused = [update for update in updates if id(update) not in kept]
    finals = {i: (state, end) for i, end in held.items() if end and (state := latest[i].state)}
    return Written(_lost(database, refused), finals)


def _content(updates: Mapping[int, Update]) -> list[Put]:
    found = updates.items()
    return [
        reports((i, step, value) for i, u in found for step, value in u.reports.items()),
        trial_attrs(rows.USER_ATTRS, [(i, u.user_attrs) for i, u in found]),
        trial_attrs(rows.SYSTEM_ATTRS, [(i, u.system_attrs) for i, u in found]),
        params((i, name, *each) for i, u in found for name, each in u.params.items()),
        values(_values(updates)),
    ]


def _values(updates: Mapping[int, Update]) -> list[tuple[int, list[float]]]:
    return [
        (i, [u.value]) for i, u in updates.items() if u.state is not None and u.value is not None
    ]


def _lost(database: Database, refused: Sequence[Update]) -> list[Lease]:
    if not refused:
        return []
    with database.read() as connection:
        return [update.lease for update in refused if not _is_written(connection, update)]


def _is_written(connection: Connection, update: Update) -> bool:
    """Whether a refused update is one that was written before: its trial ended just like that."""
    if update.state is None:
        return False
    found = rows.read_head(connection, update.lease.trial_id)
    if found is None or found[1].state != update.state:
        return False
    trial = rows.read_trials(connection, [found[1]])[0].trial
    expected = None if update.value is None else [float(update.value)]
    return bool(trial.values == expected)


def renew(connection: Connection, holder: str, seconds: float) -> None:
    """Extend all leases of a holder, and say that it is alive."""
    bound = {"me": holder, "seconds": seconds}
    for statement in _renewals(connection.dialect.name):
        connection.execute(statement, bound)


@cache
def _renewals(dialect: str) -> tuple[Any, Any]:
    held, alive, now = schema.leases, schema.workers, sql.now(dialect)
    mine = held.c.holder == bindparam("me")
    expires = now + cast(bindparam("seconds"), Float(53))
    return (
        held.update().where(mine).values(expires=expires),
        alive.update().where(alive.c.holder == bindparam("me")).values(renewed=now),
    )


def tell_outages(connection: Connection, holder: str, seconds: Sequence[float]) -> None:
    """Keep for how long the database did not answer a worker."""
    told = (events.row(events.OUTAGE, worker=holder, seconds=round(each, 3)) for each in seconds)
    events.add(connection, *told)


def release(connection: Connection, leases: Sequence[Lease]) -> None:
    """Release leases: the next claim continues these trials."""
    held = schema.leases
    given = [(lease.trial_id, lease.holder, lease.token) for lease in leases]
    mine = tuple_(held.c.trial_id, held.c.holder, held.c.token).in_(given)
    freed = held.update().where(mine).values(holder="", expires=0.0).returning(held.c.trial_id)
    back = set(connection.execute(freed).scalars())
    told = [
        events.row(events.RELEASED, lease.study_id, lease.trial_id, lease.holder)
        for lease in leases
        if lease.trial_id in back
    ]
    events.add(connection, *told)


def register(connection: Connection, holder: str, host: str, pid: int, device: str) -> None:
    """Add a worker's row, or bring it up to date."""
    dialect = connection.dialect.name
    now = connection.execute(select(sql.now(dialect))).scalar_one()
    row = {"holder": holder, "host": host, "pid": pid, "device": device, "renewed": now}
    connection.execute(sql.upsert(dialect, schema.workers, ("holder",)), row)
    events.forget_workers(connection, now)
    events.add(
        connection, events.row(events.STARTED, worker=holder, host=host, pid=pid, device=device)
    )


def unregister(connection: Connection, holder: str) -> None:
    """Remove a worker's row when it leaves."""
    table = schema.workers
    gone = connection.execute(table.delete().where(table.c.holder == holder)).rowcount
    if gone:
        events.add(connection, events.row(events.LEFT, worker=holder))
