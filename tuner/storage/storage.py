"""The storage of a study: Optuna's interface, and what workers need beyond it."""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping, Sequence
from threading import RLock
from typing import Any

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from tuner.storage import claims, fences, progress, rows, schema, studies, urls
from tuner.storage.base import TrialMethods
from tuner.storage.database import Database
from tuner.storage.lease import Lease, Progress, Propose, Update, Worker
from tuner.storage.mirror import Mirror

LEASE_SECONDS = 30.0


class Storage(TrialMethods):
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
        super().__init__(Database(parsed, dict(engine_kwargs or {})))
        self._arguments = {"url": url, "engine_kwargs": engine_kwargs}
        self.lease_seconds = lease_seconds
        schema.ensure(self.database)
        _storages.add(self)

    @property
    def url(self) -> str:
        """The URL without its password."""
        return self.database.shown

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
    ) -> int:
        """Create the study or join it, whoever comes first; its id.

        Nothing that the study has already is overwritten: compare its fingerprint afterwards.

        Args:
            direction: "minimize" or "maximize".
            budget: complete and pruned trials that make the study finished.
        """
        attrs = {"tuner:spec": spec, "tuner:fingerprint": fingerprint}
        toward = StudyDirection[direction.upper()]
        with self.database.write() as connection:
            return studies.join(connection, name, toward, metric, attrs, budget)

    def set_budget(self, study_id: int, budget: int) -> None:
        with self.database.write() as connection:
            studies.set_budget(connection, study_id, budget)

    def set_study_state(self, study_id: int, state: str) -> None:
        """`open` hands out trials, `paused` and `stopped` do not."""
        with self.database.write() as connection:
            studies.set_state(connection, study_id, state)

    def progress(self, study_id: int) -> Progress:
        with self.database.read() as connection:
            return progress.progress(connection, study_id)

    def open_studies(self) -> dict[str, int]:
        """Ids of the studies that hand out trials, by name, oldest first."""
        with self.database.read() as connection:
            return progress.open_studies(connection)

    def claim(self, study_id: int, holder: str, propose: Propose) -> Lease | None:
        """Hold the next trial, or None if there is none to hand out now.

        In this order: a trial whose lease ran out or was given back, an enqueued one, a new one
        if the budget has room. `propose` is called outside the transaction. A proposal that is
        finished already is stored as it is, and the claim goes on to the next.

        Raises:
            KeyError: there is no such study.
            OutageError: the database does not answer.
        """
        learns = bool(getattr(propose, "learns", True))
        found = self._guess(study_id) if learns else None
        while True:
            found = found or self._plan(study_id)
            if found is None:
                return None
            proposal = None
            if found.kind != claims.RESUME:
                proposal = self._propose(found, propose)
            lease = self._take(study_id, holder, found, proposal, learns)
            if lease is not None and not lease.trial.state.is_finished():
                return lease
            found = None

    def _guess(self, study_id: int) -> claims.Plan | None:
        """What memory says is next, at no cost; a proposal that learns may get another number."""
        with self._lock:
            mirror = self._mirror(study_id)
            found = claims.unstarted(mirror, mirror.budget, 0.0) if mirror.heads else None
        return found if found is not None and found.kind == claims.NEW else None

    def _plan(self, study_id: int) -> claims.Plan | None:
        with self._lock, self.database.read() as connection:
            mirror = self._mirror(study_id)
            return claims.plan(connection, study_id, mirror, lock=False)

    def _propose(self, found: claims.Plan, propose: Propose) -> FrozenTrial:
        if found.kind == claims.NEW:
            return propose(found.head.number, None)
        template = self.get_trial(found.head.trial_id)
        return claims.fill(template, propose(found.head.number, claims.fixed(template)))

    def _take(
        self,
        study_id: int,
        holder: str,
        expected: claims.Plan,
        proposal: FrozenTrial | None,
        learns: bool,
    ) -> Lease | None:
        """Hold what was expected; None if something else is next by now."""
        ttl = self.lease_seconds
        with self._lock:
            mirror = self._mirror(study_id)
            with self.database.write() as connection:
                found = claims.plan(connection, study_id, mirror, lock=True)
                if found is None or not _still(expected, found, learns):
                    return None
                if proposal is None:
                    lease = claims.resume(connection, study_id, found, holder, ttl)
                    head = found.head
                else:
                    made = claims.start(connection, study_id, found, proposal, holder, ttl)
                    if made is None:
                        return None
                    lease, head = made
            mirror.mark(head)
            mirror.load([rows.Read(lease.trial, 0)])
            self._study_of[lease.trial_id] = study_id
            return lease

    def write(self, updates: Sequence[Update]) -> list[Lease]:
        """Write all updates in one transaction; the leases that were lost, whose updates were not.

        Writing the same again is accepted. Nothing is written if an error is raised.
        """
        if not updates:
            return []
        with self.database.write() as connection:
            written = fences.write(connection, updates)
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

    def _mirror_of(self, lease: Lease) -> Mirror:
        return self._mirror(lease.study_id)

    def rank(self, study_id: int, step: int, value: float) -> tuple[int, int]:
        """Among complete trials: how many were below `value` at `step`, and how many got there."""
        with self._lock:
            return self._current(study_id).rank(step, value)

    def column(self, study_id: int, step: int) -> Sequence[float]:
        """Intermediate values of complete trials at `step`, ascending, without NaN; not a copy."""
        with self._lock:
            return self._current(study_id).column(step)

    def renew(self, holder: str) -> None:
        """Extend all leases of a worker, and tell that it is alive."""
        with self.database.write() as connection:
            fences.renew(connection, holder, self.lease_seconds)

    def release(self, leases: Sequence[Lease]) -> None:
        """Give leases back, so that another worker can go on with these trials at once."""
        if leases:
            with self.database.write() as connection:
                fences.release(connection, leases)

    def register_worker(self, holder: str, host: str, pid: int, device: str) -> None:
        with self.database.write() as connection:
            fences.register(connection, holder, host, pid, device)

    def unregister_worker(self, holder: str) -> None:
        with self.database.write() as connection:
            fences.unregister(connection, holder)

    def workers(self) -> list[Worker]:
        with self.database.read() as connection:
            return progress.workers(connection)

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        self.database.close()

    def after_fork(self) -> None:
        """A lock that another thread held at the fork would never be released here."""
        self._lock = RLock()


def _still(expected: claims.Plan, found: claims.Plan, learns: bool) -> bool:
    if found.kind != expected.kind:
        return False
    if found.kind == claims.NEW:
        return learns or found.head.number == expected.head.number
    return found.head.trial_id == expected.head.trial_id


_storages: weakref.WeakSet[Storage] = weakref.WeakSet()


def _after_fork() -> None:
    for storage in list(_storages):
        storage.after_fork()


os.register_at_fork(after_in_child=_after_fork)


def open_storage(
    url: str,
    *,
    engine_kwargs: Mapping[str, Any] | None = None,
    lease_seconds: float = LEASE_SECONDS,
) -> Storage:
    """The storage at a URL; its tables are made if they are not there.

    Args:
        url: `sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST/NAME`.
        engine_kwargs: overrides for `sqlalchemy.create_engine`.
        lease_seconds: how long a lease lasts without being renewed.

    Raises:
        StorageError: it cannot be reached, read or written, or holds something else.
    """
    return Storage(url, engine_kwargs=engine_kwargs, lease_seconds=lease_seconds)
