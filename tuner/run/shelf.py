"""What the workers of one command share: data that their parent read before it forked them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress

from tuner.errors import StorageError, TunerError
from tuner.run.prepare import SPEC, prepared
from tuner.storage import OutageError, Storage, open_storage
from tuner.study import Study, parse
from tuner.study.fingerprint import fingerprint
from tuner.worker import AnyJob

RENEWED = 75
"""The exit code of a worker that leaves to be forked anew."""
Key = tuple[int, str, str]


class RenewalError(Exception):
    """A worker met a study that its parent had not read when it forked it."""


class Shelf:
    """The jobs of the open studies, filled by the parent, and inherited by its workers.

    Where processes are not forked, torch shares the tensors.

    Args:
        url: the database.
        studies: names; empty is all.
    """

    def __init__(self, url: str, studies: Sequence[str]) -> None:
        self._url, self._studies = url, frozenset(studies)
        self._jobs: dict[Key, AnyJob | TunerError] = {}

    def fill(self) -> None:
        """Read the open studies that are not here, and drop those that are open no more.

        While the database does not answer all stays as it is: workers wait for it, and ask again.

        Raises:
            StorageError: the database cannot be used.
        """
        with suppress(OutageError):
            storage = open_storage(self._url)
            try:
                self._fill(storage)
            finally:
                storage.close()

    def _fill(self, storage: Storage) -> None:
        wanted = {
            name for name in storage.open_studies() if not self._studies or name in self._studies
        }
        found = {name: each for name, each in storage.having(SPEC).items() if name in wanted}
        read = [(parse(name, json.loads(spec)), i) for name, (i, spec) in found.items()]
        left = {_key(*each): each for each in read}
        self._jobs = {key: job for key, job in self._jobs.items() if key in left}
        for key in left.keys() - self._jobs.keys():
            self._jobs[key] = _read(*left[key])

    def job(self, study: Study, study_id: int) -> AnyJob:
        """The job of a study, for a worker.

        Raises:
            RenewalError: it was not here when the worker was forked.
            TunerError: why the parent could not read it.
        """
        found = self._jobs.get(_key(study, study_id))
        if found is None:
            raise RenewalError
        if isinstance(found, TunerError):
            raise found
        return found


def _key(study: Study, study_id: int) -> Key:
    """SQLite gives a deleted study's number to the next one."""
    return study_id, study.name, fingerprint(study.document)


def _read(study: Study, study_id: int) -> AnyJob | TunerError:
    try:
        return prepared(study, study_id)
    except StorageError:
        raise
    except TunerError as error:
        return error
