"""The progress of studies, and their workers, read from the database and cheap to poll."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from optuna.trial import TrialState
from sqlalchemy import ColumnElement, Connection, Join, Select, bindparam, func, select

from tuner.storage import pausing, rows, schema, sql
from tuner.storage.claims import read_terms
from tuner.storage.lease import FINISHED, LEASE_SECONDS, OPEN, PAUSED, STOPPED
from tuner.storage.studies import FINGERPRINT, SPEC, STUDIES, USER_ATTRS
from tuner.study.record import UNLIMITED
from tuner.study.trials import RESULT, WORKER

# The progress of a study.


@dataclass(frozen=True)
class Progress:
    """Counts of a study's trials; failed ones do not count towards the budget.

    Attributes:
        running: trials that a worker or another program is running.
        state: the state that was set, turned into the actual one by `state_of`.
        interrupted: numbers of the trials that were given back or whose worker was lost, until
            another worker goes on with them.
        paused: trials that wait until they are promising again, or the budget is met.
        epochs: the budget in epochs; None is no limit.
    """

    budget: int
    complete: int
    pruned: int
    failed: int
    running: int
    waiting: int
    state: str
    interrupted: tuple[int, ...] = ()
    paused: int = 0
    epochs: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "state", state_of(self.state, self.budget, self.finished))

    @property
    def finished(self) -> int:
        return self.complete + self.pruned

    @property
    def met(self) -> bool:
        """Whether the budget is complete."""
        return self.finished >= self.budget

    @property
    def limit(self) -> int | None:
        """The budget in trials; None if it is in epochs alone, or its epochs are spent."""
        spent = self.epochs is not None and self.met
        return None if spent or self.budget >= UNLIMITED else self.budget

    @property
    def hands_out(self) -> bool:
        """Whether the study is neither paused nor stopped."""
        return self.state not in (PAUSED, STOPPED)


def state_of(state: str, budget: int, finished: int) -> str:
    """The state of a study: the one that was set, but finished if its budget is complete.

    Args:
        finished: its complete and pruned trials.
    """
    return FINISHED if state == OPEN and finished >= budget > 0 else state


RECENT = 20  # the number of last trials by whose ends the pace is measured


def progress(connection: Connection, study_id: int) -> Progress:
    """Counts of a study's trials by state; MissingError if there is no such study."""
    terms = read_terms(connection, study_id)
    states = connection.execute(_counts_query(), {"study_id": study_id})
    counts: dict[TrialState, int] = {state: int(n) for state, n in states}
    query = _interrupted_query(connection.dialect.name)
    numbers = connection.execute(query, {"study_id": study_id}).scalars()
    interrupted = tuple(int(number) for number in numbers)
    waiting = pausing.count(connection, study_id)
    return Progress(
        budget=terms.budget,
        complete=counts.get(TrialState.COMPLETE, 0),
        pruned=counts.get(TrialState.PRUNED, 0),
        failed=counts.get(TrialState.FAIL, 0),
        running=max(0, counts.get(TrialState.RUNNING, 0) - len(interrupted) - waiting),
        waiting=counts.get(TrialState.WAITING, 0),
        state=terms.state,
        interrupted=interrupted,
        paused=waiting,
        epochs=terms.epochs,
    )


@cache
def _counts_query() -> Select[Any]:
    state = rows.TRIALS.c.state
    mine = rows.TRIALS.c.study_id == bindparam("study_id")
    return select(state, func.count()).where(mine).group_by(state)


def interrupted(connection: Connection) -> Counter[int]:
    """The number of interrupted trials by study."""
    return _count_by_study(connection, is_interrupted(connection.dialect.name))


def paused(connection: Connection) -> Counter[int]:
    """The number of paused trials by study."""
    running = rows.TRIALS.c.state == TrialState.RUNNING
    return _count_by_study(connection, running & pausing.is_paused())


def _count_by_study(connection: Connection, mine: ColumnElement[bool]) -> Counter[int]:
    study_id = schema.leases.c.study_id
    query = select(study_id, func.count()).select_from(leased()).group_by(study_id)
    return Counter({int(i): int(n) for i, n in connection.execute(query.where(mine))})


@cache
def _interrupted_query(dialect: str) -> Select[Any]:
    query = select(rows.TRIALS.c.number).select_from(leased())
    mine = schema.leases.c.study_id == bindparam("study_id")
    return query.where(mine, is_interrupted(dialect)).order_by(rows.TRIALS.c.number)


