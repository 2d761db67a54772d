"""Studies that go: ``tuner delete``."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import Connection

from tuner.errors import MissingError, UsageError
from tuner.operation.copy import family
from tuner.operation.live import live
from tuner.storage import Storage, artifact_store
from tuner.storage.attached import artifact_ids
from tuner.storage.tidying import remove


class Doomed(NamedTuple):
    """What `delete` would remove: studies by name, and how many trials they have."""

    studies: dict[str, int]
    trials: int


def doomed(storage: Storage, name: str, force: bool = False) -> Doomed:
    """A study and those that `confirm` and `ablate` made for it; nothing is changed.

    Raises:
        UsageError: there is no such study, or a worker is at one of its trials and not `force`.
    """
    found = family(storage, name)
    with storage.database.read() as connection:
        running = sum(live(connection, study_id) for study_id in found.values())
    if running and not force:
        raise _busy(name, running)
    trials = sum(storage.get_n_trials(study_id) for study_id in found.values())
    return Doomed(found, trials)


def delete(storage: Storage, found: Doomed, force: bool = False) -> None:
    """Remove studies with all that belongs to them; workers at them go on to other studies.

    Replicas go first, so that what stays can be deleted by its name.

    Raises:
        UsageError: a worker took a trial of a study meanwhile, and not `force`; that one stays.
    """
    store = artifact_store(storage)
    for name, study_id in reversed(found.studies.items()):
        last = _Last(name, study_id, force)
        with suppress(MissingError):  # somebody else was faster
            storage.delete_study(study_id, last.look)
        remove(store, last.artifacts)


@dataclass
class _Last:
    """A last look at a study, in the transaction that deletes it."""

    name: str
    study_id: int
    force: bool
    artifacts: list[str] = field(default_factory=list)

    def look(self, connection: Connection) -> None:
        running = live(connection, self.study_id)
        if running and not self.force:
            raise _busy(self.name, running)
        self.artifacts = artifact_ids(connection, self.study_id)


def _busy(name: str, running: int) -> UsageError:
    hint = f"tuner pause --study {name}, and wait for its workers; or --force"
    return UsageError(f"workers are at {running} of its trials", where=name, hint=hint)
