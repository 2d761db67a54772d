"""The Prometheus metrics at ``/metrics``, read from the database."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from http import HTTPStatus
from typing import Any, NamedTuple

from optuna.study import StudyDirection
from optuna.trial import TrialState
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from sqlalchemy import Connection, Select, func, select

from tuner.dashboard.pulse import Pulse
from tuner.dashboard.security import Application, Environ, answer, path_of
from tuner.errors import StorageError
from tuner.logs import tell
from tuner.results.best import INTERRUPTED, PAUSED, LeftOutTrials
from tuner.storage import events, rows, schema, sql, status, studies
from tuner.storage.database import Database
from tuner.storage.lease import FOREIGN, STOPPED
from tuner.storage.mirror import ReadTimer
from tuner.storage.sql import from_clock
from tuner.storage.status import state_of

# Epochs of each study, without reading all reports on each request.


OVER = tuple(state for state in TrialState if state.is_finished())
_TRIAL, _STUDY, _STATE = rows.TRIALS.c.trial_id, rows.TRIALS.c.study_id, rows.TRIALS.c.state


class Trials(NamedTuple):
    """Of a study: how many trials have ended, and when the first one began.

    The latter tells it from a deleted study: SQLite reuses ids.
    """

    ended: int
    begun: datetime | None


@dataclass(frozen=True)
class _Counted:
    """The ended trials of a study, and the number of their reports."""

    begun: datetime | None
    trials: frozenset[int] = frozenset()
    epochs: int = 0


class Epochs:
    """Counts reports; those of an ended trial only once, since it gets no more."""

    def __init__(self) -> None:
        self._counted: dict[int, _Counted] = {}

    def __call__(
        self, connection: Connection, studies: Mapping[int, Trials], running: Mapping[int, int]
    ) -> dict[int, int]:
        """Reports by study.

        Args:
            studies: those to count for.
            running: from `unfinished`, read before `studies`: a trial that ends in between is in
                both; if it were in neither, a count would go down.
        """
        known = {i: self._counts_of(i, each) for i, each in studies.items()}
        changed = {i: k for i, k in known.items() if len(k.trials) != studies[i].ended}
        self._counted = known | _with_ended(connection, changed)
        going = {
            trial: i
            for trial, i in running.items()
            if i in studies and trial not in self._counted[i].trials
        }
        total = Counter({i: each.epochs for i, each in self._counted.items()})
        for trial, count in _reports(connection, going).items():
            total[going[trial]] += count
        return dict(total)

    def _counts_of(self, study_id: int, trials: Trials) -> _Counted:
        known = self._counted.get(study_id)
        return known if known and known.begun == trials.begun else _Counted(trials.begun)


def unfinished(connection: Connection) -> dict[int, int]:
    """Trials that have not ended, each with its study."""
    query = select(_TRIAL, _STUDY).where(_STATE.not_in(OVER))
    return {int(trial): int(study) for trial, study in connection.execute(query)}


def _with_ended(connection: Connection, counted: Mapping[int, _Counted]) -> dict[int, _Counted]:
    """The same counts, with the trials that have ended since."""
    if not counted:
        return {}
    ended: dict[int, set[int]] = defaultdict(set)
    bound = sql.numbers(connection.dialect.name, counted)
    for trial, study in connection.execute(_ended(connection.dialect.name), {"ids": bound}):
        ended[study].add(trial)
    new = {i: ended[i] - each.trials for i, each in counted.items()}
    reports = _reports(connection, (trial for trials in new.values() for trial in trials))
    return {
        i: _Counted(
            each.begun, frozenset(ended[i]), each.epochs + sum(map(reports.__getitem__, new[i]))
        )
        for i, each in counted.items()
    }


def _reports(connection: Connection, trials: Iterable[int]) -> Counter[int]:
    """The number of reports of each of these trials."""
    bound = sql.numbers(connection.dialect.name, trials)
    counts = connection.execute(_counts(connection.dialect.name), {"ids": bound})
    return Counter({int(trial): int(count) for trial, count in counts})


@cache
def _ended(dialect: str) -> Select[Any]:
    mine = sql.within(dialect, _STUDY, "ids")
    return select(_TRIAL, _STUDY).where(mine, _STATE.in_(OVER))


@cache
def _counts(dialect: str) -> Select[Any]:
    trial = rows.REPORTS.c.trial_id
    return select(trial, func.count()).where(sql.within(dialect, trial, "ids")).group_by(trial)


# The counts behind the metrics, straight from the database: one statement each.


SHOWN_SECONDS = 30 * 86400.0
"""For so long an ended study is counted by name; after that only in the totals."""


@dataclass(frozen=True)
class Counts:
    """The state of a database at a moment.

    Attributes:
        studies: how many there are, by state, as `state_of` names it.
        left_out: how many of them ended so long ago that the counts below omit them.
        trials: how many there are, by study and state; those that are INTERRUPTED or PAUSED do not
            run.
        epochs: reported intermediate values by study.
        best: the best value of a complete trial by study, of those with one objective; without
            trials that do not count.
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
    """A study, its number of trials by state, how many of them are interrupted or paused, and when
    the first began and the last ended."""

    name: str
    state: str
    budget: int
    trials: Mapping[TrialState, int]
    interrupted: int
    paused: int
    begun: datetime | None
    ended: datetime | None

    @property
    def over(self) -> int:
        return sum(self.trials.get(state, 0) for state in OVER)

    def goes_on(self, since: datetime) -> bool:
        """Whether it may still change, or has changed since; also if that is unknown."""
        if self.over < sum(self.trials.values()) or self.ended is None or self.ended >= since:
            return True
        return self.state not in (FOREIGN, STOPPED) and self.done < self.budget

    @property
    def done(self) -> int:
        """The number of trials that count towards the budget."""
        return self.over - self.trials.get(TrialState.FAIL, 0)

    def counts(self) -> Iterator[tuple[str, int]]:
        """Numbers of trials by state, as they are shown."""
        for state in TrialState:
            less = self.interrupted + self.paused if state == TrialState.RUNNING else 0
            yield state.name.lower(), max(0, self.trials.get(state, 0) - less)
        yield INTERRUPTED, self.interrupted
        yield PAUSED, self.paused


