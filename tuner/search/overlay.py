"""Shows a storage to samplers, pruners, objectives and the dashboard: one overlay for all of them.

Optuna's samplers and pruners, its ``Trial`` and optuna-dashboard use a study through Optuna's
storage interface. An overlay is that interface on top of another storage; its arguments say which
trials are shown, whose trial is running, and where writes go.
"""

from __future__ import annotations

import copy
from bisect import bisect_left
from collections.abc import Callable, Container, Mapping, Sequence
from operator import attrgetter
from typing import Any, Protocol, TypeVar

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from tuner.errors import StorageError, TunerError
from tuner.optuna_private import FrozenStudy

T = TypeVar("T")
States = Container[TrialState] | None
Select = Callable[[list[FrozenTrial]], list[FrozenTrial]]


class HeldTrial(Protocol):
    """A run: it holds its trial with every report, and takes what is written to the trial.

    ``write`` gets the keywords of an ``Update``, and raises an error if they cannot be written.
    """

    trial: FrozenTrial

    def write(self, **change: Any) -> None: ...


class Read(Protocol):
    """Calls a function that reads the storage; it may wait, or raise to end the trial."""

    def __call__(self, call: Callable[[], T]) -> T: ...


def _at_once(call: Callable[[], T]) -> T:
    return call()


def _refusal(action: str) -> TunerError:
    return StorageError(
        f"a sampler or pruner tried to {action}",
        where="search",
        hint="it may only set system attributes of the trial that it is asked about",
    )


OTHER = "change another trial"
"""The refused action, in the words of the message."""


