"""Stores checkpoints of running trials: in the database or, if large, in files."""

from __future__ import annotations

import time

from tuner.errors import TrainingError
from tuner.logs import note
from tuner.storage import Artifacts, Lease, Outbox
from tuner.storage.artifacts import ARTIFACTS_VARIABLE, DATABASE_LIMIT
from tuner.storage.attached import checkpoint_file, parse_reference, reference

LARGE = 2**20
"""A checkpoint of more bytes becomes a file, if artifacts are files."""

LARGEST = 2**30
"""The most bytes of the files of an objective's checkpoint, where checkpoints are files."""

CHECKPOINT_SECONDS = 2.0
"""The shortest time between two checkpoints; it is less if a lease is short."""
CHECKPOINTS_PER_LEASE = 5
CHECKPOINT_SHARE = 0.1
"""The largest share of a trial's time that checkpoints may take."""


class Pace:
    """Decides when a trial's next checkpoint is due; each is taken in its context.

    Args:
        lease_seconds: how long a lease lasts.
    """

    def __init__(self, lease_seconds: float) -> None:
        self._shortest = min(CHECKPOINT_SECONDS, lease_seconds / CHECKPOINTS_PER_LEASE)
        self._begun = self._taken = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether to take one now."""
        wait = max(self._shortest, (self._taken - self._begun) / CHECKPOINT_SHARE)
        return time.monotonic() - self._taken > wait

    def __enter__(self) -> None:
        self._begun = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._taken = time.monotonic()


class CheckpointStore:
    """Turns checkpoints into the bytes that the database stores, and back.

    The database stores a small checkpoint itself. A large one becomes a file beside the artifacts,
    and the database stores its name, so that the lease still decides which checkpoint counts. A
    file is removed when the update after it is in the database; ``tuner gc`` removes what a killed
    worker leaves.

    Args:
        store: the store of artifacts; unless these are files, the database stores all checkpoints.
        outbox: of the worker.
    """

    def __init__(self, store: Artifacts | None, outbox: Outbox) -> None:
        self._store = store if store is not None and store.limit is None else None
        self._outbox = outbox
        self._latest: dict[int, str] = {}
        self._old: list[tuple[Lease, str]] = []

    @property
    def limit(self) -> tuple[int, str]:
        """The most bytes that the files of an objective's checkpoint may have together, and what to
        do where they have more."""
        less = "keep less in the folder of tuner.checkpoint"
        if self._store is not None:
            return LARGEST, less
        place = f"{ARTIFACTS_VARIABLE} or --artifacts names a place for larger ones"
        return DATABASE_LIMIT, f"{place}; or {less}"

    def put(self, lease: Lease, data: bytes) -> bytes | None:
        """The bytes that the database is to store for a checkpoint; None to keep the one before,
        where no file can be written and the database is no place for it."""
        self.tidy()
        name = self._write_file(data) if len(data) > LARGE else None
        if name is None and self._store is not None and len(data) > DATABASE_LIMIT:
            return None
        self._replace(lease, name)
        return data if name is None else reference(name)

    def _write_file(self, data: bytes) -> str | None:
        """The new file's name; None if no file can be written, and the database has to store it."""
        if self._store is None:
            return None
        name = checkpoint_file(len(data))
        try:
            self._store.stage(name, data)
        except Exception as error:  # a bucket that is away
            why = f"{type(error).__name__}: {error}"
            note(f"a checkpoint is stored in the database instead, or not at all: {why}")
            return None
        return name

    def get(self, lease: Lease, checkpoint: bytes) -> bytes:
        """The bytes of the checkpoint from which a lease goes on.

        Raises:
            TrainingError: it is a file, and this worker stores artifacts in the database.
            FileNotFoundError, OSError, ArtifactNotFound: the file cannot be read.
        """
        name = parse_reference(checkpoint)
        if name is None:
            return checkpoint
        if self._store is None:
            what = "its checkpoint is a file, and this worker has no --artifacts"
            raise TrainingError(what, hint="start all workers with the same --artifacts")
        self._latest[lease.trial_id] = name
        with self._store.open_reader(name) as file:
            return file.read()

    def ended(self, lease: Lease) -> None:
        """The trial's result is recorded: remove its checkpoint."""
        self._replace(lease, None)

    def left(self, lease: Lease) -> None:
        """The trial is another worker's from now on, and so is its latest checkpoint."""
        self._latest.pop(lease.trial_id, None)

    def tidy(self) -> None:
        """Remove the files that the database does not name any more."""
        if not self._old or self._store is None or self._outbox.pending():
            return
        for lease, name in self._old:
            if self._outbox.lost(lease):  # another worker may be reading it
                continue
            try:
                self._store.remove(name)
            except Exception as error:
                why = f"{type(error).__name__}: {error}"
                note(f"could not remove {name}; `tuner gc` will: {why}")
        self._old.clear()

    def _replace(self, lease: Lease, name: str | None) -> None:
        before = self._latest.pop(lease.trial_id, None)
        if before is not None:
            self._old.append((lease, before))
        if name is not None:
            self._latest[lease.trial_id] = name
