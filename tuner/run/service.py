"""The loop of a worker that serves studies: which one next, and when nothing is left to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence, Set
from contextlib import suppress

from tuner.errors import MissingError, StorageError, TrainingError, TunerError
from tuner.run.prepare import kept, stored_study
from tuner.storage import PAUSED, OpenStudy, Progress
from tuner.study import Study
from tuner.worker import AnyJob, Worker
from tuner.worker.loop import Bench, deleted

POLL_SECONDS = 1.0
Read = Callable[[Study, int], AnyJob]
Key = tuple[int, str, str | None]


def _key(study: OpenStudy) -> Key:
    """SQLite gives a deleted study's number to the next one, and a name may be taken anew."""
    return study.study_id, study.name, study.fingerprint


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
        self.benches: dict[Key, Bench | None] = {}
        self.seen: list[OpenStudy] = []
        self.idle: set[Key] = set()
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
            if any(self._step(study) for study in left if study.ready):
                continue
            usable = idle_exit and any(map(self._trains, left))
            if idle_exit and not usable and not self._paused():
                self._check_refused()
                return
            self._doze()

    def _left(self) -> list[OpenStudy]:
        """Open studies that need trials, the oldest first; read once a second, in one statement."""
        if time.monotonic() - self.seen_at >= POLL_SECONDS:
            found = self.worker.patiently(self.worker.storage.served)
            self.seen = [each for each in found if not self.studies or each.name in self.studies]
            self.seen_at = time.monotonic()
            self.idle.clear()
            self._let_go({_key(each) for each in found})
        return self.seen

    def _let_go(self, known: Set[Key]) -> None:
        """Keeps nothing of studies that are done, closed, or deleted."""
        for gone in self.benches.keys() - known:
            bench = self.benches.pop(gone)
            if bench is not None:
                self.worker.milestones.finish(bench.job)
            self.worker.storage.forget(gone[0])

    def _step(self, study: OpenStudy) -> bool:
        """Trains one trial; false if there is none, or this worker cannot train it."""
        if self.worker.leaving() or _key(study) in self.idle or not self._usable(study):
            return False
        bench = self.benches[_key(study)]
        assert bench is not None
        try:
            with deleted(study.name):
                done = self.worker.step(bench)
        except StorageError:
            raise
        except TunerError as error:
            return self._refuse(study, error)
        if not done:  # others took the last ones, until the next look says more
            self.idle.add(_key(study))
        return done

    def _trains(self, study: OpenStudy) -> bool:
        """Whether this worker may still train trials of it: not where all of a grid are tried."""
        bench = self.benches[_key(study)] if self._usable(study) else None
        return bench is not None and not self.worker.exhausted(bench)

    def _usable(self, study: OpenStudy) -> bool:
        """Whether this worker can train its trials."""
        if _key(study) not in self.benches:
            self.benches[_key(study)] = None
            try:
                with deleted(study.name):
                    self.benches[_key(study)] = self._bench(study)
            except StorageError:
                raise
            except TunerError as error:
                self._refuse(study, error)
        return self.benches[_key(study)] is not None

    def _refuse(self, study: OpenStudy, error: TunerError) -> bool:
        self.say(f"cannot serve {study.name}: {error}")
        self.refused.add(study.name)
        self.benches[_key(study)] = None
        self.seen_at = float("-inf")  # it may be stopped or deleted
        return False

    def _bench(self, study: OpenStudy) -> Bench:
        storage = self.worker.storage
        found, study_id = self.worker.patiently(lambda: stored_study(storage, study.name))
        job = self.read(found, study_id)
        bench = self.worker.bench(self.worker.patiently(lambda: kept(storage, job)))
        self.say(f"serving {study.name}")
        self.refused.discard(study.name)
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
            with suppress(MissingError):  # nobody submitted it yet, or it is deleted
                return storage.progress(storage.get_study_id_from_name(name))
            return None

        return self.worker.patiently(look)

    def _doze(self) -> None:
        until = time.monotonic() + POLL_SECONDS
        while time.monotonic() < until and not self.worker.leaving():
            time.sleep(0.1)
