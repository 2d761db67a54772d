"""Runs one trial of a user's objective, with a fenced view of the study."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol, TypeVar

from optuna import Study, TrialPruned
from optuna.distributions import (
    BaseDistribution,
    check_distribution_compatibility,
    distribution_to_json,
)
from optuna.pruners import BasePruner
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from tuner.errors import LeaseLostError, StorageError, TrainingError
from tuner.search.propose import ReadOnlyView, States, StudyView, with_system_attrs
from tuner.search.samplers import build_sampler
from tuner.search.tpe import Past
from tuner.space import shown
from tuner.storage import STOPPED, Lease, OutageError, Update
from tuner.storage.rows import GROWS, blank, clone
from tuner.worker.job import ObjectiveJob
from tuner.worker.overdue import TIME_LIMIT, nothing_reported
from tuner.worker.run import ATTEMPTS, Desk, amount, ending, explain, traced
from tuner.worker.signals import Overdue, Patience, StopRequested

# The study as the objective of a trial sees it: its writes are fenced by the lease.


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


# One trial of a user's objective: calls it with an Optuna trial and records why it ended.


class OwnStudy(Study):
    """The study of an objective's trial, which workers hand out and not Optuna's own loop."""

    on_stop: Callable[[], None]

    def stop(self) -> None:
        """No more trials begin after this, wherever workers run; those that run are finished."""
        self.on_stop()


@dataclass(frozen=True)
class Blank:
    """Proposes a trial without parameters; what a storage's ``claim`` calls."""

    job: ObjectiveJob
    learns: bool = False
    exhausted: bool = False

    def __call__(self, number: int, fixed: Mapping[str, Any] | None) -> FrozenTrial:
        asked = self.job.study.fixed_params(number) if fixed is None else dict(fixed)
        trial = blank(number)
        trial.user_attrs = {"seed": self.job.seed(number)}
        trial.system_attrs = {GROWS: True} | ({"fixed_params": asked} if asked else {})
        return trial


@dataclass(frozen=True)
class Caller:
    """What the calls of one objective share.

    Args:
        history: the study's trials.
        pruner: the study's.
        patiently: waits for a database that does not answer.
        past: what the sampler keeps of the study.
    """

    desk: Desk
    job: ObjectiveJob
    history: StudyView
    pruner: BasePruner
    patiently: Patience
    past: Past = field(default_factory=Past)

    def __call__(self, lease: Lease) -> None:
        """Runs the trial of a lease; it ends recorded, released, or lost to another worker.

        Raises:
            StorageError: the database cannot be used, which is not the trial's fault.
        """
        ObjectiveRun(self, lease).run()

    def trial(self, view: TrialView, stop: Callable[[], None]) -> Trial:
        """The trial that the objective is called with; `stop` ends the study."""
        search = self.job.study.search
        name, options = search.sampler
        number = view.trial.number
        sampler = build_sampler(name, options, seed=search.seed, number=number, past=self.past)
        study = OwnStudy(self.job.study.name, view, sampler=sampler, pruner=self.pruner)
        study.on_stop = stop
        return Trial(study, view.trial._trial_id)


