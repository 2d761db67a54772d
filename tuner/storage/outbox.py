"""What a worker has to tell: written in batches by a thread, kept while the database is away."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from threading import Condition, Lock, Thread

from tuner.errors import StorageError
from tuner.storage.database import OutageError, explained
from tuner.storage.lease import LEASE_SECONDS, Lease, Update
from tuner.storage.spool import Spool
from tuner.storage.storage import Storage
from tuner.storage.waiting import Key, Waiting, key

_FIRST_WAIT, _LONGEST_WAIT = 0.1, 5.0


class Outbox:
    """Writes updates in the background, renews leases, and never gives a result up.

    While the database does not answer, training goes on: writing is tried again after 0.1 s,
    then later and later, up to every 5 s. Updates of one trial are merged, so that a long outage
    costs little memory.

    Only what ends a trial or holds a checkpoint waits for the server's disk. The rest is written
    again along with it, so that no crash of the server leaves a gap.

    Args:
        storage: where to write.
        spool: a folder where results that could not be written wait for this worker or the next.
        flush_seconds: how long an update may wait for others to be written with.
        holder: whose leases are renewed; also learnt from the updates.
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
        self._renew_seconds = min(storage.lease_seconds, LEASE_SECONDS) / 3  # it shows life, too
        self._renew_at = time.monotonic() + self._renew_seconds
        self._waiting = Waiting(unsure=storage.remote)
        self._lost: set[Key] = set()
        self._error: StorageError | None = None
        self._changed = Condition(Lock())
        self._writing = Lock()
        self._closing = False
        if self._spool is not None:
            for update in self._spool.load():
                self._waiting.put(update, time.monotonic())
        self._thread = Thread(target=self._run, name="outbox", daemon=True)
        self._thread.start()

    def begin(self, lease: Lease) -> None:
        """A lease that was just taken: what is known under its numbers is of a deleted study."""
        with self._changed:
            self._lost.discard(key(lease))
            self._waiting.queue.pop(key(lease), None)

    def put(self, update: Update) -> None:
        """Queue an update; this process' samplers and pruners see it at once."""
        now = time.monotonic()
        with self._changed:
            self._holders.add(update.lease.holder)
            if key(update.lease) in self._lost:
                return
            queued = self._waiting.put(update, now)
            self._storage.anticipate(update)
            failing = self._error is not None
        if failing and self._spool is not None:
            self._spool.keep([queued.update(now)])

    def lost(self, lease: Lease) -> bool:
        """Whether another worker was found to hold the trial: drop the work on it."""
        with self._changed:
            return key(lease) in self._lost

    def pending(self) -> int:
        """How many trials have something that is not written yet."""
        with self._changed:
            return len(self._waiting)

    def check(self) -> None:
        """Raise what keeps results from being written, unless it is a mere outage."""
        with self._changed:
            error = self._error
        if error is not None and not isinstance(error, OutageError):
            raise error

    def flush(self) -> None:
        """Write what is queued now; raises, and keeps it, if that fails."""
        with self._writing:
            with self._changed:
                updates = self._waiting.take(time.monotonic())
                durable = any(queued.lasting for queued in self._waiting.sent.values())
            try:
                lost = self._storage.write(updates, durable=durable)
            except BaseException as error:
                self._failed(updates, error)
                raise
            self._written(updates, {key(lease) for lease in lost})

    def close(self, timeout: float = 10.0) -> None:
        """Write what is left and end the thread.

        Raises:
            StorageError: something could not be written in `timeout` seconds; final results
                among it wait in the spool, if there is one.
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
                    raise self._untold(explained(error)) from error
                return  # unfinished trials go on when their leases have run out

    def _ended(self) -> int:
        """How many trials ended and could not be told."""
        with self._changed:
            return self._waiting.ended()

    def _untold(self, error: StorageError) -> StorageError:
        what = f"{self._ended()} trials could not be told: {error.what}"
        kept = "" if self._spool is None else f"; they wait in {self._spool} for the next run"
        return StorageError(what, where=error.where, hint=error.hint + kept)

    def _failed(self, updates: Sequence[Update], error: BaseException) -> None:
        with self._changed:
            if isinstance(error, StorageError):
                self._error = error
            self._waiting.back(time.monotonic())
        if self._spool is not None:
            self._spool.keep(updates)

    def _written(self, updates: Sequence[Update], lost: set[Key]) -> None:
        with self._changed:
            self._error = None
            self._lost |= lost
            for lease in self._waiting.written(lost, time.monotonic()):
                self._storage.settle(lease)
        if self._spool is not None:
            for update in updates:
                self._spool.remove(update.lease)

    def _run(self) -> None:
        wait = self._flush_seconds
        while True:
            with self._changed:
                if self._closing and self._error is None and not self._waiting.queue:
                    return
                if not self._closing or self._error is not None:
                    self._changed.wait(wait)
                if self._closing and self._error is not None:
                    return  # close() tries on as long as it may
            try:
                if self._waiting.queue:
                    self.flush()
                self._renew()
                wait = self._flush_seconds
            except Exception as error:  # what else it is, `check` and `close` have to tell
                failed = wait if self._error is not None else _FIRST_WAIT / 2
                self._error = explained(error)
                wait = min(2 * failed, _LONGEST_WAIT)

    def _renew(self) -> None:
        if time.monotonic() < self._renew_at:
            return
        for holder in sorted(self._holders):
            self._storage.renew(holder)
        with self._changed:
            self._error = None
        self._renew_at = time.monotonic() + self._renew_seconds
