"""A worker for every open study of a database."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from contextlib import suppress

from tuner.allowed import allowing, of_operator
from tuner.errors import TerminatedError
from tuner.run.options import devices
from tuner.run.prepare import prepared
from tuner.run.process import open_worker
from tuner.run.service import Read, Service
from tuner.worker.overdue import Begun
from tuner.worker.signals import Leaving, StopRequested


def serve(
    url: str,
    studies: Sequence[str] = (),
    *,
    device: str = "auto",
    idle_exit: bool = False,
    allow: Sequence[str] = (),
    say: Callable[[str], None] = lambda _: None,
    artifacts: str | None = None,
) -> None:
    """Serves open studies in this process, the oldest first, until it is asked to leave.

    While the database does not answer it waits, once it has reached it.

    Args:
        studies: serve these alone; empty is all.
        device: ``auto`` is the first GPU, or the CPU.
        allow: packages that studies may import; none is what ``TUNER_ALLOW`` names.
        idle_exit: leave when no open study has anything left to do, nor one of `studies` is paused.
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
    """Whoever was asked to leave before it was done says so; errors as ``serve``."""
    if asked == signal.SIGINT:
        raise KeyboardInterrupt
    if asked == signal.SIGTERM and idle_exit:
        raise TerminatedError(
            "asked to leave before everything was trained",
            hint="nothing is lost, the next worker goes on",
        )


def serve_until(
    leaving: Leaving,
    url: str,
    studies: Sequence[str],
    device: str,
    idle_exit: bool,
    say: Callable[[str], None],
    artifacts: str | None = None,
    read: Read = prepared,
    telling: Callable[[Begun | None], None] | None = None,
) -> None:
    """Serves on one device until it is time to leave; StorageError, TrainingError as ``serve``.

    `telling` is told of trials with a time limit by whom this process may be ended and replaced.
    What `read` raises, if it is no TunerError, passes once the worker is closed.
    """
    worker = open_worker(url, device, leaving, say, artifacts)
    worker.telling = telling or worker.telling
    try:
        with suppress(StopRequested):
            Service(worker, studies, say, read).run(idle_exit)
    finally:
        worker.close()
        leaving.gone()
