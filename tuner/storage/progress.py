"""How far studies are and who works on them, straight from the database, cheap to poll."""

from __future__ import annotations

from functools import cache
from typing import Any

from optuna.trial import TrialState
from sqlalchemy import Connection, Select, bindparam, func, select

from tuner.storage import rows, schema, sql, studies, terms
from tuner.storage.lease import OPEN, Progress, Worker

RECENT = 20  # the pace is that of so many trials that ended last


@cache
def _counts() -> Select[Any]:
    state = rows.TRIALS.c.state
    mine = rows.TRIALS.c.study_id == bindparam("study_id")
    return select(state, func.count()).where(mine).group_by(state)


def progress(connection: Connection, study_id: int) -> Progress:
    """Counts of a study's trials by state; KeyError if there is no such study."""
    agreed = terms.read(connection, study_id)
    found = connection.execute(_counts(), {"study_id": study_id})
    counts: dict[TrialState, int] = {state: int(n) for state, n in found}
    return Progress(
        budget=agreed.budget,
        complete=counts.get(TrialState.COMPLETE, 0),
        pruned=counts.get(TrialState.PRUNED, 0),
        failed=counts.get(TrialState.FAIL, 0),
        running=counts.get(TrialState.RUNNING, 0),
        waiting=counts.get(TrialState.WAITING, 0),
        state=agreed.state,
    )


def seconds_per_trial(connection: Connection, study_id: int) -> float | None:
    """Between the ends of the last few trials, on average; None before there are two."""
    found = list(connection.execute(_ends(), {"study_id": study_id}).scalars())
    if len(found) < 2:
        return None
    return float((found[0] - found[-1]).total_seconds()) / (len(found) - 1)


@cache
def _ends() -> Select[Any]:
    trials = rows.TRIALS.c
    mine = trials.study_id == bindparam("study_id")
    over = trials.state.in_((TrialState.COMPLETE, TrialState.PRUNED))
    ended = select(trials.datetime_complete).where(
        mine, over, trials.datetime_complete.is_not(None)
    )
    return ended.order_by(trials.datetime_complete.desc()).limit(RECENT)


def open_studies(connection: Connection) -> dict[str, int]:
    """Ids of the studies that are open and short of their budget, by name, oldest first."""
    name, study_id = studies.STUDIES.c.study_name, studies.STUDIES.c.study_id
    joined = studies.STUDIES.join(schema.studies, schema.studies.c.study_id == study_id)
    is_open = schema.studies.c.state == OPEN
    over = rows.TRIALS.c.state.in_((TrialState.COMPLETE, TrialState.PRUNED))
    mine = rows.TRIALS.c.study_id == study_id
    finished = select(func.count()).where(mine, over).scalar_subquery()
    short = finished < schema.studies.c.budget
    found = select(name, study_id).select_from(joined).where(is_open, short).order_by(study_id)
    return {row[0]: int(row[1]) for row in connection.execute(found)}


def workers(connection: Connection) -> list[Worker]:
    """All registered workers, the most recently renewed first."""
    table, held = schema.workers, schema.leases
    now = sql.now(connection.dialect.name)
    counts = (
        select(held.c.holder, func.count().label("trials"))
        .join(rows.TRIALS, rows.TRIALS.c.trial_id == held.c.trial_id)
        .where(rows.TRIALS.c.state == TrialState.RUNNING)
        .group_by(held.c.holder)
        .subquery()
    )
    found = (
        select(
            table.c.holder,
            table.c.host,
            table.c.pid,
            table.c.device,
            func.coalesce(counts.c.trials, 0),
            now - table.c.renewed,
        )
        .select_from(table.outerjoin(counts, counts.c.holder == table.c.holder))
        .order_by(table.c.renewed.desc())
    )
    return [Worker(*row) for row in connection.execute(found)]
