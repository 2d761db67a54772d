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

from tuner.errors import StorageError
from tuner.hidden import hide
from tuner.search.overlay import changed
from tuner.search.prune import PruningStudy
from tuner.storage import Lease, OutageError, Outbox, Storage, Update
from tuner.training.checkpoint import restore, to_bytes
from tuner.training.trainer import ONE_ROW, Course, Epoch
from tuner.worker.checkpoints import Pace, Saved
from tuner.worker.job import NetworkJob, course_of, last_epoch, replica_facts
from tuner.worker.keep import Keeper, Kept
from tuner.worker.overdue import TIME_LIMIT, nothing_reported
from tuner.worker.signals import Leaving, Overdue, StopRequested

# Time measurement of a worker.


class Clock:
    """Adds up seconds by name; within a nested measurement the outer one stands still."""

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


# The recorded reason of a trial's failure.


MEMORY_HINT = "out of memory: a smaller batch_size, width, channels or depth, or fewer workers"

ONE_ROW_HINT = "batch normalization learns nothing of one row: a batch_size of at least 2"


def explain(error: BaseException) -> str:
    """What a trial's error says, without a password; a CPU has no error for want of memory."""
    said = hide(f"{type(error).__name__}: {error}")
    kinds = torch.cuda.OutOfMemoryError, MemoryError
    if isinstance(error, kinds) or "allocate memory" in str(error):
        return f"{MEMORY_HINT} ({said})"
    return f"{ONE_ROW_HINT} ({said})" if ONE_ROW in str(error) else said


def traced() -> str:
    """The traceback of what is being handled, without a password."""
    return hide(traceback.format_exc())


def outcome(trial: FrozenTrial, lost: bool) -> tuple[str, str]:
    """How a worker's time with a trial ended: the kind of event, and words for people."""
    if lost:
        return "lost", "another worker has it"
    if not trial.state.is_finished():
        return "released", ""
    value = "" if trial.values is None else f"{trial.values[0]:.6g}"
    said = trial.user_attrs.get("error", trial.user_attrs.get("ended", ""))
    return "ended", ", ".join(filter(None, (trial.state.name.lower(), value, str(said))))


# User attributes of an ended trial, beside its result.


TRAINED = ("epochs", "parameters", "train_loss", "validation_loss", "best_epoch")
"""What a training says of itself."""


def ending(why: str, seconds: float, worker: str, device: torch.device) -> dict[str, Any]:
    """Why the trial ended, the seconds its workers spent on it, the last worker and its device."""
    return {
        "ended": why,
        "seconds": round(seconds, 3),
        "worker": worker,
        "device": str(device),
    }


def training_facts(course: Course | None, result: Epoch | None) -> dict[str, Any]:
    """Epochs trained, the number of weights, and the losses of the epoch that counts.

    Args:
        course: None where the trial failed before there was one.
        result: the epoch that counts; None is the last one.
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
    """Attributes of a duplicate, which repeats the result of the trial of this number."""
    known = {key: first.user_attrs[key] for key in TRAINED if key in first.user_attrs}
    return {**ending(f"same as trial {number}", 0.0, worker, device), **known}


def amount(attrs: Mapping[str, Any], key: str, default: float = 0.0) -> float:
    """A number among a trial's attributes, to which other programs may have given any value."""
    value = attrs.get(key)
    usable = isinstance(value, int | float) and math.isfinite(value)
    return float(value) if usable else default  # type: ignore[arg-type]


# One trial: train, report, prune, and record why it ended.


ATTEMPTS = 10
"""So many holders may die on a trial before its first epoch is over."""


@dataclass(frozen=True)
class Desk:
    """What a worker works with: where to read, where to tell, and whether to leave."""

    storage: Storage
    outbox: Outbox
    pruning: PruningStudy | None
    device: torch.device
    leaving: Leaving
    clock: Clock
    saved: Saved
    keeper: Keeper | None = None


