"""Runs a worker that an engine started on some machine: ``python -m tuner.run.errand PIPE``."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from threading import Event
from types import FrameType
from typing import Any

from tuner.errors import TunerError, UsageError
from tuner.imports import allowing, of_operator
from tuner.logs import note
from tuner.run.options import devices
from tuner.run.pool import LEAVE_SECONDS
from tuner.run.prepare import prepared, stored_study
from tuner.run.process import child_leaving, deadline_of, open_worker, tell_over, telling, work
from tuner.storage import opened
from tuner.worker.job import Job
from tuner.worker.overdue import Begun, Term
from tuner.worker.signals import Patience

# A worker that an engine started on some machine, with a short description of its work.
#
# The process that the engine runs starts another one for the worker and hands the errand over a
# pipe: so signals are the worker's own, and the database's password stands in no list of processes
# and in no environment.


CHILD = "tuner.run.errand"
LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Errand:
    """What a worker is to do.

    Args:
        url: the database, which the worker's machine reaches too.
        study: a study in it.
        seconds: after which to leave; none is never.
        allow: packages that the study may import; none is what the machine's TUNER_ALLOW names.
        device: ``cpu``, or ``cuda`` for the first GPU that the engine lets it see.
        artifacts: where the best trials' files go, as in ``RunOptions``.
        version: of the tuner that wrote it.
    """

    url: str = field(repr=False)
    study: str
    seconds: float | None
    allow: tuple[str, ...]
    device: str
    artifacts: str | None = None
    version: str = field(default_factory=partial(version, "tuner"))

    def check(self) -> None:
        """Whether this machine's tuner wrote it too.

        Raises:
            UsageError: it may mean something else here.
        """
        here = version("tuner")
        if self.version != here:
            raise UsageError(
                f"this machine has tuner {here}, and the run was started by {self.version}",
                where=socket.gethostname(),
                hint="install the same version of tuner on all machines",
            )


@dataclass(frozen=True)
class ErrandResult:
    """How it went.

    Args:
        host: where.
        code: the exit code; a signal's number below 0.
        said: errors, and where the time went.
    """

    host: str
    code: int
    said: tuple[Any, ...]


def run(errand: Errand) -> ErrandResult:
    """Runs a worker in a process of its own, until it ends or Ctrl-C is heard.

    One whose trial does not end when its time is over is ended, and another one takes its place.
    """
    said: list[Any] = []
    with _asked() as asked:
        while True:
            over, code = _watched(errand, asked, said)
            if over is None:
                return ErrandResult(socket.gethostname(), code, tuple(said))
            try:
                tell_over(errand.url, over)
            except TunerError as error:
                return ErrandResult(socket.gethostname(), 1, (*said, error))


def _watched(errand: Errand, asked: Event, said: list[Any]) -> tuple[Begun | None, int]:
    """The trial for which the worker was ended, if it was; its exit code; what it said is added."""
    term = Term()

    def hear() -> None:
        with suppress(EOFError, OSError):  # it said all, or was killed while it said something
            while ours.poll():
                told = ours.recv()
                if told is None or isinstance(told, Begun):
                    term.hear(told)
                else:
                    said.append(told)

    ours, theirs = Pipe()
    with ours:
        command = [sys.executable, "-P", "-m", CHILD, str(theirs.fileno())]
        with subprocess.Popen(command, pass_fds=[theirs.fileno()]) as child:
            theirs.close()
            over = None
            try:
                with suppress(OSError):  # it died before it listened
                    ours.send(errand)
                while child.poll() is None and not asked.is_set() and over is None:
                    time.sleep(LOOK_SECONDS)
                    hear()
                    over = term.overdue
            finally:
                child.kill() if over is not None else _end(child)
        hear()
        return over, child.returncode


@contextmanager
def _asked() -> Iterator[Event]:
    """Set when Ctrl-C is heard, which interrupts nothing."""
    asked = Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        asked.set()

    before = signal.signal(signal.SIGINT, on_signal)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        with suppress(subprocess.TimeoutExpired):
            child.wait(LEAVE_SECONDS)
        child.kill()


# The process of a worker that does an errand: ``python -m tuner.run.errand PIPE``.


def main(said: Connection) -> None:
    """Trains the errand's study, which it reads from the database, until nothing is left to do."""
    with telling(said):
        errand: Errand = said.recv()  # which another version of tuner may not be able to read
        errand.check()
        deadline = deadline_of(errand.seconds)
        leaving = child_leaving()
        with allowing(of_operator(errand.allow)):
            device = devices(errand.device)[0]
            job = Patience(leaving, note)(lambda: _job(errand))
            place = errand.artifacts
            opening = partial(open_worker, errand.url, device, leaving, artifacts=place)
            work(opening, job, deadline, leaving, said)


def _job(errand: Errand) -> Job:
    storage = opened(errand.url)
    try:
        return prepared(*stored_study(storage, errand.study)).keep_rows(storage)
    finally:
        storage.close()


if __name__ == "__main__":
    main(Connection(int(sys.argv[1])))
