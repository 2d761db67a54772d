"""A worker's loop over one study."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from optuna.trial import TrialState

from tuner.errors import TrainingError
from tuner.search.prune import PruningStudy
from tuner.search.pruners import build_pruner
from tuner.search.view import StudyView
from tuner.storage import OPEN, STOPPED, Outbox, Progress, Storage
from tuner.worker.clock import Clock
from tuner.worker.job import Job
from tuner.worker.proposer import Proposer
from tuner.worker.signals import Leaving
from tuner.worker.trial import Desk, TrialRun

TOO_MANY_FAILURES = 10
"""A study stops when so many more trials failed than finished."""
IDLE_SECONDS = 0.2


class Worker:
    """Trains trials until a study needs no more of them.

    Args:
        storage: this process' own.
        holder: a name that no other worker has.
        device: where to train.
        leaving: tells when to stop.
        spool: a folder for results that cannot be written for now.
    """

    def __init__(
        self,
        storage: Storage,
        holder: str,
        device: torch.device,
        leaving: Leaving,
        spool: Path | None = None,
    ) -> None:
        self.storage, self.holder, self.device = storage, holder, device
        self.leaving = leaving
        self.clock = Clock()
        self.outbox = Outbox(storage, spool, holder=holder)

    def work(self, job: Job, deadline: float | None = None) -> None:
        """Ends when the study's budget is met, it is not open, or somebody asks to leave.

        Args:
            job: the study.
            deadline: ``time.monotonic()`` after which to leave.

        Raises:
            TrainingError: too many trials failed; the study is stopped.
            StorageError: the database cannot be used.
        """
        name, options = job.study.search.pruner
        pruner = build_pruner(name, options, epochs=job.study.max_epochs)
        view = StudyView(self.storage, job.study.name)
        propose = Proposer(view, job, pruner, self.clock)
        pruning = PruningStudy(view, job.study.name, pruner)
        desk = Desk(self.storage, self.outbox, pruning, self.device, self.leaving, self.clock)
        while not self.leaving():
            self.outbox.check()
            if deadline is not None and time.monotonic() > deadline:
                return
            with self.clock.measure("storage"):
                lease = self.storage.claim(job.study_id, self.holder, propose)
            if lease is None:
                if self._nothing_left(job):
                    return
                with self.clock.measure("waiting"):
                    time.sleep(IDLE_SECONDS)
                continue
            self.leaving.training = True
            with self.clock.measure("training"):
                TrialRun(desk, job, lease).run()
            self.leaving.training = False
            self._check_failures(job, lease.trial_id)

    def close(self) -> None:
        """Writes what is left, and signs off."""
        with self.clock.measure("storage"):
            self.outbox.close()
        self.storage.unregister_worker(self.holder)
        self.storage.close()

    def _nothing_left(self, job: Job) -> bool:
        with self.clock.measure("storage"):
            self.outbox.flush()
        progress: Progress = self.storage.progress(job.study_id)
        return progress.met or progress.state != OPEN

    def _check_failures(self, job: Job, trial_id: int) -> None:
        if self.storage.get_trial(trial_id).state != TrialState.FAIL:
            return
        self.outbox.flush()
        progress = self.storage.progress(job.study_id)
        if progress.failed >= TOO_MANY_FAILURES + progress.finished:
            self.storage.set_study_state(job.study_id, STOPPED)
            message = self.storage.get_trial(trial_id).user_attrs.get("error", "")
            raise TrainingError(
                f"{progress.failed} trials failed, the last with: {message}",
                where=job.study.name,
                hint="the study is stopped; `tuner resume` opens it again",
            )
