"""Runs one trial of a user's objective, with a fenced view of the study, and its checkpoints."""

from __future__ import annotations

import copy
import json
import math
import time
import weakref
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

from optuna import Study, TrialPruned
from optuna.distributions import (
    BaseDistribution,
    check_distribution_compatibility,
    distribution_to_json,
)
from optuna.pruners import BasePruner
from optuna.trial import BaseTrial, FrozenTrial, Trial, TrialState

from tuner.devices import recover
from tuner.errors import LeaseLostError, StorageError, TrainingError, UsageError
from tuner.metrics import sign_of
from tuner.search.overlay import Overlay, changed
from tuner.search.promote import CONTINUES, PAUSED_AT, Promotion, last_epoch, promotion
from tuner.search.samplers import build_sampler
from tuner.search.tpe import Past
from tuner.seeds import derive
from tuner.space import shown
from tuner.storage import STOPPED, Lease, OutageError, Update
from tuner.storage.claims import fixed as fixed_of
from tuner.storage.lease import Rule
from tuner.storage.rows import GROWS, blank
from tuner.study.objective import ObjectiveStudy
from tuner.study.trials import prescribed
from tuner.worker.checkpoints import Pace
from tuner.worker.folder import Folder, Saved, read_saved
from tuner.worker.job import REPLICA, ObjectiveJob, repeated
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


# What an objective asks of its trial.


class OwnTrial(Trial):
    """The trial that a worker calls an objective with."""

    def __init__(self, study: Study, run: ObjectiveRun) -> None:
        super().__init__(study, run.lease.trial_id)
        self.run = run

    def report(self, value: float, step: int) -> None:
        """As Optuna's; a step that was reported before the checkpoint keeps its value."""
        if step not in self.run.restored:
            super().report(value, step)


_alone: weakref.WeakKeyDictionary[BaseTrial, Folder] = weakref.WeakKeyDictionary()
"""The folders of trials that no worker runs."""


def checkpoint(trial: BaseTrial) -> Path:
    """The folder for the checkpoint of an objective's trial.

    Each ``trial.report`` saves the files that are in it then, all of them or none, at most every
    few seconds: write the files first, and report afterwards. When another worker continues the
    trial, they are in its folder. Without a worker, as in a plain Optuna script, the folder is
    empty at first and lasts as long as the trial.

    Args:
        trial: with which the objective was called.

    Raises:
        UsageError: it is no trial, or one that has ended.

    >>> def objective(trial):
    ...     folder = tuner.checkpoint(trial)
    ...     state = {"epoch": 0}
    ...     if (folder / "state.pt").exists():
    ...         state = torch.load(folder / "state.pt")
    """
    if isinstance(trial, OwnTrial):
        return trial.run.open_folder().path
    if isinstance(trial, FrozenTrial) or not isinstance(trial, BaseTrial):
        what = f"found {shown(trial)}, which is no trial that runs"
        if isinstance(trial, FrozenTrial):
            what = f"trial {trial.number} does not run here, and has no folder"
        hint = "call it within the objective, with the trial that this was called with"
        raise UsageError(what, where="tuner.checkpoint", hint=hint)
    if trial not in _alone:
        _alone[trial] = folder = Folder(f"trial-{trial.number}")
        weakref.finalize(trial, folder.remove)
    return _alone[trial].path


def seed(trial: BaseTrial) -> int:
    """The seed of an objective's trial, for all that is random in it.

    In a search it is a function of the study's seed and the trial's number; ``tuner confirm`` calls
    the objective with other seeds. Without a worker, as in a plain Optuna script, it is a function
    of the number alone.

    Args:
        trial: with which the objective was called.
    """
    given = trial.user_attrs.get("seed")
    return given if isinstance(given, int) else derive(0, trial.number) % 2**32


# When an objective's trials pause, and which go on.


TO_ITS_END = LAST_STEP
"""The target of a trial that does not pause."""


