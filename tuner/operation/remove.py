"""Deletes studies, and removes what no study needs any more."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from optuna.trial import TrialState
from sqlalchemy import Connection, Table, func, select

from tuner.errors import MissingError, UsageError
from tuner.operation.copy import running_trials, with_replicas
from tuner.storage import Storage, artifact_store, rows, schema, sql, studies
from tuner.storage.artifacts import orphans, remove
from tuner.storage.attached import artifact_ids
from tuner.storage.outbox import Spool

# Deleting studies: ``tuner delete``.


class Deletion(NamedTuple):
    """What `delete` removes: ids of studies by name, and how many trials they have."""

    studies: dict[str, int]
    trials: int


def plan_deletion(storage: Storage, name: str, force: bool = False) -> Deletion:
    """A study and those that `confirm` and `ablate` made for it; changes nothing.

    Raises:
        UsageError: there is no such study, or workers are training it, without `force`.
    """
    ids = with_replicas(storage, name)
    with storage.database.read() as connection:
        running = sum(running_trials(connection, study_id) for study_id in ids.values())
    if running and not force:
        raise _busy(next(iter(ids)), running)
    trials = sum(storage.get_n_trials(study_id) for study_id in ids.values())
    return Deletion(ids, trials)


def delete(storage: Storage, deletion: Deletion, force: bool = False) -> None:
    """Remove studies with all that belongs to them; their workers go on to other studies.

    Replicas go first: after a failure the rest can still be deleted by the study's name.

    Raises:
        UsageError: a worker claimed a trial of a study meanwhile, without `force`; it stays.
    """
    store = artifact_store(storage)
    for name, study_id in reversed(deletion.studies.items()):
        check = _FinalCheck(name, study_id, force)
        with suppress(MissingError):  # deleted meanwhile
            storage.delete_study(study_id, check.look)
        remove(store, check.artifacts)


@dataclass
class _FinalCheck:
    """Looks for running trials and artifacts of a study in the transaction that deletes it."""

    name: str
    study_id: int
    force: bool
    artifacts: list[str] = field(default_factory=list)

    def look(self, connection: Connection) -> None:
        running = running_trials(connection, self.study_id)
        if running and not self.force:
            raise _busy(self.name, running)
        self.artifacts = artifact_ids(connection, self.study_id)


def _busy(name: str, running: int) -> UsageError:
    hint = f"tuner pause --study {name}, then wait for its workers; or use --force"
    return UsageError(f"workers are training {running} of its trials", where=name, hint=hint)


# Collecting garbage: ``tuner gc``.


DEAD_SECONDS = 600.0
"""A worker that is silent for less may be alive: suspended, or cut off from the database."""
ORPHAN_SECONDS = 86400.0
"""A result that names an artifact may wait this long on a worker's disk."""


class Garbage(NamedTuple):
    """How many of each were, or would be, removed.

    Attributes:
        checkpoints, leases: of trials that ended.
        artifacts: to which no study and no trial refers.
        workers: rows of dead workers.
        events: of workers without a study, and of deleted studies.
        results: on this machine's disk, of trials that ended or were deleted.
    """

    checkpoints: int
    leases: int
    artifacts: int
    workers: int
    events: int
    results: int


def collect(storage: Storage, spool: Path, older: float, dry: bool = False) -> Garbage:
    """Remove leftovers that no study needs.

    Args:
        spool: where this machine's workers keep results that are not written yet.
        older: seconds; anything newer stays, except checkpoints and leases. Workers stay for
            DEAD_SECONDS at least, and artifacts for ORPHAN_SECONDS.
        dry: count only.
    """
    store = artifact_store(storage)
    orphaned = orphans(storage, store, max(older, ORPHAN_SECONDS))
    if not dry:
        remove(store, orphaned)
    with storage.database.write() as connection:
        counts = [
            _remove(connection, table, useless, dry)
            for table, useless in _garbage(connection, older)
        ]
        results = _results(connection, storage, spool, older)
    for path in () if dry else results:
        path.unlink(missing_ok=True)
    checkpoints, leases, workers, events = counts
    return Garbage(checkpoints, leases, len(orphaned), workers, events, len(results))


def _garbage(connection: Connection, older: float) -> list[tuple[Table, Any]]:
    """Tables and the condition for the rows to remove, in the order of `collect`."""
    checkpoints, leases = schema.checkpoints, schema.leases
    workers, history = schema.workers, schema.events
    unfinished = select(rows.TRIALS.c.trial_id).where(
        rows.TRIALS.c.state.in_((TrialState.RUNNING, TrialState.WAITING))
    )
    now = sql.now(connection.dialect.name)
    before = now - older
    known = select(studies.STUDIES.c.study_id)
    deleted = history.c.study_id.is_not(None) & history.c.study_id.not_in(known)
    return [
        (checkpoints, checkpoints.c.trial_id.not_in(unfinished)),
        (leases, leases.c.trial_id.not_in(unfinished)),
        (workers, workers.c.renewed < now - max(older, DEAD_SECONDS)),
        (history, (history.c.study_id.is_(None) & (history.c.time < before)) | deleted),
    ]


def _remove(connection: Connection, table: Table, useless: Any, dry: bool) -> int:
    statement = select(func.count()).select_from(table).where(useless)
    count = int(connection.execute(statement).scalar_one())
    if count and not dry:
        connection.execute(table.delete().where(useless))
    return count


def _results(connection: Connection, storage: Storage, folder: Path, older: float) -> list[Path]:
    """Files of obsolete results: another worker has recorded how their trials ended."""
    paths = []
    for path in Spool.folder(folder, str(storage.database.url)).glob("*"):
        number = path.name.split("-")[0]
        if not number.isdigit() or time.time() - path.stat().st_mtime < older:
            continue
        head = rows.read_head(connection, int(number))
        if head is None or head[1].state.is_finished():
            paths.append(path)
    return paths
