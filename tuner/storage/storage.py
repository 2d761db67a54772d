"""The storage that workers use: claims, leases, and opening a storage by its URL."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from threading import RLock
from typing import Any

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from sqlalchemy import Connection

from tuner.errors import StorageError
from tuner.hidden import redact
from tuner.storage import claims, rows, studies, writes
from tuner.storage.database import Database, check_file, exists, parse_url
from tuner.storage.history import Event, read_events
from tuner.storage.interface import TrialMethods
from tuner.storage.lease import (
    LEASE_SECONDS,
    ExhaustedError,
    Lease,
    OpenStudy,
    Progress,
    Propose,
    Update,
    Worker,
)
from tuner.storage.migrate import Upgrade, ensure, upgrade_tables
from tuner.storage.mirror import Mirror
from tuner.storage.studies import METRIC_NAMES

# The claim of a trial: guess or look what is next, propose, and take it if that still holds.


class Claiming(TrialMethods):
    """Hands out trials.

    Attributes:
        lease_seconds: how long a lease lasts without being renewed.
    """

    lease_seconds: float = LEASE_SECONDS

    def claim(self, study_id: int, holder: str, propose: Propose) -> Lease | None:
        """Hold the next trial, or None if there is none to hand out now.

        In this order: a trial whose lease ran out or was given back, an enqueued one, a new one
        if the budget has room. A proposal that is finished already is stored as it is, and the
        claim goes on to the next. `propose` is called outside the transaction if it learns, which
        takes its time; otherwise within, or many workers would all propose for one number, and
        all but one in vain.

        Raises:
            MissingError: there is no such study.
            OutageError: the database does not answer.
        """
        try:
            return self._claim(study_id, holder, propose)
        except ExhaustedError:
            return None

    def _claim(self, study_id: int, holder: str, propose: Propose) -> Lease | None:
        found = self._guess(study_id)
        late = found is not None and not _learns(propose)  # its number is sure only when taken
        while True:
            found = found or self._plan(study_id)
            if found is None:
                return None
            proposal = None
            if found.kind != claims.RESUME and not late and not _covers(propose):
                proposal = self._propose(found, propose)
            lease = self._take(study_id, holder, found, proposal, propose)
            if lease is not None and not lease.trial.state.is_finished():
                return lease
            found, late = None, False

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

    def held(self, study_id: int) -> int:
        """How many running trials workers hold, or gave back for others to go on with."""
        with self.database.read() as connection:
            return claims.held(connection, study_id)

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
        propose: Propose,
    ) -> Lease | None:
        """Hold what was expected; None if something else is next by now."""
        ttl = self.lease_seconds
        with self._lock:
            mirror = self._mirror(study_id)
            with self.database.write() as connection:
                found = claims.plan(connection, study_id, mirror, lock=True)
                if found is None or not _still(expected, found):
                    return None
                other = proposal is None or found.head.number != expected.head.number
                if found.kind != claims.RESUME and _covers(propose):
                    proposal = self._covering(connection, study_id, found, propose)
                elif found.kind == claims.NEW and other:
                    proposal = self._renumbered(proposal, found.head.number, propose)
                if proposal is None:
                    lease = claims.resume(connection, study_id, found, holder, ttl)
                    head = found.head
                else:
                    made = claims.start(connection, study_id, found, proposal, holder, ttl)
                    if made is None:
                        return None
                    lease, head = made
            self._show(mirror, lease, head)
            return lease

    def _covering(
        self, connection: Connection, study_id: int, found: claims.Plan, propose: Propose
    ) -> FrozenTrial:
        """What no other trial has, which only those trials tell that were added until now."""
        mirror = self._mirror(study_id)
        self._load(connection, mirror, study_id)
        self._reads = False
        try:
            if found.kind == claims.NEW:
                return propose(found.head.number, None)
            template = mirror.trials[found.head.trial_id]
            return claims.fill(template, propose(found.head.number, claims.fixed(template)))
        finally:
            self._reads = True

    def _show(self, mirror: Mirror, lease: Lease, head: rows.Head) -> None:
        """Take the new lease's trial into memory."""
        mirror.mark(head)
        mirror.load([rows.Read(lease.trial, 0)])
        self._study_of[lease.trial_id] = lease.study_id
        if not lease.trial.state.is_finished():
            mirror.own.add(lease.trial_id)
        if not mirror.stale and not mirror.growing():
            mirror.look.took(0.0)  # the claim has seen all there is

    def _renumbered(
        self, proposal: FrozenTrial | None, number: int, propose: Propose
    ) -> FrozenTrial:
        """The trial of a number that was not known, or that another worker has taken since.

        Within a transaction nothing is read: others wait, and there may be no connection.
        """
        if proposal is not None and _learns(propose):  # asked now: it may differ by number
            renumber: Callable[[FrozenTrial, int], FrozenTrial] | None
            renumber = getattr(propose, "renumber", None)
            return proposal if renumber is None else renumber(proposal, number)
        self._reads = False
        try:
            return propose(number, None)
        finally:
            self._reads = True


def _learns(propose: Propose) -> bool:
    """Whether what it proposed last may be given another number."""
    return bool(getattr(propose, "learns", True))


def _covers(propose: Propose) -> bool:
    """Whether it gives each trial what no other one has."""
    return bool(getattr(propose, "covers", False))


def _still(expected: claims.Plan, found: claims.Plan) -> bool:
    if found.kind != expected.kind:
        return False
    return found.kind == claims.NEW or found.head.trial_id == expected.head.trial_id


# Workers and their leases: alive, given back, signed on and off.


