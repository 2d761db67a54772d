"""Runs one trial of a user's objective, with a fenced view of the study."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from optuna import Study, TrialPruned
from optuna.distributions import (
    BaseDistribution,
    check_distribution_compatibility,
    distribution_to_json,
)
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, Trial, TrialState

from tuner.devices import recover
from tuner.errors import LeaseLostError, StorageError, TrainingError
from tuner.search.overlay import Overlay, changed
from tuner.search.samplers import build_sampler
from tuner.search.tpe import Past
from tuner.space import shown
from tuner.storage import STOPPED, Lease, OutageError, Update
from tuner.storage.rows import GROWS, blank
from tuner.worker.job import ObjectiveJob
from tuner.worker.overdue import TIME_LIMIT, nothing_reported
from tuner.worker.run import (
    ATTEMPTS,
    Desk,
    amount,
    current_traceback,
    ending_facts,
    explain,
    memory_facts,
)
from tuner.worker.signals import Overdue, Patience, StopRequested

# What an objective writes to its trial, as the database stores it.


T = TypeVar("T")
LONGEST_NAME, LAST_STEP = 512, 2**31 - 1
"""The limits of the columns in Optuna's tables."""


def storable(
    *,
    reports: Mapping[int, float] | None = None,
    user_attrs: Mapping[str, Any] | None = None,
    system_attrs: Mapping[str, Any] | None = None,
    params: Mapping[str, tuple[float, BaseDistribution]] | None = None,
) -> dict[str, Any]:
    """The keywords of an ``Update``, with attributes as JSON gives them back.

    Raises:
        ValueError, TypeError: the database cannot store a value.
    """
    attrs = [dict(user_attrs or {}), dict(system_attrs or {})]
    reports, params = reports or {}, params or {}
    for name in (*attrs[0], *attrs[1], *params):
        if len(name) > LONGEST_NAME or "\0" in name:
            raise ValueError(f"{name[:40]!r}… cannot be a name: at most {LONGEST_NAME} characters")
    for step in reports:
        if not 0 <= step <= LAST_STEP:
            raise ValueError(f"the step {step} is not in 0 to {LAST_STEP}")
    for name, (value, kind) in params.items():
        if not math.isfinite(value):
            raise ValueError(f"the parameter {name!r} would be {value}")
        distribution_to_json(kind)
    user, system = json.loads(json.dumps(attrs))
    return {"reports": reports, "user_attrs": user, "system_attrs": system, "params": params}


# One trial of a user's objective.


class OwnStudy(Study):
    """The study of an objective's trial, whose trials workers run and not Optuna's own loop."""

    on_stop: Callable[[], None]

    def stop(self) -> None:
        """Stops the study: no worker begins another trial; those that run are finished."""
        self.on_stop()


@dataclass(frozen=True)
class BlankProposer:
    """Proposes a trial without parameters; a storage's ``claim`` calls it."""

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
    """Calls one objective, trial by trial.

    Args:
        history: the study's trials.
        pruner: the study's.
        patiently: waits for a database that does not answer.
        past: what the sampler remembers of the study.
    """

    desk: Desk
    job: ObjectiveJob
    history: Overlay
    pruner: BasePruner
    patiently: Patience
    past: Past = field(default_factory=Past)

    def __call__(self, lease: Lease) -> None:
        """Runs the trial of a lease until it is recorded, released, or lost to another worker.

        Raises:
            StorageError: the database cannot be used, which does not fail the trial.
        """
        ObjectiveRun(self, lease).run()

    def trial(self, run: ObjectiveRun) -> Trial:
        """The trial that the objective is called with."""
        search, study_name = self.job.study.search, self.job.study.name
        name, options = search.sampler
        number = run.trial.number
        sampler = build_sampler(name, options, seed=search.seed, number=number, past=self.past)
        overlay = Overlay(
            self.history, study_name, run=run, read=run.uninterrupted, refusal=run.refusal
        )
        study = OwnStudy(study_name, overlay, sampler=sampler, pruner=self.pruner)
        study.on_stop = run.stop
        return Trial(study, run.lease.trial_id)