@dataclass(frozen=True)
class ReportSegments:
    """The rule by which the trials of an objective run in segments, from one pause to the next.

    It counts reports, whatever their steps are called. A trial without a checkpoint does not pause,
    nor does a configuration that the study enqueues.
    """

    study: ObjectiveStudy
    promotion: Promotion

    @property
    def pauses(self) -> bool:
        return bool(self.promotion.rungs)

    def target(self, trial: FrozenTrial) -> int:
        if trial.system_attrs.get("fixed_params") in prescribed(self.study):
            return TO_ITS_END
        pause = self.promotion.pause_at(len(trial.intermediate_values))
        return pause if pause < self.promotion.epochs else TO_ITS_END

    def choice(
        self, trials: Sequence[FrozenTrial], paused: Container[int], new: bool
    ) -> int | None:
        return self.promotion.choice([_by_report(each) for each in trials], paused, new)

    def continued(self, trial: FrozenTrial, number: int) -> FrozenTrial:
        new = blank(number)
        new.params, new.distributions = dict(trial.params), dict(trial.distributions)
        new.intermediate_values = dict(trial.intermediate_values)
        new.system_attrs = dict(trial.system_attrs)
        new.user_attrs = {"seed": trial.user_attrs["seed"], CONTINUES: trial.number}
        return new


def _by_report(trial: FrozenTrial) -> FrozenTrial:
    """The trial with its values by the number of the report, from 1."""
    counted = copy.copy(trial)
    values = [value for _, value in sorted(trial.intermediate_values.items())]
    counted.intermediate_values = dict(enumerate(values, start=1))
    return counted


class PausingPruner(BasePruner):
    """Asks the objective to end where its trial pauses."""

    def __init__(self, run: ObjectiveRun) -> None:
        self._run = run

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        return self._run.ask_to_pause()


# One trial of a user's objective.


class OwnStudy(Study):
    """The study of an objective's trial, whose trials workers run and not Optuna's own loop."""

    on_stop: Callable[[], None]

    def stop(self) -> None:
        """Stops the study: no worker begins another trial; those that run are finished."""
        self.on_stop()


@dataclass(frozen=True)
class BlankProposer:
    """Proposes a trial without parameters; a storage's ``claim`` calls it.

    Args:
        view: the study's own trials.
        replicates: whether these are replicas, of which it proposes those again that failed.
    """

    job: ObjectiveJob
    view: Overlay
    replicates: bool
    learns: bool = False
    exhausted: bool = False

    @cached_property
    def rule(self) -> Rule | None:
        study = self.job.study
        rule = promotion(*study.search.pruner, None, -sign_of(study.direction))
        return None if rule is None else ReportSegments(study, rule)

    def __call__(self, number: int, fixed: Mapping[str, Any] | None) -> FrozenTrial:
        asked = self.job.study.fixed_params(number) if fixed is None else dict(fixed)
        trial = blank(number)
        trial.user_attrs = {"seed": self.job.seed(number)}
        again = None if fixed is not None else self._failed_replica(number)
        if again is not None:
            asked = fixed_of(again)
            trial.user_attrs = {key: again.user_attrs[key] for key in ("seed", REPLICA)}
        trial.system_attrs = {GROWS: True} | ({"fixed_params": asked} if asked else {})
        return trial

    def _failed_replica(self, number: int) -> FrozenTrial | None:
        if not self.replicates:
            return None
        return repeated(self.view.get_all_trials(self.job.study_id, deepcopy=False), number)


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

    def trial(self, run: ObjectiveRun) -> OwnTrial:
        """The trial that the objective is called with."""
        search, study_name = self.job.study.search, self.job.study.name
        name, options = search.sampler
        number = run.trial.number
        sampler = build_sampler(name, options, seed=search.seed, number=number, past=self.past)
        overlay = Overlay(
            self.history, study_name, run=run, read=run.uninterrupted, refusal=run.refusal
        )
        pruner = self.pruner if run.lease.target is None else PausingPruner(run)
        study = OwnStudy(study_name, overlay, sampler=sampler, pruner=pruner)
        study.on_stop = run.stop
        return OwnTrial(study, run)


