"""A new trial and a fenced write on PostgreSQL: each in one statement, and so one round trip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from optuna.trial import TrialState
from sqlalchemy import Connection, TextClause

from tuner.storage import puts
from tuner.storage.lease import Update
from tuner.storage.puts import Put, Shape
from tuner.storage.rows import Head

_MADE = """
    INSERT INTO trials (study_id, number, state, datetime_start, datetime_complete)
    VALUES (:study_id, :number, CAST(:state AS trialstate),
            CAST(:start AS timestamp), CAST(:complete AS timestamp))
    RETURNING trial_id"""

# The lock waits for a worker that takes a trial over, and then compares with what that one wrote.
# In one order everywhere, so that two writers never wait for each other.
_HELD = """
    SELECT l.trial_id FROM tuner_leases l
    JOIN unnest(CAST(:ids AS integer[]), CAST(:holders AS text[]), CAST(:tokens AS integer[]))
        AS mine (trial_id, holder, token)
    ON l.trial_id = mine.trial_id AND l.holder = mine.holder AND l.token = mine.token
    WHERE l.trial_id = ANY(CAST(:ids AS integer[]))
    AND (SELECT t.state FROM trials t WHERE t.trial_id = l.trial_id) = 'RUNNING'
    ORDER BY l.trial_id FOR UPDATE OF l"""
_IF_HELD = "IN (SELECT trial_id FROM held)"
_SAVED = f"""
    INSERT INTO tuner_checkpoints (trial_id, data)
    SELECT * FROM unnest(CAST(:saved AS integer[]), CAST(:data AS bytea[])) AS r (trial_id, data)
    WHERE trial_id {_IF_HELD} ON CONFLICT (trial_id) DO UPDATE SET data = excluded.data"""
_ENDED = f"""
    UPDATE trials t SET state = CAST(e.state AS trialstate), datetime_complete =
        clock_timestamp() AT TIME ZONE 'UTC' - e.age * interval '1 second'
    FROM unnest(CAST(:ended AS integer[]), CAST(:states AS text[]),
                CAST(:ages AS double precision[])) AS e (trial_id, state, age)
    WHERE t.trial_id = e.trial_id AND t.state = 'RUNNING' AND e.trial_id {_IF_HELD}
    RETURNING t.trial_id, t.datetime_complete"""
_REMOVED = {
    name: f"DELETE FROM {table} WHERE trial_id IN (SELECT trial_id FROM ended)"
    for name, table in (("unleased", "tuner_leases"), ("unsaved", "tuner_checkpoints"))
}


def insert_trial(connection: Connection, study_id: int, head: Head, content: Sequence[Put]) -> int:
    """Insert a trial with its content, whatever trial id that has; the new id."""
    found = [each for each in content if each.values]
    bound: dict[str, Any] = {
        "study_id": study_id,
        "number": head.number,
        "state": head.state.name,
        "start": head.start,
        "complete": head.complete,
    }
    made = connection.execute(_insert(puts.shapes(found)), bound | puts.documents(found))
    return int(made.scalar_one())


@cache
def _insert(shapes: tuple[Shape, ...]) -> TextClause:
    content = puts.insertions(shapes, "made.trial_id", "CROSS JOIN made")
    return puts.together({"made": _MADE, **content}, "SELECT trial_id FROM made")


def write(
    connection: Connection, updates: Mapping[int, Update], content: Sequence[Put]
) -> dict[int, datetime | None]:
    """Write what is told of those trials whose holder still has its lease.

    Args:
        updates: by trial id.
        content: all of their rows.

    Returns:
        The ids of the trials that were held, with the times (UTC) of those that ended now.
    """
    found = [each for each in content if each.values]
    ended = {i: u for i, u in updates.items() if u.state is not None}
    saved = {i: u for i, u in updates.items() if u.checkpoint is not None and u.state is None}
    bound = _bound(updates, ended, saved) | puts.documents(found)
    rows = connection.execute(_write(puts.shapes(found), bool(ended), bool(saved)), bound)
    return {int(row[0]): row[1] for row in rows}


def _bound(
    updates: Mapping[int, Update], ended: Mapping[int, Update], saved: Mapping[int, Update]
) -> dict[str, Any]:
    bound: dict[str, Any] = {
        "ids": list(updates),
        "holders": [u.lease.holder for u in updates.values()],
        "tokens": [u.lease.token for u in updates.values()],
    }
    if saved:
        bound |= {"saved": list(saved), "data": [u.checkpoint for u in saved.values()]}
    if ended:
        states = [TrialState(u.state).name for u in ended.values() if u.state is not None]
        bound |= {"ended": list(ended), "states": states, "ages": [u.age for u in ended.values()]}
    return bound


@cache
def _write(shapes: tuple[Shape, ...], ends: bool, saves: bool) -> TextClause:
    statements = {"held": _HELD, **puts.insertions(shapes, given=f"WHERE r.trial_id {_IF_HELD}")}
    if saves:
        statements["saved"] = _SAVED
    if not ends:
        return puts.together(statements, "SELECT trial_id, NULL FROM held")
    answer = "SELECT trial_id, datetime_complete FROM held LEFT JOIN ended USING (trial_id)"
    return puts.together({**statements, "ended": _ENDED, **_REMOVED}, answer)
