"""Inserts trials and makes fenced writes, on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from optuna.trial import TrialState
from sqlalchemy import Connection, Select, Table, bindparam, exists, insert, select

from tuner.storage import events, rows, schema, sql
from tuner.storage.lease import Update
from tuner.storage.rows import Head
from tuner.storage.sql import Put, Shape, all_parts, from_clock

# A new trial and a fenced write on SQLite, where a statement costs no round trip.


def insert_on_sqlite(
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
    trial_id = int(connection.execute(_insert_row(), row).scalar_one())
    sql.put(connection, content(trial_id))
    return trial_id


@cache
def _insert_row() -> Any:
    return insert(rows.TRIALS).returning(rows.TRIALS.c.trial_id)


def write_on_sqlite(
    connection: Connection,
    updates: Mapping[int, Update],
    content: Callable[[Mapping[int, Update]], Sequence[Put]],
) -> dict[int, datetime | None]:
    """Write the updates of those trials whose holder still has its lease.

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
    sql.put(connection, [*content(held), told])
    data = {i: u.checkpoint for i, u in held.items() if u.checkpoint and u.state is None}
    _save(connection, data)
    _attach(connection, held, found[0].now)
    ended = {
        i: (u.state, from_clock(found[0].now - u.age))
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
        statement = sql.upsert("sqlite", schema.checkpoints, ("trial_id",))
        connection.execute(statement, [{"trial_id": i, "data": each} for i, each in data.items()])


def _attach(connection: Connection, held: Mapping[int, Update], now: float) -> None:
    made = [row for update in held.values() for row in all_parts(update.artifacts)]
    if made:
        keys = ("artifact_id", "part")
        statement = sql.upsert("sqlite", schema.artifacts, keys, replace=False)
        connection.execute(statement, [{**row, "written": now} for row in made])


def _end(
    connection: Connection, ended: Mapping[int, tuple[TrialState, datetime]], saved: set[int]
) -> None:
    if not ended:
        return
    values = [{"id": i, "new_state": state, "end": end} for i, (state, end) in ended.items()]
    connection.execute(_set_ended(), sql.several(values))
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


# A new trial and a fenced write on PostgreSQL: each in one statement, and so one round trip.


_MADE = """
    INSERT INTO trials (study_id, number, state, datetime_start, datetime_complete)
    VALUES (%(study_id)s, %(number)s, CAST(%(state)s AS trialstate),
            CAST(%(start)s AS timestamp), CAST(%(complete)s AS timestamp))
    RETURNING trial_id"""

# The lock waits for a worker that takes a trial over, and then compares with what that one wrote.
# In one order everywhere, so that two writers never wait for each other.
_HELD = """
    SELECT l.trial_id FROM tuner_leases l
    JOIN json_to_recordset(CAST(%(mine)s AS json)) AS m (trial_id int, holder text, token int)
    ON l.trial_id = m.trial_id AND l.holder = m.holder AND l.token = m.token
    WHERE l.trial_id = ANY(CAST(%(ids)s AS int[]))
    AND (SELECT t.state FROM trials t WHERE t.trial_id = l.trial_id) = 'RUNNING'
    ORDER BY l.trial_id FOR UPDATE OF l"""
_IF_HELD = "trial_id IN (SELECT trial_id FROM held)"
_SAVED = f"""
    INSERT INTO tuner_checkpoints (trial_id, data)
    SELECT * FROM unnest(CAST(%(saved)s AS int[]), CAST(%(data)s AS bytea[])) AS r (trial_id, data)
    WHERE r.{_IF_HELD} ON CONFLICT (trial_id) DO UPDATE SET data = excluded.data"""
_ATTACHED = f"""
    INSERT INTO tuner_artifacts (artifact_id, part, data, written)
    SELECT r.artifact_id, r.part, r.data, extract(epoch FROM clock_timestamp())
    FROM unnest(CAST(%(artifact)s AS text[]), CAST(%(part)s AS int[]), CAST(%(piece)s AS bytea[]),
                CAST(%(owner)s AS int[])) AS r (artifact_id, part, data, trial_id)
    WHERE r.{_IF_HELD} ON CONFLICT (artifact_id, part) DO NOTHING"""
# The condition on the ids, which says nothing new, lets the planner expect few rows.
_ENDED = f"""
    UPDATE trials t SET state = CAST(e.state AS trialstate), datetime_complete =
        clock_timestamp() AT TIME ZONE 'UTC' - e.age * interval '1 second'
    FROM json_to_recordset(CAST(%(ended)s AS json)) AS e (trial_id int, state text, age float)
    WHERE t.trial_id = e.trial_id AND t.trial_id = ANY(CAST(%(ids)s AS int[]))
    AND t.state = 'RUNNING' AND t.{_IF_HELD}
    RETURNING t.trial_id, t.datetime_complete"""
_TOLD = """
    INSERT INTO tuner_events (time, study_id, trial_id, worker, kind, detail)
    SELECT extract(epoch FROM clock_timestamp()), r.study_id, r.trial_id, r.worker, r.kind, r.detail
    FROM json_populate_recordset(CAST(NULL AS tuner_events), CAST(%(told)s AS json)) AS r
    JOIN ended USING (trial_id)"""
_REMOVED = {
    name: f"DELETE FROM {table} WHERE trial_id IN (SELECT trial_id FROM ended)"
    for name, table in (("unleased", "tuner_leases"), ("unsaved", "tuner_checkpoints"))
}


def insert_on_postgres(
    connection: Connection, study_id: int, head: Head, content: Sequence[Put]
) -> int:
    """Insert a trial with its content, whatever trial id that has; the new id."""
    found = [each for each in content if each.values]
    bound: dict[str, Any] = {
        "study_id": study_id,
        "number": head.number,
        "state": head.state.name,
        "start": head.start,
        "complete": head.complete,
    }
    statement = _insert_statement(sql.shapes(found))
    made = connection.exec_driver_sql(statement, bound | sql.documents(found))
    return int(made.scalar_one())


@cache
def _insert_statement(shapes: tuple[Shape, ...]) -> str:
    content = sql.insertions(shapes, "made.trial_id", "CROSS JOIN made")
    return sql.together({"made": _MADE, **content}, "SELECT trial_id FROM made")


def write_on_postgres(
    connection: Connection, updates: Mapping[int, Update], content: Sequence[Put], durable: bool
) -> dict[int, datetime | None]:
    """Write the updates of those trials whose holder still has its lease.

    Args:
        updates: by trial id.
        content: all of their rows.
        durable: wait for the disk, which takes longer than all the rest.

    Returns:
        The ids of the trials that were held, with the times (UTC) of those that ended now.
    """
    found = [each for each in content if each.values]
    bound = _bound(updates) | sql.documents(found)
    kinds = tuple(name for name in ("ended", "saved", "artifact") if name in bound)
    statement = _write_statement(sql.shapes(found), kinds, durable)
    return {row[0]: row[1] for row in connection.exec_driver_sql(statement, bound)}


def _bound(updates: Mapping[int, Update]) -> dict[str, Any]:
    leases = [update.lease for update in updates.values()]
    mine = [{"trial_id": i.trial_id, "holder": i.holder, "token": i.token} for i in leases]
    ended = [
        {"trial_id": i, "state": u.state.name, "age": u.age}
        for i, u in updates.items()
        if u.state is not None
    ]
    saved = {i: u.checkpoint for i, u in updates.items() if u.checkpoint and u.state is None}
    bound: dict[str, Any] = {"mine": json.dumps(mine), "ids": f"{{{','.join(map(str, updates))}}}"}
    if ended:
        bound |= {"ended": json.dumps(ended), "told": json.dumps(events.ended(updates))}
    if saved:
        bound |= {"saved": list(saved), "data": list(saved.values())}
    return bound | _artifacts(updates)


def _artifacts(updates: Mapping[int, Update]) -> dict[str, Any]:
    made = [(row, i) for i, u in updates.items() for row in all_parts(u.artifacts)]
    if not made:
        return {}
    return {
        "artifact": [row["artifact_id"] for row, _ in made],
        "part": [row["part"] for row, _ in made],
        "piece": [row["data"] for row, _ in made],
        "owner": [owner for _, owner in made],
    }


@cache
def _write_statement(shapes: tuple[Shape, ...], kinds: tuple[str, ...], durable: bool) -> str:
    statements = {"held": _HELD, **sql.insertions(shapes, given=f"WHERE r.{_IF_HELD}")}
    if "artifact" in kinds:
        statements["attached"] = _ATTACHED
    if "saved" in kinds:
        statements["saved"] = _SAVED
    answer = "SELECT trial_id, NULL"
    if "ended" in kinds:
        statements |= {"ended": _ENDED, "told": _TOLD, **_REMOVED}
        answer = "SELECT trial_id, datetime_complete"
    if not durable:
        answer += ", set_config('synchronous_commit', 'off', true)"
    answer += " FROM held" + (" LEFT JOIN ended USING (trial_id)" if "ended" in kinds else "")
    return sql.together(statements, answer)