class TrialRun:
    """Trains the trial of a lease from where it stands, and tells how it ended.

    Attributes:
        trial: with every report so far, those of earlier holders too; a pruner is asked with it.
    """

    def __init__(self, desk: Desk, job: NetworkJob, lease: Lease) -> None:
        self.desk, self.job, self.lease = desk, job, lease
        self.trial = lease.trial
        self.started = time.monotonic()
        self.pace = Pace(desk.storage.claims.lease_seconds)
        self.spent = amount(lease.trial.user_attrs, "seconds")
        self.told = max(lease.trial.intermediate_values, default=0)
        self.course: Course | None = None

    def run(self) -> None:
        """Ends with the trial recorded, released, or lost to another worker.

        Raises:
            StorageError: the database cannot be used, which is not the trial's fault.
        """
        try:
            self._train()
        except StopRequested:
            self._leave()
        except Overdue:
            self._over()
        except StorageError:
            raise
        except BaseException as error:  # a factory's SystemExit too; signals raise what is above
            self._fail(explain(error), traceback=traced())
        self.desk.saved.left(self.lease)

    def _train(self) -> None:
        if self.lease.token > ATTEMPTS and not self.told:
            self._fail(f"{self.lease.token - 1} workers left or died before its first epoch ended")
            return
        with self.desk.leaving.interruptible():
            course, damage = self._prepared()
        self.course = course
        if damage:
            self._put(user_attrs={"restarted": damage})
        for epoch in self._epochs(course):
            value = epoch.value if epoch.finite else math.nan
            checkpoint = self._checkpoint() if epoch.finite else None
            self.write(checkpoint, reports={epoch.number: value})
            if self.desk.outbox.lost(self.lease):
                return
            ended = self._ended(epoch)
            if ended:
                self._tell(TrialState.PRUNED, epoch, ended)
                return
        result = course.result
        stopped = course.epoch < course.plan.epochs
        self._tell(TrialState.COMPLETE, result, "stopped early" if stopped else "all epochs")

    def _over(self) -> None:
        """The time limit came in the middle of an epoch, or of the data."""
        if self.course is not None and self.course.past:
            self._tell(TrialState.PRUNED, self.course.past[-1], TIME_LIMIT)
        else:
            limit = self.job.study.search.trial_timeout
            assert limit is not None
            self._fail(nothing_reported(limit))

    def _prepared(self) -> tuple[Course, str]:
        """A course where the last checkpoint was taken, or at the start and what is damaged."""
        course = self._course()
        stored = self.lease.checkpoint
        if stored is None:
            return course, ""
        try:
            restore(course, self.desk.saved.get(self.lease, stored))
        except Exception as error:  # whatever damage does, a trial can start over
            return self._course(), f"{type(error).__name__}: {error}"
        return course, ""

    def _course(self) -> Course:
        return course_of(self.job, self.lease.trial, self.desk.device)

    def _epochs(self, course: Course) -> Iterator[Epoch]:
        """Each epoch; StopRequested at once between two, and soon within one."""
        epochs = course.epochs()
        last = last_epoch(self.lease.trial)
        while not course.done and course.epoch < last:
            with self.desk.leaving.interruptible():
                epoch = next(epochs)
            yield epoch

    def _ended(self, epoch: Epoch) -> str:
        """Why the trial ends before its time; empty if it goes on, or is at its end."""
        if not epoch.finite:
            return "diverged"
        if self.course is None or self.course.done:
            return ""
        limit = self.job.study.search.trial_timeout
        if limit is not None and self.seconds > limit:
            return TIME_LIMIT
        if epoch.number < self.told:  # an earlier holder asked here, and went on
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
        """Adds to the trial, here and in the database; a pruner, too, notes what it needs."""
        self.trial = changed(self.trial, **change)
        self._put(checkpoint=checkpoint, **change)

    def _put(self, **what: Any) -> None:
        with self.desk.clock.measure("storage"):
            self.desk.outbox.put(Update(self.lease, **what))
        if "state" in what:
            self.desk.saved.ended(self.lease)

    def _checkpoint(self, *, now: bool = False) -> bytes | None:
        if self.course is None or not (now or self.pace.due):
            return None
        with self.pace:
            return self.desk.saved.put(self.lease, to_bytes(self.course))

    def _tell(self, state: TrialState, result: Epoch, ended: str) -> None:
        value = result.value if math.isfinite(result.value) and ended != "diverged" else None
        facts = self._facts(ended, result) | replica_facts(self.course, self.lease.trial)
        kept = self._kept(value) if state == TrialState.COMPLETE else Kept()
        attrs = {"user_attrs": facts | kept.user_attrs, "system_attrs": kept.system_attrs}
        self._put(state=state, value=value, artifacts=kept.artifacts, **attrs)

    def _kept(self, value: float | None) -> Kept:
        if self.desk.keeper is None or self.course is None or value is None:
            return Kept()
        with self.desk.clock.measure("artifacts"):
            return self.desk.keeper.kept(self.course, self.lease.trial, value)

    def _facts(self, ended: str, result: Epoch | None = None) -> dict[str, Any]:
        told = ending(ended, self.seconds, self.lease.holder, self.desk.device)
        return told | training_facts(self.course, result)

    def _fail(self, error: str, **more: str) -> None:
        facts = self._facts("failed") | {"error": error, **more}
        self._put(state=TrialState.FAIL, user_attrs=facts)

    def _leave(self) -> None:
        """Give the trial back with a checkpoint, so that the next worker goes on from here."""
        course = self.course
        clean = course is not None and course.between_epochs and course.epoch > 0
        seconds = {"seconds": round(self.seconds, 3)}
        self._put(checkpoint=self._checkpoint(now=True) if clean else None, user_attrs=seconds)
        try:
            self.desk.outbox.flush()
            self.desk.storage.claims.release([self.lease])
        except OutageError:
            return  # the lease runs out by itself
