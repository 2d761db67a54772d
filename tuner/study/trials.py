"""Tells a study's own trials from those that other programs added to it.

An Optuna script may join any study, and its trials are stored as they are. A trial stands for a
configuration of the study, or there is a reason why it does not; all readers of trials ask here.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState

from tuner.errors import TrainingError, TunerError, UsageError
from tuner.metrics import sign_of
from tuner.search.by_number import SearchGrid, countable
from tuner.search.promote import CONTINUES, PAUSED_AT, is_paused, last_epoch
from tuner.search.pruners import PROMOTE
from tuner.search.samplers import SAMPLERS
from tuner.space import (
    Choice,
    Config,
    Node,
    Range,
    Recorded,
    config_of,
    distinguishable,
    label,
    walk,
)
from tuner.study.objective import ObjectiveStudy
from tuner.study.record import Study

RESULT = (TrialState.COMPLETE, TrialState.PRUNED)
"""States of trials that others are compared with."""
WORKER = "worker"
"""The attribute with the worker that wrote a trial's end; other programs do not set it."""
DUPLICATE = "duplicate_of"
"""The attribute of a trial that repeats the result of another one: that one's number."""
NAMED = 3
"""The most left-out trials that a message names."""
Kinds = dict[tuple[Any, ...], BaseDistribution]


@dataclass(frozen=True)
class LeftOut:
    """A trial with a result that is not the study's own, and the reason."""

    number: int
    reason: str


