"""Decides whether to prune a running trial, from trials in memory."""

from __future__ import annotations

import math

from optuna.pruners import BasePruner, PercentilePruner
from optuna.samplers import RandomSampler
from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from tuner.optuna_private import percentile
from tuner.search.overlay import HeldTrial, Overlay

# Optuna's percentile pruner, but the percentile of an epoch is cached, not computed for each trial.
#
# Many workers with short epochs spent a third of their time on numpy's percentile of equal values.


class CachedPercentilePruner(PercentilePruner):
    """Makes the same decisions as Optuna's PercentilePruner.

    The percentiles are cached as long as the storage returns the same list of complete trials.
    Not for use by several threads at once.
    """

    _complete: list[FrozenTrial] | None = None

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        step, warmup = trial.last_step, self._n_warmup_steps
        if len(complete) < max(1, self._n_startup_trials) or step is None or step < warmup:
            return False
        steps, every = trial.intermediate_values.keys(), self._interval_steps
        if not percentile._is_first_in_interval_step(step, steps, warmup, every):
            return False
        direction = study.direction
        best = percentile._get_best_intermediate_result_over_steps(trial, direction)
        if math.isnan(best):
            return True
        limit = self._limit(complete, direction, step)
        return bool(best < limit if direction == StudyDirection.MAXIMIZE else best > limit)

    def _limit(self, complete: list[FrozenTrial], direction: StudyDirection, step: int) -> float:
        """The percentile at an epoch; NaN where too few trials reported."""
        if complete is not self._complete:
            self._complete, self._limits = complete, dict[int, float]()
        if step not in self._limits:
            self._limits[step] = percentile._get_percentile_intermediate_result_over_trials(
                complete, direction, step, self._percentile, self._n_min_trials
            )
        return self._limits[step]


# The decision whether to prune a running trial, from trials in memory.


class PruningStudy:
    """Asks Optuna's pruner about the trials that one process runs; made once for a study.

    Args:
        storage: read at each call for the other trials; nothing is written to it.
        study_name: a study that the storage holds.
        pruner: the study's.
    """

    def __init__(self, storage: BaseStorage, study_name: str, pruner: BasePruner) -> None:
        self._overlay = Overlay(storage, study_name)
        # A pruner never samples; without one, Study would build a TPE sampler.
        self._study = Study(study_name, self._overlay, sampler=RandomSampler(), pruner=pruner)

    def should_prune(self, run: HeldTrial) -> bool:
        """Whether to prune the trial of a run, as ``optuna.Trial.should_prune``.

        Args:
            run: holds the trial with every report, whether or not these have reached the storage,
                and takes what the pruner notes of it (the rungs of successive halving).
        """
        self._overlay.run = run
        return bool(self._study.pruner.prune(self._study, run.trial))
