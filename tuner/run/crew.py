"""Several workers of one machine that serve a database's studies: ``tuner worker --workers N``."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection

import torch

from tuner.allowed import Allowed, allowing, of_operator
from tuner.run.pool import Pool
from tuner.run.process import child_leaving, telling
from tuner.run.serve import serve_until
from tuner.worker.signals import Leaving

WAIT_SECONDS = 0.2
FORGIVEN_SECONDS = 60.0
"""A worker that dies after so long does not count with those that died before."""


def serve_with(
    url: str,
    devices: Sequence[str],
    studies: Sequence[str] = (),
    *,
    idle_exit: bool = False,
    allow: Sequence[str] = (),
    say: Callable[[str], None] = lambda _: None,
    artifacts: str | None = None,
) -> None:
    """Serves open studies with a process for each device; one that dies is replaced.

    Args:
        devices: of each worker; ``tuner.run.options.worker_devices`` gives them.
        studies, idle_exit, allow, say, artifacts: as for ``serve``.

    Raises:
        TunerError: what a worker could not deal with, or too many died one after the other.
        KeyboardInterrupt: Ctrl-C, after the trials were given back.
    """
    torch.set_num_threads(1)  # a forked child must not inherit a pool of threads
    leaving = Leaving()
    leaving.install()
    pool = Pool(
        partial(_serve, url, studies, idle_exit, of_operator(allow), say, artifacts), devices
    )
    forgiven = time.monotonic()
    try:
        while not leaving() and pool.wait(WAIT_SECONDS):
            if time.monotonic() - forgiven > FORGIVEN_SECONDS:
                pool.progressed()
                forgiven = time.monotonic()
    finally:
        pool.leave()
        leaving.gone()
    if leaving.asked == signal.SIGINT:
        raise KeyboardInterrupt


def _serve(
    url: str,
    studies: Sequence[str],
    idle_exit: bool,
    allowed: Allowed,
    say: Callable[[str], None],
    artifacts: str | None,
    device: str,
    said: Connection,
) -> None:
    with telling(said), allowing(allowed):
        serve_until(child_leaving(), url, studies, device, idle_exit, say, artifacts)