class Overlay(BaseStorage):
    """Reads another storage, and shows the trial of a run in it, which alone can be written to.

    Args:
        storage: the one beneath.
        study_name: a study that the storage holds. Its id and directions are read once: samplers
            and pruners ask for them all the time.
        select: makes the trials that are shown of those that were read; None shows all as they are.
        run: its trial, of the study named, replaces the storage's trial of the same number, and
            what is written to that trial goes to the run. May be exchanged at any time.
        read: called with each read of the storage.
        refusal: makes the error of any other write.
        writable: other writes go to the storage, and are not refused.
    """

    def __init__(
        self,
        storage: BaseStorage,
        study_name: str | None = None,
        *,
        select: Select | None = None,
        run: HeldTrial | None = None,
        read: Read = _at_once,
        refusal: Callable[[str], TunerError] = _refusal,
        writable: bool = False,
    ) -> None:
        self.run = run
        self._storage, self._select = storage, select
        self._read, self._refusal, self._writable = read, refusal, writable
        self._selected: dict[Any, tuple[list[FrozenTrial], list[FrozenTrial]]] = {}
        self._ids: dict[str, int] = {}
        self._directions: dict[int, list[StudyDirection]] = {}
        if study_name is not None:
            study_id = self._ids[study_name] = storage.get_study_id_from_name(study_name)
            self._directions[study_id] = storage.get_study_directions(study_id)

    # Reads of studies.

    def get_study_id_from_name(self, study_name: str) -> int:
        if study_name in self._ids:
            return self._ids[study_name]
        return self._read(lambda: self._storage.get_study_id_from_name(study_name))

    def get_study_name_from_id(self, study_id: int) -> str:
        return self._read(lambda: self._storage.get_study_name_from_id(study_id))

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        if study_id in self._directions:
            return self._directions[study_id]
        return self._read(lambda: self._storage.get_study_directions(study_id))

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return self._read(lambda: self._storage.get_study_user_attrs(study_id))

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self._read(lambda: self._storage.get_study_system_attrs(study_id))

    def get_all_studies(self) -> list[FrozenStudy]:
        return self._read(lambda: self._storage.get_all_studies())

    # Reads of trials.

    def get_trial(self, trial_id: int) -> FrozenTrial:
        run = self._run_of(trial_id)
        if run is not None:
            return copy.deepcopy(run.trial)  # Optuna's trial writes into what it is given
        trial = self._read(lambda: self._storage.get_trial(trial_id))
        shown = [trial] if self._select is None else self._select([trial])
        return shown[0] if shown else trial

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: States = None
    ) -> list[FrozenTrial]:
        """As its storage: without `deepcopy`, the same list until a trial changes."""
        trials = self._shown(study_id, states)
        if self.run is not None and study_id in self._directions:
            trials = _with_trial(self.run.trial, trials, states)
        return copy.deepcopy(trials) if deepcopy else trials

    def everything(self, study_id: int) -> list[FrozenTrial]:
        """All trials of the storage, without `select` and `run`."""
        return self._read(lambda: self._storage.get_all_trials(study_id, deepcopy=False))

    def _shown(self, study_id: int, states: States) -> list[FrozenTrial]:
        trials = self._read(
            lambda: self._storage.get_all_trials(study_id, deepcopy=False, states=states)
        )
        if self._select is None:
            return trials
        key = study_id, None if states is None else tuple(s for s in TrialState if s in states)
        known = self._selected.get(key)
        if known is None or known[0] is not trials:
            known = self._selected[key] = trials, self._select(trials)
        return known[1]

    # Writes.

    def _run_of(self, trial_id: int) -> HeldTrial | None:
        run = self.run
        return run if run is not None and run.trial._trial_id == trial_id else None

    def _beneath(self, action: str) -> BaseStorage:
        """The storage, to be written to; raises the refusal if that is not allowed."""
        if not self._writable:
            raise self._refusal(action)
        return self._storage

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        return self._beneath("create a study").create_new_study(directions, study_name)

    def delete_study(self, study_id: int) -> None:
        self._beneath("delete a study").delete_study(study_id)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        beneath = self._beneath(f"set the study's attribute {key!r}")
        beneath.set_study_user_attr(study_id, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        beneath = self._beneath(f"set the study's attribute {key!r}")
        beneath.set_study_system_attr(study_id, key, value)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        return self._beneath("create a trial").create_new_trial(study_id, template_trial)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        return self._beneath("end a trial").set_trial_state_values(trial_id, state, values)

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        run = self._run_of(trial_id)
        if run is not None:
            return run.write(params={param_name: (param_value_internal, distribution)})
        beneath = self._beneath(OTHER)
        return beneath.set_trial_param(trial_id, param_name, param_value_internal, distribution)

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        run = self._run_of(trial_id)
        if run is not None:
            return run.write(reports={step: float(intermediate_value)})
        beneath = self._beneath(OTHER)
        return beneath.set_trial_intermediate_value(trial_id, step, intermediate_value)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        run = self._run_of(trial_id)
        if run is not None:
            return run.write(user_attrs={key: value})
        return self._beneath(OTHER).set_trial_user_attr(trial_id, key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        run = self._run_of(trial_id)
        if run is not None:
            return run.write(system_attrs={key: value})
        return self._beneath(OTHER).set_trial_system_attr(trial_id, key, value)


def _with_trial(trial: FrozenTrial, trials: list[FrozenTrial], states: States) -> list[FrozenTrial]:
    """The trials by number, with this one in its place if its state is wanted."""
    number = trial.number
    start = end = bisect_left(trials, number, key=attrgetter("number"))
    if start < len(trials) and trials[start].number == number:
        end += 1
    shown = [trial] if states is None or trial.state in states else []
    return [*trials[:start], *shown, *trials[end:]] if shown or start < end else trials


def changed(
    trial: FrozenTrial,
    *,
    reports: Mapping[int, float] | None = None,
    user_attrs: Mapping[str, Any] | None = None,
    system_attrs: Mapping[str, Any] | None = None,
    params: Mapping[str, tuple[float, BaseDistribution]] | None = None,
) -> FrozenTrial:
    """A copy of the trial with these changes, the keywords of an ``Update``; a parameter that it
    has already stays."""
    new = copy.copy(trial)
    if reports:
        new.intermediate_values = {**trial.intermediate_values, **reports}
    if user_attrs:
        new.user_attrs = {**trial.user_attrs, **user_attrs}
    if system_attrs:
        new.system_attrs = {**trial.system_attrs, **system_attrs}
    if params:
        drawn = {name: kind.to_external_repr(value) for name, (value, kind) in params.items()}
        kinds = {name: kind for name, (_, kind) in params.items()}
        new.params = {**drawn, **trial.params}
        new.distributions = {**kinds, **trial.distributions}
    return new
