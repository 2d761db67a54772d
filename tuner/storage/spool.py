"""Final results that could not be written, on the worker's disk, for the next process."""

from __future__ import annotations

import hashlib
import json
import os
import time
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from optuna.distributions import distribution_to_json, json_to_distribution
from optuna.trial import TrialState

from tuner.errors import StorageError
from tuner.logs import note
from tuner.storage.frozen import blank
from tuner.storage.lease import Lease, Update


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
        partial = path.with_suffix(f".{os.getpid()}.part")
        try:
            partial.write_text(json.dumps(_to_json(update)), encoding="utf-8")
            partial.replace(path)
        except OSError as error:
            raise StorageError(
                f"a result that waits to be told cannot be kept ({error.strerror})",
                where=str(self._folder),
                hint="make room, or name another folder: TUNER_SPOOL",
            ) from error

    def remove(self, lease: Lease) -> None:
        self._path(lease).unlink(missing_ok=True)

    def load(self) -> Iterator[Update]:
        """Every result in the folder; a file that is damaged is set aside."""
        for path in sorted(self._folder.glob("*.json")):
            try:
                yield _from_json(json.loads(path.read_text(encoding="utf-8")))
            except FileNotFoundError:
                continue  # another worker has told it
            except (ValueError, KeyError, TypeError):
                aside = path.with_suffix(".damaged")
                path.replace(aside)
                note(f"a result that waited to be told is damaged, and was set aside: {aside}")

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


def _from_json(found: dict[str, Any]) -> Update:
    trial = blank(found["number"], found["trial_id"])
    params = found.get("params", {})
    names = ("study_id", "trial_id", "number", "holder", "token")
    return Update(
        lease=Lease(**{name: found[name] for name in names}, trial=trial),
        reports={int(step): value for step, value in found["reports"].items()},
        user_attrs=found["user_attrs"],
        system_attrs=found["system_attrs"],
        params={
            name: (value, json_to_distribution(kind)) for name, (value, kind) in params.items()
        },
        artifacts={i: b64decode(text) for i, text in found.get("artifacts", {}).items()},
        state=TrialState[found["state"]],
        value=found["value"],
        age=max(0.0, time.time() - found["finished"]),
    )
