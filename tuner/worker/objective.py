"""One trial of somebody's own objective: call it with an Optuna trial, and say why it ended."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from optuna import Study, TrialPruned
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, Trial, TrialState

from tuner.errors import LeaseLostError, StorageError, TrainingError
from tuner.search.samplers import build_sampler
from tuner.search.tpe import Past
from tuner.search.view import StudyView
from tuner.space import shown
from tuner.storage import STOPPED, Lease, OutageError, Update
from tuner.storage.frozen import GROWS, blank
from tuner.worker.explain import explain, traced
from tuner.worker.facts import amount, ending
from tuner.worker.job import ObjectiveJob
from tuner.worker.overdue import TIME_LIMIT, nothing_reported
from tuner.worker.patience import Patience
from tuner.worker.signals import Overdue, StopRequested
from tuner.worker.trial import ATTEMPTS, Desk
from tuner.worker.view import TrialView

T = TypeVar("T")


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
        """Runs the trial of a lease; it ends told, given back, or lost to another worker.

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
        except (Exception, SystemExit) as error:
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
        """Spent on this trial by all of its workers, as far as they told."""
        before = amount(self.lease.trial.user_attrs, "seconds")
        return round(before + time.monotonic() - self.started, 3)

    def _leave(self) -> None:
        """Give the trial back: the next worker runs it again, with what was suggested."""
        if "seconds" not in self.view.told:
            seconds = {"seconds": self._seconds()}
            self.desk.outbox.put(Update(self.lease, user_attrs=seconds))
        try:
            self.desk.outbox.flush()
            self.desk.storage.release([self.lease])
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
