"""The storage of a study: Optuna's interface, and what workers need beyond it."""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping, Sequence
from threading import RLock
from typing import Any

from optuna.study import StudyDirection

from tuner.storage import fences, history, progress, studies, terms, urls, versions
from tuner.storage.database import Database
from tuner.storage.history import Event
from tuner.storage.lease import LEASE_SECONDS, Lease, OpenStudy, Progress, Update
from tuner.storage.leasing import Leasing


class Storage(Leasing):
    """Trials in an SQL database that Optuna and its dashboard read and write too.

    May be used by several threads, pickled (it connects anew), and used in forked children.

    Attributes:
        lease_seconds: how long a lease lasts without being renewed.
    """

    def __init__(
        self,
        url: str,
        *,
        engine_kwargs: Mapping[str, Any] | None = None,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        parsed = urls.parse(url)
        if parsed.get_backend_name() == "sqlite":
            urls.check_file(parsed)
        super().__init__(Database(parsed, dict(engine_kwargs or {}), shown=urls.redact(url)))
        self._arguments = {"url": url, "engine_kwargs": engine_kwargs}
        self.lease_seconds = lease_seconds
        versions.ensure(self.database)
        _storages.add(self)

    @property
    def url(self) -> str:
        """The URL as it was given, without its password."""
        return self.database.shown

    @property
    def remote(self) -> bool:
        """Whether the database is a server, which may crash while this process lives."""
        return self.database.dialect != "sqlite"

    def __getstate__(self) -> dict[str, Any]:
        settings = {
            "lease_seconds": self.lease_seconds,
            "refresh_interval": self.refresh_interval,
        }
        return self._arguments | settings

    def __setstate__(self, state: dict[str, Any]) -> None:
        interval = state.pop("refresh_interval")
        self.__init__(**state)  # type: ignore[misc]  # made anew, as if opened here
        self.refresh_interval = interval

    def join(
        self,
        name: str,
        *,
        direction: str,
        metric: str,
        spec: str,
        fingerprint: str,
        budget: int,
        data: Mapping[str, Any] | None = None,
        replicates: str | None = None,
    ) -> int:
        """Create the study or join it, whoever comes first; its id.

        Nothing that the study has already is overwritten: compare its fingerprint afterwards.

        Args:
            direction: "minimize" or "maximize".
            budget: complete and pruned trials that make the study finished.
            data: what identifies its rows.
            replicates: the study of whose configurations this one holds trainings.
        """
        attrs: dict[str, Any] = {studies.SPEC: spec, studies.FINGERPRINT: fingerprint}
        attrs |= {studies.DATA: data} if data is not None else {}
        attrs |= {studies.REPLICATES: replicates} if replicates is not None else {}
        toward = StudyDirection[direction.upper()]
        with self.database.write() as connection:
            return studies.join(connection, name, toward, metric, attrs, budget)

    def keep_data(self, study_id: int, record: Mapping[str, Any]) -> dict[str, Any]:
        """Keep what identifies a study's rows, whoever comes first; what is kept."""
        with self.database.write() as connection:
            return studies.keep_data(connection, study_id, record)

    def set_budget(self, study_id: int, budget: int) -> None:
        with self.database.write() as connection:
            terms.set_budget(connection, study_id, budget)

    def set_study_state(self, study_id: int, state: str) -> None:
        """`open` hands out trials, `paused` and `stopped` do not."""
        with self.database.write() as connection:
            terms.set_state(connection, study_id, state)

    def progress(self, study_id: int) -> Progress:
        with self.database.read() as connection:
            return progress.progress(connection, study_id)

    def seconds_per_trial(self, study_id: int) -> float | None:
        """Between the ends of the last few trials, on average; None before there are two."""
        with self.database.read() as connection:
            return progress.seconds_per_trial(connection, study_id)

    def open_studies(self) -> dict[str, int]:
        """Ids of the studies that are open and short of their budget, by name, oldest first."""
        return {each.name: each.study_id for each in self.served()}

    def served(self) -> list[OpenStudy]:
        """The same studies with what a worker that serves them has to know of each."""
        with self.database.read() as connection:
            return progress.open_studies(connection)

    def named(self, name: str) -> tuple[int, dict[str, Any]] | None:
        """The id and all user attributes of the study of a name that has some."""
        with self.database.read() as connection:
            return studies.named(connection, name)

    def having(self, key: str, name: str | None = None) -> dict[str, tuple[int, Any]]:
        """The studies that have a user attribute, or the one of a name: id and value by name."""
        with self.database.read() as connection:
            return studies.having(connection, key, name)

    def events(
        self, study_id: int | None = None, number: int | None = None, after: int = 0
    ) -> list[Event]:
        """What happened: to everything, to a study, or to a trial of it, as ``history.read``."""
        with self.database.read() as connection:
            return history.read(connection, study_id, number, after)

    def write(self, updates: Sequence[Update], *, durable: bool = True) -> list[Lease]:
        """Write all updates in one transaction; the leases that were lost, whose updates were not.

        At most one update of each lease. Writing the same again is accepted. Nothing is written
        if an error is raised.

        Args:
            durable: wait for a server's disk; otherwise a crash of the server may take it back.
        """
        if not updates:
            return []
        written = fences.write(self.database, updates, durable)
        lost = {(lease.trial_id, lease.token) for lease in written.lost}
        with self._lock:
            for update in updates:
                lease = update.lease
                if (lease.trial_id, lease.token) in lost:
                    self._mirror_of(lease).forget(lease.trial_id)
                else:
                    self._mirror_of(lease).confirm(update, written.finals.get(lease.trial_id))
        return written.lost

    def anticipate(self, update: Update) -> None:
        """Show an update in memory before it is written; `settle` ends that."""
        with self._lock:
            self._mirror_of(update.lease).anticipate(update)

    def settle(self, lease: Lease) -> None:
        """Nothing of this trial waits to be written any more."""
        with self._lock:
            self._mirror_of(lease).pending.discard(lease.trial_id)

    def rank(self, study_id: int, step: int, value: float) -> tuple[int, int]:
        """Among complete trials: how many were below `value` at `step`, and how many got there."""
        with self._lock:
            return self._current(study_id).rank(step, value)

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        self.database.close()

    def after_fork(self) -> None:
        """A lock that another thread held at the fork would never be released here."""
        self._lock = RLock()


_storages: weakref.WeakSet[Storage] = weakref.WeakSet()


def _after_fork() -> None:
    for storage in list(_storages):
        storage.after_fork()


os.register_at_fork(after_in_child=_after_fork)