class Own:
    """Separates a study's trials from those that other programs added; caches the result.

    Not for use by several threads at once.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self._kinds: Kinds = {}
        self._read: dict[int, tuple[FrozenTrial, FrozenTrial | str]] = {}

    def __call__(self, trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
        """The trials that count: all but those with a result that are not the study's own."""
        return [t for t in trials if t.state not in RESULT or not self.reason(t)]

    def left_out(self, trials: Iterable[FrozenTrial]) -> tuple[LeftOut, ...]:
        """The trials with a result that do not count, and the reasons."""
        reasons = ((t.number, self.reason(t)) for t in trials if t.state in RESULT)
        return tuple(LeftOut(number, reason) for number, reason in reasons if reason)

    def reason(self, trial: FrozenTrial) -> str:
        """Why a trial is not the study's own; empty if it is."""
        examined = self._examined(trial)
        return examined if isinstance(examined, str) else ""

    def learned(self, trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
        """The trials that samplers and pruners learn from: those of a configuration, with the
        study's parameters and distributions, and failed ones as they are. A paused trial is shown
        as pruned, with its last value; one that ran out of memory as one that diverged."""
        examined = (
            trial if trial.state == TrialState.FAIL else self._examined(trial) for trial in trials
        )
        return [_as_pruned(trial) for trial in examined if not isinstance(trial, str)]

    def _examined(self, trial: FrozenTrial) -> FrozenTrial | str:
        known = self._read.get(trial.number)
        if known is None or known[0] is not trial:
            known = self._read[trial.number] = trial, self._examine(trial)
        return known[1]

    def _examine(self, trial: FrozenTrial) -> FrozenTrial | str:
        """The trial with the study's parameters and distributions, or why it is not the study's."""
        if reason := _no_value(trial):
            return reason
        if not self.study.nodes:  # an own objective, of which nothing is known
            return trial
        recorded = _Drawn(trial.params, self._kinds)
        try:
            config_of(self.study.nodes, trial.params, recorded)
        except TunerError as error:
            return f"{error.where}: {error.message}"
        if recorded.asked == trial.params and recorded.drawn == trial.distributions:
            return trial
        normalized = FrozenTrial.__new__(FrozenTrial)
        vars(normalized).update(vars(trial))
        normalized.params, normalized.distributions = recorded.asked, recorded.drawn
        return normalized


TOO_LARGE = "out_of_memory"
"""The attribute of a trial that failed because memory was used up."""


def _as_pruned(trial: FrozenTrial) -> FrozenTrial:
    if trial.state == TrialState.FAIL and trial.user_attrs.get(TOO_LARGE):
        failed = copy(trial)
        failed.state, failed.values, failed.intermediate_values = TrialState.PRUNED, None, {}
        return failed
    if not is_paused(trial):
        return trial
    pruned = copy(trial)
    value = trial.intermediate_values[last_epoch(trial)]
    pruned.state, pruned.values = TrialState.PRUNED, None if math.isnan(value) else [value]
    pruned.datetime_complete = pruned.datetime_start
    return pruned


def _no_value(trial: FrozenTrial) -> str:
    """Why a trial has no value that can be compared; empty if it has one."""
    values = trial.values or []
    if len(values) > 1:
        return f"it has {len(values)} values, and the study searches for one"
    if trial.state == TrialState.COMPLETE and not values:
        return "it has no value"
    return "its value is not a number" if any(math.isnan(value) for value in values) else ""


class _Drawn(Recorded):
    """Records the distribution of each parameter, as Optuna would store it."""

    def __init__(self, params: Mapping[str, Any], kinds: Kinds) -> None:
        super().__init__(params)
        self.drawn: dict[str, BaseDistribution] = {}
        self._kinds = kinds

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        self._note(name, (low, high, log, step), FloatDistribution)
        return super().suggest_float(name, low, high, step=step, log=log)

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        self._note(name, (low, high, log, step), IntDistribution)
        return super().suggest_int(name, low, high, step=step, log=log)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        self._note(name, (tuple(choices),), CategoricalDistribution)
        return super().suggest_categorical(name, choices)

    def _note(self, name: str, bounds: tuple[Any, ...], kind: Callable[..., Any]) -> None:
        key = (name, *bounds)
        if key not in self._kinds:
            self._kinds[key] = kind(*bounds)
        self.drawn[name] = self._kinds[key]


def config_or_params(study: Study, trial: FrozenTrial) -> Config:
    """A trial's configuration; its parameters where it is just beginning or not the study's own."""
    try:
        return study.config(trial.params)
    except TunerError:
        return dict(trial.params)


def check_number(study: str, number: int, count: int) -> None:
    """Raises UsageError if a study has no trial of this number.

    Args:
        count: how many trials it has.
    """
    if not 0 <= number < count:
        hint = f"known: 0 to {count - 1}" if count else "it has no trials yet"
        raise UsageError(f"the study has no trial {number}", where=study, hint=hint)


def complete(trial: FrozenTrial) -> bool:
    """Whether a trial came to its end with a value that can be compared: a finite one."""
    return trial.state == TrialState.COMPLETE and math.isfinite(value_of(trial))


def value_of(trial: FrozenTrial) -> float:
    """A trial's value; NaN if it has none."""
    return float((trial.values or [math.nan])[0])


def trained(
    trial: FrozenTrial, trials: Mapping[int, FrozenTrial], target: int | None = None
) -> int:
    """The epochs that a trial trained itself, or, up to its target, still may.

    A trial that repeats a known result trained none, nor did one of another program. One that
    continues another began where that ended.

    Args:
        trials: all of the study, by number.
        target: the epoch to which its holder trains it.
    """
    if DUPLICATE in trial.user_attrs or not isinstance(trial.user_attrs.get("seed"), int):
        return 0
    earlier = trials.get(trial.user_attrs.get(CONTINUES, -1))
    begun = 0 if earlier is None else last_epoch(earlier)
    return max(0, max(last_epoch(trial), target or 0) - begun)


def epochs_trained(trials: Iterable[FrozenTrial]) -> int:
    """The epochs that all trials of a study trained together."""
    by_number = {trial.number: trial for trial in trials}
    return sum(trained(trial, by_number) for trial in by_number.values())


def rank(value: float, number: int, direction: str) -> tuple[float, int]:
    """The sort key of trials, the best first; of equal values the first trial."""
    return -sign_of(direction) * value, number


def best_first(trials: Iterable[FrozenTrial], direction: str) -> list[FrozenTrial]:
    """The complete trials with a finite value."""
    return sorted(filter(complete, trials), key=_ranked_by(direction))


def best_trial(trials: Iterable[FrozenTrial], direction: str) -> FrozenTrial | None:
    """The best complete trial with a finite value, of those that count; the first of equal ones."""
    return min(filter(complete, trials), key=_ranked_by(direction), default=None)


def _ranked_by(direction: str) -> Callable[[FrozenTrial], tuple[float, int]]:
    return lambda trial: rank(value_of(trial), trial.number, direction)


def baseline_trial(study: Study, trials: Iterable[FrozenTrial]) -> FrozenTrial | None:
    """The complete trial of the baseline: the first one, unless another program had its number."""
    wanted = study.baseline()
    if wanted is None:
        return None
    complete = [t for t in trials if t.state == TrialState.COMPLETE and t.values]
    first = next((t for t in complete if t.number == 0 and not _queued(t, wanted)), None)
    return next((trial for trial in complete if trial.params == wanted), first)


def _queued(trial: FrozenTrial, wanted: Mapping[str, Any]) -> bool:
    """Whether the trial was enqueued with another configuration."""
    return bool(trial.system_attrs.get("fixed_params", wanted) != wanted)


def prescribed(study: Study) -> list[dict[str, Any]]:
    """The parameters of the first trials: the baseline, and those that the study enqueues."""
    numbers = range(len(study.search.enqueue) + (study.baseline() is not None))
    return [params for params in map(study.fixed_params, numbers) if params is not None]


def left_out_words(left_out: Sequence[LeftOut]) -> str:
    """A sentence about trials that do not count; empty where there are none.

    >>> left_out_words([LeftOut(3, "x: the trial has no such parameter")])
    '1 trial of another program is left out: trial 3 (x: the trial has no such parameter)'
    """
    if not left_out:
        return ""
    names = [f"trial {each.number} ({each.reason})" for each in left_out[:NAMED]]
    names += [f"{len(left_out) - NAMED} more"] if len(left_out) > NAMED else []
    trials = (
        "1 trial of another program is"
        if len(left_out) == 1
        else (f"{len(left_out):,} trials of another program are")
    )
    return f"{trials} left out: {', '.join(names)}"


def nothing_complete(
    study: Study, trials: Sequence[FrozenTrial], budget: int | None = None
) -> TunerError:
    """The error where a complete trial is needed and there is none.

    Args:
        budget: the number of trials that were to end, by default the study's; once they have ended,
            the hint is not to train more.
    """
    budget = budget or study.search.trials
    own, ended = Own(study), [trial for trial in trials if trial.state in RESULT]
    if len(ended) < budget and all_tried(own, trials) is None:
        hint = f"tuner optimize --study {study.name} trains some"
        return UsageError(f"no trial of {study.name!r} is complete yet", hint=hint)
    if foreign := left_out_words(own.left_out(ended)):
        hint = f"tuner optimize --study {study.name} --trials {2 * budget} trains some; {foreign}"
        return TrainingError("no trial of the study's own is complete", where=study.name, hint=hint)
    ends = Counter(map(_ending, ended))
    if not ends:
        return TrainingError(
            "every trial failed", where=study.name, hint=f"tuner logs --study {study.name} says why"
        )
    most, count = ends.most_common(1)[0]
    ending = ENDS.get(most, "was pruned" if count == 1 else "were pruned")
    what = f"all {count:,} trials {ending}" if count > 1 else f"its only trial {ending}"
    if count < len(ended):
        what = f"none of {len(ended):,} trials is complete: {count:,} {ending}"
    return TrainingError(what, where=study.name, hint=_remedy(study, most))


def without_result(trials: Iterable[FrozenTrial]) -> bool:
    """Whether every trial diverged, failed or has no finite value: the study has no result."""
    ended = (trial for trial in trials if trial.state in RESULT)
    return all(_ending(trial) in ("diverged", NOT_FINITE) for trial in ended)


def without_pruning(study: Study, trials: Sequence[FrozenTrial]) -> str:
    """A warning where the study sets a pruner, and its own objective reports nothing, or saves no
    checkpoint with which a trial could pause; else empty."""
    name, _ = study.search.pruner
    asked = "pruner" in study.document.get("search", {}) and name != "none"
    done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if study.nodes or not asked or not done:
        return ""
    if not any(trial.intermediate_values for trial in done):
        return f"search.pruner: {name} never prunes: the objective reports nothing (trial.report)"
    if name == PROMOTE and not any(PAUSED_AT in trial.user_attrs for trial in trials):
        return (
            "search.pruner: no trial paused: the objective saves no checkpoint (tuner.checkpoint), "
            "or never asks trial.should_prune"
        )
    return ""


NOT_FINITE = "not finite"
ENDS = {
    "diverged": "diverged",
    "time limit": "reached the time limit",
    NOT_FINITE: "ended without a finite value",
}


def _ending(trial: FrozenTrial) -> str:
    """Why an ended trial is not the study's result."""
    if trial.state == TrialState.COMPLETE and not complete(trial):
        return NOT_FINITE
    return str(trial.user_attrs.get("ended", "pruned"))


def _remedy(study: Study, ended: str) -> str:
    """What to change where most trials end in this way."""
    if ended == "time limit":
        return f"raise search.trial_timeout, which is {study.search.trial_timeout:g} seconds"
    if ended == NOT_FINITE and isinstance(study, ObjectiveStudy):
        return "return a finite number, or raise optuna.TrialPruned where there is none"
    if ended not in ("diverged", NOT_FINITE):
        return 'prune later or less, or set pruner = "none"'
    rates = [n for n in walk(study.nodes) if n.name.rpartition(".")[2] == "learning_rate"]
    names = [f"{n.name} ({n.value if isinstance(n.value, Range) else _shown(n)})" for n in rates]
    where = f"lower {', '.join(names)}" if names else "take smaller steps"
    return f"{where}, or add gradient_clipping to [training]; give the changed study another name"


def _shown(node: Node) -> str:
    value = node.value
    labels = value.labels if isinstance(value, Choice) else (label(value),)  # type: ignore[arg-type]
    return ", ".join(distinguishable(labels))


def tried(own: Own, grid: SearchGrid, trials: Iterable[FrozenTrial]) -> Counter[int]:
    """How often each configuration of a grid was handed out, by its place.

    One that failed in a worker was tried; one that failed in another program was not.
    """
    counted = (
        t for t in own.learned(trials) if t.state != TrialState.FAIL or WORKER in t.user_attrs
    )
    return Counter(grid.place(trial.params) for trial in counted if not own.reason(trial))


def all_tried(own: Own, trials: Sequence[FrozenTrial]) -> int | None:
    """How many configurations a study has, if none is left to a sampler that repeats none."""
    study, (name, _) = own.study, own.study.search.sampler
    if not study.nodes or not SAMPLERS[name].once or study.search.duplicates:
        return None
    if name != "grid" and not countable(study.nodes):
        return None
    grid = SearchGrid(study.nodes, 0)
    return grid.size if len(tried(own, grid, trials)) == grid.size else None
