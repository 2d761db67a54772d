"""A worker for every open study of a database."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from tuner.allowed import allowing, of_operator
from tuner.errors import StorageError, TunerError
from tuner.run.options import devices
from tuner.run.prepare import prepared, stored_study
from tuner.run.process import open_worker
from tuner.study import Study
from tuner.worker import AnyJob, Worker
from tuner.worker.loop import Bench
from tuner.worker.signals import Leaving, StopRequested

POLL_SECONDS = 1.0
Read = Callable[[Study, int], AnyJob]


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
    """Serves open studies, the oldest first, until it is asked to leave.

    While the database does not answer it waits, once it has reached it.

    Args:
        studies: serve these alone; empty is all.
        device: ``auto`` is the first GPU, or the CPU.
        allow: packages that studies may import; none is what ``TUNER_ALLOW`` names.
        idle_exit: leave when no open study has anything left to do.
        say: called with a line for people.
        artifacts: as for ``RunOptions``.

    Raises:
        StorageError: the database cannot be used.
        KeyboardInterrupt: Ctrl-C, after the trial was given back.
    """
    rules = of_operator(allow)
    leaving = Leaving()
    leaving.install()
    with allowing(rules):
        serve_until(leaving, url, studies, devices(device)[0], idle_exit, say, artifacts)
    if leaving.asked == signal.SIGINT:
        raise KeyboardInterrupt


def serve_until(
    leaving: Leaving,
    url: str,
    studies: Sequence[str],
    device: str,
    idle_exit: bool,
    say: Callable[[str], None],
    artifacts: str | None = None,
    read: Read = prepared,
) -> None:
    """Serves on one device until it is time to leave; StorageError as ``serve``.

    What `read` raises, if it is no TunerError, passes once the worker is closed.
    """
    worker = open_worker(url, device, leaving, say, artifacts)
    try:
        with suppress(StopRequested):
            Service(worker, studies, say, read).run(idle_exit)
    finally:
        worker.close()
        leaving.gone()


class Service:
    """One worker and the studies that it serves.

    Args:
        studies: names; empty is all.
        read: makes a study's job, with its data.
    """

    def __init__(
        self, worker: Worker, studies: Sequence[str], say: Callable[[str], None], read: Read
    ) -> None:
        self.worker, self.studies, self.say, self.read = worker, frozenset(studies), say, read
        self.benches: dict[int, Bench | None] = {}
        self.seen: dict[str, int] = {}
        self.seen_at = float("-inf")

    def run(self, idle_exit: bool) -> None:
        """Ends when it is time to leave, or with ``idle_exit`` when nothing is left to do.

        Raises:
            StopRequested: it is time to leave, and the database does not answer.
            StorageError: the database cannot be used.
        """
        while not self.worker.leaving():
            left = self._left()
            if any(self._step(name, study_id) for name, study_id in left.items()):
                continue
            usable = [i for i in left.values() if self.benches.get(i) is not None]
            if idle_exit and not usable:
                return
            self._doze()

    def _left(self) -> dict[str, int]:
        """Open studies that need trials, the oldest first; read once a second."""
        if time.monotonic() - self.seen_at >= POLL_SECONDS:
            storage = self.worker.storage
            found = self.worker.patiently(storage.open_studies)
            self.seen = {n: i for n, i in found.items() if not self.studies or n in self.studies}
            self.seen_at = time.monotonic()
            for gone in self.benches.keys() - found.values():
                bench = self.benches.pop(gone)
                if bench is not None:
                    self.worker.milestones.finish(bench.job)
        return self.seen

    def _step(self, name: str, study_id: int) -> bool:
        """Trains one trial; false if there is none, or this worker cannot train it."""
        if self.worker.leaving():
            return False
        try:
            if study_id not in self.benches:
                self.benches[study_id] = None
                self.benches[study_id] = self._bench(name)
            bench = self.benches[study_id]
            return bench is not None and self.worker.step(bench)
        except StorageError:
            raise
        except TunerError as error:
            self.say(f"cannot serve {name}: {error}")
            self.benches[study_id] = None
            self.seen_at = float("-inf")  # it may be stopped or deleted
            return False

    def _bench(self, name: str) -> Bench:
        study, study_id = self.worker.patiently(lambda: stored_study(self.worker.storage, name))
        bench = self.worker.bench(self.read(study, study_id))
        self.say(f"serving {name}")
        return bench

    def _doze(self) -> None:
        until = time.monotonic() + POLL_SECONDS
        while time.monotonic() < until and not self.worker.leaving():
            time.sleep(0.1)
