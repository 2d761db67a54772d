"""Runs workers that serve every open study of a database."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Sequence, Set
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection

import torch

from tuner.errors import (
    LostDeviceError,
    MissingError,
    StorageError,
    TerminatedError,
    TrainingError,
    TunerError,
)
from tuner.imports import Allowed, allowing, of_operator
from tuner.logs import Say
from tuner.run.options import devices
from tuner.run.pool import Pool
from tuner.run.prepare import SPEC, document_of, prepared, stored_study
from tuner.run.process import child_leaving, open_worker, record_overdue_in, reporting_errors
from tuner.storage import PAUSED, OpenStudy, OutageError, Progress, Storage, open_storage
from tuner.study import Study
from tuner.study.parse import parse
from tuner.study.record import fingerprint
from tuner.worker.job import Job
from tuner.worker.loop import Bench, Worker, explaining_deletion
from tuner.worker.overdue import LimitedTrial
from tuner.worker.signals import Leaving, StopRequested

# The loop of a worker that serves studies.


POLL_SECONDS = 1.0
ReadJob = Callable[[Study, int], Job]
StudyKey = tuple[int, str, str | None]


def _key(study: OpenStudy) -> StudyKey:
    """Tells a study from a deleted one, whose id and name a new one may have."""
    return study.study_id, study.name, study.fingerprint


class Service:
    """One worker and the studies that it serves.

    Args:
        studies: names; empty is all.
        read: makes a study's job, with its data.
    """

    def __init__(self, worker: Worker, studies: Sequence[str], say: Say, read: ReadJob) -> None:
        self.worker, self.studies, self.say, self.read = worker, frozenset(studies), say, read
        self.refused: set[str] = set()
        self.benches: dict[StudyKey, Bench | None] = {}
        self.seen: list[OpenStudy] = []
        self.idle: set[StudyKey] = set()
        self.seen_at = float("-inf")
        self.trained = False

    def run(self, idle_exit: bool) -> None:
        """Serves until it is time to leave, or with ``idle_exit`` until nothing is left to do.

        Raises:
            StopRequested: it is time to leave, and the database does not answer.
            StorageError: the database cannot be used.
            TrainingError: the studies that are left cannot be trained here.
        """
        while not self.worker.leaving():
            studies = self._open_studies()
            if any(self._step(study) for study in studies if study.ready):
                self.trained = True
                continue
            if self.trained:  # perhaps the last one: written and read again at once
                self.trained, self.seen_at = False, float("-inf")
                self.worker.patiently(self.worker.outbox.flush)
                continue
            usable = idle_exit and any(map(self._may_train, studies))
            if idle_exit and not usable and not self._paused():
                self._check_refused()
                return
            self._doze()

    def _open_studies(self) -> list[OpenStudy]:
        """Open studies that need trials, the oldest first; read once a second, in one statement."""
        if time.monotonic() - self.seen_at >= POLL_SECONDS:
            studies = self.worker.patiently(self.worker.storage.served)
            self.seen = [each for each in studies if not self.studies or each.name in self.studies]
            self.seen_at = time.monotonic()
            self.idle.clear()
            self._drop_closed({_key(each) for each in studies})
        return self.seen

    def _drop_closed(self, known: Set[StudyKey]) -> None:
        """Drops studies that are complete, closed, or deleted."""
        for key in self.benches.keys() - known:
            bench = self.benches.pop(key)
            if bench is not None:
                self.worker.milestones.finish(bench.job)
            self.worker.storage.mirrors.forget(key[0])

    def _step(self, study: OpenStudy) -> bool:
        """Trains one trial; false if there is none, or this worker cannot train it."""
        if self.worker.leaving() or _key(study) in self.idle or not self._usable(study):
            return False
        bench = self.benches[_key(study)]
        assert bench is not None
        try:
            with explaining_deletion(study.name):
                done = self.worker.step(bench)
        except (StorageError, LostDeviceError):
            raise
        except TunerError as error:
            return self._refuse(study, error)
        if not done:  # other workers hold the last ones; the next reading of studies shows more
            self.idle.add(_key(study))
        return done

    def _may_train(self, study: OpenStudy) -> bool:
        """Whether this worker may still train trials of it: not if its whole grid was tried."""
        bench = self.benches[_key(study)] if self._usable(study) else None
        return bench is not None and not self.worker.exhausted(bench)

    def _usable(self, study: OpenStudy) -> bool:
        """Whether this worker can train its trials; it reads the data the first time."""
        if _key(study) not in self.benches:
            self.benches[_key(study)] = None
            try:
                with explaining_deletion(study.name):
                    self.benches[_key(study)] = self._make_bench(study)
            except StorageError:
                raise
            except TunerError as error:
                self._refuse(study, error)
        return self.benches[_key(study)] is not None

    def _refuse(self, study: OpenStudy, error: TunerError) -> bool:
        self.say(f"cannot serve {study.name}: {error}")
        self.refused.add(study.name)
        self.benches[_key(study)] = None
        self.seen_at = float("-inf")  # it may be stopped or deleted
        return False

    def _make_bench(self, study: OpenStudy) -> Bench:
        storage = self.worker.storage
        stored, study_id = self.worker.patiently(lambda: stored_study(storage, study.name))
        job = self.read(stored, study_id)
        bench = self.worker.bench(self.worker.patiently(lambda: job.keep_rows(storage)))
        self.say(f"serving {study.name}")
        self.refused.discard(study.name)
        return bench

    def _paused(self) -> bool:
        """Whether a study that was named is paused before its budget is complete."""
        progresses = [self._progress(name) for name in self.studies]
        return any(each.state == PAUSED and not each.met for each in progresses if each is not None)

    def _check_refused(self) -> None:
        """Raises TrainingError if a study that cannot be served here is still unfinished."""
        progresses = {name: self._progress(name) for name in sorted(self.refused)}
        short = [name for name, each in progresses.items() if each is not None and not each.met]
        if short:
            raise TrainingError(
                "is unfinished: this worker cannot train its trials",
                where=", ".join(short),
                hint="see the lines above that begin with `cannot serve`",
            )

    def _progress(self, name: str) -> Progress | None:
        storage = self.worker.storage

        def look() -> Progress | None:
            with suppress(MissingError):  # it is not submitted yet, or was deleted
                return storage.progress(storage.get_study_id_from_name(name))
            return None

        return self.worker.patiently(look)

    def _doze(self) -> None:
        until = time.monotonic() + POLL_SECONDS
        while time.monotonic() < until and not self.worker.leaving():
            time.sleep(0.1)


# Serving in this process.


def serve(
    url: str,
    studies: Sequence[str] = (),
    *,
    device: str = "auto",
    idle_exit: bool = False,
    allow: Sequence[str] = (),
    say: Say = lambda _: None,
    artifacts: str | None = None,
) -> None:
    """Serves open studies in this process, the oldest first, until it is asked to leave.

    If the database, once reached, does not answer, it waits.

    Args:
        studies: serve these alone; empty is all.
        device: ``auto`` is the first GPU, or the CPU.
        allow: packages that studies may import; if empty, ``TUNER_ALLOW`` names them.
        idle_exit: leave when no open study has anything left to do, and none of `studies` is
            paused.
        say: called with a line for people.
        artifacts: as for ``RunOptions``.

    Raises:
        StorageError: the database cannot be used.
        TrainingError: with `idle_exit`, a study needs trials that cannot be trained here.
        KeyboardInterrupt: Ctrl-C, after the trial was given back.
        TerminatedError: with `idle_exit` the same after SIGTERM.
    """
    rules = of_operator(allow)
    leaving = Leaving()
    leaving.install()
    with allowing(rules):
        serve_until(leaving, url, studies, devices(device)[0], idle_exit, say, artifacts)
    check_asked(leaving.asked, idle_exit)


def check_asked(asked: signal.Signals | None, idle_exit: bool) -> None:
    """Raises if a signal ended the worker; errors as ``serve``."""
    if asked == signal.SIGINT:
        raise KeyboardInterrupt
    if asked == signal.SIGTERM and idle_exit:
        raise TerminatedError(
            "stopped by SIGTERM; the study is unfinished",
            hint="no result is lost; the next worker continues",
        )


def serve_until(
    leaving: Leaving,
    url: str,
    studies: Sequence[str],
    device: str,
    idle_exit: bool,
    say: Say,
    artifacts: str | None = None,
    read: ReadJob = prepared,
    announce: Callable[[LimitedTrial | None], None] | None = None,
) -> None:
    """Serves on one device until it is time to leave; StorageError, TrainingError as ``serve``.

    `announce` gets trials with a time limit, as ``Worker.announce``, for a parent that may end this
    process. An error of `read` that is no TunerError passes after the worker is closed.
    """
    worker = open_worker(url, device, leaving, say, artifacts)
    worker.announce = announce or worker.announce
    try:
        with suppress(StopRequested):
            Service(worker, studies, say, read).run(idle_exit)
    finally:
        worker.close()
        leaving.disarm()


# The data that the workers of one command share: their parent reads it before it forks them.


RENEWED = 75
"""The exit code of a worker that leaves to be forked anew."""
ShelfKey = tuple[int, str, str]


class RenewalError(Exception):
    """A worker met a study that its parent had not read when it forked it."""


class Shelf:
    """The jobs of the open studies, which the parent reads and its workers inherit.

    If processes are not forked, torch shares the tensors.

    Args:
        url: the database.
        studies: names; empty is all.
    """

    def __init__(self, url: str, studies: Sequence[str]) -> None:
        self._url, self._studies = url, frozenset(studies)
        self._jobs: dict[ShelfKey, Job | TunerError] = {}

    def fill(self) -> None:
        """Read the open studies that are missing, and drop those that are no longer open.

        If the database does not answer, nothing changes: workers wait for it, and ask again.

        Raises:
            StorageError: the database cannot be used.
        """
        with suppress(OutageError):
            storage = open_storage(self._url)
            try:
                self._fill(storage)
            finally:
                storage.close()

    def _fill(self, storage: Storage) -> None:
        wanted = {
            name for name in storage.open_studies() if not self._studies or name in self._studies
        }
        specs = {name: each for name, each in storage.having(SPEC).items() if name in wanted}
        left = {key: name for name, each in specs.items() if (key := _stored_key(name, *each))}
        self._jobs = {key: job for key, job in self._jobs.items() if key in left}
        for key in left.keys() - self._jobs.keys():
            self._jobs[key] = _read(storage, left[key])

    def job(self, study: Study, study_id: int) -> Job:
        """The job of a study, for a worker.

        Raises:
            RenewalError: the parent had not read it when it forked the worker.
            TunerError: the parent could not read it.
        """
        job = self._jobs.get(_shelf_key(study, study_id))
        if job is None:
            raise RenewalError
        if isinstance(job, TunerError):
            raise job
        return job


def _shelf_key(study: Study, study_id: int) -> ShelfKey:
    """Tells a study from a deleted one, whose id SQLite gives to the next."""
    return study_id, study.name, fingerprint(study.document)


def _stored_key(name: str, study_id: int, spec: str) -> ShelfKey | None:
    """The key of a stored study; None if it cannot be parsed, which the worker reports."""
    try:
        return _shelf_key(parse(name, document_of(name, spec)), study_id)
    except TunerError:
        return None


def _read(storage: Storage, name: str) -> Job | TunerError:
    try:
        return prepared(*stored_study(storage, name))
    except StorageError:
        raise
    except TunerError as error:
        return error


# Serving with several processes: ``tuner worker``.
#
# The parent reads each study's data once, and forks its workers with it. A worker that meets a
# newer study leaves between two trials, and is forked anew.


WAIT_SECONDS = 0.2
FORGIVEN_SECONDS = 60.0
"""After so many seconds the count of deaths starts anew."""


def serve_with(
    url: str,
    devices: Sequence[str],
    studies: Sequence[str] = (),
    *,
    idle_exit: bool = False,
    allow: Sequence[str] = (),
    say: Say = lambda _: None,
    artifacts: str | None = None,
) -> None:
    """Serves open studies with a process for each device; one that dies is replaced.

    Args:
        devices: the device of each worker, as ``tuner.run.options.worker_devices`` gives them.
        studies, idle_exit, allow, say, artifacts: as for ``serve``.

    Raises:
        TunerError: an error ended a worker, or too many died one after the other.
        KeyboardInterrupt: Ctrl-C, after the trials were given back.
        TerminatedError: with `idle_exit` the same after SIGTERM.
    """
    torch.set_num_threads(1)  # a forked child must not inherit a pool of threads
    leaving, allowed, shelf = Leaving(), of_operator(allow), Shelf(url, studies)
    leaving.install()

    def fill() -> None:
        with allowing(allowed), leaving.interruptible():
            shelf.fill()

    try:
        with suppress(StopRequested):
            fill()
            main = partial(_serve, url, studies, idle_exit, allowed, say, artifacts, shelf)
            _watch(
                Pool(main, devices, {RENEWED: fill}, partial(_record_overdue, url, say)), leaving
            )
    finally:
        leaving.disarm()
    check_asked(leaving.asked, idle_exit)


def _record_overdue(url: str, say: Say, over: LimitedTrial) -> None:
    """Records the end of an overdue trial; if that stops its study, others are served."""
    try:
        record_overdue_in(url, over)
    except TrainingError as error:
        say(f"cannot serve {over.study}: {error}")


def _watch(pool: Pool, leaving: Leaving) -> None:
    """Keeps the workers alive until it is time to leave, or all have left."""
    forgiven = time.monotonic()
    try:
        while not leaving() and pool.wait(WAIT_SECONDS):
            if time.monotonic() - forgiven > FORGIVEN_SECONDS:
                pool.progressed()
                forgiven = time.monotonic()
    finally:
        pool.leave()


def _serve(
    url: str,
    studies: Sequence[str],
    idle_exit: bool,
    allowed: Allowed,
    say: Say,
    artifacts: str | None,
    shelf: Shelf,
    device: str,
    pipe: Connection,
) -> None:
    with reporting_errors(pipe), allowing(allowed):
        try:
            serve_until(
                child_leaving(),
                url,
                studies,
                device,
                idle_exit,
                say,
                artifacts,
                read=shelf.job,
                announce=pipe.send,
            )
        except RenewalError:
            sys.exit(RENEWED)
