"""Runs one trial: trains it, reports, prunes, and records why it ended."""

from __future__ import annotations

import math
import time
import traceback
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from optuna.trial import FrozenTrial, TrialState

from tuner.devices import described, is_out_of_memory, recover
from tuner.errors import DataError, ReaderError, StorageError
from tuner.hidden import hide
from tuner.search.overlay import changed
from tuner.search.promote import PAUSED_AT, is_paused
from tuner.search.prune import PruningStudy
from tuner.storage import Lease, OutageError, Outbox, Storage, Update
from tuner.study.trials import TOO_LARGE
from tuner.training.checkpoint import restore, to_bytes
from tuner.training.outcome import standard_error
from tuner.training.trainer import ONE_ROW, Course, Epoch
from tuner.worker.checkpoints import CheckpointStore, Pace
from tuner.worker.job import NetworkJob, course_of, last_epoch, replica_facts
from tuner.worker.keep import Attachments, Keeper, PredictionKeeper
from tuner.worker.overdue import PERMANENT, TIME_LIMIT, nothing_reported
from tuner.worker.signals import Leaving, Overdue, StopRequested

# Measuring where a worker's time goes.


class Clock:
    """Adds up seconds by name; during a nested measurement the outer one pauses."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._outer: list[float] = []

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        self._outer.append(0.0)
        try:
            yield
        finally:
            whole = time.perf_counter() - started
            self.spent[name] += whole - self._outer.pop()
            if self._outer:
                self._outer[-1] += whole


# Why a trial failed, and how it ended.


MEMORY_HINT = "out of memory: a smaller batch_size, width, channels or depth, or fewer workers"

ONE_ROW_HINT = "batch normalization learns nothing of one row: a batch_size of at least 2"


def explain(error: BaseException) -> str:
    """A trial's error message without passwords, and with a hint for known causes."""
    message = hide(f"{type(error).__name__}: {error}")
    if is_out_of_memory(error):
        return f"{MEMORY_HINT} ({message})"
    return f"{ONE_ROW_HINT} ({message})" if ONE_ROW in str(error) else message


def current_traceback() -> str:
    """The traceback of the current exception, without passwords."""
    return hide(traceback.format_exc())


def outcome(trial: FrozenTrial, lost: bool) -> tuple[str, str]:
    """How a worker's run of a trial ended: the kind of event, and words for people."""
    if lost:
        return "lost", "another worker has it"
    if not trial.state.is_finished():
        return ("paused" if is_paused(trial) else "released"), ""
    value = "" if trial.values is None else f"{trial.values[0]:.6g}"
    reason = trial.user_attrs.get("error", trial.user_attrs.get("ended", ""))
    return "ended", ", ".join(filter(None, (trial.state.name.lower(), value, str(reason))))


# User attributes of an ended trial, beside its result.


TRAINED = (
    *("epochs", "parameters", "train_loss", "validation_loss", "best_epoch"),
    "standard_error",
)
"""Attributes that describe a training."""


def ending_facts(why: str, seconds: float, worker: str, device: torch.device) -> dict[str, Any]:
    """Why the trial ended, the seconds its workers spent on it, the last worker and its device."""
    return {
        "ended": why,
        "seconds": round(seconds, 3),
        "worker": worker,
        "device": described(device),
    }


def permanent_facts(error: BaseException) -> dict[str, bool]:
    """That attribute, where rows cannot be read."""
    rows = isinstance(error, DataError) and not isinstance(error, ReaderError)
    return {PERMANENT: True} if rows else {}


def memory_facts(error: BaseException) -> dict[str, bool]:
    """An attribute of a trial that failed because memory was used up: its size does not fit."""
    return {TOO_LARGE: True} if is_out_of_memory(error) else {}


def training_facts(course: Course | None, result: Epoch | None) -> dict[str, Any]:
    """Epochs trained, the number of weights, and the losses of the epoch that gives the value.

    Args:
        course: None if the trial failed before there was one.
        result: the epoch that gives the value; None is the last one.
    """
    if course is None:
        return {}
    facts: dict[str, Any] = {"epochs": course.epoch, "parameters": len(course.parts[-1].params)}
    shown = result or (course.past[-1] if course.past else None)
    if shown is not None:
        losses = {"train_loss": shown.train_loss, "validation_loss": shown.validation_loss}
        facts |= {key: loss for key, loss in losses.items() if math.isfinite(loss)}
    return facts if result is None else {**facts, "best_epoch": result.number}


