"""Reads a snapshot of a study from the database."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tuner.results.best import Best, Ended, Luck, Running, baseline_of, best_of, ended, running

if TYPE_CHECKING:
    from tuner.errors import TunerError
    from tuner.storage import Progress, Storage
    from tuner.study import Study
    from tuner.study.trials import LeftOut, Own


@dataclass(frozen=True)
class Snapshot:
    """A study at one moment.

    Attributes:
        metric, direction: the metric's name; "maximize" or "minimize".
        storage: the database's URL without a password.
        baseline: trial 0, once it is complete.
        best: among complete trials; pruned ones do not count.
        elapsed: seconds since this run began.
        left: seconds to the budget, by the pace of this run; None before its first result.
        searched: names of the parameters that the study searches.
        measured_on: what the values were measured on, in words.
        ended: the trials that ended in this run, in order.
        left_out: trials that other programs added and that do not count.
        all_tried: how many configurations the study has, once all were tried.
        hopeless: the error to raise if the search has ended and every trial diverged or failed.
        luck: the trials that are as good as the best within its noise; known at a run's end.
        spent: seconds of this run by activity, summed over its workers; known at its end.
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
    measured_on: str = "validation split"
    ended: tuple[Ended, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    all_tried: int | None = None
    hopeless: TunerError | None = None
    luck: Luck | None = None
    spent: Mapping[str, float] = field(default_factory=dict)


Watch = Callable[[Snapshot], None]
"""Called again and again while a study runs."""


def snapshot(
    storage: Storage,
    study: Study,
    study_id: int,
    since: float,
    before: int,
    own: Own | None = None,
) -> Snapshot:
    """Read a study's state.

    Args:
        since: when this run began, of ``time.monotonic()``.
        before: complete and pruned trials at that time.
        own: caches which trials count, from one snapshot to the next.
    """
    from tuner.storage import metric_and_direction
    from tuner.study.trials import Own, all_tried, nothing_complete, without_result

    trials = storage.get_all_trials(study_id, deepcopy=False)
    metric, direction = metric_and_direction(storage, study_id)
    progress = storage.progress(study_id)
    own = own or Own(study)
    mine, left_out = own(trials), own.left_out(trials)
    best = best_of(study, mine, direction)
    elapsed = time.monotonic() - since
    tried = all_tried(own, trials)
    hopeless = None
    met = tried is not None or 0 < progress.budget <= progress.finished
    if met and best is None and without_result(trials):
        hopeless = nothing_complete(study, trials, progress.budget)
    return Snapshot(
        study=study.name,
        metric=metric,
        direction=direction,
        storage=shown_url(storage.url),
        progress=progress,
        baseline=baseline_of(study, mine),
        best=best,
        running=tuple(running(study, trials, progress.interrupted)),
        elapsed=elapsed,
        left=time_left(progress, elapsed, progress.finished - before),
        searched=study.shown({} if best is None else best.config),
        measured_on=study.measured_on,
        ended=tuple(
            ended(trials, direction, before, study.step, {e.number: e.reason for e in left_out})
        ),
        left_out=left_out,
        all_tried=tried,
        hopeless=hopeless,
    )


def shown_url(url: str) -> str:
    """The URL without a password and without the driver's name."""
    from tuner.storage import redact

    return re.sub(r"^(\w+)\+\w+:", r"\1:", redact(url))


def time_left(progress: Progress, elapsed: float, finished: int) -> float | None:
    """Seconds to the budget when ``finished`` trials took ``elapsed`` seconds; None if unknown."""
    if progress.met:
        return 0.0
    if finished <= 0:
        return None
    return elapsed / finished * (progress.budget - progress.finished)
