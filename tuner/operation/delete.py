"""Studies that go: ``tuner delete``."""

from __future__ import annotations

from typing import NamedTuple

from tuner.errors import UsageError
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
    known = {study.study_name: study._study_id for study in storage.get_all_studies()}
    found = family(known, name)
    with storage.database.read() as connection:
        running = sum(live(connection, study_id) for study_id in found.values())
    if running and not force:
        raise UsageError(
            f"workers are at {running} of its trials",
            where=name,
            hint=f"tuner pause --study {name}, and wait for its workers; or --force",
        )
    trials = sum(storage.get_n_trials(study_id) for study_id in found.values())
    return Doomed(found, trials)


def delete(storage: Storage, found: Doomed) -> None:
    """Remove studies with all that belongs to them; workers at them go on to other studies."""
    store = artifact_store(storage)
    for study_id in found.studies.values():
        with storage.database.read() as connection:
            known = artifact_ids(connection, study_id)
        storage.delete_study(study_id)
        remove(store, known)
