"""The loop of a worker that serves studies: which one next, and when nothing is left to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from tuner.errors import StorageError, TrainingError, TunerError
from tuner.run.prepare import kept, stored_study
from tuner.storage import PAUSED, Progress
from tuner.study import Study
from tuner.worker import AnyJob, Worker
from tuner.worker.loop import Bench

POLL_SECONDS = 1.0
Read = Callable[[Study, int], AnyJob]


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
        self.refused: set[str] = set()
        self.benches: dict[int, Bench | None] = {}
        self.seen: dict[str, int] = {}
        self.seen_at = float("-inf")

    def run(self, idle_exit: bool) -> None:
        """Ends when it is time to leave, or with ``idle_exit`` when nothing is left to do.

        Raises:
            StopRequested: it is time to leave, and the database does not answer.
            StorageError: the database cannot be used.
            TrainingError: nothing is left that can be done here, but there is more to do.
        """
        while not self.worker.leaving():
            left = self._left()
            if any(self._step(name, study_id) for name, study_id in left.items()):
                continue
            benches = (self.benches.get(i) for i in left.values())
            usable = [b for b in benches if b is not None and not self.worker.exhausted(b)]
            if idle_exit and not usable and not self._paused():
                self._check_refused()
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
                storage.forget(gone)
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
            self.refused.add(name)
            self.benches[study_id] = None
            self.seen_at = float("-inf")  # it may be stopped or deleted
            return False

    def _bench(self, name: str) -> Bench:
        study, study_id = self.worker.patiently(lambda: stored_study(self.worker.storage, name))
        job = self.read(study, study_id)
        bench = self.worker.bench(self.worker.patiently(lambda: kept(self.worker.storage, job)))
        self.say(f"serving {name}")
        self.refused.discard(name)
        return bench

    def _paused(self) -> bool:
        """Whether a study that was named is to be gone on with."""
        found = [self._progress(name) for name in self.studies]
        return any(each.state == PAUSED and not each.met for each in found if each is not None)

    def _check_refused(self) -> None:
        """Whether somebody else finished or deleted what could not be served here."""
        found = {name: self._progress(name) for name in sorted(self.refused)}
        short = [name for name, each in found.items() if each is not None and not each.met]
        if short:
            raise TrainingError(
                "needs more trials, which could not be trained here",
                where=", ".join(short),
                hint="the lines above that begin with `cannot serve` say why",
            )

    def _progress(self, name: str) -> Progress | None:
        storage = self.worker.storage

        def look() -> Progress | None:
            with suppress(KeyError):  # nobody submitted it yet, or it is deleted
                return storage.progress(storage.get_study_id_from_name(name))
            return None

        return self.worker.patiently(look)

    def _doze(self) -> None:
        until = time.monotonic() + POLL_SECONDS
        while time.monotonic() < until and not self.worker.leaving():
            time.sleep(0.1)
