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

from tuner.devices import is_forkable
from tuner.errors import TrainingError, TunerError, UsageError
from tuner.imports import allowed
from tuner.logs import Say
from tuner.run.measure import chosen_devices
from tuner.run.options import RunOptions, worker_devices
from tuner.run.process import (
    REPLACED,
    deadline_of,
    record_overdue_in,
    run_worker,
    signals_held_back,
)
from tuner.worker.job import Job
from tuner.worker.overdue import LimitedTrial, Term

# Messages and deaths of the workers of a run.


DEATHS = 5
"""The run ends after more deaths per worker than this without a trial that ended in between."""


class Toll:
    """Counts deaths, adds up times, and keeps the first error.

    Args:
        workers: the number of workers.

    Attributes:
        spent: seconds of the workers that ended, by what they were spent on.
        error: the first error that ended a worker.
    """

    def __init__(self, workers: int) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self.error: TunerError | None = None
        self._deaths, self._most = 0, DEATHS * workers

    def hear(self, message: TunerError | Mapping[str, float]) -> None:
        """Takes in a worker's error, or where its time went."""
        if isinstance(message, TunerError):
            self.error = self.error or message
            return
        for name, seconds in message.items():
            self.spent[name] += seconds

    def died(self, how: str) -> None:
        """Counts a worker that died.

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
        """Starts counting anew when a trial ended, since the study makes progress."""
        self._deaths = 0

    def check(self) -> None:
        """Raises the first error, if there is one."""
        if self.error is not None:
            raise self.error


# The interface of a place for workers, and the workers started there.


@dataclass(frozen=True)
class Order:
    """The work of a run's workers.

    Args:
        url: the database.
        job: the job of the study, in that database.
        seconds: the time after which they leave; None is never.
        most: the number of workers that have something to do.
        alive: whether any worker is alive, according to the database.
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
        """Seconds of the workers that ended, by what they were spent on."""

    def wait(self, seconds: float) -> bool:
        """Waits until a worker ends or the time is over; whether any is still running.

        Raises:
            TunerError: an error ended a worker, or too many died.
        """

    def progressed(self) -> None:
        """To be called when a trial ended."""

    def met(self) -> None:
        """To be called when the study needs no more trials."""

    def leave(self) -> None:
        """Asks all workers to give their trials back and leave, and waits for them."""


class Place(Protocol):
    """Where workers can be started."""

    def start(self, order: Order) -> Crew:
        """Starts the workers of the options, but no more than have something to do."""


# A pool of processes.


LEAVE_SECONDS = 10.0


@dataclass(frozen=True)
class Child:
    """A worker's process, the pipe for its messages, and the time until which its trial may last.

    Each has a pipe of its own, so that one that is killed while it writes harms no other.
    """

    process: BaseProcess
    device: str
    pipe: Connection
    term: Term = field(default_factory=Term)


def _run_and_exit(main: Callable[[str, Connection], None], device: str, pipe: Connection) -> None:
    """Runs `main` in a process that a thread other than the main one forked, and exits at once.

    Python's own exit would wait for the threads of executors, which only the parent has.
    """
    code: object = 1
    try:
        main(device, pipe)
        code = 0
    except SystemExit as error:
        code = error.code
    except BaseException:
        traceback.print_exc()
    finally:
        pipe.close()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))


