"""A new trial and a fenced write on SQLite, where a statement costs no round trip."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from optuna.trial import TrialState
from sqlalchemy import Connection, Select, Table, bindparam, exists, insert, select

from tuner.storage import events, puts, rows, schema, sql, times
from tuner.storage.lease import Update
from tuner.storage.parts import all_parts
from tuner.storage.puts import Put


def insert_trial(
    connection: Connection, study_id: int, head: rows.Head, content: Callable[[int], Sequence[Put]]
) -> int:
    """Insert a trial with its content; the new id."""
    row = {
        "study_id": study_id,
        "number": head.number,
        "state": head.state,
        "datetime_start": head.start,
        "datetime_complete": head.complete,
    }
    trial_id = int(connection.execute(_insert(), row).scalar_one())
    puts.put(connection, content(trial_id))
    return trial_id


@cache
def _insert() -> Any:
    return insert(rows.TRIALS).returning(rows.TRIALS.c.trial_id)


def write(
    connection: Connection,
    updates: Mapping[int, Update],
    content: Callable[[Mapping[int, Update]], Sequence[Put]],
) -> dict[int, datetime | None]:
    """Write what is told of those trials whose holder still has its lease.

    Args:
        updates: by trial id.
        content: makes the rows of some of them.

    Returns:
        The ids of the trials that were held, with the times (UTC) of those that ended now.
    """
    found = connection.execute(_fence(), {"ids": sql.numbers("sqlite", updates)}).all()
    held = {
        row.trial_id: updates[row.trial_id]
        for row in found
        if (row.holder, row.token) == _holder(updates[row.trial_id])
    }
    if not held:
        return {}
    told = events.put(found[0].now, *events.ended(held))
    puts.put(connection, [*content(held), told])
    data = {i: u.checkpoint for i, u in held.items() if u.checkpoint and u.state is None}
    _save(connection, data)
    _attach(connection, held, found[0].now)
    ended = {
        i: (u.state, times.from_clock(found[0].now - u.age))
        for i, u in held.items()
        if u.state is not None
    }
    _end(connection, ended, {row.trial_id for row in found if row.saved})
    return {i: ended[i][1] if i in ended else None for i in held}


def _holder(update: Update) -> tuple[str, int]:
    return update.lease.holder, update.lease.token


@cache
def _fence() -> Select[Any]:
    held, trials, saved = schema.leases, rows.TRIALS, schema.checkpoints
    has_data = exists().where(saved.c.trial_id == held.c.trial_id).label("saved")
    now = sql.now("sqlite").label("now")
    return (
        select(held.c.trial_id, held.c.holder, held.c.token, has_data, now)
        .join(trials, trials.c.trial_id == held.c.trial_id)
        .where(sql.among("sqlite", held.c.trial_id, "ids"))
        .where(trials.c.state == TrialState.RUNNING)
    )


def _save(connection: Connection, data: Mapping[int, bytes | None]) -> None:
    if data:
        statement = puts.upsert("sqlite", schema.checkpoints, ("trial_id",))
        connection.execute(statement, [{"trial_id": i, "data": each} for i, each in data.items()])


def _attach(connection: Connection, held: Mapping[int, Update], now: float) -> None:
    made = [row for update in held.values() for row in all_parts(update.artifacts)]
    if made:
        keys = ("artifact_id", "part")
        statement = puts.upsert("sqlite", schema.artifacts, keys, replace=False)
        connection.execute(statement, [{**row, "written": now} for row in made])


def _end(
    connection: Connection, ended: Mapping[int, tuple[TrialState, datetime]], saved: set[int]
) -> None:
    if not ended:
        return
    values = [{"id": i, "new_state": state, "end": end} for i, (state, end) in ended.items()]
    connection.execute(_set_ended(), puts.several(values))
    _remove(connection, schema.leases, ended)
    _remove(connection, schema.checkpoints, ended.keys() & saved)


@cache
def _set_ended() -> Any:
    table = rows.TRIALS
    mine = table.c.trial_id == bindparam("id")
    return (
        table.update()
        .where(mine)
        .values(state=bindparam("new_state"), datetime_complete=bindparam("end"))
    )


def _remove(connection: Connection, table: Table, ids: Collection[int]) -> None:
    if ids:
        connection.execute(_delete(table), {"ids": sql.numbers("sqlite", ids)})


@cache
def _delete(table: Table) -> Any:
    return table.delete().where(sql.among("sqlite", table.c.trial_id, "ids"))
