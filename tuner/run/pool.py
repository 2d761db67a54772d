"""Starts worker processes on this machine, replaces dead ones and stops them."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkContext, SpawnContext
from multiprocessing.process import BaseProcess
from types import MappingProxyType
from typing import Protocol

from tuner.errors import TrainingError, TunerError, UsageError
from tuner.imports import allowed
from tuner.logs import Say
from tuner.run.options import RunOptions, worker_devices
from tuner.run.process import deadline_of, run_worker, signals_held_back, tell_over
from tuner.worker.job import Job
from tuner.worker.overdue import Begun, Term

# Messages and deaths of the workers of a run.


DEATHS = 5
"""So many deaths per worker, and no trial that ended in between, end the run."""


class Toll:
    """Counts deaths, adds up times, and keeps the first error.

    Args:
        workers: how many there are.

    Attributes:
        spent: seconds of the workers that ended, by what they went into.
        error: what a worker could not deal with.
    """

    def __init__(self, workers: int) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self.error: TunerError | None = None
        self._deaths, self._most = 0, DEATHS * workers

    def hear(self, said: TunerError | Mapping[str, float]) -> None:
        """An error, or where a worker's time went."""
        if isinstance(said, TunerError):
            self.error = self.error or said
            return
        for name, seconds in said.items():
            self.spent[name] += seconds

    def died(self, how: str) -> None:
        """A worker is to be replaced.

        Raises:
            TrainingError: too many died.
        """
        self._deaths += 1
        if self._deaths > self._most:
            raise TrainingError(
                f"workers died {self._deaths} times and no trial ended, the last with {how}",
                hint="check the memory, or use fewer --workers",
            )

    def forgive(self) -> None:
        """A trial ended: whatever kills workers, the study gets on."""
        self._deaths = 0

    def check(self) -> None:
        """Raises the first error, if there is one."""
        if self.error is not None:
            raise self.error


# The interface of a place for workers, and the workers started there.


@dataclass(frozen=True)
class Order:
    """What workers are to do.

    Args:
        url: the database.
        job: the study, in that database.
        seconds: after which they leave; none is never.
        most: more of them would have nothing to do.
        alive: whether a worker is alive, by what the database knows.
    """

    url: str
    job: Job
    seconds: float | None
    most: int
    alive: Callable[[], bool]


class Crew(Protocol):
    """Workers that were started; one that dies is replaced."""

    @property
    def spent(self) -> Mapping[str, float]:
        """Seconds of the workers that ended, by what they went into."""

    def wait(self, seconds: float) -> bool:
        """Waits until a worker ends or the time is over; whether any is still running.

        Raises:
            TunerError: what a worker could not deal with, or too many died.
        """

    def progressed(self) -> None:
        """A trial ended."""

    def met(self) -> None:
        """The study needs no more trials."""

    def leave(self) -> None:
        """Asks all workers to give their trials back and leave, and waits for them."""


class Place(Protocol):
    """Where workers can be started."""

    def start(self, order: Order) -> Crew:
        """Starts workers; what they are asked for, and no more than have something to do."""


# The pool: starts workers, replaces dead ones and stops them.


LEAVE_SECONDS = 10.0


@dataclass(frozen=True)
class Child:
    """A worker's process, what it says, and until when its trial may last.

    Each has a pipe of its own: a process that is killed while it writes harms no other.
    """

    process: BaseProcess
    device: str
    said: Connection
    term: Term = field(default_factory=Term)


def _of_thread(main: Callable[[str, Connection], None], device: str, said: Connection) -> None:
    """What runs in a process that another thread than the main one started.

    It leaves at once when it is done: what a program does when it ends, such as to wait for the
    threads of an executor, is for the process that has those threads.
    """
    code: object = 1
    try:
        main(device, said)
        code = 0
    except SystemExit as error:
        code = error.code
    except BaseException:
        traceback.print_exc()
    finally:
        said.close()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))


