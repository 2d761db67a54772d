"""A study as the objective of one of its trials sees it: what it tells is fenced by the lease."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from typing import Any, NoReturn, Protocol, TypeVar

from optuna.distributions import (
    BaseDistribution,
    check_distribution_compatibility,
    distribution_to_json,
)
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from tuner.errors import TrainingError
from tuner.search.read_only import ReadOnlyView, States
from tuner.search.view import with_system_attrs
from tuner.storage.frozen import GROWS, clone

T = TypeVar("T")
LONGEST_NAME, LAST_STEP = 512, 2**31 - 1
"""What the columns of Optuna's tables hold."""


class Guard(Protocol):
    """Does something whole, and raises where the trial is not to go on."""

    def __call__(self, call: Callable[[], T]) -> T: ...


class TrialView(ReadOnlyView):
    """Optuna's storage for one running trial; of all else it can be read.

    A trial that runs again keeps its parameters and attributes, and begins without reports.

    Args:
        storage: read for the other trials.
        study_id: of the trial's study.
        trial: as its lease has it.
        guard: calls what must not be interrupted.
        tell: takes what is to be written, as the keywords of an ``Update``.
    """

    def __init__(
        self,
        storage: BaseStorage,
        study_id: int,
        trial: FrozenTrial,
        guard: Guard,
        tell: Callable[..., None],
    ) -> None:
        super().__init__(storage)
        self.trial = clone(trial)
        self.trial.intermediate_values = {}
        self.told: set[str] = set()
        self._study_id, self._guard, self._tell = study_id, guard, tell

    @property
    def last(self) -> float | None:
        """The value at the last step; None if there is none that is a number."""
        steps = self.trial.intermediate_values
        value = steps[max(steps)] if steps else math.nan
        return None if math.isnan(value) else value

    def get_trial(self, trial_id: int) -> FrozenTrial:
        if trial_id == self.trial._trial_id:
            return copy.deepcopy(self.trial)  # Optuna's trial writes into its own
        return self._guard(lambda: super(TrialView, self).get_trial(trial_id))

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: States = None
    ) -> list[FrozenTrial]:
        read = super().get_all_trials
        trials = self._guard(lambda: read(study_id, deepcopy=deepcopy, states=states))
        if states is not None and TrialState.RUNNING not in states:
            return trials
        mine = copy.deepcopy(self.trial) if deepcopy else self.trial
        return [mine if trial.number == mine.number else trial for trial in trials]

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return self._guard(lambda: super(TrialView, self).get_study_user_attrs(study_id))

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self._guard(lambda: super(TrialView, self).get_study_system_attrs(study_id))

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        self._check(trial_id, param_name)
        if not math.isfinite(param_value_internal):
            raise ValueError(f"the parameter {param_name!r} would be {param_value_internal}")
        distribution_to_json(distribution)  # raises now what the database could not hold
        known = self._guard(lambda: self._known(param_name))
        if known is not None:
            check_distribution_compatibility(known, distribution)
        new, value = clone(self.trial), distribution.to_external_repr(param_value_internal)
        new.params = {**new.params, param_name: value}
        new.distributions = {**new.distributions, param_name: distribution}
        self._told(new, params={param_name: (param_value_internal, distribution)})

    def _known(self, name: str) -> BaseDistribution | None:
        """What another trial of the objective drew this parameter from; other programs may have
        told what they like."""
        trials = self._storage.get_all_trials(self._study_id, deepcopy=False)
        mine = (t for t in trials if GROWS in t.system_attrs)
        found = (t.distributions[name] for t in mine if name in t.distributions)
        return next(found, None)

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        self._check(trial_id, "")
        if not 0 <= step <= LAST_STEP:
            raise ValueError(f"the step {step} is not in 0 to {LAST_STEP}")
        new = clone(self.trial)
        new.intermediate_values = {**new.intermediate_values, step: float(intermediate_value)}
        self._told(new, reports={step: float(intermediate_value)})

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._check(trial_id, key)
        value = json.loads(json.dumps(value))  # raises now what the database could not hold
        self.told.add(key)
        new = clone(self.trial)
        new.user_attrs = {**new.user_attrs, key: value}
        self._told(new, user_attrs={key: value})

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._check(trial_id, key)
        value = json.loads(json.dumps(value))
        self._told(with_system_attrs(self.trial, {key: value}), system_attrs={key: value})

    def _told(self, new: FrozenTrial, **what: Any) -> None:
        self.trial = new
        self._guard(lambda: self._tell(**what))

    def _check(self, trial_id: int, name: str) -> None:
        if trial_id != self.trial._trial_id:
            self._refuse("change another trial")
        if len(name) > LONGEST_NAME or "\0" in name:
            raise ValueError(f"{name[:40]!r}… cannot be a name: at most {LONGEST_NAME} characters")

    def _refuse(self, what: str) -> NoReturn:
        raise TrainingError(
            f"the objective tried to {what}",
            where=f"trial {self.trial.number}",
            hint="it may suggest, report, and set attributes of its own trial",
        )
