"""The worker's loop: it claims a trial and trains it, until the study is complete."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from optuna.pruners import BasePruner, NopPruner
from optuna.trial import TrialState

from tuner.devices import described, is_out_of_memory
from tuner.errors import LostDeviceError, MissingError, TrainingError
from tuner.logs import Say, note, tell
from tuner.search.overlay import Overlay
from tuner.search.prune import PruningStudy
from tuner.storage import OPEN, Artifacts, Lease, OutageError, Outbox, Propose, Storage
from tuner.storage.studies import REPLICATES
from tuner.study.trials import Own
from tuner.worker.checkpoints import CheckpointStore
from tuner.worker.job import Job, NetworkJob, ObjectiveJob
from tuner.worker.keep import Keeper, PredictionKeeper
from tuner.worker.objective import BlankProposer, Caller
from tuner.worker.overdue import LimitedTrial, check_failures, ending_itself, limited_trial
from tuner.worker.propose import Proposer
from tuner.worker.run import Clock, Desk, TrialRun, amount, outcome
from tuner.worker.signals import Leaving, Patience, StopRequested

# The observer of a study's progress.


class Milestones(Protocol):
    """Updates what people see of a study; an error in it fails no trial."""

    def __call__(self, job: Job) -> None:
        """Called when work on the study begins, and when a trial ended."""

    def finish(self, job: Job) -> None:
        """Called when the study ends, or this run of it."""


class NoMilestones:
    """Does nothing."""

    def __call__(self, job: Job) -> None:
        pass

    def finish(self, job: Job) -> None:
        pass


# The loop: claim a trial and train it, until the study is complete.


IDLE_SECONDS, FLUSH_SECONDS = 0.2, 0.5
CLOSE_SECONDS, HURRIED_CLOSE_SECONDS = 3.0, 1.0


@contextmanager
def explaining_deletion(study: str) -> Iterator[None]:
    """Turns the error of a missing study within into one that says that it was deleted.

    Raises:
        TrainingError: the study is not in the database any more.
    """
    try:
        yield
    except MissingError as error:
        raise TrainingError("the study was deleted", where=study) from error


@dataclass(frozen=True)
class Bench:
    """What a worker keeps for one study from trial to trial."""

    job: Job
    propose: Propose
    run: Callable[[Lease], None]

    @property
    def exhausted(self) -> bool:
        """Whether every configuration had been tried at the last claim."""
        return bool(getattr(self.propose, "exhausted", False))


def _ignore(trial: LimitedTrial | None) -> None:
    """Announces a trial to nobody: no other process would end this one."""


class Worker:
    """Trains trials, one at a time.

    While the database does not answer, training goes on, and claims wait.

    Attributes:
        announce: called with a trial with a time limit when it begins, with None when it ended.

    Args:
        storage: this process' own.
        holder: a name that no other worker has.
        device: where to train.
        leaving: says when to stop.
        spool: a folder for results that cannot be written for now.
        say: called with a line for people.
        store: the store for the best trials' weights; None keeps none.
        milestones: called when work on a study begins and when a trial of it ended.
    """

    def __init__(
        self,
        storage: Storage,
        holder: str,
        device: torch.device,
        leaving: Leaving,
        spool: Path | None = None,
        say: Say = note,
        store: Artifacts | None = None,
        milestones: Milestones | None = None,
    ) -> None:
        tell("started", worker=holder, device=described(device))
        self.store, self.milestones = store, milestones or NoMilestones()
        self.storage, self.holder, self.device = storage, holder, device
        self.leaving, self.clock = leaving, Clock()
        self.patiently = Patience(leaving, say)
        flush = storage.mirrors.refresh_interval or FLUSH_SECONDS  # as often as it reads
        self.outbox = Outbox(storage, spool, flush, holder)
        self.checkpoints = CheckpointStore(store, self.outbox)
        self.announce: Callable[[LimitedTrial | None], None] = _ignore
        if self.outbox.pending():  # before any claim, while the leases of these may still hold
            with suppress(StopRequested):
                self.patiently(self.outbox.flush)

    def bench(self, job: Job) -> Bench:
        """Prepares the work on a study.

        Raises:
            StopRequested: it is time to leave, and the database did not answer.
        """
        pruner = job.study.pruner()
        own = Own(job.study)
        view = self.patiently(lambda: Overlay(self.storage, job.study.name, select=own.learned))
        desk = Desk(
            storage=self.storage,
            outbox=self.outbox,
            pruning=None,
            device=self.device,
            leaving=self.leaving,
            clock=self.clock,
            checkpoints=self.checkpoints,
        )
        self._publish(job)
        if isinstance(job, ObjectiveJob):
            attrs = self.patiently(lambda: view.get_study_user_attrs(job.study_id))
            propose = BlankProposer(job, view, REPLICATES in attrs)
            return Bench(job, propose, Caller(desk, job, view, pruner, self.patiently))
        assert isinstance(job, NetworkJob)
        return self._network_bench(job, own, view, pruner, desk)

    def _network_bench(
        self, job: NetworkJob, own: Own, view: Overlay, pruner: BasePruner, desk: Desk
    ) -> Bench:
        if not isinstance(pruner, NopPruner):  # which needs to read nothing
            desk = replace(desk, pruning=PruningStudy(view, job.study.name, pruner))
        moved = self._moved(job)  # once, not for each trial
        propose = Proposer(view, own, moved, pruner, self.clock, self.holder, self.device)
        if self.store is not None and propose.replicates:
            desk = replace(desk, keeper=PredictionKeeper(self.store))
        elif self.store is not None:
            maximize = job.metric.direction == "maximize"
            desk = replace(desk, keeper=Keeper(self.store, view, job.study_id, maximize))
        return Bench(moved, propose, lambda lease: TrialRun(desk, moved, lease).run())

    def _moved(self, job: NetworkJob) -> NetworkJob:
        """The job with its data on the device.

        Raises:
            TrainingError: the data does not fit there.
        """
        try:
            return job.to(self.device)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            what, hint = f"the data does not fit on {self.device}: {error}", "fewer workers on it"
            hint = f"{hint}, or --device cpu"
            raise TrainingError(what, where=job.study.name, hint=hint) from error

    def work(self, job: Job, deadline: float | None = None) -> None:
        """Trains trials until the study's budget is met, it is not open, or it is time to leave.

        Args:
            job: the study.
            deadline: ``time.monotonic()`` after which to leave.

        Raises:
            TrainingError: too many trials failed, and the study is stopped; or it was deleted.
            StorageError: the database cannot be used.
        """
        self.leaving.by(deadline)
        with suppress(StopRequested), explaining_deletion(job.study.name):
            bench = self.bench(job)
            while not self.leaving():
                if self.step(bench):
                    continue
                if self._nothing_left(bench):
                    return
                with self.clock.measure("waiting"):
                    time.sleep(IDLE_SECONDS)

    def step(self, bench: Bench) -> bool:
        """Trains the next trial of a study; false if there is none for now.

        Raises:
            TrainingError: too many trials failed; the study is stopped.
            MissingError: it was deleted.
            StorageError: the database cannot be used.
            LostDeviceError: this process can train no other trial.
            StopRequested: it is time to leave, and the database did not answer.
        """
        self.outbox.check()
        lease = self._claim(bench)
        if lease is None:
            return False
        self.outbox.begin(lease)
        log_event = partial(
            tell, study=bench.job.study.name, trial=lease.number, worker=self.holder
        )
        log_event("claimed", resumed=lease.resumed or None)
        lost: LostDeviceError | None = None
        with self.clock.measure("training"), self._time_limit(bench.job, lease):
            try:
                bench.run(lease)
            except LostDeviceError as error:
                lost = error
        self._ended(bench.job, lease, log_event)
        if lost is not None:
            raise lost
        return True

    @contextmanager
    def _time_limit(self, job: Job, lease: Lease) -> Iterator[None]:
        """Interrupts the trial at its time limit, and announces it to the parent process."""
        limit = job.study.search.trial_timeout
        if limit is None:
            yield
            return
        goes_on = job.resumes or lease.checkpoint is not None
        spent = amount(lease.trial.user_attrs, "seconds") if goes_on else 0.0
        trial = limited_trial(job.study.name, lease, limit, spent)
        self.announce(trial)
        try:
            with self.leaving.within(trial.left), ending_itself(self.storage, trial):
                yield
        finally:
            self.announce(None)

    def _ended(self, job: Job, lease: Lease, log_event: Callable[[str, str], None]) -> None:
        trial = self.storage.get_trial(lease.trial_id)
        log_event(*outcome(trial, self.outbox.lost(lease)))
        if trial.state == TrialState.FAIL:
            self.patiently(self.outbox.flush)
            check_failures(self.storage, self.patiently, job.study_id, job.study.name, trial)
        self._publish(job)

    def _publish(self, job: Job) -> None:
        with self.clock.measure("publishing"):
            self.milestones(job)

    def _claim(self, bench: Bench) -> Lease | None:
        study_id = bench.job.study_id

        def claim() -> Lease | None:
            with self.clock.measure("storage"):
                return self.storage.claims.claim(study_id, self.holder, bench.propose)

        return self.patiently(claim)

    def close(self) -> None:
        """Writes the remaining updates, and removes the worker's row.

        Raises:
            StorageError: results were not written; they wait on this machine's disk.
        """
        try:
            with self.clock.measure("storage"):
                self.outbox.close(HURRIED_CLOSE_SECONDS if self.leaving() else CLOSE_SECONDS)
                self.checkpoints.tidy()
            with suppress(OutageError):  # its row says when it was last alive
                self.storage.claims.unregister(self.holder)
        finally:
            tell("left", worker=self.holder)
            self.storage.close()

    def _nothing_left(self, bench: Bench) -> bool:
        study_id = bench.job.study_id
        with self.clock.measure("storage"):
            self.patiently(self.outbox.flush)
            progress = self.patiently(lambda: self.storage.progress(study_id))
        return progress.met or progress.state != OPEN or self.exhausted(bench)

    def exhausted(self, bench: Bench) -> bool:
        """Whether every configuration was tried, and no trial is running that may be given back."""
        if not bench.exhausted:
            return False
        held = self.patiently(lambda: self.storage.claims.held(bench.job.study_id))
        return held == 0
