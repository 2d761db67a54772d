"""Writes a worker's results in batches; they wait on disk while the database is away."""

from __future__ import annotations

import hashlib
import json
import time
from base64 import b64decode, b64encode
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from threading import Condition, Lock, Thread
from typing import Any

from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from optuna.trial import TrialState

from tuner import output
from tuner.errors import StorageError
from tuner.logs import note
from tuner.storage.database import OutageError, explained
from tuner.storage.lease import LEASE_SECONDS, Lease, Update
from tuner.storage.rows import blank
from tuner.storage.storage import Storage

# The updates of one lease, merged into one.


class MergedUpdate:
    """Updates of one lease, merged in order; the later one wins where they differ."""

    def __init__(self, update: Update, now: float) -> None:
        self.lease = update.lease
        self.reports: dict[int, float] = {}
        self.user_attrs: dict[str, Any] = {}
        self.system_attrs: dict[str, Any] = {}
        self.params: dict[str, tuple[float, BaseDistribution]] = {}
        self.artifacts: dict[str, bytes] = {}
        self.checkpoint: bytes | None = None
        self.state: TrialState | None = None
        self.value: float | None = None
        self.since = now
        self.add(update, now)

    def add(self, update: Update, now: float) -> None:
        """Take in a later update; `now` is by the monotonic clock."""
        self.reports.update(update.reports)
        self.user_attrs.update(update.user_attrs)
        self.system_attrs.update(update.system_attrs)
        self.artifacts.update(update.artifacts)
        self.params = {**update.params, **self.params}  # the first stays
        if update.checkpoint is not None:
            self.checkpoint = update.checkpoint
        if update.state is not None:
            self.state, self.value, self.since = update.state, update.value, now - update.age

    @property
    def lasting(self) -> bool:
        """Whether it has to survive a crash: it has a checkpoint, or the result of a trial."""
        return self.state is not None or self.checkpoint is not None

    def update(self, now: float) -> Update:
        """All of it as one update."""
        return Update(
            lease=self.lease,
            reports=self.reports,
            user_attrs=self.user_attrs,
            system_attrs=self.system_attrs,
            params=self.params,
            artifacts=self.artifacts,
            checkpoint=self.checkpoint,
            state=self.state,
            value=self.value,
            age=0.0 if self.state is None else max(0.0, now - self.since),
        )


# Updates that wait to be written, by lease; the caller holds a lock.


Key = tuple[int, int]


def key(lease: Lease) -> Key:
    """A trial's id and the token of its holder."""
    return lease.trial_id, lease.token


class UpdateQueue:
    """Updates on their way: queued, sent, or written but lost if the server crashes.

    Args:
        unsure: whether a crash may lose updates that were not written durably.
    """

    def __init__(self, unsure: bool) -> None:
        self.queue: dict[Key, MergedUpdate] = {}
        self.sent: dict[Key, MergedUpdate] = {}
        self._unsure: dict[Key, MergedUpdate] | None = {} if unsure else None

    def put(self, update: Update, now: float) -> MergedUpdate:
        """Merge an update with those that wait; `now` is by the monotonic clock."""
        queued = self.queue.get(key(update.lease))
        if queued is None:
            queued = self.queue[key(update.lease)] = MergedUpdate(update, now)
        else:
            queued.add(update, now)
        return queued

    def of(self, lease: Lease) -> list[MergedUpdate]:
        """The updates of a lease that are not written yet, in order."""
        lease_key = key(lease)
        return [each[lease_key] for each in (self.sent, self.queue) if lease_key in each]

    def take(self, now: float) -> list[Update]:
        """All queued updates, which count as sent until `requeue` or `written`."""
        self.sent = {
            each: self._with_unsure(each, queued, now) for each, queued in self.queue.items()
        }
        self.queue = {}
        return [queued.update(now) for queued in self.sent.values()]

    def _with_unsure(self, lease_key: Key, queued: MergedUpdate, now: float) -> MergedUpdate:
        """The update and, if it is written durably, those before it that a crash may lose."""
        if not self._unsure or not queued.lasting:
            return queued
        earlier = self._unsure.pop(lease_key, None)
        if earlier is None:
            return queued
        earlier.add(queued.update(now), now)
        return earlier

    def requeue(self, now: float) -> None:
        """Sent updates were not written: they wait again, before those that came later."""
        for lease_key, later in self.queue.items():
            if lease_key in self.sent:
                self.sent[lease_key].add(later.update(now), now)
            else:
                self.sent[lease_key] = later
        self.queue, self.sent = self.sent, {}

    def written(self, lost: Collection[Key], now: float) -> list[Lease]:
        """Sent updates were written: drop them; the leases of which no update waits any more."""
        sent, self.sent = self.sent, {}
        for lease_key in lost:
            self.queue.pop(lease_key, None)
        for lease_key, queued in sent.items():
            self._keep_unsure(lease_key, queued, lease_key in lost, now)
        return [queued.lease for lease_key, queued in sent.items() if lease_key not in self.queue]

    def _keep_unsure(self, lease_key: Key, queued: MergedUpdate, lost: bool, now: float) -> None:
        if self._unsure is None:
            return
        if lost:
            self._unsure.pop(lease_key, None)
        elif not queued.lasting:
            earlier = self._unsure.setdefault(lease_key, queued)
            if earlier is not queued:
                earlier.add(queued.update(now), now)

    def ended(self) -> int:
        """How many trials that ended are queued."""
        return sum(queued.state is not None for queued in self.queue.values())

    def __len__(self) -> int:
        return len(self.queue.keys() | self.sent.keys())


