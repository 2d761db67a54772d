"""Deletes studies, and collects what no study needs any more."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from optuna.trial import TrialState
from sqlalchemy import Connection, Table, func, select

from tuner.errors import MissingError, UsageError
from tuner.operation.copy import family, live
from tuner.storage import Storage, artifact_store, rows, schema, sql, studies
from tuner.storage.artifacts import orphans, remove
from tuner.storage.attached import artifact_ids
from tuner.storage.outbox import Spool

# Deleting studies: ``tuner delete``.


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
        raise _busy(next(iter(found)), running)
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
    hint = f"tuner pause --study {name}, then wait for its workers; or use --force"
    return UsageError(f"workers are training {running} of its trials", where=name, hint=hint)


# Collecting garbage: ``tuner gc``.


DEAD_SECONDS = 600.0
"""A worker that is silent for less may live: it may be stopped, or its database away."""
ORPHAN_SECONDS = 86400.0
"""For so long a result that names an artifact may wait on some worker's disk."""


class Garbage(NamedTuple):
    """How many of each were, or would be, removed.

    Attributes:
        checkpoints, leases: of trials that ended.
        artifacts: of which no study and no trial knows.
        workers: rows of those that died.
        events: of workers alone, and of studies that are gone.
        results: on this machine's disk, of trials that ended or are gone.
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
        spool: where this machine's workers keep results that have to wait.
        older: seconds; anything newer stays, except checkpoints and leases. Workers stay for
            DEAD_SECONDS at least, and artifacts for ORPHAN_SECONDS.
        dry: count only.
    """
    store = artifact_store(storage)
    lost = orphans(storage, store, max(older, ORPHAN_SECONDS))
    if not dry:
        remove(store, lost)
    with storage.database.write() as connection:
        counts = [
            _remove(connection, table, useless, dry)
            for table, useless in _useless(connection, older)
        ]
        results = _results(connection, storage, spool, older)
    for path in () if dry else results:
        path.unlink(missing_ok=True)
    checkpoints, leases, workers, events = counts
    return Garbage(checkpoints, leases, len(lost), workers, events, len(results))


def _useless(connection: Connection, older: float) -> list[tuple[Table, Any]]:
    saved, held, alive, told = schema.checkpoints, schema.leases, schema.workers, schema.events
    unfinished = select(rows.TRIALS.c.trial_id).where(
        rows.TRIALS.c.state.in_((TrialState.RUNNING, TrialState.WAITING))
    )
    now = sql.now(connection.dialect.name)
    before = now - older
    known = select(studies.STUDIES.c.study_id)
    gone = told.c.study_id.is_not(None) & told.c.study_id.not_in(known)
    return [
        (saved, saved.c.trial_id.not_in(unfinished)),
        (held, held.c.trial_id.not_in(unfinished)),
        (alive, alive.c.renewed < now - max(older, DEAD_SECONDS)),
        (told, (told.c.study_id.is_(None) & (told.c.time < before)) | gone),
    ]


def _remove(connection: Connection, table: Table, useless: Any, dry: bool) -> int:
    count = select(func.count()).select_from(table).where(useless)
    found = int(connection.execute(count).scalar_one())
    if found and not dry:
        connection.execute(table.delete().where(useless))
    return found


def _results(connection: Connection, storage: Storage, folder: Path, older: float) -> list[Path]:
    """Files of obsolete results: another worker has recorded how their trials ended."""
    found = []
    for path in Spool.folder(folder, str(storage.database.url)).glob("*"):
        number = path.name.split("-")[0]
        if not number.isdigit() or time.time() - path.stat().st_mtime < older:
            continue
        head = rows.read_head(connection, int(number))
        if head is None or head[1].state.is_finished():
            found.append(path)
    return found
