"""Reads everything a report needs from the database, once."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from statistics import fmean
from typing import TYPE_CHECKING, Any

from tuner.errors import TrainingError, UsageError
from tuner.metrics import sign_of
from tuner.results import ablate, confirm, replicas
from tuner.results.ablate import Ablation
from tuner.results.best import INTERRUPTED, PAUSED, STATES, chosen_number
from tuner.results.confirm import Confirmation
from tuner.results.estimate import Estimate
from tuner.results.pooled import Pooled, pooled, techniques
from tuner.results.surrogate import Surrogate, results, surrogate
from tuner.search.promote import is_paused
from tuner.show.snapshot import shown_url
from tuner.space import Config, Node, walk
from tuner.study.objective import ObjectiveStudy
from tuner.study.record import NetworkStudy, Study
from tuner.study.trials import (
    LeftOut,
    Own,
    complete,
    config_or_params,
    epochs_trained,
    nothing_complete,
    rank,
)
from tuner.worker.job import OUTCOME

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from tuner.storage import Progress, Storage


# The winner's predictions on the test rows, over its seeds; stored by `confirm`.


Bins = tuple[tuple[int, float, float], ...]
"""``(rows, mean probability, observed share)`` for each tenth of a probability with rows."""


@dataclass(frozen=True)
class OfTarget:
    """Predictions of one of several targets on the test rows.

    Attributes:
        name: of the target.
        value: the metric of it alone, the mean over seeds; None where one has none.
        calibration: of a label.
    """

    name: str
    value: float | None
    calibration: Bins = ()

    @property
    def calibration_error(self) -> float:
        return expected_error(self.calibration)


def expected_error(bins: Bins) -> float:
    """The expected calibration error (Guo et al. 2017)."""
    total = sum(count for count, _, _ in bins)
    return sum(count * abs(sure - right) for count, sure, right in bins) / max(total, 1)


@dataclass(frozen=True)
class Outcome:
    """Predictions on the test rows.

    Attributes:
        seeds: trainings that are in it.
        classes: names, in the order of ``confusion``; empty for a quantity.
        confusion: rows of actual by columns of predicted class, added up over seeds.
        calibration: ``(rows, mean probability, observed accuracy)`` for each tenth of the
            predicted probability, where there are rows.
        actual, predicted: of a quantity, in its own unit; of every seed.
        each: of several labels or quantities.
    """

    seeds: int
    classes: tuple[str, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    calibration: Bins = ()
    actual: tuple[float, ...] = ()
    predicted: tuple[float, ...] = ()
    each: tuple[OfTarget, ...] = ()

    @property
    def calibration_error(self) -> float:
        return expected_error(self.calibration)

    @property
    def residuals(self) -> tuple[float, ...]:
        """Actual less predicted value, in the target's unit."""
        return tuple(a - p for a, p in zip(self.actual, self.predicted, strict=True))


def pooled_outcome(outcomes: Sequence[Mapping[str, Any]]) -> Outcome | None:
    """Puts the outcomes of one configuration's seeds together; None if none was stored."""
    if not outcomes:
        return None
    return Outcome(
        seeds=len(outcomes),
        classes=tuple(outcomes[0].get("classes", ())),
        confusion=_added([each["confusion"] for each in outcomes if "confusion" in each]),
        calibration=_bins([each["calibration"] for each in outcomes if "calibration" in each]),
        actual=tuple(value for each in outcomes for value in each.get("actual", ())),
        predicted=tuple(value for each in outcomes for value in each.get("predicted", ())),
        each=_each([outcome["each"] for outcome in outcomes if "each" in outcome]),
    )


def _each(records: Sequence[Sequence[Mapping[str, Any]]]) -> tuple[OfTarget, ...]:
    """Several targets, by the records of all seeds."""
    return tuple(map(_of_target, zip(*records, strict=True)))


def _of_target(records: Sequence[Mapping[str, Any]]) -> OfTarget:
    """One target's records of all seeds."""
    values = [each["value"] for each in records]
    value = None if None in values else fmean(values)
    tables = [each["calibration"] for each in records if "calibration" in each]
    return OfTarget(records[0]["name"], value, _bins(tables))


def _added(tables: Sequence[Sequence[Sequence[int]]]) -> tuple[tuple[int, ...], ...]:
    return tuple(
        tuple(sum(cells) for cells in zip(*rows, strict=True)) for rows in zip(*tables, strict=True)
    )


def _bins(tables: Sequence[Sequence[Sequence[float]]]) -> Bins:
    bins = []
    for cells in zip(*tables, strict=True):
        count = int(sum(rows for rows, _, _ in cells))
        if count:
            sure = sum(rows * mean for rows, mean, _ in cells) / count
            right = sum(rows * share for rows, _, share in cells) / count
            bins.append((count, sure, right))
    return tuple(bins)


# The results of `confirm` and `ablate`, as far as a report needs them.


@dataclass(frozen=True)
class Answers:
    """What is known beyond the trials of the search; None where the command has not run."""

    confirmation: Confirmation | None = None
    ablation: Ablation | None = None
    outcome: Outcome | None = None


