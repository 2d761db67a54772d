"""Whether a running trial should end early, decided from memory."""

from __future__ import annotations

from collections.abc import Callable

from optuna.pruners import BasePruner
from optuna.samplers import RandomSampler
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import FrozenTrial

from tuner.search.view import MarkedView, with_system_attrs

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
