"""One trial: train, report, prune, and say why it ended."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from optuna.trial import TrialState

from tuner.search.prune import PruningStudy
from tuner.storage import Lease, Outbox, Storage, Update
from tuner.training.checkpoint import restore, to_bytes
from tuner.training.plain import Epoch, Trainer
from tuner.worker.clock import Clock
from tuner.worker.job import Job

CHECKPOINT_SECONDS = 2.0
MEMORY_HINT = "out of memory: a smaller batch_size, width, channels or depth, or fewer workers"


class StopRequested(BaseException):
    """Somebody asked the worker to leave; raised where it would take too long to get there."""


@dataclass(frozen=True)
class Desk:
    """What a worker works with: where to read, where to tell, and whether to leave."""

    storage: Storage
    outbox: Outbox
    pruning: PruningStudy
    device: torch.device
    leaving: Callable[[], bool]
    clock: Clock


class TrialRun:
    """Trains the trial of a lease from where it stands, and tells how it ended."""

    def __init__(self, desk: Desk, job: Job, lease: Lease) -> None:
        self.desk, self.job, self.lease = desk, job, lease
        self.started = self.saved = time.monotonic()
        self.spent = float(lease.trial.user_attrs.get("seconds", 0.0))
        self.last: Epoch | None = None
        self.trainer: Trainer | None = None

    def run(self) -> None:
        """Ends with the trial told, given back, or lost to another worker."""
        try:
            self._train()
        except StopRequested:
            self._leave()
        except (torch.cuda.OutOfMemoryError, MemoryError) as error:
            self._fail(f"{MEMORY_HINT} ({error})")
        except Exception as error:
            self._fail(f"{type(error).__name__}: {error}")

    def _train(self) -> None:
        job, lease = self.job, self.lease
        config = job.study.config(lease.trial.params)
        seed = int(lease.trial.user_attrs.get("seed", job.seed(lease.number)))
        trainer = Trainer(config, job.data, job.metric, seed, self.desk.device)
        self.trainer = trainer
        if lease.checkpoint is not None:
            restore(trainer, lease.checkpoint)
        for epoch in trainer.epochs():
            self.last = epoch
            value = epoch.value if epoch.finite else math.nan
            self._put(reports={epoch.number: value}, checkpoint=self._checkpoint())
            if self.desk.outbox.lost(lease):
                return
            ended = self._ended(epoch)
            if ended:
                self._tell(TrialState.PRUNED, epoch, ended)
                return
            if self.desk.leaving() and not trainer.done:
                self._leave()
                return
        result = trainer.result
        stopped = trainer.epoch < trainer.plan.epochs
        self._tell(TrialState.COMPLETE, result, "stopped early" if stopped else "all epochs")

    def _ended(self, epoch: Epoch) -> str:
        """Why the trial ends before its time; empty if it goes on."""
        if not epoch.finite:
            return "diverged"
        limit = self.job.study.search.trial_timeout
        if limit is not None and self.seconds > limit:
            return "time limit"
        with self.desk.clock.measure("storage"):
            trial = self.desk.storage.get_trial(self.lease.trial_id)
        with self.desk.clock.measure("pruner"):
            prune = self.desk.pruning.should_prune(trial, self._mark)
        return "pruned" if prune else ""

    @property
    def seconds(self) -> float:
        """Spent on this trial by all of its workers, as far as they told."""
        return self.spent + time.monotonic() - self.started

    def _mark(self, key: str, value: object) -> None:
        self._put(system_attrs={key: value})

    def _put(self, **what: Any) -> None:
        with self.desk.clock.measure("storage"):
            self.desk.outbox.put(Update(self.lease, **what))

    def _checkpoint(self, *, now: bool = False) -> bytes | None:
        if self.trainer is None or not (now or time.monotonic() - self.saved > CHECKPOINT_SECONDS):
            return None
        self.saved = time.monotonic()
        return to_bytes(self.trainer)

    def _tell(self, state: TrialState, result: Epoch, ended: str) -> None:
        value = result.value if math.isfinite(result.value) and ended != "diverged" else None
        self._put(state=state, value=value, user_attrs=self._facts(ended, result))
        self.desk.pruning.forget(self.lease.trial_id)

    def _facts(self, ended: str, result: Epoch | None = None) -> dict[str, Any]:
        facts: dict[str, Any] = {
            "ended": ended,
            "seconds": round(self.seconds, 3),
            "worker": self.lease.holder,
            "device": str(self.desk.device),
        }
        if self.trainer is not None:
            facts |= {"epochs": self.trainer.epoch, "parameters": len(self.trainer.params)}
        if result is not None:
            losses = {"train_loss": result.train_loss, "validation_loss": result.validation_loss}
            facts |= {key: loss for key, loss in losses.items() if math.isfinite(loss)}
            facts["best_epoch"] = result.number
        return facts

    def _fail(self, message: str) -> None:
        facts = self._facts("failed") | {"error": message, "traceback": traceback.format_exc()}
        self._put(state=TrialState.FAIL, user_attrs=facts)

    def _leave(self) -> None:
        """Give the trial back with a checkpoint, so that the next worker goes on from here."""
        clean = self.trainer is not None and self.trainer.between_epochs
        seconds = {"seconds": round(self.seconds, 3)}
        self._put(checkpoint=self._checkpoint(now=True) if clean else None, user_attrs=seconds)
        self.desk.outbox.flush()
        self.desk.storage.release([self.lease])
