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
from tuner.run.process import (
    REPLACED,
    child_leaving,
    deadline_of,
    open_worker,
    record_overdue_in,
    reporting_errors,
    work,
)
from tuner.storage import opened
from tuner.worker.job import Job
from tuner.worker.overdue import LimitedTrial, Term
from tuner.worker.signals import Patience

# An errand, and the process that an engine runs for it.
#
# That process starts another one for the worker, and sends it the errand over a pipe. So the worker
# has its own signals, and the database's password is in no list of processes and no environment.


CHILD = "tuner.run.errand"
LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Errand:
    """The work of one worker.

    Args:
        url: the database, which the worker's machine reaches too.
        study: a study in it.
        seconds: the time after which to leave; None is never.
        allow: packages that the study may import; if empty, those that the machine's TUNER_ALLOW
            names.
        device: ``cpu``, or ``cuda`` for the first GPU that the engine lets it see.
        artifacts: where the best trials' files go, as in ``RunOptions``.
        version: the version of tuner that made the errand.
    """

    url: str = field(repr=False)
    study: str
    seconds: float | None
    allow: tuple[str, ...]
    device: str
    artifacts: str | None = None
    version: str = field(default_factory=partial(version, "tuner"))

    def check(self) -> None:
        """Checks that this machine has the version of tuner that made the errand.

        Raises:
            UsageError: it has another one.
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
    """The end of an errand.

    Args:
        host: the machine's name.
        code: the exit code; below 0 a signal's number.
        messages: the worker's errors, and where its time went.
    """

    host: str
    code: int
    messages: tuple[Any, ...]


def run(errand: Errand) -> ErrandResult:
    """Runs a worker in a process of its own, until it ends or Ctrl-C interrupts it.

    A worker whose trial does not end at its time limit is ended and replaced; so is one that lost
    its device.
    """
    messages: list[Any] = []
    with _interrupts() as asked:
        while True:
            over, code = _run_worker(errand, asked, messages)
            if code in REPLACED:
                continue
            if over is None:
                return ErrandResult(socket.gethostname(), code, tuple(messages))
            try:
                record_overdue_in(errand.url, over)
            except TunerError as error:
                return ErrandResult(socket.gethostname(), 1, (*messages, error))


def _run_worker(
    errand: Errand, asked: Event, messages: list[Any]
) -> tuple[LimitedTrial | None, int]:
    """The overdue trial for which the worker was ended, or None, and its exit code.

    The worker's messages are added to `messages`.
    """
    term = Term()

    def receive() -> None:
        with suppress(EOFError, OSError):  # it closed its pipe, or was killed while it sent
            while ours.poll():
                message = ours.recv()
                if message is None or isinstance(message, LimitedTrial):
                    term.hear(message)
                else:
                    messages.append(message)

    ours, theirs = Pipe()
    with ours:
        command = [sys.executable, "-P", "-m", CHILD, str(theirs.fileno())]
        with subprocess.Popen(command, pass_fds=[theirs.fileno()]) as child:
            theirs.close()
            over = None
            try:
                with suppress(OSError):  # it died before it received
                    ours.send(errand)
                while child.poll() is None and not asked.is_set() and over is None:
                    time.sleep(LOOK_SECONDS)
                    receive()
                    over = term.overdue
            finally:
                child.kill() if over is not None else _end(child)
        receive()
        return over, child.returncode


@contextmanager
def _interrupts() -> Iterator[Event]:
    """An event that Ctrl-C sets, without interrupting anything."""
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


# The worker's process.


def main(pipe: Connection) -> None:
    """Trains the errand's study from the database until nothing is left to do."""
    with reporting_errors(pipe):
        errand: Errand = pipe.recv()  # which another version of tuner may not be able to read
        errand.check()
        deadline = deadline_of(errand.seconds)
        leaving = child_leaving()
        with allowing(of_operator(errand.allow)):
            device = devices(errand.device)[0]
            job = Patience(leaving, note)(lambda: _job(errand))
            place = errand.artifacts
            opening = partial(open_worker, errand.url, device, leaving, artifacts=place)
            work(opening, job, deadline, leaving, pipe)


def _job(errand: Errand) -> Job:
    storage = opened(errand.url)
    try:
        return prepared(*stored_study(storage, errand.study)).keep_rows(storage)
    finally:
        storage.close()


if __name__ == "__main__":
    main(Connection(int(sys.argv[1])))