class ObjectiveRun:
    """Calls the objective for the trial of a lease, and records why the trial ended.

    Attributes:
        trial: the trial with everything that the objective wrote to it. One that runs again keeps
            its parameters and attributes, and the reports up to its checkpoint.
        restored: the steps of these reports.
    """

    def __init__(self, caller: Caller, lease: Lease) -> None:
        self.caller, self.desk, self.lease = caller, caller.desk, lease
        self.started = time.monotonic()
        self.limit = caller.job.study.search.trial_timeout
        self.trial = copy.copy(lease.trial)
        self.trial.intermediate_values = {}
        self.restored: frozenset[int] = frozenset()
        self.pace = Pace(self.desk.storage.claims.lease_seconds)
        self.spent = 0.0
        self._attrs: set[str] = set()
        self._folder: Folder | None = None
        self._archive: bytes | None = None
        self._saved: Saved | None = None
        self._asked_to_pause = self._ended = False

    def run(self) -> None:
        """Runs the trial, as ``Caller``."""
        try:
            self._run()
        finally:
            self._ended = True
            if self._folder is not None:
                self._folder.remove()
            self.desk.checkpoints.left(self.lease)

    def _run(self) -> None:
        failed = False
        try:
            self._begin()
        except StopRequested:
            self._give_back()
        except LeaseLostError:
            pass
        except TrialPruned:
            self._prune()
        except Overdue:
            self._time_out()
        except StorageError:
            raise
        except TrainingError as error:
            self._finish(TrialState.FAIL, "failed", error=str(error))
        except BaseException as error:  # SystemExit too; a signal's error is caught above
            failed = self._fail(error)
        if failed:
            recover(self.desk.device)

    def _fail(self, error: BaseException) -> bool:
        """Ends the trial with the objective's error; false if that came as the worker leaves: some
        libraries turn a signal into an error of their own."""
        if self.desk.leaving():
            self._give_back()
            return False
        trace, more = current_traceback(), memory_facts(error)
        self._finish(TrialState.FAIL, "failed", error=explain(error), traceback=trace, **more)
        return True

    def _begin(self) -> None:
        self._restore()
        since = 1 if self._saved is None else self._saved.token
        if self.lease.token - since >= ATTEMPTS:
            end = "it ended" if self._saved is None else f"it came beyond step {self._saved.step}"
            what = f"{self.lease.token - since} workers left or died before {end}"
            self._finish(TrialState.FAIL, "failed", error=what)
        elif self.pauses_here:  # an earlier holder died while it paused the trial
            self._pause()
        else:
            self._call()

    def _restore(self) -> None:
        """Takes in the checkpoint of an earlier worker, and the reports up to it."""
        stored, before = self.lease.checkpoint, self.lease.trial
        if stored is None:
            return
        try:
            archive = self.desk.checkpoints.get(self.lease, stored)
            self._saved = read_saved(archive)
        except Exception as error:  # whatever the damage is, a trial can start over
            damage = f"{type(error).__name__}: {error}"
            self.desk.outbox.put(Update(self.lease, user_attrs={"restarted": damage}))
            return
        step, self._archive = self._saved.step, archive
        reports = {n: value for n, value in before.intermediate_values.items() if n <= step}
        self.trial.intermediate_values, self.restored = reports, frozenset(reports)
        self.spent = amount(before.user_attrs, "seconds")

    def open_folder(self) -> Folder:
        """The folder of the trial, with the files of its checkpoint.

        Raises:
            UsageError: the trial has ended.
        """
        if self._ended:
            raise UsageError(
                "has ended, and its folder is gone",
                where=f"trial {self.lease.number}",
                hint="call tuner.checkpoint within the objective, before it returns",
            )
        if self._folder is None:
            self._folder = Folder(f"trial-{self.lease.number}")
            if self._archive is not None:
                self._folder.unpack(self._archive)
                self._archive = None
        return self._folder

    @property
    def pauses_here(self) -> bool:
        """Whether the trial has a checkpoint, and the reports after which it pauses."""
        target, reports = self.lease.target, self.trial.intermediate_values
        return target is not None and self._saved is not None and len(reports) >= target

    def ask_to_pause(self) -> bool:
        """Whether the objective has to end now, so that the trial pauses."""
        self._asked_to_pause = self.pauses_here
        return self._asked_to_pause

    def _pause(self) -> None:
        """Pauses the trial with its checkpoint; whoever promotes it goes on from there."""
        facts = ending_facts("paused", self._seconds(), self.lease.holder, self.desk.device)
        facts = {key: each for key, each in facts.items() if key not in self._attrs}
        self._let_go({**facts, PAUSED_AT: last_epoch(self.trial)}, paused=True)

    def _call(self) -> None:
        with self.desk.leaving.interruptible():
            function = self.caller.job.study.function()
            returned = function(self.caller.trial(self))
        value = one_number(returned, self.caller.job.study.objective)
        self._finish(TrialState.COMPLETE, "returned", value)

    def _prune(self) -> None:
        if self._is_late():
            self._finish(TrialState.PRUNED, TIME_LIMIT, self.last)
        elif self._asked_to_pause:
            self._pause()
        else:
            self._finish(TrialState.PRUNED, "pruned", self.last)

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
        archive = self._archived(update.reports)
        self.trial = changed(self.trial, **stored)
        self._attrs |= update.user_attrs.keys()
        self.uninterrupted(lambda: self._put(update, archive))

    def _archived(self, reports: Mapping[int, float]) -> bytes | None:
        """The files of the folder as they are at a report; None if it is not time to save them."""
        folder, target = self._folder, self.lease.target
        if folder is None or not reports:
            return None
        count = len(self.trial.intermediate_values.keys() | reports.keys())
        at_target = target is not None and (
            count == target or (count > target and self._saved is None)
        )
        if not (at_target or self.pace.due or self.desk.leaving()):
            folder.check(*self.desk.checkpoints.limit)  # at the report at which it grows too large
            return None
        with self.pace, self.desk.clock.measure("storage"):
            saved = Saved(max(reports), self.lease.token)
            return folder.pack(saved, *self.desk.checkpoints.limit)

    def _distribution(self, name: str) -> BaseDistribution | None:
        """The distribution of a parameter in another trial of the objective; trials of other
        programs do not count."""
        trials = self.caller.history.get_all_trials(self.caller.job.study_id, deepcopy=False)
        mine = (t for t in trials if GROWS in t.system_attrs)
        distributions = (t.distributions[name] for t in mine if name in t.distributions)
        return next(distributions, None)

    def _put(self, update: Update, archive: bytes | None) -> None:
        if archive is not None:
            stored = self.desk.checkpoints.put(self.lease, archive)
            update = replace(update, checkpoint=stored)
            if stored is not None:
                self._saved = Saved(max(update.reports), self.lease.token)
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
        spent = self.spent + time.monotonic() - self.started
        return self.limit is not None and spent > self.limit

    def _finish(
        self, state: TrialState, ended: str, value: float | None = None, **facts: Any
    ) -> None:
        facts |= ending_facts(ended, self._seconds(), self.lease.holder, self.desk.device)
        own = self._attrs - {"error", "traceback"}
        facts = {key: each for key, each in facts.items() if key not in own}
        self.desk.outbox.put(Update(self.lease, state=state, value=value, user_attrs=facts))
        self.desk.checkpoints.ended(self.lease)

    def _seconds(self) -> float:
        """Seconds that all workers of this trial spent on it, as far as recorded."""
        before = amount(self.lease.trial.user_attrs, "seconds")
        return round(before + time.monotonic() - self.started, 3)

    def _give_back(self) -> None:
        """Give the trial back: the next worker runs it again, with what was suggested, from its
        checkpoint if it has one."""
        self._let_go({} if "seconds" in self._attrs else {"seconds": self._seconds()})

    def _let_go(self, facts: Mapping[str, Any], paused: bool = False) -> None:
        if facts:
            self.desk.outbox.put(Update(self.lease, user_attrs=facts))
        try:
            self.desk.outbox.flush()
            self.desk.storage.claims.release([self.lease], paused)
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
