"""Artifacts as optuna-dashboard reads and removes them: some may be gone already."""

from __future__ import annotations

from contextlib import suppress
from http import HTTPStatus
from typing import BinaryIO

from bottle import HTTPError
from optuna.artifacts.exceptions import ArtifactNotFound

from tuner.storage import Artifacts


class Files:
    """Optuna's store of artifacts, of which pages may know more than there are.

    Those of trials that are not among the best any more are removed; a page that shows them was
    made before that, and a study is deleted with whatever is left.
    """

    def __init__(self, store: Artifacts) -> None:
        self._store = store

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """The artifact's bytes; where there are none, the answer is 404."""
        try:
            return self._store.open_reader(artifact_id)
        except ArtifactNotFound:
            raise HTTPError(int(HTTPStatus.NOT_FOUND), "this file is gone") from None

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        self._store.write(artifact_id, content_body)

    def remove(self, artifact_id: str) -> None:
        """Forget it, if it is there."""
        with suppress(ArtifactNotFound):
            self._store.remove(artifact_id)
