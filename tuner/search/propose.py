"""Samples a trial's parameters before the trial exists, over read-only views of the storage."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, NoReturn

from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from tuner.errors import StorageError
from tuner.optuna_private import FrozenStudy
from tuner.space import Suggest

# An Optuna storage that can be read only.


States = Container[TrialState] | None


class ReadOnlyView(BaseStorage):
    """Passes reads through to another storage and refuses to write."""

    def __init__(self, storage: BaseStorage) -> None:
        self._storage = storage

    def get_study_id_from_name(self, study_name: str) -> int:
        return self._storage.get_study_id_from_name(study_name)

    def get_study_name_from_id(self, study_id: int) -> str:
        return self._storage.get_study_name_from_id(study_id)

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self._storage.get_study_directions(study_id)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return self._storage.get_study_user_attrs(study_id)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self._storage.get_study_system_attrs(study_id)

    def get_all_studies(self) -> list[FrozenStudy]:
        return self._storage.get_all_studies()

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return self._storage.get_trial(trial_id)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: States = None
    ) -> list[FrozenTrial]:
        return self._storage.get_all_trials(study_id, deepcopy=deepcopy, states=states)

    def _refuse(self, what: str) -> NoReturn:
        raise StorageError(
            f"a sampler or pruner tried to {what}",
            where="search",
            hint="it may only set system attributes of the trial that it is asked about",
        )

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        self._refuse("create a study")

    def delete_study(self, study_id: int) -> None:
        self._refuse("delete a study")

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        self._refuse(f"set the study's attribute {key!r}")

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._refuse(f"set the study's attribute {key!r}")

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        self._refuse("create a trial")

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        self._refuse(f"set the parameter {param_name!r}")

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        self._refuse("end a trial")

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        self._refuse("report a value")

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._refuse(f"set a trial's attribute {key!r}")

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._refuse(f"set a trial's attribute {key!r}")


# An Optuna storage as a sampler or a pruner sees it: reads pass through, writes go elsewhere.


DRAFT_ID = -1
"""The identifier of a trial that the database does not hold yet."""


Select = Callable[[list[FrozenTrial]], list[FrozenTrial]]


class StudyView(ReadOnlyView):
    """Reads what never changes about a study once: samplers and pruners ask for it all the time.

    Args:
        select: those of the trials that are shown; None shows all.
    """

    def __init__(self, storage: BaseStorage, study_name: str, select: Select | None = None) -> None:
        super().__init__(storage)
        self._name, self._select = study_name, select
        self._selected: dict[States, tuple[list[FrozenTrial], list[FrozenTrial]]] = {}
        self._study_id = storage.get_study_id_from_name(study_name)
        self._directions = storage.get_study_directions(self._study_id)

    def get_study_id_from_name(self, study_name: str) -> int:
        assert study_name == self._name
        return self._study_id

    def get_study_name_from_id(self, study_id: int) -> str:
        assert study_id == self._study_id
        return self._name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        assert study_id == self._study_id
        return self._directions

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: States = None
    ) -> list[FrozenTrial]:
        """As its storage: without `deepcopy`, the same list until a trial changes."""
        if self._select is None:
            return super().get_all_trials(study_id, deepcopy=deepcopy, states=states)
        found = super().get_all_trials(study_id, deepcopy=False, states=states)
        key = None if states is None else tuple(s for s in TrialState if s in states)
        known = self._selected.get(key)
        if known is None or known[0] is not found:
            known = self._selected[key] = found, self._select(found)
        return copy.deepcopy(known[1]) if deepcopy else known[1]

    def everything(self, study_id: int) -> list[FrozenTrial]:
        """All trials, whatever is selected."""
        return super().get_all_trials(study_id, deepcopy=False)


class DraftView(ReadOnlyView):
    """Adds one trial that exists in memory only, and collects what is written to it.

    The other trials are read once, so a proposal sees one state of the study. A trial of the
    same number that the storage holds (one that waits in Optuna's queue) is hidden by the draft.
    """

    def __init__(self, storage: BaseStorage, study_id: int, draft: FrozenTrial) -> None:
        super().__init__(storage)
        self.draft = draft
        trials = storage.get_all_trials(study_id, deepcopy=False)
        self._before = [trial for trial in trials if trial.number < draft.number]
        self._after = [trial for trial in trials if trial.number > draft.number]

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return self.draft if trial_id == DRAFT_ID else super().get_trial(trial_id)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: States = None
    ) -> list[FrozenTrial]:
        trials = [*self._before, self.draft, *self._after]
        if states is not None:
            trials = [trial for trial in trials if trial.state in states]
        return copy.deepcopy(trials) if deepcopy else trials

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        self._check(trial_id, param_name)
        # What was handed out stays as it was, as with Optuna's own storages.
        value = distribution.to_external_repr(param_value_internal)
        draft = copy.copy(self.draft)
        draft.params = {**draft.params, param_name: value}
        draft.distributions = {**draft.distributions, param_name: distribution}
        self.draft = draft

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._check(trial_id, key)
        self.draft = with_system_attrs(self.draft, {key: value})

    def _check(self, trial_id: int, name: str) -> None:
        if trial_id != DRAFT_ID:
            self._refuse(f"set {name!r} of another trial")


class MarkedView(ReadOnlyView):
    """Adds system attributes of trials that the storage may not hold yet."""

    def __init__(self, storage: BaseStorage, write: Callable[[int, str, object], None]) -> None:
        super().__init__(storage)
        self.marks: dict[int, dict[str, Any]] = {}
        self._write = write

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return self._marked(super().get_trial(trial_id))

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: States = None
    ) -> list[FrozenTrial]:
        trials = super().get_all_trials(study_id, deepcopy=deepcopy, states=states)
        if not self.marks:
            return trials
        return [self._marked(trial) if trial._trial_id in self.marks else trial for trial in trials]

    def _marked(self, trial: FrozenTrial) -> FrozenTrial:
        return with_system_attrs(trial, self.marks.get(trial._trial_id, {}))

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self.marks.setdefault(trial_id, {})[key] = value
        self._write(trial_id, key, value)


def with_system_attrs(trial: FrozenTrial, attrs: Mapping[str, Any]) -> FrozenTrial:
    """The trial with these system attributes too; the one given is left as it is."""
    changed = copy.copy(trial)
    changed.system_attrs = {**trial.system_attrs, **attrs}
    return changed


# A trial's parameters, sampled before the trial exists.


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
    """What ``study.ask()`` and the ``suggest_*`` calls of ``define`` give, without writing.

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
    draft = FrozenTrial(
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
    view = DraftView(storage, storage.get_study_id_from_name(study_name), draft)
    define(Trial(Study(study_name, view, sampler=sampler, pruner=pruner), DRAFT_ID))
    return view.draft