# Results that could not be written, on the worker's disk, for the next process.


class Spool:
    """A folder of JSON files, one for each result; one sub-folder for each database."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = self.folder(folder, url)
        self._folder.mkdir(parents=True, exist_ok=True)

    @staticmethod
    def folder(folder: Path, url: str) -> Path:
        """The sub-folder of a database."""
        return folder / hashlib.sha256(url.encode()).hexdigest()[:16]

    def __str__(self) -> str:
        return str(self._folder)

    def keep(self, updates: Iterable[Update]) -> None:
        """Save the results among these updates.

        Raises:
            StorageError: the folder cannot be written.
        """
        for update in updates:
            if update.state is not None:
                self.save(update)

    def save(self, update: Update) -> None:
        """Write a result whole or not at all."""
        path = self._path(update.lease)
        try:
            output.write(path, json.dumps(_to_json(update)))
        except OSError as error:
            raise StorageError(
                f"cannot store a pending result ({error.strerror})",
                where=str(self._folder),
                hint="free some space, or set TUNER_SPOOL to another folder",
            ) from error

    def remove(self, lease: Lease) -> None:
        self._path(lease).unlink(missing_ok=True)

    def load(self) -> Iterator[Update]:
        """Every result in the folder; a file that is damaged is set aside."""
        for path in sorted(self._folder.glob("*.json")):
            try:
                yield _from_json(json.loads(path.read_text(encoding="utf-8")))
            except FileNotFoundError:
                continue  # another worker has written it
            except (ValueError, KeyError, TypeError):
                aside = path.with_suffix(".damaged")
                path.replace(aside)
                note(f"a pending result is damaged; it was moved to {aside}")

    def _path(self, lease: Lease) -> Path:
        return self._folder / f"{lease.trial_id}-{lease.token}.json"


def _to_json(update: Update) -> dict[str, Any]:
    lease, state = update.lease, update.state
    return {
        "study_id": lease.study_id,
        "trial_id": lease.trial_id,
        "number": lease.number,
        "holder": lease.holder,
        "token": lease.token,
        "reports": dict(update.reports),
        "user_attrs": dict(update.user_attrs),
        "system_attrs": dict(update.system_attrs),
        "params": {
            name: [value, distribution_to_json(kind)]
            for name, (value, kind) in update.params.items()
        },
        "artifacts": {i: b64encode(data).decode() for i, data in update.artifacts.items()},
        "state": None if state is None else state.name,
        "value": update.value,
        "finished": time.time() - update.age,
    }


def _from_json(document: dict[str, Any]) -> Update:
    trial = blank(document["number"], document["trial_id"])
    params = document.get("params", {})
    names = ("study_id", "trial_id", "number", "holder", "token")
    return Update(
        lease=Lease(**{name: document[name] for name in names}, trial=trial),
        reports={int(step): value for step, value in document["reports"].items()},
        user_attrs=document["user_attrs"],
        system_attrs=document["system_attrs"],
        params={
            name: (value, json_to_distribution(kind)) for name, (value, kind) in params.items()
        },
        artifacts={i: b64decode(text) for i, text in document.get("artifacts", {}).items()},
        state=TrialState[document["state"]],
        value=document["value"],
        age=max(0.0, time.time() - document["finished"]),
    )


# The thread that writes a worker's updates in batches, and keeps them while the database is away.


_FIRST_WAIT, _LONGEST_WAIT = 0.1, 5.0


class Outbox:
    """Writes updates in the background, renews leases, and loses no result.

    While the database does not answer, training goes on: the outbox tries again after 0.1 s, then
    after longer and longer waits, up to 5 s. Updates of one trial are merged, so that a long outage
    takes little memory.

    Only an update that ends a trial or has a checkpoint waits for the server's disk. The others are
    written again along with it, so that no crash of the server leaves a gap.

    Args:
        storage: where to write.
        spool: a folder where results that could not be written wait for this worker or the next.
        flush_seconds: how long an update may wait to be written together with others.
        holder: whose leases are renewed, besides the holders of the updates.
    """

    def __init__(
        self,
        storage: Storage,
        spool: Path | None = None,
        flush_seconds: float = 0.5,
        holder: str | None = None,
    ) -> None:
        self._storage = storage
        self._spool = Spool(spool, str(storage.database.url)) if spool is not None else None
        self._flush_seconds = flush_seconds
        self._holders: set[str] = set() if holder is None else {holder}
        self._renew_seconds = (
            min(storage.claims.lease_seconds, LEASE_SECONDS) / 3
        )  # renewing also shows that the worker is alive
        self._renew_at = time.monotonic() + self._renew_seconds
        self._updates = UpdateQueue(unsure=storage.remote)
        self._lost: set[Key] = set()
        self._error: StorageError | None = None
        self._changed = Condition(Lock())
        self._writing = Lock()
        self._closing = False
        if self._spool is not None:
            for update in self._spool.load():
                self._updates.put(update, time.monotonic())
        self._thread = Thread(target=self._run, name="outbox", daemon=True)
        self._thread.start()

    def begin(self, lease: Lease) -> None:
        """Start with a new lease; updates under its ids are of a deleted study, and are dropped."""
        with self._changed:
            self._lost.discard(key(lease))
            self._updates.queue.pop(key(lease), None)

    def put(self, update: Update) -> None:
        """Queue an update. If it ends its trial, this process' storage shows that at once."""
        now = time.monotonic()
        with self._changed:
            self._holders.add(update.lease.holder)
            if key(update.lease) in self._lost:
                return
            queued = self._updates.put(update, now)
            if update.state is not None:
                for each in self._updates.of(update.lease):
                    self._storage.writer.anticipate(each.update(now))
            failing = self._error is not None
        if failing and self._spool is not None:
            self._spool.keep([queued.update(now)])

    def lost(self, lease: Lease) -> bool:
        """Whether another worker holds the trial by now: drop the work on it."""
        with self._changed:
            return key(lease) in self._lost

    def pending(self) -> int:
        """The number of trials with updates that are not written yet."""
        with self._changed:
            return len(self._updates)

    def check(self) -> None:
        """Raise the error that keeps results from being written, unless it is an outage."""
        with self._changed:
            error = self._error
        if error is not None and not isinstance(error, OutageError):
            raise error

    def flush(self) -> None:
        """Write the queued updates; if that fails, it raises the error and keeps them."""
        with self._writing:
            with self._changed:
                updates = self._updates.take(time.monotonic())
                durable = any(queued.lasting for queued in self._updates.sent.values())
            try:
                lost = self._storage.writer.write(updates, durable=durable)
            except BaseException as error:
                self._failed(updates, error)
                raise
            self._written(updates, {key(lease) for lease in lost})

    def close(self, timeout: float = 10.0) -> None:
        """Write the remaining updates and end the thread.

        Raises:
            StorageError: an update could not be written in `timeout` seconds; results wait in the
                spool, if there is one.
        """
        until = time.monotonic() + timeout
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(max(0.0, until - time.monotonic()))
        while self.pending():
            try:
                self.flush()
            except Exception as error:
                if time.monotonic() < until:
                    time.sleep(_FIRST_WAIT)
                    continue
                if self._ended():
                    raise self._not_written(explained(error)) from error
                return  # other workers go on with unfinished trials when their leases run out

    def _ended(self) -> int:
        """The number of results that are not written yet."""
        with self._changed:
            return self._updates.ended()

    def _not_written(self, error: StorageError) -> StorageError:
        message = f"{self._ended()} results were not written: {error.message}"
        spooled = "" if self._spool is None else f"; the next run writes them from {self._spool}"
        return StorageError(message, where=error.where, hint=error.hint + spooled)

    def _failed(self, updates: Sequence[Update], error: BaseException) -> None:
        with self._changed:
            if isinstance(error, StorageError):
                self._error = error
            self._updates.requeue(time.monotonic())
        if self._spool is not None:
            self._spool.keep(updates)

    def _written(self, updates: Sequence[Update], lost: set[Key]) -> None:
        with self._changed:
            self._error = None
            self._lost |= lost
            for lease in self._updates.written(lost, time.monotonic()):
                self._storage.writer.settle(lease)
        if self._spool is not None:
            for update in updates:
                self._spool.remove(update.lease)

    def _run(self) -> None:
        wait = self._flush_seconds
        while True:
            with self._changed:
                if self._closing and self._error is None and not self._updates.queue:
                    return
                if not self._closing or self._error is not None:
                    self._changed.wait(wait)
                if self._closing and self._error is not None:
                    return  # close() goes on trying
            try:
                if self._updates.queue:
                    self.flush()
                self._renew()
                wait = self._flush_seconds
            except Exception as error:  # `check` and `close` raise it
                failed = wait if self._error is not None else _FIRST_WAIT / 2
                self._error = explained(error)
                wait = min(2 * failed, _LONGEST_WAIT)

    def _renew(self) -> None:
        if time.monotonic() < self._renew_at:
            return
        for holder in sorted(self._holders):
            self._storage.claims.renew(holder)
        with self._changed:
            self._error = None
        self._renew_at = time.monotonic() + self._renew_seconds