def repeated_facts(
    first: FrozenTrial, number: int, worker: str, device: torch.device
) -> dict[str, Any]:
    """Attributes of a duplicate, which repeats the result of the trial with this number."""
    known = {key: first.user_attrs[key] for key in TRAINED if key in first.user_attrs}
    return {**ending_facts(f"same as trial {number}", 0.0, worker, device), **known}


def amount(attrs: Mapping[str, Any], key: str, default: float = 0.0) -> float:
    """A number from a trial's attributes; `default` if another program wrote anything else."""
    value = attrs.get(key)
    usable = isinstance(value, int | float) and math.isfinite(value)
    return float(value) if usable else default  # type: ignore[arg-type]


# One trial: train, report, prune, and record why it ended.


ATTEMPTS = 10
"""The number of holders that may leave or die before a trial's first epoch ends."""


@dataclass(frozen=True)
class Desk:
    """The parts of a worker that each of its trials uses."""

    storage: Storage
    outbox: Outbox
    pruning: PruningStudy | None
    device: torch.device
    leaving: Leaving
    clock: Clock
    checkpoints: CheckpointStore
    keeper: Keeper | PredictionKeeper | None = None


class TrialRun:
    """Trains the trial of a lease from its last checkpoint, and records why it ended.

    Attributes:
        trial: the trial with all its reports, those of earlier holders too; the pruner gets it.
        reported_epoch: the last epoch that an earlier holder reported.
    """

    def __init__(self, desk: Desk, job: NetworkJob, lease: Lease) -> None:
        self.desk, self.job, self.lease = desk, job, lease
        self.trial = lease.trial
        self.started = time.monotonic()
        self.pace = Pace(desk.storage.claims.lease_seconds)
        self.spent = amount(lease.trial.user_attrs, "seconds")
        self.reported_epoch = max(lease.trial.intermediate_values, default=0)
        self.course: Course | None = None
        self.moved_from = ""

    def run(self) -> None:
        """Runs the trial until it is recorded, released, or lost to another worker.

        Raises:
            StorageError: the database cannot be used, which does not fail the trial.
            LostDeviceError: this process can train no other trial.
        """
        failed = False
        try:
            self._train()
        except StopRequested:
            self._give_back()
        except Overdue:
            self._time_out()
        except StorageError:
            raise
        except BaseException as error:  # a factory's SystemExit too; a signal's is caught above
            facts = memory_facts(error) | permanent_facts(error)
            self._fail(explain(error), traceback=current_traceback(), **facts)
            failed = True
        self.desk.checkpoints.left(self.lease)
        if failed:
            self.course = None
            recover(self.desk.device)

    def _train(self) -> None:
        if self.lease.token > ATTEMPTS and not self.reported_epoch:
            what = f"{self.lease.token - 1} workers left or died before its first epoch ended"
            return self._fail(what)
        with self.desk.leaving.interruptible():
            course, damage = self._prepared()
        self.course = course
        if damage:
            self._put(user_attrs={"restarted": damage})
        if self._is_at_target():  # an earlier holder died while it paused the trial
            return self._pause()
        for epoch in self._epochs(course):
            value = epoch.value if epoch.finite else math.nan
            checkpoint = self._checkpoint() if epoch.finite else None
            self.write(checkpoint, reports={epoch.number: value})
            if self.desk.outbox.lost(self.lease):
                return None
            ended = self._end_reason(epoch)
            if ended:
                return self._finish(TrialState.PRUNED, epoch, ended)
            if self._is_at_target():
                return self._pause()
        result = course.result
        stopped = course.epoch < course.plan.epochs
        self._finish(TrialState.COMPLETE, result, "stopped early" if stopped else "all epochs")
        return None

    def _time_out(self) -> None:
        """Ends the trial at its time limit, with its last epoch if it has one."""
        if self.course is not None and self.course.past:
            self._finish(TrialState.PRUNED, self.course.past[-1], TIME_LIMIT)
        else:
            limit = self.job.study.search.trial_timeout
            assert limit is not None
            self._fail(nothing_reported(limit))

    def _prepared(self) -> tuple[Course, str]:
        """A course at the last checkpoint; or, if that is damaged, at its start, with the error."""
        course = self._course()
        stored = self.lease.checkpoint
        if stored is None:
            return course, ""
        try:
            self.moved_from = restore(course, self.desk.checkpoints.get(self.lease, stored))
        except Exception as error:  # whatever the damage is, a trial can start over
            return self._course(), f"{type(error).__name__}: {error}"
        return course, ""

    def _course(self) -> Course:
        return course_of(self.job, self.lease.trial, self.desk.device)

    def _epochs(self, course: Course) -> Iterator[Epoch]:
        """The epochs; a stop is immediate between two epochs, and soon within one."""
        epochs = course.epochs()
        last = last_epoch(self.lease.trial)
        while not course.done and course.epoch < last:
            with self.desk.leaving.interruptible():
                epoch = next(epochs)
            yield epoch

    def _end_reason(self, epoch: Epoch) -> str:
        """Why the trial ends early; empty if it goes on, or has had all its epochs."""
        if not epoch.finite:
            return "diverged"
        if self.course is None or self.course.done:
            return ""
        limit = self.job.study.search.trial_timeout
        if limit is not None and self.seconds > limit:
            return TIME_LIMIT
        if epoch.number < self.reported_epoch:  # an earlier holder asked here, and went on
            return ""
        return "pruned" if self._pruned() else ""

    def _pruned(self) -> bool:
        if self.desk.pruning is None:
            return False
        with self.desk.clock.measure("pruner"):
            return self.desk.pruning.should_prune(self)

    @property
    def seconds(self) -> float:
        """Seconds that all workers of this trial spent on it, as far as recorded."""
        return self.spent + time.monotonic() - self.started

    def write(self, checkpoint: bytes | None = None, **change: Any) -> None:
        """Adds to the trial, here and in the database; the pruner calls it too."""
        self.trial = changed(self.trial, **change)
        self._put(checkpoint=checkpoint, **change)

    def _put(self, **change: Any) -> None:
        with self.desk.clock.measure("storage"):
            self.desk.outbox.put(Update(self.lease, **change))
        if "state" in change:
            self.desk.checkpoints.ended(self.lease)

    def _checkpoint(self, *, now: bool = False) -> bytes | None:
        if self.course is None or not (now or self.pace.due):
            return None
        with self.pace:
            return self.desk.checkpoints.put(self.lease, to_bytes(self.course))

    def _finish(self, state: TrialState, result: Epoch, ended: str) -> None:
        value = result.value if math.isfinite(result.value) and ended != "diverged" else None
        facts = self._facts(ended, result) | replica_facts(self.course, self.lease.trial)
        if state == TrialState.COMPLETE and value is not None and self.course is not None:
            facts |= standard_error(self.course, value)
        attachments = self._attachments(value) if state == TrialState.COMPLETE else Attachments()
        attrs = {
            "user_attrs": facts | attachments.user_attrs,
            "system_attrs": attachments.system_attrs,
        }
        self._put(state=state, value=value, artifacts=attachments.artifacts, **attrs)

    def _attachments(self, value: float | None) -> Attachments:
        if self.desk.keeper is None or self.course is None or value is None:
            return Attachments()
        with self.desk.clock.measure("artifacts"):
            return self.desk.keeper.attachments(self.course, self.lease.trial, value)

    def _facts(self, ended: str, result: Epoch | None = None) -> dict[str, Any]:
        facts = ending_facts(ended, self.seconds, self.lease.holder, self.desk.device)
        if self.moved_from not in ("", facts["device"]):  # its numbers are those of either
            facts["device"] = f"{self.moved_from}, then {facts['device']}"
        return facts | training_facts(self.course, result)

    def _fail(self, error: str, **more: str | bool) -> None:
        facts = self._facts("failed") | {"error": error, **more}
        self._put(state=TrialState.FAIL, user_attrs=facts)

    def _is_at_target(self) -> bool:
        """Whether the trial has come to the epoch at which it pauses."""
        course, target = self.course, self.lease.target
        if course is None or target is None or course.done:
            return False
        return course.epoch >= target

    def _pause(self) -> None:
        """Pause the trial with a checkpoint; whoever promotes it goes on from here."""
        assert self.course is not None
        facts = self._facts("paused") | {PAUSED_AT: self.course.epoch}
        self._let_go(facts, self._checkpoint(now=True), paused=True)

    def _give_back(self) -> None:
        """Give the trial back with a checkpoint, so that the next worker goes on from here."""
        course = self.course
        clean = course is not None and course.between_epochs and course.epoch > 0
        facts = {"seconds": round(self.seconds, 3)}
        self._let_go(facts, self._checkpoint(now=True) if clean else None)

    def _let_go(
        self, facts: Mapping[str, Any], checkpoint: bytes | None, paused: bool = False
    ) -> None:
        self._put(checkpoint=checkpoint, user_attrs=facts)
        try:
            self.desk.outbox.flush()
            self.desk.storage.claims.release([self.lease], paused)
        except OutageError:
            return  # the lease runs out by itself
