"""What runs in a worker's process."""

from __future__ import annotations

import os
import socket
import time
import uuid
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import optuna
import torch

from tuner.errors import TunerError
from tuner.storage import Storage, open_storage
from tuner.worker import Job, Worker
from tuner.worker.signals import Leaving

Spent = dict[str, float]
"""Seconds by what they went into."""

REFRESH_SECONDS = 0.5
"""How old a worker's picture of the others' trials may be."""


def new_holder() -> str:
    """A name for a worker that no other has."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def spool_folder() -> Path:
    """Where results wait that cannot be written for now."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("TUNER_SPOOL") or Path(cache) / "tuner" / "spool")


def open_worker(url: str, device: str, leaving: Leaving) -> Worker:
    """A worker with connections of its own, registered in the database."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    torch.set_num_threads(1)
    storage: Storage = open_storage(url)
    storage.refresh_interval = REFRESH_SECONDS
    holder = new_holder()
    storage.register_worker(holder, socket.gethostname(), os.getpid(), device)
    return Worker(storage, holder, torch.device(device), leaving, spool_folder())


def run_worker(
    url: str, device: str, job: Job, deadline: float | None, said: SimpleQueue[TunerError | Spent]
) -> None:
    """The main function of a worker's process; where its time went and what went
    wrong go into ``said``."""
    leaving = Leaving()
    leaving.install()
    try:
        worker = open_worker(url, device, leaving)
        try:
            worker.work(job, deadline)
        finally:
            worker.close()
            said.put(dict(worker.clock.spent))
    except TunerError as error:
        said.put(error)


def deadline_of(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout
