"""Removing artifacts that nobody needs any more."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.trial import TrialState

from tuner.storage import rows
from tuner.storage.artifacts import Artifacts
from tuner.storage.attached import PREFIX, attached, best_ids, referenced
from tuner.storage.checkpoints import checkpoint_ids
from tuner.storage.storage import Storage


def tidy(
    storage: Storage, store: Artifacts, study_id: int, filename: str, *, maximize: bool, keep: int
) -> int:
    """Remove what workers attached under a name to complete trials that are not among the best.

    First what says that it is there, so that nobody is sent to what is not; how many were.
    """
    with storage.database.write() as connection:
        ours = [
            each
            for each in attached(connection, study_id)
            if each.ours and each.filename == filename and each.state == TrialState.COMPLETE
        ]
        # Among these: another program's trial takes nobody's place.
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
    """Artifacts of which no study and no trial of this database knows.

    Args:
        older: seconds since they were written: a worker that cannot reach the database may still
            have to tell what they belong to.
    """
    found = [name for name, age in store.ages().items() if age >= older]
    with storage.database.read() as connection:
        known = {*referenced(connection), *checkpoint_ids(connection)}
    return sorted(name for name in found if name not in known)
