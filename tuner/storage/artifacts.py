"""Stores artifacts, the files of studies and trials, and removes unused ones."""

from __future__ import annotations

import io
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import BinaryIO, Protocol

from fsspec.core import url_to_fs
from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.trial import TrialState
from sqlalchemy import func, select

from tuner.errors import StorageError
from tuner.hidden import redact, remember_url
from tuner.storage import rows, schema, sql
from tuner.storage.attached import (
    PREFIX,
    attached_ids,
    best_ids,
    checkpoint_ids,
    trial_artifacts,
)
from tuner.storage.database import Database
from tuner.storage.sql import PART, parts
from tuner.storage.storage import Storage

# Artifacts as files: in a folder, or at any URL that fsspec reads.


PARTIAL = ".part"
_NAME = re.compile(rf"[A-Za-z0-9_-]+(\.[0-9a-f]+{re.escape(PARTIAL)})?")


class FileArtifacts:
    """A file for each artifact below a URL.

    Args:
        url: a folder or any URL that fsspec knows.

    Raises:
        StorageError: nothing that is installed knows the URL.
    """

    limit: int | None = None

    def __init__(self, url: str) -> None:
        remember_url(url)
        try:
            self._files, self._root = url_to_fs(url)
        except (ImportError, ValueError) as error:
            hint = "a folder, or an URL such as s3://bucket/folder whose fsspec package is there"
            what = f"is no place for artifacts: {error}"
            raise StorageError(what, where=url, hint=hint) from None

    @property
    def root(self) -> str:
        """The URL of the folder, however it was spelled, without a password."""
        return redact(self._files.unstrip_protocol(self._root))

    def open_reader(self, artifact_id: str) -> BinaryIO:
        try:
            return self._files.open(self._path(artifact_id), "rb")  # type: ignore[no-any-return]
        except FileNotFoundError:
            raise ArtifactNotFound(f"there is no artifact {artifact_id}") from None

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        path = self._path(artifact_id)
        partial = f"{path}.{uuid.uuid4().hex}{PARTIAL}"
        self._files.makedirs(self._root, exist_ok=True)
        try:
            with self._files.open(partial, "wb") as file:
                shutil.copyfileobj(content_body, file)
            self._files.mv(partial, path)
        except BaseException:
            with suppress(Exception):
                self._files.rm(partial)
            raise

    def remove(self, artifact_id: str) -> None:
        try:
            self._files.rm(self._path(artifact_id))
        except FileNotFoundError:
            raise ArtifactNotFound(f"there is no artifact {artifact_id}") from None

    def stage(self, artifact_id: str, data: bytes) -> Mapping[str, bytes]:
        self.write(artifact_id, io.BytesIO(data))
        return {}

    def ages(self) -> dict[str, float]:
        self._files.invalidate_cache()
        try:
            paths = self._files.ls(self._root, detail=False)
        except FileNotFoundError:
            return {}
        return {path.rsplit("/", 1)[-1]: self._age(path) for path in paths}

    def _age(self, path: str) -> float:
        """Seconds since the file was written; 0 if that is unknown."""
        try:
            modified = self._files.modified(path)
        except (NotImplementedError, FileNotFoundError):
            return 0.0
        modified = modified if modified.tzinfo else modified.replace(tzinfo=UTC)
        return float((datetime.now(UTC) - modified).total_seconds())

    def _path(self, artifact_id: str) -> str:
        if not _NAME.fullmatch(artifact_id):
            raise ValueError(f"{artifact_id!r} cannot be an artifact's identifier")
        return f"{self._root}/{artifact_id}"


# The interface of a store, and the store in the database.


ARTIFACTS_VARIABLE = "TUNER_ARTIFACTS"
DATABASE_LIMIT = 32 * 2**20
"""The largest artifact in bytes that workers put into the database."""


class Artifacts(Protocol):
    """Optuna's store of artifacts, and a list of what is in it.

    Attributes:
        limit: the largest artifact in bytes that workers put there; None is any.
        root: the URL of the folder in which they lie as files; None is the database.
    """

    limit: int | None

    @property
    def root(self) -> str | None: ...

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """The artifact's bytes; ArtifactNotFound if there is none."""

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """Store it whole or not at all; it replaces an artifact with the same identifier."""

    def remove(self, artifact_id: str) -> None:
        """Remove it; ArtifactNotFound if there is none."""

    def stage(self, artifact_id: str, data: bytes) -> Mapping[str, bytes]:
        """Store it now, or return what an ``Update`` has to write, so that the lease fences it."""

    def ages(self) -> dict[str, float]:
        """All identifiers, leftovers of interrupted writes too, each with its age in seconds."""


