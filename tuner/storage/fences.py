"""Writes by the holder of a lease, and of nobody else, and the leases themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from optuna.trial import TrialState
from sqlalchemy import Connection, Float, bindparam, cast, select, tuple_

from tuner.storage import events, postgres, puts, rows, schema, sql, sqlite, writes
from tuner.storage.database import Database
from tuner.storage.lease import Lease, Update
from tuner.storage.puts import Put


class Written(NamedTuple):
    """Leases that another worker has by now, and the finished trials' new rows, by trial id."""

    lost: list[Lease]
    finals: dict[int, tuple[TrialState, datetime]]


def write(database: Database, updates: Sequence[Update], durable: bool) -> Written:
    """Write all updates whose holder still has its lease, in one transaction."""
    latest: dict[int, Update] = {}
    for update in sorted(updates, key=lambda update: update.lease.token):
        latest[update.lease.trial_id] = update
    if database.dialect == "sqlite":
        with database.write() as connection:
            held = sqlite.write(connection, latest, _content)
    else:
        with database.read() as connection:
            held = postgres.write(connection, latest, _content(latest), durable)
    kept = {id(latest[trial_id]) for trial_id in held}
    refused = [update for update in updates if id(update) not in kept]
    finals = {i: (state, end) for i, end in held.items() if end and (state := latest[i].state)}
    return Written(_lost(database, refused), finals)


def _content(updates: Mapping[int, Update]) -> list[Put]:
    found = updates.items()
    return [
        writes.reports((i, step, value) for i, u in found for step, value in u.reports.items()),
        writes.trial_attrs(rows.USER_ATTRS, [(i, u.user_attrs) for i, u in found]),
        writes.trial_attrs(rows.SYSTEM_ATTRS, [(i, u.system_attrs) for i, u in found]),
        writes.params((i, name, *each) for i, u in found for name, each in u.params.items()),
        writes.values(_values(updates)),
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
    """Give leases back: whoever claims next goes on with these trials."""
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
    connection.execute(puts.upsert(dialect, schema.workers, ("holder",)), row)
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
