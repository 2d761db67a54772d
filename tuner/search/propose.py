"""Asks a sampler for a trial's parameters before the trial exists."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import Any

from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from tuner.search.overlay import Overlay, changed
from tuner.space import Suggest

DRAFT_ID = -1
"""The identifier of a trial that the database does not hold yet."""
ORIGIN = "sampler"
"""The system attribute of a trial that says which part of a sampler proposed it."""


class Draft:
    """Holds a trial that is in memory alone, and applies the changes that are written to it."""

    def __init__(self, trial: FrozenTrial) -> None:
        self.trial = trial

    def write(self, **change: Any) -> None:
        self.trial = changed(self.trial, **change)


def propose(
    storage: BaseStorage,
    study_name: str,
    sampler: BaseSampler,
    pruner: BasePruner,
    number: int,
    define: Callable[[Suggest], object],
    fixed: Mapping[str, Any] | None = None,
    user_attrs: Mapping[str, Any] | None = None,
) -> FrozenTrial:
    """The trial that ``study.ask()`` and the ``suggest_*`` calls of ``define`` make, not written.

    Args:
        storage: read for the study's history; nothing is written to it.
        study_name: a study that the storage holds.
        sampler: built for this trial.
        pruner: the study's; hyperband shows the sampler its own bracket.
        number: that the trial will have.
        define: asks for every parameter.
        fixed: parameters that are not sampled, by name (an enqueued configuration).
        user_attrs: of the trial.

    Returns:
        A running trial with all its parameters and the sampler's system attributes, for
        ``storage.create_new_trial(study_id, template_trial=...)``; its ``_trial_id`` is -1.
    """
    trial = FrozenTrial(
        number=number,
        state=TrialState.RUNNING,
        value=None,
        datetime_start=datetime.datetime.now(),  # Optuna keeps local times without a zone.
        datetime_complete=None,
        params={},
        distributions={},
        user_attrs=dict(user_attrs or {}),
        system_attrs={} if fixed is None else {"fixed_params": dict(fixed)},
        intermediate_values={},
        trial_id=DRAFT_ID,
    )
    draft = Draft(trial)
    overlay = Overlay(storage, study_name, run=draft)
    define(Trial(Study(study_name, overlay, sampler=sampler, pruner=pruner), DRAFT_ID))
    return draft.trial
