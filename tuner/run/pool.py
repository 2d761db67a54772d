"""Worker processes on this machine: started, replaced when they die, asked to leave."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from multiprocessing.connection import wait
from multiprocessing.context import ForkContext, SpawnContext
from multiprocessing.process import BaseProcess
from multiprocessing.queues import SimpleQueue

from tuner.errors import TrainingError, TunerError
from tuner.run.process import Spent, run_worker
from tuner.worker import Job

LEAVE_SECONDS = 10.0
DEATHS = 5
"""So many deaths per worker without a word end the run: something kills them."""


class Pool:
    """Processes that train one job.

    A worker on Linux is forked, so that it shares the imported modules and the data; elsewhere it
    is spawned, and torch shares the data's tensors.

    Args:
        devices: one for each worker.
        deadline: ``time.monotonic()`` after which workers leave.
    """

    def __init__(self, url: str, devices: Sequence[str], job: Job, deadline: float | None) -> None:
        linux = sys.platform == "linux"
        self._context: ForkContext | SpawnContext = (
            multiprocessing.get_context("fork") if linux else multiprocessing.get_context("spawn")
        )
        self._said: SimpleQueue[TunerError | Spent] = self._context.SimpleQueue()
        self._arguments = url, job, deadline
        self.spent: dict[str, float] = defaultdict(float)
        self._errors: list[TunerError] = []
        self._deaths, self._most = 0, DEATHS * len(devices)
        self._running = {at: self._start(device) for at, device in enumerate(devices)}
        self._devices = list(devices)

    def _start(self, device: str) -> BaseProcess:
        url, job, deadline = self._arguments
        arguments = (url, device, job, deadline, self._said)
        process = self._context.Process(target=run_worker, args=arguments, daemon=True)
        process.start()
        return process

    def wait(self, seconds: float) -> bool:
        """Waits until a worker ends or the time is over; whether any is still running.

        Raises:
            TunerError: what a worker could not deal with, or too many died.
        """
        wait([process.sentinel for process in self._running.values()], timeout=seconds)
        for at, process in list(self._running.items()):
            if process.exitcode is None:
                continue
            del self._running[at]
            self._listen()
            if process.exitcode != 0 and not self._errors:
                self._replace(at, process.exitcode)
        if self._errors:
            raise self._errors[0]
        return bool(self._running)

    def _listen(self) -> None:
        while not self._said.empty():
            said = self._said.get()
            if isinstance(said, TunerError):
                self._errors.append(said)
            else:
                for name, seconds in said.items():
                    self.spent[name] += seconds

    def _replace(self, at: int, exitcode: int) -> None:
        self._deaths += 1
        if self._deaths > self._most:
            raise TrainingError(
                f"workers died {self._deaths} times, the last with exit code {exitcode}",
                hint="is there enough memory? try fewer --workers",
            )
        self._running[at] = self._start(self._devices[at])

    def leave(self) -> None:
        """Asks all workers to give their trials back and leave, and waits for them."""
        for process in self._running.values():
            if process.is_alive():
                process.terminate()
        until = time.monotonic() + LEAVE_SECONDS
        for process in self._running.values():
            process.join(max(0.0, until - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()
