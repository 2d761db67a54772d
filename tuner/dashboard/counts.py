"""What the metrics count, straight from the database: one statement each."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from optuna.study import StudyDirection
from optuna.trial import TrialState
from sqlalchemy import Connection, func, select

from tuner.dashboard.epochs import OVER, Epochs, Trials, unfinished
from tuner.storage import events, progress, rows, schema, sql, studies, times
from tuner.storage.lease import FOREIGN, STOPPED, standing

INTERRUPTED = "interrupted"
"""The state of a trial that nobody is at until a worker goes on with it."""
SHOWN_SECONDS = 30 * 86400.0
"""A study that ended is counted by name for so long, and then only among all."""


@dataclass(frozen=True)
class Counts:
    """The state of a database at a moment.

    Attributes:
        studies: how many there are, by state, as `standing` says.
        left_out: how many of them ended so long ago that what follows says nothing of them.
        trials: how many there are, by study and state; those that are INTERRUPTED do not run.
        epochs: reported intermediate values by study.
        best: the best value of a complete trial by study, of those with one objective.
        workers: registered ones that are not lost.
        lost: leases that ran out and were taken over by another worker, by study.
        waited: seconds that workers waited for the database, together, in the last 30 days.
    """

    studies: Mapping[str, int]
    left_out: int
    trials: Mapping[tuple[str, str], int]
    epochs: Mapping[str, int]
    best: Mapping[str, float]
    workers: int
    lost: Mapping[str, int]
    waited: float


@dataclass(frozen=True)
class _Study:
    """A study, how many trials of it there are by state, those of them that are interrupted, and
    when the first began and the last ended."""

    name: str
    state: str
    budget: int
    trials: Mapping[TrialState, int]
    interrupted: int
    begun: datetime | None
    ended: datetime | None

    @property
    def over(self) -> int:
        return sum(self.trials.get(state, 0) for state in OVER)

    def goes_on(self, since: datetime) -> bool:
        """Whether it may still change, or did since; also where nobody knows."""
        if self.over < sum(self.trials.values()) or self.ended is None or self.ended >= since:
            return True
        return self.state not in (FOREIGN, STOPPED) and self.done < self.budget

    @property
    def done(self) -> int:
        """What counts towards the budget."""
        return self.over - self.trials.get(TrialState.FAIL, 0)

    def counts(self) -> Iterator[tuple[str, int]]:
        """Trials by state as people see it."""
        for state in TrialState:
            less = self.interrupted if state == TrialState.RUNNING else 0
            yield state.name.lower(), max(0, self.trials.get(state, 0) - less)
        yield INTERRUPTED, self.interrupted


def read(connection: Connection, epochs: Epochs) -> Counts:
    """Count everything; a few statements, however much there is."""
    running = unfinished(connection)
    found = _studies(connection)
    now = connection.execute(select(sql.now(connection.dialect.name))).scalar_one()
    since = times.from_clock(now - SHOWN_SECONDS)
    shown = {i: each for i, each in found.items() if each.goes_on(since)}
    trials = {i: Trials(each.over, each.begun) for i, each in shown.items()}
    reports, lost = epochs(connection, trials, running), _lost(connection, shown)
    return Counts(
        studies=Counter(standing(each.state, each.budget, each.done) for each in found.values()),
        left_out=len(found) - len(shown),
        # A state that no trial is in is 0, not absent: an alert can be written for it.
        trials={
            (each.name, state): count for each in shown.values() for state, count in each.counts()
        },
        epochs={shown[i].name: count for i, count in reports.items()},
        best={shown[i].name: value for i, value in _best(connection, shown).items()},
        workers=sum(not each.lost for each in progress.workers(connection)),
        lost={each.name: lost[i] for i, each in shown.items()},
        waited=_waited(connection),
    )


_ID = studies.STUDIES.c.study_id


def _studies(connection: Connection) -> dict[int, _Study]:
    """All of them by id, with the numbers of their trials."""
    ours = schema.studies.c
    joined = studies.STUDIES.outerjoin(schema.studies, ours.study_id == _ID)
    columns = studies.STUDIES.c.study_name, ours.state, ours.budget
    of, state = rows.TRIALS.c.study_id, rows.TRIALS.c.state
    ends = func.min(rows.TRIALS.c.datetime_start), func.max(rows.TRIALS.c.datetime_complete)
    counted: dict[int, list[Any]] = defaultdict(list)
    for i, *each in connection.execute(select(of, state, func.count(), *ends).group_by(of, state)):
        counted[i].append(each)
    left = progress.interrupted(connection)
    found = connection.execute(select(_ID, *columns).select_from(joined).order_by(_ID))
    return {i: _study(name, kind, most, counted[i], left[i]) for i, name, kind, most in found}


def _study(
    name: str, state: str | None, budget: int | None, trials: Sequence[Any], left: int
) -> _Study:
    counts = {state: int(count) for state, count, _, _ in trials}
    begun = min((first for *_, first, _ in trials if first is not None), default=None)
    ended = max((last for *_, last in trials if last is not None), default=None)
    return _Study(name, state or FOREIGN, budget or 0, counts, left, begun, ended)


def _best(connection: Connection, among: Iterable[int]) -> dict[int, float]:
    toward, value, trials = studies.DIRECTIONS, rows.VALUES, rows.TRIALS
    joined = trials.join(value, value.c.trial_id == trials.c.trial_id)
    joined = joined.join(toward, toward.c.study_id == trials.c.study_id)
    found = (
        select(
            trials.c.study_id,
            func.max(toward.c.direction),
            func.min(value.c.value),
            func.max(value.c.value),
        )
        .select_from(joined)
        .where(trials.c.state == TrialState.COMPLETE, value.c.value.is_not(None))
        .where(sql.within(connection.dialect.name, trials.c.study_id, "ids"))
        .group_by(trials.c.study_id)
        .having(func.max(toward.c.objective) == 0)
    )
    bound = sql.numbers(connection.dialect.name, among)
    return {
        int(i): float(high if direction == StudyDirection.MAXIMIZE else low)
        for i, direction, low, high in connection.execute(found, {"ids": bound})
    }


def _lost(connection: Connection, among: Iterable[int]) -> Counter[int]:
    told = schema.events.c
    mine = sql.within(connection.dialect.name, told.study_id, "ids"), told.kind == events.LOST
    found = select(told.study_id, func.count()).where(*mine).group_by(told.study_id)
    bound = sql.numbers(connection.dialect.name, among)
    return Counter({int(i): int(n) for i, n in connection.execute(found, {"ids": bound})})


def _waited(connection: Connection) -> float:
    told = schema.events.c
    found = select(told.detail).where(told.study_id.is_(None), told.kind == events.OUTAGE)
    return sum((float(json.loads(each)["seconds"]) for each in connection.scalars(found)), 0.0)