class DatabaseArtifacts:
    """Artifacts as rows of the database that holds the trials."""

    limit: int | None = DATABASE_LIMIT
    root = None

    def __init__(self, database: Database) -> None:
        self._database = database

    def open_reader(self, artifact_id: str) -> BinaryIO:
        table = schema.artifacts
        with self._database.read() as connection:
            query = select(func.count()).where(table.c.artifact_id == artifact_id)
            count = int(connection.execute(query).scalar_one())
        if not count:
            raise ArtifactNotFound(f"there is no artifact {artifact_id}")
        return io.BufferedReader(_Parts(self._database, artifact_id, count), PART)

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        rows = parts(artifact_id, content_body)  # before the transaction, so that no other waits
        table = schema.artifacts
        with self._database.write() as connection:
            now = connection.execute(select(sql.now(self._database.dialect))).scalar_one()
            connection.execute(table.delete().where(table.c.artifact_id == artifact_id))
            connection.execute(table.insert(), [{**row, "written": now} for row in rows])

    def remove(self, artifact_id: str) -> None:
        table = schema.artifacts
        with self._database.write() as connection:
            result = connection.execute(table.delete().where(table.c.artifact_id == artifact_id))
        if not result.rowcount:
            raise ArtifactNotFound(f"there is no artifact {artifact_id}")

    def stage(self, artifact_id: str, data: bytes) -> Mapping[str, bytes]:
        return {artifact_id: data}

    def ages(self) -> dict[str, float]:
        table, now = schema.artifacts, sql.now(self._database.dialect)
        query = select(table.c.artifact_id, now - func.max(table.c.written))
        with self._database.read() as connection:
            rows = connection.execute(query.group_by(table.c.artifact_id)).all()
        return {row[0]: float(row[1]) for row in rows}


class _Parts(io.RawIOBase):
    """Reads an artifact's rows one after the other."""

    def __init__(self, database: Database, artifact_id: str, count: int) -> None:
        self._pieces = _pieces(database, artifact_id, count)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # as the base calls it
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def _pieces(database: Database, artifact_id: str, count: int) -> Iterator[bytes]:
    table = schema.artifacts
    for part in range(count):
        with database.read() as connection:
            mine = table.c.artifact_id == artifact_id, table.c.part == part
            data = connection.execute(select(table.c.data).where(*mine)).scalar()
        if data is None:
            raise ArtifactNotFound(f"the artifact {artifact_id} was removed meanwhile")
        yield data


def artifact_store(storage: Storage, artifacts: str | None = None) -> Artifacts:
    """The store of a database's artifacts, for Optuna's functions and its dashboard too.

    Args:
        artifacts: a folder or any URL that fsspec knows, which no other database may use. Without
            one, TUNER_ARTIFACTS names it; without that, the database holds the artifacts.

    Raises:
        StorageError: nothing that is installed knows the URL.
    """
    place = artifacts or os.environ.get(ARTIFACTS_VARIABLE)
    if not place:
        return DatabaseArtifacts(storage.database)

    return FileArtifacts(place)


# Removing artifacts that are no longer needed.


def tidy(
    storage: Storage, store: Artifacts, study_id: int, filename: str, *, maximize: bool, keep: int
) -> int:
    """Remove what workers attached under a name to complete trials that are not among the best.

    The metadata go first, so that none names an artifact that is gone. Returns the number removed.
    """
    with storage.database.write() as connection:
        ours = [
            each
            for each in trial_artifacts(connection, study_id)
            if each.ours and each.filename == filename and each.state == TrialState.COMPLETE
        ]
        # The best of these alone: a trial of another program does not displace one of ours.
        best = best_ids(connection, (each.trial_id for each in ours), maximize, keep)
        gone = [each for each in ours if each.trial_id not in best]
        table = rows.SYSTEM_ATTRS
        for each in gone:
            mine = table.c.trial_id == each.trial_id, table.c.key == PREFIX + each.artifact_id
            connection.execute(table.delete().where(*mine))
    remove(store, (each.artifact_id for each in gone))
    return len(gone)


def remove(store: Artifacts, artifact_ids: Iterable[str]) -> None:
    """Remove artifacts, some of which may be gone."""
    for artifact_id in artifact_ids:
        with suppress(ArtifactNotFound):
            store.remove(artifact_id)


def orphans(storage: Storage, store: Artifacts, older: float = 24 * 3600.0) -> list[str]:
    """Artifacts that belong to no study and no trial of this database.

    Args:
        older: seconds since they were written: a worker that cannot reach the database may still
            have to write the trial that they belong to.
    """
    names = [name for name, age in store.ages().items() if age >= older]
    with storage.database.read() as connection:
        known = {*attached_ids(connection), *checkpoint_ids(connection)}
    return sorted(name for name in names if name not in known)