class ObjectiveRun:
    """Calls the objective for the trial of a lease, and records why the trial ended.

    Attributes:
        trial: the trial with everything that the objective wrote to it. One that runs again keeps
            its parameters and attributes, and begins without reports.
    """

    def __init__(self, caller: Caller, lease: Lease) -> None:
        self.caller, self.desk, self.lease = caller, caller.desk, lease
        self.started = time.monotonic()
        self.limit = caller.job.study.search.trial_timeout
        self.trial = copy.copy(lease.trial)
        self.trial.intermediate_values = {}
        self._attrs: set[str] = set()

    def run(self) -> None:
        """Runs the trial, as ``Caller``."""
        failed = False
        try:
            if self.lease.token > ATTEMPTS:
                what = f"{self.lease.token - 1} workers left or died before it ended"
                return self._finish(TrialState.FAIL, "failed", error=what)
            self._call()
        except StopRequested:
            self._give_back()
        except LeaseLostError:
            return None
        except TrialPruned:
            why = TIME_LIMIT if self._is_late() else "pruned"
            self._finish(TrialState.PRUNED, why, self.last)
        except Overdue:
            self._time_out()
        except StorageError:
            raise
        except TrainingError as error:
            self._finish(TrialState.FAIL, "failed", error=str(error))
        except BaseException as error:  # SystemExit too; a signal's error is caught above
            trace, more = current_traceback(), memory_facts(error)
            self._finish(TrialState.FAIL, "failed", error=explain(error), traceback=trace, **more)
            failed = True
        if failed:
            recover(self.desk.device)
        return None

    def _call(self) -> None:
        with self.desk.leaving.interruptible():
            function = self.caller.job.study.function()
            returned = function(self.caller.trial(self))
        value = one_number(returned, self.caller.job.study.objective)
        self._finish(TrialState.COMPLETE, "returned", value)

    def _time_out(self) -> None:
        """Ends the trial at its time limit, with its last report if it has one."""
        if self.last is not None:
            return self._finish(TrialState.PRUNED, TIME_LIMIT, self.last)
        assert self.limit is not None
        return self._finish(TrialState.FAIL, "failed", error=nothing_reported(self.limit))

    @property
    def last(self) -> float | None:
        """The value at the last step; None if there is none, or it is not a number."""
        steps = self.trial.intermediate_values
        value = steps[max(steps)] if steps else math.nan
        return None if math.isnan(value) else value

    def stop(self) -> None:
        """Stops the study for the objective: this trial goes on, and no other is handed out."""
        storage, study_id = self.desk.storage, self.caller.job.study_id
        self.uninterrupted(lambda: storage.set_study_state(study_id, STOPPED))

    def uninterrupted(self, call: Callable[[], T]) -> T:
        """A call that is not interrupted; after it, the worker leaves if it is time to."""
        with self.desk.leaving.uninterrupted(), self.desk.clock.measure("storage"):
            result = self.caller.patiently(call)
        if self.desk.outbox.lost(self.lease):
            raise LeaseLostError("another worker holds it", where=f"trial {self.lease.number}")
        return result

    def write(self, **change: Any) -> None:
        """Adds to the trial, here and in the database, what the objective writes."""
        stored = storable(**change)
        update = Update(self.lease, **stored)
        for name, (_, kind) in update.params.items():
            known = self.uninterrupted(partial(self._distribution, name))
            if known is not None:
                check_distribution_compatibility(known, kind)
        self.trial = changed(self.trial, **stored)
        self._attrs |= update.user_attrs.keys()
        self.uninterrupted(lambda: self._put(update))

    def _distribution(self, name: str) -> BaseDistribution | None:
        """The distribution of a parameter in another trial of the objective; trials of other
        programs do not count."""
        trials = self.caller.history.get_all_trials(self.caller.job.study_id, deepcopy=False)
        mine = (t for t in trials if GROWS in t.system_attrs)
        distributions = (t.distributions[name] for t in mine if name in t.distributions)
        return next(distributions, None)

    def _put(self, update: Update) -> None:
        self.desk.outbox.put(update)
        if update.reports and self._is_late():
            raise TrialPruned

    def refusal(self, what: str) -> TrainingError:
        """The error for a write that is forbidden to the objective."""
        return TrainingError(
            f"the objective tried to {what}",
            where=f"trial {self.lease.number}",
            hint="it may suggest, report, and set attributes of its own trial",
        )

    def _is_late(self) -> bool:
        return self.limit is not None and time.monotonic() - self.started > self.limit

    def _finish(
        self, state: TrialState, ended: str, value: float | None = None, **facts: Any
    ) -> None:
        facts |= ending_facts(ended, self._seconds(), self.lease.holder, self.desk.device)
        own = self._attrs - {"error", "traceback"}
        facts = {key: each for key, each in facts.items() if key not in own}
        self.desk.outbox.put(Update(self.lease, state=state, value=value, user_attrs=facts))

    def _seconds(self) -> float:
        """Seconds that all workers of this trial spent on it, as far as recorded."""
        before = amount(self.lease.trial.user_attrs, "seconds")
        return round(before + time.monotonic() - self.started, 3)

    def _give_back(self) -> None:
        """Give the trial back: the next worker runs it again, with what was suggested."""
        if "seconds" not in self._attrs:
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