def read_counts(connection: Connection, epochs: Epochs, left_out_trials: LeftOutTrials) -> Counts:
    """Counts everything in a few statements, whatever the size of the database."""
    running = unfinished(connection)
    by_id = _studies(connection)
    now = connection.execute(select(sql.now(connection.dialect.name))).scalar_one()
    since = from_clock(now - SHOWN_SECONDS)
    shown = {i: each for i, each in by_id.items() if each.goes_on(since)}
    trials = {i: Trials(each.over, each.begun) for i, each in shown.items()}
    reports, lost = epochs(connection, trials, running), _lost(connection, shown)
    return Counts(
        studies=Counter(state_of(each.state, each.budget, each.done) for each in by_id.values()),
        left_out=len(by_id) - len(shown),
        # A state that no trial is in is 0, not absent: an alert can be written for it.
        trials={
            (each.name, state): count for each in shown.values() for state, count in each.counts()
        },
        epochs={shown[i].name: count for i, count in reports.items()},
        best={
            shown[i].name: value for i, value in _best(connection, shown, left_out_trials).items()
        },
        workers=sum(not each.lost for each in status.workers(connection)),
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
    left, paused = status.interrupted(connection), status.paused(connection)
    records = connection.execute(select(_ID, *columns).select_from(joined).order_by(_ID))
    return {
        i: _study(name, kind, most, counted[i], left[i], paused[i])
        for i, name, kind, most in records
    }


def _study(
    name: str,
    state: str | None,
    budget: int | None,
    trials: Sequence[Any],
    left: int,
    paused: int,
) -> _Study:
    counts = {state: int(count) for state, count, _, _ in trials}
    begun = min((first for *_, first, _ in trials if first is not None), default=None)
    ended = max((last for *_, last in trials if last is not None), default=None)
    return _Study(name, state or FOREIGN, budget or 0, counts, left, paused, begun, ended)


def _best(
    connection: Connection, among: Collection[int], left_out_trials: LeftOutTrials
) -> dict[int, float]:
    left_out = (trial for each in left_out_trials(connection, among).values() for trial in each)
    dialect = connection.dialect.name
    toward, value, trials = studies.DIRECTIONS, rows.VALUES, rows.TRIALS
    joined = trials.join(value, value.c.trial_id == trials.c.trial_id)
    joined = joined.join(toward, toward.c.study_id == trials.c.study_id)
    query = (
        select(
            trials.c.study_id,
            func.max(toward.c.direction),
            func.min(value.c.value),
            func.max(value.c.value),
        )
        .select_from(joined)
        .where(trials.c.state == TrialState.COMPLETE, value.c.value.is_not(None))
        .where(sql.within(dialect, trials.c.study_id, "ids"))
        .where(~sql.within(dialect, trials.c.trial_id, "left_out"))
        .group_by(trials.c.study_id)
        .having(func.max(toward.c.objective) == 0)
    )
    bound = {"ids": sql.numbers(dialect, among), "left_out": sql.numbers(dialect, left_out)}
    return {
        int(i): float(high if direction == StudyDirection.MAXIMIZE else low)
        for i, direction, low, high in connection.execute(query, bound)
    }


def _lost(connection: Connection, among: Iterable[int]) -> Counter[int]:
    columns = schema.events.c
    mine = sql.within(connection.dialect.name, columns.study_id, "ids"), columns.kind == events.LOST
    query = select(columns.study_id, func.count()).where(*mine).group_by(columns.study_id)
    bound = sql.numbers(connection.dialect.name, among)
    return Counter({int(i): int(n) for i, n in connection.execute(query, {"ids": bound})})


def _waited(connection: Connection) -> float:
    columns = schema.events.c
    query = select(columns.detail).where(columns.study_id.is_(None), columns.kind == events.OUTAGE)
    return sum((float(json.loads(each)["seconds"]) for each in connection.scalars(query)), 0.0)


# ``/metrics``, as Prometheus reads it.


INTERVAL = 1.0
"""Seconds for which counts are reused, however often they are requested; up to ten times as long
where counting takes long."""
RECENT = 60.0
"""Seconds over which the recent rate is taken."""


class Rate:
    """How fast counts grow, from recent looks at them."""

    def __init__(self, seconds: float = RECENT) -> None:
        self._seconds = seconds
        self._seen: deque[tuple[float, Mapping[str, int]]] = deque()

    def __call__(self, now: float, counts: Mapping[str, int]) -> dict[str, float]:
        """Growth per second since the first look within `seconds`, or the last look before; a
        name that has not been seen twice has none."""
        while len(self._seen) > 1 and self._seen[1][0] <= now - self._seconds:
            self._seen.popleft()
        self._seen.append((now, counts))
        then, before = self._seen[0]
        if now <= then:
            return {}
        return {
            name: max(0, count - before[name]) / (now - then)
            for name, count in counts.items()
            if name in before
        }


class Metrics(Collector):
    """Counts of the database as metrics; during an outage only the outage."""

    def __init__(self, database: Database, pulse: Pulse) -> None:
        self._database, self._pulse = database, pulse
        self._lock = threading.Lock()
        self._epochs, self._left_out_trials, self._rate = Epochs(), LeftOutTrials(), Rate()
        self._timer = ReadTimer()
        self._families: list[Metric] = []

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            if self._timer.due(INTERVAL):
                begun = time.monotonic()
                self._families = self._read(begun)
                self._timer.record(time.monotonic() - begun)
            yield from self._families

    def _read(self, now: float) -> list[Metric]:
        try:
            with self._database.read() as connection:
                counts = read_counts(connection, self._epochs, self._left_out_trials)
            families = _families(counts, self._rate(now, counts.epochs))
        except StorageError:
            families = []
        except Exception as error:  # such as a row that makes no sense: monitoring goes on
            tell("error", f"/metrics lacks counts: {type(error).__name__}: {error}")
            families = []
        up = GaugeMetricFamily("tuner_database_up", "1 if the database answers, else 0.")
        up.add_metric([], float(self._pulse.answers(fresh=0.0)))
        away = CounterMetricFamily(
            "tuner_dashboard_outage_seconds",
            "Seconds that the database did not answer this dashboard since it started.",
        )
        away.add_metric([], self._pulse.away_seconds)
        return [*families, up, away]


def _families(counts: Counts, rates: Mapping[str, float]) -> list[Metric]:
    gauge, counter = partial(_family, GaugeMetricFamily), partial(_family, CounterMetricFamily)
    left_out = "Studies that ended more than 30 days ago and have no series of their own."
    pace = f"Epochs a second in the last {RECENT:.0f} s in which this was read."
    waited = "Seconds that workers waited for the database, together, in the last 30 days."
    return [
        gauge("studies", "Studies.", ["state"], counts.studies),
        gauge("studies_left_out", left_out, [], {(): counts.left_out}),
        gauge("trials", "Trials.", ["study", "state"], counts.trials),
        gauge("workers", "Workers alive.", [], {(): counts.workers}),
        counter("epochs", "Epochs reported.", ["study"], counts.epochs),
        gauge("epochs_per_second", pace, ["study"], rates),
        counter("leases_lost", "Leases that ran out.", ["study"], counts.lost),
        gauge("workers_outage_seconds", waited, [], {(): counts.waited}),
        gauge("best_value", "The best trial's value.", ["study"], counts.best),
    ]


def _family(
    kind: type[GaugeMetricFamily] | type[CounterMetricFamily],
    name: str,
    help: str,
    labels: list[str],
    values: Mapping[Any, float],
) -> Metric:
    family = kind(f"tuner_{name}", help, labels=labels)
    for key, value in values.items():
        family.add_metric([key] if isinstance(key, str) else list(key), value)
    return family


def metrics(database: Database, pulse: Pulse, application: Application) -> Application:
    """Answers ``/metrics``."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Metrics(database, pulse))

    def measured(environ: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
        if path_of(environ) != "/metrics":
            return application(environ, start)
        text = generate_latest(registry).decode()
        headers = (("Content-Type", CONTENT_TYPE_LATEST), ("Cache-Control", "no-store"))
        return answer(environ, start, HTTPStatus.OK, text, headers)

    return measured
