"""Writes by the holder of a lease, and of nobody else, and the leases themselves."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from optuna.trial import TrialState
from sqlalchemy import Connection, Float, Select, Table, bindparam, cast, exists, select, tuple_

from tuner.storage import rows, schema, sql, times, writes
from tuner.storage.lease import Lease, Update


class Written(NamedTuple):
    """Leases that another worker has by now, and the finished trials' new rows, by trial id."""

    lost: list[Lease]
    finals: dict[int, tuple[TrialState, datetime]]


@cache
def _fence(dialect: str) -> Select[Any]:
    held, trials = schema.leases, rows.TRIALS
    saved = exists().where(schema.checkpoints.c.trial_id == held.c.trial_id)
    columns = (held.c.trial_id, held.c.holder, held.c.token, trials.c.state)
    found = select(*columns, saved, sql.now(dialect))
    mine = sql.among(dialect, held.c.trial_id, "ids")
    joined = found.join(trials, trials.c.trial_id == held.c.trial_id)
    # In one order everywhere, so that two writers never wait for each other.
    return joined.where(mine).order_by(held.c.trial_id).with_for_update(of=held)


def write(connection: Connection, updates: Sequence[Update]) -> Written:
    """Write all updates whose holder still has its lease, in a few statements."""
    dialect = connection.dialect.name
    bound = {"ids": sql.numbers(dialect, {update.lease.trial_id for update in updates})}
    held = connection.execute(_fence(dialect), bound).all()
    valid = {tuple(row[:3]) for row in held if row[3] == TrialState.RUNNING}
    kept = [u for u in updates if (u.lease.trial_id, u.lease.holder, u.lease.token) in valid]
    refused = [update for update in updates if update not in kept]
    lost = [u.lease for u in refused if not _is_written(connection, u)]
    if not kept:
        return Written(lost, {})
    return Written(lost, _put(connection, kept, held[0][5], {row[0] for row in held if row[4]}))


def _put(
    connection: Connection, updates: Sequence[Update], now: float, saved: set[int]
) -> dict[int, tuple[TrialState, datetime]]:
    ids = [(update.lease.trial_id, update) for update in updates]
    reports = [(i, step, value) for i, u in ids for step, value in u.reports.items()]
    writes.put_reports(connection, reports)
    writes.put_trial_attrs(connection, rows.USER_ATTRS, [(i, u.user_attrs) for i, u in ids])
    writes.put_trial_attrs(connection, rows.SYSTEM_ATTRS, [(i, u.system_attrs) for i, u in ids])
    finals = {i: (u.state, times.from_clock(now - u.age)) for i, u in ids if u.state is not None}
    data = {i: u.checkpoint for i, u in ids if u.checkpoint is not None and i not in finals}
    _save(connection, data)
    if finals:
        valued = [(i, [u.value]) for i, u in ids if i in finals and u.value is not None]
        writes.put_values(connection, valued)
        writes.finish_trials(connection, [(i, *final) for i, final in finals.items()])
        _remove(connection, schema.leases, finals)
        _remove(connection, schema.checkpoints, finals.keys() & saved)
    return finals


def _save(connection: Connection, data: Mapping[int, bytes | None]) -> None:
    if data:
        statement = sql.upsert(connection.dialect.name, schema.checkpoints, ("trial_id",))
        connection.execute(statement, [{"trial_id": i, "data": each} for i, each in data.items()])


def _remove(connection: Connection, table: Table, ids: Collection[int]) -> None:
    if ids:
        dialect = connection.dialect.name
        connection.execute(_delete(dialect, table), {"ids": sql.numbers(dialect, ids)})


@cache
def _delete(dialect: str, table: Table) -> Any:
    return table.delete().where(sql.among(dialect, table.c.trial_id, "ids"))


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


def release(connection: Connection, leases: Sequence[Lease]) -> None:
    """Give leases back: whoever claims next goes on with these trials."""
    held = schema.leases
    given = [(lease.trial_id, lease.holder, lease.token) for lease in leases]
    mine = tuple_(held.c.trial_id, held.c.holder, held.c.token).in_(given)
    connection.execute(held.update().where(mine).values(holder="", expires=0.0))


def register(connection: Connection, holder: str, host: str, pid: int, device: str) -> None:
    """Add a worker's row, or bring it up to date."""
    dialect = connection.dialect.name
    now = connection.execute(select(sql.now(dialect))).scalar_one()
    row = {"holder": holder, "host": host, "pid": pid, "device": device, "renewed": now}
    connection.execute(sql.upsert(dialect, schema.workers, ("holder",)), row)


def unregister(connection: Connection, holder: str) -> None:
    """Remove a worker's row when it leaves."""
    table = schema.workers
    connection.execute(table.delete().where(table.c.holder == holder))