def leased() -> Join:
    """Leases with their trials; a trial ends and its lease goes in the same transaction."""
    return schema.leases.join(rows.TRIALS, rows.TRIALS.c.trial_id == schema.leases.c.trial_id)


def is_interrupted(dialect: str) -> ColumnElement[bool]:
    """Whether a leased trial is interrupted: no worker runs it, and the next one goes on with it.

    A running trial without a lease is another program's.
    """
    return (rows.TRIALS.c.state == TrialState.RUNNING) & (
        schema.leases.c.expires <= sql.now(dialect)
    )


def is_held(dialect: str) -> ColumnElement[bool]:
    """Whether a worker is running a leased trial."""
    alive = schema.leases.c.expires > sql.now(dialect)
    return (rows.TRIALS.c.state == TrialState.RUNNING) & alive & ~pausing.is_paused()


def seconds_per_trial(connection: Connection, study_id: int) -> float | None:
    """The average time between the ends of the last few trials; None before there are two."""
    ends = list(connection.execute(_ends_query(), {"study_id": study_id}).scalars())
    if len(ends) < 2:
        return None
    return float((ends[0] - ends[-1]).total_seconds()) / (len(ends) - 1)


@cache
def _ends_query() -> Select[Any]:
    trials = rows.TRIALS.c
    mine = trials.study_id == bindparam("study_id")
    over = trials.state.in_((TrialState.COMPLETE, TrialState.PRUNED))
    ended = select(trials.datetime_complete).where(
        mine, over, trials.datetime_complete.is_not(None)
    )
    return ended.order_by(trials.datetime_complete.desc()).limit(RECENT)


def results_of_others(connection: Connection, ids: Iterable[int]) -> dict[int, list[rows.Head]]:
    """Finished trials that no worker of ours recorded, of studies with a specification, by study.

    These are few; each has to be checked for whether it counts as the study's own.
    """
    dialect, heads = connection.dialect.name, defaultdict(list)
    bound = {"ids": sql.numbers(dialect, ids)}
    for study_id, *head in connection.execute(_others_query(dialect), bound):
        heads[int(study_id)].append(rows.Head(*head))
    return dict(heads)


@cache
def _others_query(dialect: str) -> Select[Any]:
    trials, attrs = rows.TRIALS, rows.USER_ATTRS
    spec = (USER_ATTRS.c.study_id == trials.c.study_id) & (USER_ATTRS.c.key == SPEC)
    worker = (attrs.c.trial_id == trials.c.trial_id) & (attrs.c.key == WORKER)
    joined = trials.join(USER_ATTRS, spec).outerjoin(attrs, worker)
    mine = sql.within(dialect, trials.c.study_id, "ids"), trials.c.state.in_(RESULT)
    query = select(trials.c.study_id, *rows.HEAD).select_from(joined)
    return query.where(*mine, attrs.c.trial_id.is_(None)).order_by(trials.c.trial_id)


# Studies that need workers.


@dataclass(frozen=True)
class OpenStudy:
    """A study that is open and short of its budget.

    Attributes:
        fingerprint: of its study file; None if it has none. It tells a study from a deleted one
            that had the same id.
        ready: whether there is a trial to hand out now; otherwise workers hold the last ones.
    """

    name: str
    study_id: int
    fingerprint: str | None
    ready: bool


def open_studies(connection: Connection) -> list[OpenStudy]:
    """The studies that are open and short of their budget, oldest first, in one statement."""
    result = connection.execute(_open_query(connection.dialect.name))
    return [_open_study(*row) for row in result]


def _open_study(
    name: str, study_id: int, stored: str | None, room: int, held: int, left: int
) -> OpenStudy:
    fingerprint = None if stored is None else json.loads(stored)
    return OpenStudy(name, int(study_id), fingerprint, ready=held < room or left > 0)


@cache
def _open_query(dialect: str) -> Select[Any]:
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
    query = select(
        STUDIES.c.study_name,
        study_id,
        attrs.c.value_json,
        ours.c.budget - finished,
        held,
        left,
    )
    short = finished < ours.c.budget
    return query.select_from(joined).where(ours.c.state == OPEN, short).order_by(study_id)


# Workers.


@dataclass(frozen=True)
class WorkerRow:
    """A worker's row.

    Attributes:
        trials: the number of trials that it holds.
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
        """Whether it has been silent for longer than a lease lasts."""
        return self.age > LEASE_SECONDS and not self.trials


def workers(connection: Connection) -> list[WorkerRow]:
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
    query = (
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
    return [WorkerRow(*row) for row in connection.execute(query)]