class ObjectiveRun:
    """Calls the objective for the trial of a lease, from its start, and tells how it ended."""

    def __init__(self, caller: Caller, lease: Lease) -> None:
        self.caller, self.desk, self.lease = caller, caller.desk, lease
        self.started = time.monotonic()
        self.limit = caller.job.study.search.trial_timeout
        history, study_id = caller.history, caller.job.study_id
        self.view = TrialView(history, study_id, lease.trial, self._whole, self._told)

    def run(self) -> None:
        """As ``Caller``."""
        try:
            if self.lease.token > ATTEMPTS:
                what = f"{self.lease.token - 1} workers left or died before it ended"
                return self._tell(TrialState.FAIL, "failed", error=what)
            self._call()
        except StopRequested:
            self._leave()
        except LeaseLostError:
            return None
        except TrialPruned:
            why = TIME_LIMIT if self._late() else "pruned"
            self._tell(TrialState.PRUNED, why, self.view.last)
        except Overdue:
            self._over()
        except StorageError:
            raise
        except TrainingError as error:
            self._tell(TrialState.FAIL, "failed", error=str(error))
        except BaseException as error:  # SystemExit too; signals raise what is caught above
            trace = traced()
            self._tell(TrialState.FAIL, "failed", error=explain(error), traceback=trace)
        return None

    def _call(self) -> None:
        with self.desk.leaving.interruptible():
            function = self.caller.job.study.function()
            returned = function(self.caller.trial(self.view, self._stop))
        value = one_number(returned, self.caller.job.study.objective)
        self._tell(TrialState.COMPLETE, "returned", value)

    def _over(self) -> None:
        """The time limit came between two reports, or before there was one."""
        if self.view.last is not None:
            return self._tell(TrialState.PRUNED, TIME_LIMIT, self.view.last)
        assert self.limit is not None
        return self._tell(TrialState.FAIL, "failed", error=nothing_reported(self.limit))

    def _stop(self) -> None:
        """The objective ends the study: this trial goes on, and no other is handed out."""
        storage, study_id = self.desk.storage, self.caller.job.study_id
        self._whole(lambda: storage.set_study_state(study_id, STOPPED))

    def _whole(self, call: Callable[[], T]) -> T:
        """A call that is not interrupted; the trial is left after it if it is time."""
        with self.desk.leaving.uninterrupted(), self.desk.clock.measure("storage"):
            done = self.caller.patiently(call)
        if self.desk.outbox.lost(self.lease):
            raise LeaseLostError("another worker holds it", where=f"trial {self.lease.number}")
        return done

    def _told(self, **what: Any) -> None:
        self.desk.outbox.put(Update(self.lease, **what))
        if "reports" in what and self._late():
            raise TrialPruned

    def _late(self) -> bool:
        return self.limit is not None and time.monotonic() - self.started > self.limit

    def _tell(
        self, state: TrialState, ended: str, value: float | None = None, **facts: Any
    ) -> None:
        facts |= ending(ended, self._seconds(), self.lease.holder, self.desk.device)
        own = self.view.told - {"error", "traceback"}
        facts = {key: each for key, each in facts.items() if key not in own}
        self.desk.outbox.put(Update(self.lease, state=state, value=value, user_attrs=facts))

    def _seconds(self) -> float:
        """Seconds that all workers of this trial spent on it, as far as recorded."""
        before = amount(self.lease.trial.user_attrs, "seconds")
        return round(before + time.monotonic() - self.started, 3)

    def _leave(self) -> None:
        """Give the trial back: the next worker runs it again, with what was suggested."""
        if "seconds" not in self.view.told:
            seconds = {"seconds": self._seconds()}
            self.desk.outbox.put(Update(self.lease, user_attrs=seconds))
        try:
            self.desk.outbox.flush()
            self.desk.storage.claims.release([self.lease])
        except OutageError:
            return  # the lease runs out by itself


def one_number(returned: Any, objective: str) -> float:
    """What an objective returned, as a number.

    Raises:
        TrainingError: it is none, not a number, or several.
    """
    if isinstance(returned, Sequence) and not isinstance(returned, str | bytes):
        if len(returned) != 1:
            raise TrainingError(
                f"returned {len(returned)} values, and a study searches for one",
                where=objective,
                hint="return one number; trial.set_user_attr keeps the others",
            )
        returned = returned[0]
    try:
        value = float(returned)
    except (TypeError, ValueError):
        raise TrainingError(
            f"returned {shown(returned)}, which is not a number",
            where=objective,
            hint="return the number that is searched for",
        ) from None
    if math.isnan(value):
        raise TrainingError("returned nan, which is not a number", where=objective)
    return value
