"""Updates a study's note in the database while the study runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tuner.errors import MissingError
from tuner.logs import tell
from tuner.results.confirm import read
from tuner.results.replicas import command_of
from tuner.show.answers import unfinished
from tuner.show.note import note, note_of_replicas
from tuner.show.snapshot import Snapshot, snapshot
from tuner.storage import Artifacts, OutageError, Storage, artifact_store
from tuner.storage.artifacts import tidy
from tuner.storage.notes import save, stamp, turn
from tuner.storage.studies import REPLICATES
from tuner.study import Study
from tuner.worker.job import Job
from tuner.worker.keep import KEEP, WEIGHTS

SECONDS, LONGEST_SECONDS = 30.0, 240.0
"""So long after one worker has looked whether a note says what is, another may; each asks the less
often, the more there are."""


@dataclass
class _Seen:
    """When to look at a study's note again, and how long to wait after that."""

    at: float = float("-inf")
    wait: float = SECONDS


@dataclass
class Publisher:
    """Keeps studies' notes up to date, and artifacts of theirs that are no longer needed away.

    Call it with a study as often as you like: mostly it looks at the time and returns. What goes
    wrong is no trial's business: it is tried again later.
    """

    storage: Storage
    store: Artifacts
    _seen: dict[int, _Seen] = field(default_factory=dict)

    def __call__(self, job: Job) -> None:
        seen = self._seen.setdefault(job.study_id, _Seen())
        now = time.monotonic()
        if now < seen.at:
            return
        with _spared(job.study.name):
            mine = turn(self.storage, job.study_id, SECONDS)
            seen.wait = SECONDS if mine else min(2 * seen.wait, LONGEST_SECONDS)
            if mine:
                publish(self.storage, self.store, job.study, job.study_id)
        seen.at = now + seen.wait

    def finish(self, job: Job) -> None:
        """The study ends, or this run of it."""
        self._seen.pop(job.study_id, None)
        with _spared(job.study.name):
            publish(self.storage, self.store, job.study, job.study_id)


def bring_up_to_date(storage: Storage, study: Study, study_id: int) -> None:
    """After something was changed by hand: the study's note says so at once."""
    with _spared(study.name):
        publish(storage, artifact_store(storage), study, study_id)


@contextmanager
def _spared(study: str) -> Iterator[None]:
    """Logs an error of publishing and continues, unless the caller's next step reports it."""
    try:
        yield
    except (MissingError, OutageError):
        return
    except Exception as error:
        what = f"could not update the note of {study}"
        tell("error", f"{what}: {type(error).__name__}: {error}", study=study)


def publish(storage: Storage, store: Artifacts, study: Study, study_id: int) -> bool:
    """Write a study's note if it says something new; whether it did.

    Raises:
        StorageError: the database cannot be used.
        MissingError: there is no such study.
    """
    of = storage.get_study_user_attrs(study_id).get(REPLICATES)
    known = stamp(storage, study_id)
    if of is not None:
        new, what = {"replicates": of}, command_of(study.name, of)
        return known != new and save(storage, study_id, note_of_replicas(study.name, of, what), new)
    now = snapshot(storage, study, study_id, time.monotonic(), 0)
    confirmed = read(storage, study)
    new = {**_of(now), "confirmed": None if confirmed is None else confirmed.winner.label}
    if confirmed is not None:
        new["seeds"] = confirmed.seeds
        new["confirm_left"] = unfinished(confirmed)
    if known == new:
        return False
    maximize = now.direction == "maximize"
    tidy(storage, store, study_id, WEIGHTS, maximize=maximize, keep=KEEP)
    return save(storage, study_id, note(now, study, confirmed), new)


def _of(now: Snapshot) -> dict[str, Any]:
    progress = now.progress
    counts = {name: getattr(progress, name) for name in ("budget", "state", "complete", "pruned")}
    told = {"best": now.best and now.best.number, "left_out": len(now.left_out)}
    return {**counts, "failed": progress.failed, **told}