def read_answers(storage: Storage, study: Study) -> Answers:
    """Reads them from the database, also while the commands are still running."""
    confirmation = confirm.read(storage, study)
    outcome = None
    if confirmation is not None:
        finished = replicas.finished_replicas(storage, study, confirm.COMMAND)
        label = confirmation.winner.label
        outcomes = [
            trial.user_attrs[OUTCOME]
            for (name, _, final), (_, trial) in sorted(finished.items())
            if final and name == label and OUTCOME in trial.user_attrs
        ]
        outcome = pooled_outcome(outcomes)
    return Answers(confirmation, ablate.read(storage, study), outcome)


def headline_estimates(confirmation: Confirmation) -> tuple[str, Estimate, Estimate | None]:
    """The split that counts, the winner's estimate there and the baseline's.

    It is "test" where the winner was measured there, and the baseline too if there is one.
    """
    winner, baseline = confirmation.winner, confirmation.baseline
    if winner.test is not None and (baseline is None or baseline.test is not None):
        return "test", winner.test, None if baseline is None else baseline.test
    return "validation", winner.validation, None if baseline is None else baseline.validation


# Everything that a report is made of, read from the database once.


@dataclass(frozen=True)
class Entry:
    """A trial.

    Attributes:
        value: the metric on the validation split; of a pruned or running one its last; None if
            there is none that is finite.
        curve: the metric after each epoch, finite values only.
        config: every parameter by name; of a trial that tuner did not make, those that it has.
        facts: the trial's user attributes: seconds, epochs, seed, device, error, …; of an own
            objective they may be anything.
        params: the parameters as the database has them.
    """

    number: int
    state: str
    value: float | None
    curve: Mapping[int, float] = field(repr=False)
    config: Config = field(repr=False)
    facts: Mapping[str, Any] = field(repr=False)
    started: datetime | None = field(default=None, repr=False)
    ended: datetime | None = field(default=None, repr=False)
    params: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def seconds(self) -> float:
        """Spent on it by all workers; from start to end where they did not record it."""
        known = _amount(self.facts.get("seconds"))
        if known is not None:
            return known
        if self.started is None or self.ended is None:
            return 0.0
        return max(0.0, (self.ended - self.started).total_seconds())

    @property
    def epochs(self) -> int:
        known = _amount(self.facts.get("epochs"))
        return max(self.curve, default=0) if known is None else int(known)

    @property
    def interval(self) -> tuple[datetime, datetime] | None:
        """When it was in training, as far as is known.

        A trial that was released, or whose worker died, was started long before its last worker
        took it over: the time in between is no training. So it is as long as its seconds, up to
        its end.
        """
        if self.started is None:
            return None
        spent = timedelta(seconds=self.seconds)
        if self.ended is None:
            return self.started, self.started + spent
        return min(max(self.started, self.ended - spent), self.ended), self.ended


@dataclass(frozen=True)
class Facts:
    """A study at one moment.

    Attributes:
        entries: all trials, in the order of their numbers.
        storage: the database's URL without a password.
        left_out: trials that other programs added and that do not count; they are not among the
            entries.
        hopeless: the error where the search has ended and no trial is complete; else empty.
        option: what commands need besides ``--study``: ``--storage URL``, or nothing.
        pooled: effects of parameters, estimated from the trials of the search; no experiment.
        results: how many trials a model can learn from.
        model: of these trials; None where they are too few.
        trained: the epochs that all trials together trained.
    """

    study: Study
    metric: str
    direction: str
    entries: tuple[Entry, ...]
    progress: Progress
    storage: str
    option: str = ""
    answers: Answers = field(default_factory=Answers)
    pooled: Pooled = field(default_factory=Pooled)
    results: int = 0
    model: Surrogate | None = field(default=None, repr=False)
    left_out: tuple[LeftOut, ...] = ()
    trained: int = 0
    hopeless: str = ""

    @cached_property
    def complete(self) -> tuple[Entry, ...]:
        return tuple(e for e in self.entries if e.state == "complete" and e.value is not None)

    @cached_property
    def best(self) -> Entry | None:
        """The best complete trial; the first of equal ones."""
        return self.best_first[0] if self.complete else None

    @cached_property
    def best_first(self) -> tuple[Entry, ...]:
        """The complete trials, sorted by their values."""
        return tuple(sorted(self.complete, key=self._rank))

    def _rank(self, entry: Entry) -> tuple[float, int]:
        assert entry.value is not None
        return rank(entry.value, entry.number, self.direction)

    @cached_property
    def chosen(self) -> Entry | None:
        """The trial that a user would take: the confirmed winner, else the best of the search."""
        if self.best is None:
            return None
        number = chosen_number(self.best.number, self.answers.confirmation)
        return next((entry for entry in self.entries if entry.number == number), self.best)

    @cached_property
    def baseline(self) -> Entry | None:
        """The baseline's trial, if there is one and it is complete."""
        params = self.study.baseline()
        if params is None:
            return None
        wanted = self.study.config(params)
        first = next((entry for entry in self.complete if entry.number == 0), None)
        return next((entry for entry in self.complete if entry.config == wanted), first)

    @property
    def own_objective(self) -> bool:
        """Whether the objective is the user's own: no baseline, no test rows, and no parameters
        that are known beforehand."""
        return isinstance(self.study, ObjectiveStudy)

    @property
    def identity(self) -> Mapping[str, Any] | None:
        """The record by which the database identifies the rows; None where it has none."""
        return self.study.row_record if isinstance(self.study, NetworkStudy) else None

    @property
    def searched(self) -> tuple[Node, ...]:
        return tuple(node for node in walk(self.study.nodes) if node.searched)

    @property
    def techniques(self) -> tuple[Node, ...]:
        """The searched parameters that can be switched off."""
        return techniques(self.study)

    def gain(self, value: float, over: float) -> float:
        """How much better a value is than another one; positive is better."""
        sign = sign_of(self.direction)
        return sign * value - sign * over

    def count(self, state: str) -> int:
        return sum(entry.state == state for entry in self.entries)

    def command(self, name: str, rest: str = "") -> str:
        """A command line about this study."""
        from shlex import quote

        words = ("tuner", name, f"--study {quote(self.study.name)}", self.option, rest)
        return " ".join(word for word in words if word)


