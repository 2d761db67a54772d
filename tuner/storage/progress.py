"""How far studies are and who works on them, straight from the database, cheap to poll."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from typing import Any

from optuna.trial import TrialState
from sqlalchemy import ColumnElement, Connection, Join, Select, bindparam, func, select

from tuner.storage import rows, schema, sql, studies, terms
from tuner.storage.lease import OPEN, OpenStudy, Progress, Worker

RECENT = 20  # the pace is that of so many trials that ended last


def progress(connection: Connection, study_id: int) -> Progress:
    """Counts of a study's trials by state; MissingError if there is no such study."""
    agreed = terms.read(connection, study_id)
    found = connection.execute(_counts(), {"study_id": study_id})
    counts: dict[TrialState, int] = {state: int(n) for state, n in found}
    mine = _interrupted(connection.dialect.name), {"study_id": study_id}
    left = tuple(int(number) for number in connection.execute(*mine).scalars())
    return Progress(
        budget=agreed.budget,
        complete=counts.get(TrialState.COMPLETE, 0),
        pruned=counts.get(TrialState.PRUNED, 0),
        failed=counts.get(TrialState.FAIL, 0),
        running=max(0, counts.get(TrialState.RUNNING, 0) - len(left)),
        waiting=counts.get(TrialState.WAITING, 0),
        state=agreed.state,
        interrupted=left,
    )


@cache
def _counts() -> Select[Any]:
    state = rows.TRIALS.c.state
    mine = rows.TRIALS.c.study_id == bindparam("study_id")
    return select(state, func.count()).where(mine).group_by(state)


def interrupted(connection: Connection) -> Counter[int]:
    """How many trials are interrupted, by study."""
    study_id = schema.leases.c.study_id
    found = select(study_id, func.count()).select_from(leased()).group_by(study_id)
    mine = is_interrupted(connection.dialect.name)
    return Counter({int(i): int(n) for i, n in connection.execute(found.where(mine))})


@cache
def _interrupted(dialect: str) -> Select[Any]:
    found = select(rows.TRIALS.c.number).select_from(leased())
    mine = schema.leases.c.study_id == bindparam("study_id")
    return found.where(mine, is_interrupted(dialect)).order_by(rows.TRIALS.c.number)


def leased() -> Join:
    """Leases with their trials; one that ended is told, and its lease gone, at the same moment."""
    return schema.leases.join(rows.TRIALS, rows.TRIALS.c.trial_id == schema.leases.c.trial_id)


def is_interrupted(dialect: str) -> ColumnElement[bool]:
    """Of a leased trial: nobody is at it, and the next worker goes on with it.

    What has no lease was begun by another program, and nobody but that knows more.
    """
    return (rows.TRIALS.c.state == TrialState.RUNNING) & (
        schema.leases.c.expires <= sql.now(dialect)
    )


def is_held(dialect: str) -> ColumnElement[bool]:
    """Of a leased trial: a worker is at it."""
    return (rows.TRIALS.c.state == TrialState.RUNNING) & (
        schema.leases.c.expires > sql.now(dialect)
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


def open_studies(connection: Connection) -> list[OpenStudy]:
    """The studies that are open and short of their budget, oldest first, in one statement."""
    found = connection.execute(_open(connection.dialect.name))
    return [_as_open(*row) for row in found]


def _as_open(
    name: str, study_id: int, said: str | None, room: int, held: int, left: int
) -> OpenStudy:
    mark = None if said is None else json.loads(said)
    return OpenStudy(name, int(study_id), mark, ready=held < room or left > 0)


@cache
def _open(dialect: str) -> Select[Any]:
    study_id, attrs, ours = studies.STUDIES.c.study_id, studies.USER_ATTRS, schema.studies
    over = rows.TRIALS.c.state.in_((TrialState.COMPLETE, TrialState.PRUNED))
    finished = (
        select(func.count())
        .select_from(rows.TRIALS)
        .where(rows.TRIALS.c.study_id == study_id, over)
        .correlate(studies.STUDIES)
        .scalar_subquery()
    )
    mark = (attrs.c.study_id == study_id) & (attrs.c.key == studies.FINGERPRINT)
    joined = studies.STUDIES.join(ours, ours.c.study_id == study_id).outerjoin(attrs, mark)
    held, left = (
        select(func.count())
        .select_from(leased())
        .where(schema.leases.c.study_id == study_id, condition(dialect))
        .correlate(studies.STUDIES)
        .scalar_subquery()
        for condition in (is_held, is_interrupted)
    )
    found = select(
        studies.STUDIES.c.study_name,
        study_id,
        attrs.c.value_json,
        ours.c.budget - finished,
        held,
        left,
    )
    short = finished < ours.c.budget
    return found.select_from(joined).where(ours.c.state == OPEN, short).order_by(study_id)


def workers(connection: Connection) -> list[Worker]:
    """All registered workers, the most recently renewed first."""
    table, held = schema.workers, schema.leases
    dialect = connection.dialect.name
    now = sql.now(dialect)
    counts = (
        select(held.c.holder, func.count().label("trials"))
        .select_from(leased())
        .where(is_held(dialect))
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
