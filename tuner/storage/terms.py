"""A study's budget and state, which workers go by."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from optuna.trial import TrialState
from sqlalchemy import Connection, Select, bindparam, func, select

from tuner.errors import StorageError
from tuner.storage import events, puts, rows, schema, sql, studies
from tuner.storage.lease import FOREIGN, OPEN, STATES


def set_budget(connection: Connection, study_id: int, budget: int) -> None:
    studies.require(connection, study_id)
    table = schema.studies
    statement = puts.upsert(connection.dialect.name, table, ("study_id",), replace=False)
    connection.execute(statement, {"study_id": study_id, "budget": budget, "state": OPEN})
    connection.execute(table.update().where(table.c.study_id == study_id).values(budget=budget))
    events.add(connection, events.row(events.BUDGET, study_id, budget=budget))


def set_state(connection: Connection, study_id: int, state: str) -> None:
    if state not in STATES:
        raise StorageError(f"a study cannot be {state!r}", hint=f"known: {', '.join(STATES)}")
    studies.require(connection, study_id)
    table = schema.studies
    statement = puts.upsert(connection.dialect.name, table, ("study_id",), replace=False)
    connection.execute(statement, {"study_id": study_id, "budget": 0, "state": state})
    connection.execute(table.update().where(table.c.study_id == study_id).values(state=state))
    events.add(connection, events.row(events.OF_STATE[state], study_id))


class Terms(NamedTuple):
    """What decides whether a study hands out trials, and the database's clock."""

    budget: int
    state: str
    now: float
    expired: int | None


@cache
def _terms(dialect: str, lock: bool) -> Select[Any]:
    table, held, trials = schema.studies, schema.leases, rows.TRIALS
    now = sql.now(dialect)
    expired = (
        select(func.min(held.c.trial_id))
        .join(trials, trials.c.trial_id == held.c.trial_id)
        .where(held.c.study_id == bindparam("study_id"), held.c.expires <= now)
        .where(trials.c.state == TrialState.RUNNING)
        .scalar_subquery()
    )
    found = (
        select(table.c.budget, table.c.state, now, expired)
        .select_from(
            studies.STUDIES.outerjoin(table, table.c.study_id == studies.STUDIES.c.study_id)
        )
        .where(studies.STUDIES.c.study_id == bindparam("study_id"))
    )
    return found.with_for_update(of=studies.STUDIES) if lock else found


def read(connection: Connection, study_id: int, lock: bool = False) -> Terms:
    """A study's budget, its state, and a trial whose lease ran out; 0 and FOREIGN if none was set.

    `lock` keeps others from creating trials, as Optuna does it.
    """
    statement = _terms(connection.dialect.name, lock)
    row = connection.execute(statement, {"study_id": study_id}).one_or_none()
    if row is None:
        raise studies.missing()
    return Terms(row[0] or 0, row[1] or FOREIGN, row[2], row[3])
