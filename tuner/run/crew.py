"""Workers of one machine that serve a database's studies: ``tuner worker``.

The parent reads each study's data once, and its workers are forked with it. One that meets a study
which was handed in since gives back nothing, leaves between two trials, and is forked anew.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection

import torch

from tuner.allowed import Allowed, allowing, of_operator
from tuner.errors import TrainingError
from tuner.run.pool import Pool
from tuner.run.process import child_leaving, tell_over, telling
from tuner.run.serve import check_asked, serve_until
from tuner.run.shelf import RENEWED, RenewalError, Shelf
from tuner.worker.overdue import Begun
from tuner.worker.signals import Leaving, StopRequested

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
            _watch(Pool(main, devices, {RENEWED: fill}, partial(_over, url, say)), leaving)
    finally:
        leaving.gone()
    check_asked(leaving.asked, idle_exit)


def _over(url: str, say: Callable[[str], None], over: Begun) -> None:
    """Tells the end of a trial that did not end by itself; whatever follows, others are served."""
    try:
        tell_over(url, over)
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
    say: Callable[[str], None],
    artifacts: str | None,
    shelf: Shelf,
    device: str,
    said: Connection,
) -> None:
    with telling(said), allowing(allowed):
        try:
            leaving, place = child_leaving(), (artifacts, shelf.job, said.send)
            serve_until(leaving, url, studies, device, idle_exit, say, *place)
        except RenewalError:
            sys.exit(RENEWED)
