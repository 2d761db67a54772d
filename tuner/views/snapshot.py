"""What is known about a study at one moment, read from the database."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tuner.space import Config, walk

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from tuner.storage import Progress, Storage
    from tuner.study import Study


@dataclass(frozen=True)
class Running:
    """A trial in training: epochs trained so far of those planned, and the metric by then."""

    number: int
    epoch: int
    epochs: int
    value: float | None
    config: Config


@dataclass(frozen=True)
class Best:
    """A complete trial, its value on the validation split and its configuration."""

    number: int
    value: float
    config: Config


@dataclass(frozen=True)
class Ended:
    """A finished trial.

    Attributes:
        state: "complete", "pruned" or "failed".
        value: the metric; of a pruned trial its last one.
        epoch: epochs trained.
        why: why it ended, where the worker said so: a failed one's message, or "diverged".
        best: number and value of the best complete trial by then.
    """

    number: int
    state: str
    value: float | None
    epoch: int
    why: str = ""
    best: tuple[int, float] | None = None


@dataclass(frozen=True)
class Snapshot:
    """A study at one moment.

    Attributes:
        metric, direction: what is searched for; "maximize" or "minimize".
        storage: the database's URL without a password.
        baseline: trial 0, once it is complete.
        best: among complete trials; pruned ones do not count.
        elapsed: seconds since this run began.
        left: seconds to the budget, by the pace of this run; None before its first result.
        searched: names of the leaves that the study searches.
        ended: the trials that ended in this run, the first one first.
        spent: seconds of this run by what they went into, added up over its workers; known at
            its end.
    """

    study: str
    metric: str
    direction: str
    storage: str
    progress: Progress
    baseline: Best | None
    best: Best | None
    running: tuple[Running, ...]
    elapsed: float
    left: float | None
    searched: frozenset[str] = frozenset()
    ended: tuple[Ended, ...] = ()
    spent: Mapping[str, float] = field(default_factory=dict)


def snapshot(
    storage: Storage, study: Study, study_id: int, started: float, finished_before: int
) -> Snapshot:
    """Read a study's state.

    Args:
        started: when this run began, of ``time.monotonic()``.
        finished_before: complete and pruned trials at that time.
    """
    trials = storage.get_all_trials(study_id, deepcopy=False)
    metric, direction = measured(storage, study_id)
    progress = storage.progress(study_id)
    elapsed = time.monotonic() - started
    return Snapshot(
        study=study.name,
        metric=metric,
        direction=direction,
        storage=shown_url(storage.url),
        progress=progress,
        baseline=baseline_of(study, trials),
        best=best_of(study, trials, direction),
        running=tuple(_running(study, trials)),
        elapsed=elapsed,
        left=time_left(progress, elapsed, progress.finished - finished_before),
        searched=frozenset(node.name for node in walk(study.nodes) if node.searched),
        ended=tuple(_ended(trials, direction, finished_before)),
    )


def measured(storage: Storage, study_id: int) -> tuple[str, str]:
    """The study's metric and its direction, as the database has them."""
    names = storage.get_study_system_attrs(study_id).get("study:metric_names", ["value"])
    return names[0], storage.get_study_directions(study_id)[0].name.lower()


def shown_url(url: str) -> str:
    """The URL as people write it: without a password and without the driver's name."""
    from tuner.storage import redact

    return re.sub(r"^(\w+)\+\w+:", r"\1:", redact(url))


def time_left(progress: Progress, elapsed: float, finished: int) -> float | None:
    """Seconds to the budget when ``finished`` trials took ``elapsed`` seconds; None if unknown."""
    if progress.met:
        return 0.0
    if finished <= 0:
        return None
    return elapsed / finished * (progress.budget - progress.finished)


def better(a: float, b: float, direction: str) -> bool:
    return a > b if direction == "maximize" else a < b


def best_trial(trials: Sequence[FrozenTrial], direction: str) -> FrozenTrial | None:
    """The best complete trial; the first of equal ones."""
    best: FrozenTrial | None = None
    for trial in trials:
        if trial.state.name == "COMPLETE" and (
            best is None or better(_value(trial), _value(best), direction)
        ):
            best = trial
    return best


def best_of(study: Study, trials: Sequence[FrozenTrial], direction: str) -> Best | None:
    found = best_trial(trials, direction)
    return None if found is None else _as_best(study, found)


def baseline_of(study: Study, trials: Sequence[FrozenTrial]) -> Best | None:
    """Trial 0, if it is complete."""
    first = next((t for t in trials if t.number == 0 and t.state.name == "COMPLETE"), None)
    return None if first is None else _as_best(study, first)


def _as_best(study: Study, trial: FrozenTrial) -> Best:
    return Best(trial.number, _value(trial), study.config(trial.params))


def _value(trial: FrozenTrial) -> float:
    return float((trial.values or [float("nan")])[0])


def _running(study: Study, trials: Sequence[FrozenTrial]) -> Iterator[Running]:
    for trial in trials:
        if trial.state.name == "RUNNING":
            config = study.config(trial.params)
            epoch = max(trial.intermediate_values, default=0)
            value = trial.intermediate_values.get(epoch)
            yield Running(trial.number, epoch, config["epochs"], value, config)


def _ended(trials: Sequence[FrozenTrial], direction: str, before: int) -> Iterator[Ended]:
    """What ended after the first ``before`` complete or pruned trials, with the best by then."""
    names = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}
    over = [t for t in trials if t.state.name in names]
    best: tuple[int, float] | None = None
    for trial in sorted(over, key=_completed):
        state = names[trial.state.name]
        if state == "complete" and (best is None or better(_value(trial), best[1], direction)):
            best = trial.number, _value(trial)
        if before <= 0:
            epoch = max(trial.intermediate_values, default=0)
            value = trial.values[0] if trial.values else trial.intermediate_values.get(epoch)
            why = str(trial.user_attrs.get("error", trial.user_attrs.get("ended", "")))
            yield Ended(trial.number, state, value, epoch, why, best)
        before -= state != "failed"


def _completed(trial: FrozenTrial) -> tuple[Any, int]:
    return trial.datetime_complete or datetime.min, trial.number
