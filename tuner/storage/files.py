"""Artifacts as files: in a folder, or wherever fsspec reaches."""

from __future__ import annotations

import io
import re
import shutil
import uuid
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import BinaryIO

from fsspec.core import url_to_fs
from optuna.artifacts.exceptions import ArtifactNotFound

from tuner.errors import StorageError
from tuner.hidden import redact, remember_url

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
            found = self._files.ls(self._root, detail=False)
        except FileNotFoundError:
            return {}
        return {path.rsplit("/", 1)[-1]: self._age(path) for path in found}

    def _age(self, path: str) -> float:
        """0 where nobody knows."""
        try:
            changed = self._files.modified(path)
        except (NotImplementedError, FileNotFoundError):
            return 0.0
        changed = changed if changed.tzinfo else changed.replace(tzinfo=UTC)
        return float((datetime.now(UTC) - changed).total_seconds())

    def _path(self, artifact_id: str) -> str:
        if not _NAME.fullmatch(artifact_id):
            raise ValueError(f"{artifact_id!r} cannot be an artifact's identifier")
        return f"{self._root}/{artifact_id}"