class Pool:
    """Processes that run the same function, each on its device.

    A worker on Linux is forked, so that it shares the imported modules and the data; elsewhere, and
    where this process has used a GPU, it is spawned, and torch shares the data's tensors.

    Args:
        main: the function that each runs, called with its device and a pipe for messages.
        devices: one for each worker.
        before_restart: by exit code, a function to call before a worker that ended with this code
            is started again; this does not count as a death. Nor does the end of one whose device
            was lost, or that ended itself with an overdue trial, which is counted as it ended.
        on_overdue: called with a trial that did not end at its time limit, after its worker was
            ended and replaced.
    """

    def __init__(
        self,
        main: Callable[[str, Connection], None],
        devices: Sequence[str],
        before_restart: Mapping[int, Callable[[], None]] = MappingProxyType({}),
        on_overdue: Callable[[LimitedTrial], None] = lambda _: None,
    ) -> None:
        forkable = is_forkable()
        self._context: ForkContext | SpawnContext = (
            multiprocessing.get_context("fork")
            if forkable
            else multiprocessing.get_context("spawn")
        )
        self._main, self._on_overdue = main, on_overdue
        self._before_restart = {**dict.fromkeys(REPLACED, lambda: None), **before_restart}
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
        """Seconds of the workers that ended, by what they were spent on."""
        return self._toll.spent

    def _start(self, device: str) -> Child:
        ours, theirs = self._context.Pipe(duplex=False)
        main = self._main
        forked = self._context.get_start_method() == "fork"
        if forked and threading.current_thread() is not threading.main_thread():
            main = partial(_run_and_exit, main)
        process = self._context.Process(target=main, args=(device, theirs), daemon=True)
        with signals_held_back():
            process.start()
        theirs.close()
        return Child(process, device, ours)

    def wait(self, seconds: float) -> bool:
        """Waits until a worker ends or the time is over; whether any is still running.

        Raises:
            TunerError: an error ended a worker, or too many died.
        """
        wait([child.process.sentinel for child in self._running], timeout=seconds)
        for child in [child for child in self._running if child.process.exitcode is not None]:
            self._running.remove(child)
            self._receive_last(child)
            code = child.process.exitcode or 0
            if code == 0 or self._toll.error is not None:
                continue
            if code in self._before_restart:
                self._before_restart[code]()
            else:
                self._toll.died(f"exit code {code}")
            self._running.append(self._start(child.device))
        self._toll.check()
        self._end_overdue()
        return bool(self._running)

    def _end_overdue(self) -> None:
        """Ends the workers whose trials are overdue, and starts others."""
        for child in list(self._running):
            self._receive(child)
            trial = child.term.overdue
            if trial is None:
                continue
            child.process.kill()
            child.process.join()
            self._running.remove(child)
            self._receive_last(child)
            self._running.append(self._start(child.device))
            self._on_overdue(trial)

    def progressed(self) -> None:
        """A trial ended."""
        self._toll.forgive()

    def met(self) -> None:
        """The study needs no more trials: the workers find that out themselves, and leave."""

    def _receive_last(self, child: Child) -> None:
        """Takes in the last messages of a worker that ended."""
        self._receive(child)
        child.pipe.close()

    def _receive(self, child: Child) -> None:
        """Takes in the messages of a worker."""
        with suppress(EOFError, OSError):  # it closed its pipe, or was killed while it sent
            while child.pipe.poll():
                message = child.pipe.recv()
                if message is None or isinstance(message, LimitedTrial):
                    child.term.hear(message)
                else:
                    self._toll.hear(message)

    def leave(self) -> None:
        """Asks all workers to give their trials back and leave, and waits for them."""
        for child in self._running:
            if child.process.is_alive():
                child.process.terminate()
        until = time.monotonic() + LEAVE_SECONDS
        try:
            for child in self._running:
                child.process.join(max(0.0, until - time.monotonic()))
        finally:  # also after a second Ctrl-C
            for child in self._running:
                if child.process.is_alive():
                    child.process.kill()
                    child.process.join()


# Workers that are processes of this machine.


@dataclass(frozen=True)
class Here:
    """This machine.

    Args:
        devices: the device of each worker.
        artifacts: where the best trials' files go, as in ``RunOptions``.
        choose: chooses the devices for a job instead.
    """

    devices: tuple[str, ...]
    artifacts: str | None = None
    choose: Callable[[Job], Sequence[str]] | None = None

    def start(self, order: Order) -> Pool:
        devices = self.devices if self.choose is None else self.choose(order.job)
        deadline = deadline_of(order.seconds)
        main = partial(
            run_worker, order.url, order.job, deadline, allowed(), artifacts=self.artifacts
        )
        return Pool(main, devices[: order.most], on_overdue=partial(record_overdue_in, order.url))


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
    devices = tuple(worker_devices(options))
    if options.device == "auto" and devices[0] != "cpu":
        count = None if options.workers == "auto" else len(devices)
        choose = partial(chosen_devices, workers=count, otherwise=devices, say=say)
        yield Here(devices, options.artifacts, choose)
    else:
        yield Here(devices, options.artifacts)
