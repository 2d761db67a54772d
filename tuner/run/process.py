"""The entry point of a worker's process."""

from __future__ import annotations

import logging
import math
import os
import signal
import socket
import sys
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import optuna
import torch

from tuner.errors import LostDeviceError, TrainingError, TunerError, UsageError
from tuner.imports import Allowed, allowing
from tuner.logs import Say, gather, note
from tuner.run.publish import Publisher
from tuner.storage import artifact_store, open_storage
from tuner.storage.lease import LEASE_SECONDS
from tuner.worker.job import Job
from tuner.worker.loop import Worker
from tuner.worker.overdue import OVERDUE, LimitedTrial, record_overdue
from tuner.worker.signals import Leaving, Patience, StopRequested

REFRESH_SECONDS, LOCAL_REFRESH_SECONDS = 0.5, 0.1
"""How old, in seconds, a worker's view of other workers' trials may be."""
LEASE_VARIABLE, SPOOL_VARIABLE = "TUNER_LEASE", "TUNER_SPOOL"
LOST_DEVICE = 76
"""The exit code of a worker whose device works in a new process alone."""
REPLACED = (LOST_DEVICE, OVERDUE)
"""The exit codes of workers in whose place another one starts, and that did not die."""
SIGNALS = {signal.SIGINT, signal.SIGTERM}


def new_holder() -> str:
    """A name for a worker that no other has."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def spool_folder() -> Path:
    """The folder for results that cannot be written yet: TUNER_SPOOL, or in the user's cache.

    Raises:
        UsageError: it cannot be written.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get(SPOOL_VARIABLE) or Path(cache) / "tuner" / "spool")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        hint = f"set {SPOOL_VARIABLE} to another folder, for results that wait for the database"
        raise UsageError(
            f"cannot be made: {error.strerror}", where=str(folder), hint=hint
        ) from None
    return folder


def lease_seconds() -> float:
    """How long a lease lasts without being renewed: TUNER_LEASE, or 30 seconds.

    Raises:
        UsageError: it is not a number above 0.
    """
    text = os.environ.get(LEASE_VARIABLE, str(LEASE_SECONDS))
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise UsageError(
            f"{text!r} is not a time", where=LEASE_VARIABLE, hint="give seconds, such as 30"
        )
    return seconds


def quiet() -> None:
    """Silences Optuna's log, and that of SQLAlchemy's pool about broken connections."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    gather()


def open_worker(
    url: str,
    device: str,
    leaving: Leaving,
    say: Say = note,
    artifacts: str | None = None,
) -> Worker:
    """A worker with connections of its own, registered in the database."""
    quiet()
    torch.set_num_threads(1)
    if device != "cpu":
        torch.get_device_module(device).set_device(
            device
        )  # or each worker takes some memory of the first GPU too
    storage = open_storage(url, lease_seconds=lease_seconds())
    storage.mirrors.refresh_interval = REFRESH_SECONDS if storage.remote else LOCAL_REFRESH_SECONDS
    holder = new_holder()
    storage.claims.register(holder, socket.gethostname(), os.getpid(), device)
    store = artifact_store(storage, artifacts)
    publisher = Publisher(storage, store)
    return Worker(
        storage, holder, torch.device(device), leaving, spool_folder(), say, store, publisher
    )


def run_worker(
    url: str,
    job: Job,
    deadline: float | None,
    allowed: Allowed,
    device: str,
    pipe: Connection,
    artifacts: str | None = None,
) -> None:
    """The main function of a worker's process that trains one job.

    Args:
        deadline: ``time.monotonic()`` after which to leave.
        allowed: the modules that the parent may import, and so this process too.
        pipe: for messages to the parent: errors, limited trials, and where the time went.
        artifacts: as for ``RunOptions``.
    """
    with reporting_errors(pipe), allowing(allowed):
        leaving = child_leaving()
        opening = partial(open_worker, url, device, leaving, artifacts=artifacts)
        work(opening, job, deadline, leaving, pipe)


def child_leaving() -> Leaving:
    """The ``Leaving`` of a process that another one started; from now on it receives signals."""
    leaving = Leaving(parent=os.getppid())
    leaving.install(ctrl_c=False)  # the parent gets it too, and sends SIGTERM
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    return leaving


@contextmanager
def reporting_errors(pipe: Connection) -> Iterator[None]:
    """Sends an error within to the parent; where the device is lost, leaves to be replaced."""
    try:
        yield
    except StopRequested:
        return
    except LostDeviceError as error:
        note(f"a worker leaves, and another takes its place: {error}")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(LOST_DEVICE)  # Python's own exit frees what is on the device, which may abort
    except TunerError as error:
        pipe.send(error)
    except Exception as error:
        what = f"a worker failed: {type(error).__name__}: {error}"
        pipe.send(TrainingError(what, hint=traceback.format_exc()))


def work(
    opening: Callable[[], Worker],
    job: Job,
    deadline: float | None,
    leaving: Leaving,
    pipe: Connection,
) -> None:
    """Trains a job until nothing is left to do, or it is time to leave."""
    worker = Patience(leaving, note)(opening)
    worker.announce = pipe.send
    try:
        worker.work(job, deadline)
    finally:
        worker.close()
        leaving.disarm()
        pipe.send(dict(worker.clock.spent))


def record_overdue_in(url: str, over: LimitedTrial) -> None:
    """Records the end of an overdue trial in a database; errors as ``record_overdue``."""
    note(f"{over.study}: trial {over.number} did not stop at its time limit; its worker was ended")
    storage = open_storage(url)
    try:
        record_overdue(storage, over)
    finally:
        storage.close()


@contextmanager
def signals_held_back() -> Iterator[None]:
    """Blocks signals, so that a process that is started within gets them when it is ready."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def deadline_of(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout
