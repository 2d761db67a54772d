"""Decides whether to prune a running trial, from trials in memory."""

from __future__ import annotations

import math
from collections.abc import Callable

from optuna.pruners import BasePruner, PercentilePruner
from optuna.samplers import RandomSampler
from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from tuner.optuna_private import percentile
from tuner.search.propose import MarkedView, with_system_attrs

# Optuna's percentile pruner with the percentile of an epoch kept, not computed for each trial.
#
# Of what many workers with short epochs spend, a third was numpy's percentile over the same values.


class KeptPercentilePruner(PercentilePruner):
    """Decides what Optuna's PercentilePruner decides.

    What was computed is kept as long as the storage answers with the same list of complete
    trials. Not for use by several threads at once.
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


WriteAttr = Callable[[str, object], None]


class PruningStudy:
    """Asks Optuna's pruner about the trials that one process runs; made once for a study.

    Marks that a pruner sets (the rungs of successive halving) count from then on for every trial
    of this process, whether or not they have reached the storage.

    Args:
        storage: read at each call for the other trials; nothing is written to it.
        study_name: a study that the storage holds.
        pruner: the study's.
    """

    def __init__(self, storage: BaseStorage, study_name: str, pruner: BasePruner) -> None:
        self._view = MarkedView(storage, self._written)
        # A pruner never samples; without one, Study would build a TPE sampler.
        self._study = Study(study_name, self._view, sampler=RandomSampler(), pruner=pruner)
        self._write_attr: WriteAttr | None = None

    def should_prune(self, trial: FrozenTrial, write_attr: WriteAttr) -> bool:
        """What ``optuna.Trial.should_prune`` answers.

        Args:
            trial: as the worker knows it, with its identifier, number and every report.
            write_attr: called with each system attribute that the pruner sets on the trial.
        """
        marks = self._view.marks.get(trial._trial_id)
        known = with_system_attrs(trial, marks) if marks else trial
        self._write_attr = write_attr
        return bool(self._study.pruner.prune(self._study, known))

    def forget(self, trial_id: int) -> None:
        """Drop the marks of a trial that the storage holds with all its marks."""
        self._view.marks.pop(trial_id, None)

    def _written(self, trial_id: int, key: str, value: object) -> None:
        assert self._write_attr is not None
        self._write_attr(key, value)