class Pool:
    """Processes that do the same on their devices.

    A worker on Linux is forked, so that it shares the imported modules and the data; elsewhere it
    is spawned, and torch shares the data's tensors.

    Args:
        main: what runs in each: called with its device, and where to say how it went.
        devices: one for each worker.
        again: what to do before a worker that ended with an exit code is started again, which
            is then no death.
        over: told of a trial that did not end when its time limit was over, once its worker,
            which is replaced, is ended.
    """

    def __init__(
        self,
        main: Callable[[str, Connection], None],
        devices: Sequence[str],
        again: Mapping[int, Callable[[], None]] = MappingProxyType({}),
        over: Callable[[Begun], None] = lambda _: None,
    ) -> None:
        linux = sys.platform == "linux"
        self._context: ForkContext | SpawnContext = (
            multiprocessing.get_context("fork") if linux else multiprocessing.get_context("spawn")
        )
        self._main, self._again, self._over = main, again, over
        self._toll = Toll(len(devices))
        self._running: list[Child] = []
        try:
            for device in devices:
                self._running.append(self._start(device))
        except BaseException:
            self.leave()
            raise

    @property
    def spent(self) -> dict[str, float]:
        """Seconds of the workers that ended, by what they went into."""
        return self._toll.spent

    def _start(self, device: str) -> Child:
        ours, theirs = self._context.Pipe(duplex=False)
        main = self._main
        if threading.current_thread() is not threading.main_thread():
            main = partial(_of_thread, main)
        process = self._context.Process(target=main, args=(device, theirs), daemon=True)
        with signals_held_back():
            process.start()
        theirs.close()
        return Child(process, device, ours)

    def wait(self, seconds: float) -> bool:
        """Waits until a worker ends or the time is over; whether any is still running.

        Raises:
            TunerError: what a worker could not deal with, or too many died.
        """
        wait([child.process.sentinel for child in self._running], timeout=seconds)
        for child in [child for child in self._running if child.process.exitcode is not None]:
            self._running.remove(child)
            self._listen(child)
            code = child.process.exitcode or 0
            if code == 0 or self._toll.error is not None:
                continue
            if code in self._again:
                self._again[code]()
            else:
                self._toll.died(f"exit code {code}")
            self._running.append(self._start(child.device))
        self._toll.check()
        self._end_overdue()
        return bool(self._running)

    def _end_overdue(self) -> None:
        """Ends the workers whose trials should have ended, and starts others."""
        for child in list(self._running):
            self._hear(child)
            over = child.term.overdue
            if over is None:
                continue
            child.process.kill()
            child.process.join()
            self._running.remove(child)
            self._listen(child)
            self._running.append(self._start(child.device))
            self._over(over)

    def progressed(self) -> None:
        """A trial ended: whatever kills workers, the study gets on."""
        self._toll.forgive()

    def met(self) -> None:
        """The study needs no more trials: they see that themselves, and leave."""

    def _listen(self, child: Child) -> None:
        """Takes in what a worker said before it ended."""
        self._hear(child)
        child.said.close()

    def _hear(self, child: Child) -> None:
        """Takes in what a worker has said by now."""
        with suppress(EOFError, OSError):  # it said all, or was killed while it said something
            while child.said.poll():
                said = child.said.recv()
                if said is None or isinstance(said, Begun):
                    child.term.hear(said)
                else:
                    self._toll.hear(said)

    def leave(self) -> None:
        """Asks all workers to give their trials back and leave, and waits for them."""
        for child in self._running:
            if child.process.is_alive():
                child.process.terminate()
        until = time.monotonic() + LEAVE_SECONDS
        try:
            for child in self._running:
                child.process.join(max(0.0, until - time.monotonic()))
        finally:  # also when somebody cannot wait
            for child in self._running:
                if child.process.is_alive():
                    child.process.kill()
                    child.process.join()


# Workers that are processes of this machine.


@dataclass(frozen=True)
class Here:
    """This machine.

    Args:
        devices: of each worker.
        artifacts: where the best trials' files go, as in ``RunOptions``.
    """

    devices: tuple[str, ...]
    artifacts: str | None = None

    def start(self, order: Order) -> Pool:
        deadline = deadline_of(order.seconds)
        main = partial(
            run_worker, order.url, order.job, deadline, allowed(), artifacts=self.artifacts
        )
        return Pool(main, self.devices[: order.most], over=partial(tell_over, order.url))


@contextmanager
def here(options: RunOptions, address: str, say: Say) -> Iterator[Here]:
    """This machine, for the options' workers.

    Raises:
        UsageError: unknown devices, wrong numbers, or an option that needs an engine.
    """
    if address:
        raise UsageError("has no address", where="--on here", hint="only ray:ADDRESS takes one")
    if options.gpus_per_worker:
        raise UsageError(
            "needs --on ray",
            where="--gpus-per-worker",
            hint="on this machine a worker uses the GPU that --device names",
        )
    yield Here(tuple(worker_devices(options)), options.artifacts)