def _amount(value: Any) -> float | None:
    """A number of seconds or epochs; None for anything else that a user attribute may be."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and value >= 0 else None


def read_facts(storage: Storage, study: Study, study_id: int, option: str = "") -> Facts:
    """Reads a study.

    Raises:
        UsageError: it has no trial yet.
    """
    from tuner.storage import metric_and_direction

    trials = storage.get_all_trials(study_id, deepcopy=False)
    metric, direction = metric_and_direction(storage, study_id)
    answers = read_answers(storage, study)
    own, progress = Own(study), storage.progress(study_id)
    model = surrogate(study, trials, metric, direction)
    facts = Facts(
        study=study,
        metric=metric,
        direction=direction,
        entries=tuple(_entry(study, trial, progress.interrupted) for trial in own(trials)),
        progress=progress,
        storage=shown_url(storage.url),
        option=option,
        answers=answers,
        pooled=pooled(study, trials, metric, direction, model),
        results=len(results(study, trials)),
        model=model,
        left_out=own.left_out(trials),
        trained=epochs_trained(trials),
        hopeless=_hopeless(study, own, trials, progress),
    )
    if not trials:
        raise UsageError(
            f"no trial of {study.name!r} has begun yet",
            where=facts.storage,
            hint=f"run {facts.command('optimize')}",
        )
    return facts


def _hopeless(study: Study, own: Own, trials: Sequence[FrozenTrial], progress: Progress) -> str:
    if any(map(complete, own(trials))):
        return ""
    error = nothing_complete(study, trials, progress.budget)
    return f"{error.message}: {error.hint}" if isinstance(error, TrainingError) else ""


def _entry(study: Study, trial: FrozenTrial, interrupted: Container[int]) -> Entry:
    state = STATES[trial.state.name]
    if state == "running" and trial.number in interrupted:
        state = INTERRUPTED
    elif is_paused(trial):
        state = PAUSED
    curve = {k: v for k, v in sorted(trial.intermediate_values.items()) if math.isfinite(v)}
    value = trial.values[0] if trial.values else curve.get(max(curve, default=0))
    return Entry(
        number=trial.number,
        state=state,
        value=value if value is not None and math.isfinite(value) else None,
        curve=curve,
        config=config_or_params(study, trial),
        facts=trial.user_attrs,
        started=trial.datetime_start,
        ended=trial.datetime_complete,
        params=trial.params,
    )


# A study's number and its baseline's, for a comparison of studies.


def numbers(facts: Facts) -> dict[str, Any]:
    """The confirmed numbers where there are any, else those of the search."""
    confirmation = facts.answers.confirmation
    if confirmation is None:
        value = None if facts.best is None else facts.best.value
        base = None if facts.baseline is None else facts.baseline.value
        own = {"measured": "search", "seeds": 1, "value": value, "low": None, "high": None}
        others = {"baseline": base, "baseline_low": None, "baseline_high": None}
    else:
        measured, best, baseline = headline_estimates(confirmation)
        measured = "objective" if facts.own_objective else measured
        own = {"measured": measured, "seeds": len(best.values), "value": best.mean}
        own |= {"low": _bound(best.low), "high": _bound(best.high)}
        others = dict.fromkeys(("baseline", "baseline_low", "baseline_high"))
        if baseline is not None:
            others = {"baseline": baseline.mean}
            others |= {"baseline_low": _bound(baseline.low), "baseline_high": _bound(baseline.high)}
    a, b = own["value"], others["baseline"]
    gain = None if not isinstance(a, float) or not isinstance(b, float) else facts.gain(a, b)
    return {**own, **others, "gain": gain}


def _bound(value: float) -> float | None:
    """None where it is not finite: one seed has no interval."""
    return value if math.isfinite(value) else None