class Leasing(Claiming):
    """Keeps what was handed out with its worker, or lets it go."""

    def renew(self, holder: str) -> None:
        """Extend all leases of a worker, and tell that it is alive."""
        with self.database.write() as connection:
            writes.renew(connection, holder, self.lease_seconds)
            told = self.database.outages
            writes.tell_outages(connection, holder, told)
        self.database.outages = self.database.outages[len(told) :]

    def release(self, leases: Sequence[Lease]) -> None:
        """Give leases back, so that another worker can go on with these trials at once."""
        if leases:
            with self.database.write() as connection:
                writes.release(connection, leases)
        with self._lock:
            for lease in leases:
                self._mirror_of(lease).own.discard(lease.trial_id)

    def register_worker(self, holder: str, host: str, pid: int, device: str) -> None:
        with self.database.write() as connection:
            writes.register(connection, holder, host, pid, device)

    def unregister_worker(self, holder: str) -> None:
        with self.database.write() as connection:
            told = self.database.outages
            writes.tell_outages(connection, holder, told)
            writes.unregister(connection, holder)
        self.database.outages = self.database.outages[len(told) :]

    def workers(self) -> list[Worker]:
        with self.database.read() as connection:
            return studies.workers(connection)

    def _mirror_of(self, lease: Lease) -> Mirror:
        return self._mirror(lease.study_id)


# The storage of a study: Optuna's interface, and what workers need beyond it.


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
        parsed = parse_url(url)
        if parsed.get_backend_name() == "sqlite":
            check_file(parsed)
        super().__init__(Database(parsed, dict(engine_kwargs or {}), shown=redact(url)))
        self._arguments = {"url": url, "engine_kwargs": engine_kwargs}
        self.lease_seconds = lease_seconds
        ensure(self.database)
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
        """Create the study, or join an existing one; returns its id.

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
            studies.set_budget(connection, study_id, budget)

    def set_study_state(self, study_id: int, state: str) -> None:
        """`open` hands out trials, `paused` and `stopped` do not."""
        with self.database.write() as connection:
            studies.set_state(connection, study_id, state)

    def progress(self, study_id: int) -> Progress:
        with self.database.read() as connection:
            return studies.progress(connection, study_id)

    def seconds_per_trial(self, study_id: int) -> float | None:
        """Between the ends of the last few trials, on average; None before there are two."""
        with self.database.read() as connection:
            return studies.seconds_per_trial(connection, study_id)

    def open_studies(self) -> dict[str, int]:
        """Ids of the studies that are open and short of their budget, by name, oldest first."""
        return {each.name: each.study_id for each in self.served()}

    def served(self) -> list[OpenStudy]:
        """The same studies with what a worker that serves them has to know of each."""
        with self.database.read() as connection:
            return studies.open_studies(connection)

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
            return read_events(connection, study_id, number, after)

    def write(self, updates: Sequence[Update], *, durable: bool = True) -> list[Lease]:
        """Write all updates in one transaction; the leases that were lost, whose updates were not.

        At most one update of each lease. Writing the same again is accepted. Nothing is written
        if an error is raised.

        Args:
            durable: wait for a server's disk; otherwise a crash of the server may take it back.
        """
        if not updates:
            return []
        written = writes.write_updates(self.database, updates, durable)
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


# Opening a storage by its URL.


def open_storage(
    url: str,
    *,
    engine_kwargs: Mapping[str, Any] | None = None,
    lease_seconds: float = LEASE_SECONDS,
) -> Storage:
    """Opens the storage at a URL; creates its tables if they do not exist.

    Args:
        url: `sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST/NAME`.
        engine_kwargs: overrides for `sqlalchemy.create_engine`.
        lease_seconds: how long a lease lasts without being renewed.

    Raises:
        StorageError: it cannot be reached, read or written, or holds something else.
    """
    return Storage(url, engine_kwargs=engine_kwargs, lease_seconds=lease_seconds)


def open_existing(url: str, *, engine_kwargs: Mapping[str, Any] | None = None) -> Storage | None:
    """The storage at a URL, or None where there is no SQLite file: looking makes none.

    Raises:
        StorageError: as `open_storage` does.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite" and not exists(parsed):
        return None
    return open_storage(url, engine_kwargs=engine_kwargs)


def opened(url: str, *, engine_kwargs: Mapping[str, Any] | None = None) -> Storage:
    """The storage of a database that has to be there: looking makes none.

    Raises:
        StorageError: there is none, or as `open_storage` does.
    """
    storage = open_existing(url, engine_kwargs=engine_kwargs)
    if storage is None:
        raise _missing(url)
    return storage


def upgrade(url: str) -> Upgrade:
    """Bring the tables of a database that has to be there to this version.

    Raises:
        StorageError: there is none, it cannot be reached or written, or is of a newer version.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        check_file(parsed)
        if not exists(parsed):
            raise _missing(url)
    database = Database(parsed, shown=redact(url))
    try:
        return upgrade_tables(database)
    finally:
        database.close()


def _missing(url: str) -> StorageError:
    return StorageError(
        "there is no such database",
        where=redact(url),
        hint="tuner optimize --study NAME makes it; --storage or TUNER_STORAGE names another",
    )


# What a study is about.


def measured(storage: Storage, study_id: int) -> tuple[str, str]:
    """A study's metric, "value" by default, and "maximize" or "minimize"."""
    names = storage.get_study_system_attrs(study_id).get(METRIC_NAMES, ["value"])
    return names[0], storage.get_study_directions(study_id)[0].name.lower()
