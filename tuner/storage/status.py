"""How far studies are and who works on them, straight from the database, cheap to poll."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from optuna.trial import TrialState
from sqlalchemy import ColumnElement, Connection, Join, Select, bindparam, func, select

from tuner.storage import rows, schema, sql
from tuner.storage.claims import read_terms
from tuner.storage.lease import FINISHED, LEASE_SECONDS, OPEN, PAUSED, STOPPED
from tuner.storage.studies import FINGERPRINT, SPEC, STUDIES, USER_ATTRS
from tuner.study.trials import RESULT, WORKER

# How far a study is.


@dataclass(frozen=True)
class Progress:
    """Counts of a study's trials; failed ones do not count towards the budget.

    Attributes:
        running: a worker is at them, or another program.
        state: what the study was set to, made into what it is as `standing` says.
        interrupted: numbers of the trials that were given back or whose worker was lost, until
            another worker goes on with them.
    """

    budget: int
    complete: int
    pruned: int
    failed: int
    running: int
    waiting: int
    state: str
    interrupted: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "state", standing(self.state, self.budget, self.finished))

    @property
    def finished(self) -> int:
        return self.complete + self.pruned

    @property
    def met(self) -> bool:
        """Whether as many trials are finished as the study asked for."""
        return self.finished >= self.budget

    @property
    def hands_out(self) -> bool:
        """Whether the study is neither paused nor stopped."""
        return self.state not in (PAUSED, STOPPED)


def standing(state: str, budget: int, finished: int) -> str:
    """The state of a study: the one that was set, but finished if its budget is complete.

    Args:
        finished: its complete and pruned trials.
    """
    return FINISHED if state == OPEN and finished >= budget > 0 else state


RECENT = 20  # the pace is that of so many trials that ended last


def progress(connection: Connection, study_id: int) -> Progress:
    """Counts of a study's trials by state; MissingError if there is no such study."""
    agreed = read_terms(connection, study_id)
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


def told_by_others(connection: Connection, ids: Iterable[int]) -> dict[int, list[rows.Head]]:
    """Trials of studies with a specification that have a result which no worker of ours told.

    Most of a study's trials are its workers'; whether one of these is the study's own has to be
    looked at.
    """
    dialect, found = connection.dialect.name, defaultdict(list)
    for study_id, *head in connection.execute(_others(dialect), {"ids": sql.numbers(dialect, ids)}):
        found[int(study_id)].append(rows.Head(*head))
    return dict(found)


@cache
def _others(dialect: str) -> Select[Any]:
    trials, told = rows.TRIALS, rows.USER_ATTRS
    spec = (USER_ATTRS.c.study_id == trials.c.study_id) & (USER_ATTRS.c.key == SPEC)
    worker = (told.c.trial_id == trials.c.trial_id) & (told.c.key == WORKER)
    joined = trials.join(USER_ATTRS, spec).outerjoin(told, worker)
    mine = sql.within(dialect, trials.c.study_id, "ids"), trials.c.state.in_(RESULT)
    found = select(trials.c.study_id, *rows.HEAD).select_from(joined)
    return found.where(*mine, told.c.trial_id.is_(None)).order_by(trials.c.trial_id)


# Studies that need workers.


@dataclass(frozen=True)
class OpenStudy:
    """A study that is open and short of its budget.

    Attributes:
        fingerprint: of its study file; None if it has none. A number that was a deleted study's
            may be another's by now.
        ready: whether there is a trial to hand out now; otherwise others hold the last ones.
    """

    name: str
    study_id: int
    fingerprint: str | None
    ready: bool


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
    study_id, attrs, ours = STUDIES.c.study_id, USER_ATTRS, schema.studies
    over = rows.TRIALS.c.state.in_((TrialState.COMPLETE, TrialState.PRUNED))
    finished = (
        select(func.count())
        .select_from(rows.TRIALS)
        .where(rows.TRIALS.c.study_id == study_id, over)
        .correlate(STUDIES)
        .scalar_subquery()
    )
    mark = (attrs.c.study_id == study_id) & (attrs.c.key == FINGERPRINT)
    joined = STUDIES.join(ours, ours.c.study_id == study_id).outerjoin(attrs, mark)
    held, left = (
        select(func.count())
        .select_from(leased())
        .where(schema.leases.c.study_id == study_id, condition(dialect))
        .correlate(STUDIES)
        .scalar_subquery()
        for condition in (is_held, is_interrupted)
    )
    found = select(
        STUDIES.c.study_name,
        study_id,
        attrs.c.value_json,
        ours.c.budget - finished,
        held,
        left,
    )
    short = finished < ours.c.budget
    return found.select_from(joined).where(ours.c.state == OPEN, short).order_by(study_id)


# Workers.


@dataclass(frozen=True)
class Worker:
    """A worker's row.

    Attributes:
        trials: those it holds a lease of that has not run out.
        age: seconds since it last renewed its leases.
    """

    holder: str
    host: str
    pid: int
    device: str
    trials: int
    age: float

    @property
    def lost(self) -> bool:
        """Whether it has been silent for longer than workers are."""
        return self.age > LEASE_SECONDS and not self.trials


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
