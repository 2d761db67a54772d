"""Where artifacts are kept: files of studies and trials, as Optuna and its dashboard know them."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from typing import BinaryIO, Protocol

from optuna.artifacts.exceptions import ArtifactNotFound
from sqlalchemy import func, select

from tuner.storage import schema, sql
from tuner.storage.database import Database
from tuner.storage.parts import PART, parts
from tuner.storage.storage import Storage

ARTIFACTS_VARIABLE = "TUNER_ARTIFACTS"


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
        """Keep it whole or not at all; what had this identifier is replaced."""

    def remove(self, artifact_id: str) -> None:
        """Forget it; ArtifactNotFound if there is none."""

    def stage(self, artifact_id: str, data: bytes) -> Mapping[str, bytes]:
        """Keep it now; or what an ``Update`` has to bring along, so that a lease fences it."""

    def ages(self) -> dict[str, float]:
        """All identifiers, also of what an interrupted write left, each with its age in seconds."""


class DatabaseArtifacts:
    """Artifacts as rows of the database that holds the trials."""

    limit: int | None = 32 * 2**20
    root = None

    def __init__(self, database: Database) -> None:
        self._database = database

    def open_reader(self, artifact_id: str) -> BinaryIO:
        table = schema.artifacts
        with self._database.read() as connection:
            found = select(func.count()).where(table.c.artifact_id == artifact_id)
            count = int(connection.execute(found).scalar_one())
        if not count:
            raise ArtifactNotFound(f"there is no artifact {artifact_id}")
        return io.BufferedReader(_Parts(self._database, artifact_id, count), PART)

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        rows = parts(artifact_id, content_body)  # before the transaction, which may keep others
        table = schema.artifacts
        with self._database.write() as connection:
            now = connection.execute(select(sql.now(self._database.dialect))).scalar_one()
            connection.execute(table.delete().where(table.c.artifact_id == artifact_id))
            connection.execute(table.insert(), [{**row, "written": now} for row in rows])

    def remove(self, artifact_id: str) -> None:
        table = schema.artifacts
        with self._database.write() as connection:
            done = connection.execute(table.delete().where(table.c.artifact_id == artifact_id))
        if not done.rowcount:
            raise ArtifactNotFound(f"there is no artifact {artifact_id}")

    def stage(self, artifact_id: str, data: bytes) -> Mapping[str, bytes]:
        return {artifact_id: data}

    def ages(self) -> dict[str, float]:
        table, now = schema.artifacts, sql.now(self._database.dialect)
        found = select(table.c.artifact_id, now - func.max(table.c.written))
        with self._database.read() as connection:
            rows = connection.execute(found.group_by(table.c.artifact_id)).all()
        return {row[0]: float(row[1]) for row in rows}


class _Parts(io.RawIOBase):
    """Reads an artifact's rows one after the other."""

    def __init__(self, database: Database, artifact_id: str, count: int) -> None:
        self._pieces = _pieces(database, artifact_id, count)
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # as the base calls it
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = memoryview(piece)
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
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
        artifacts: a folder or any URL that fsspec knows, which no other database may use; none
            is what TUNER_ARTIFACTS says, else the database itself.

    Raises:
        StorageError: nothing that is installed knows the URL.
    """
    place = artifacts or os.environ.get(ARTIFACTS_VARIABLE)
    if not place:
        return DatabaseArtifacts(storage.database)
    from tuner.storage.files import FileArtifacts

    return FileArtifacts(place)
