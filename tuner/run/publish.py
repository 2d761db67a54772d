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
from tuner.show.answers import beaten, ensemble_line, unfinished
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
"""Seconds between two updates of a note, by whichever worker; the more workers there are, the less
often each one asks whether it is its turn."""


@dataclass
class _Schedule:
    """When a worker asks again for its turn to update a note, and how long it waits after that."""

    at: float = float("-inf")
    wait: float = SECONDS


@dataclass
class Publisher:
    """Updates studies' notes, and removes artifacts that are no longer needed.

    It may be called often: mostly it checks the time and returns. An error fails no trial, and the
    next call tries again.
    """

    storage: Storage
    store: Artifacts
    _schedules: dict[int, _Schedule] = field(default_factory=dict)

    def __call__(self, job: Job) -> None:
        schedule = self._schedules.setdefault(job.study_id, _Schedule())
        now = time.monotonic()
        if now < schedule.at:
            return
        with _logging_errors(job.study.name):
            mine = turn(self.storage, job.study_id, SECONDS)
            schedule.wait = SECONDS if mine else min(2 * schedule.wait, LONGEST_SECONDS)
            if mine:
                publish(self.storage, self.store, job.study, job.study_id)
        schedule.at = now + schedule.wait

    def finish(self, job: Job) -> None:
        """Updates the note when the study ends, or this run of it."""
        self._schedules.pop(job.study_id, None)
        with _logging_errors(job.study.name):
            publish(self.storage, self.store, job.study, job.study_id)


def bring_up_to_date(storage: Storage, study: Study, study_id: int) -> None:
    """Updates a study's note at once, after a change by a command."""
    with _logging_errors(study.name):
        publish(storage, artifact_store(storage), study, study_id)


@contextmanager
def _logging_errors(study: str) -> Iterator[None]:
    """Logs an error of publishing and goes on; the next step reports a missing study or outage."""
    try:
        yield
    except (MissingError, OutageError):
        return
    except Exception as error:
        what = f"could not update the note of {study}"
        tell("error", f"{what}: {type(error).__name__}: {error}", study=study)


def publish(storage: Storage, store: Artifacts, study: Study, study_id: int) -> bool:
    """Write a study's note if its facts have changed; whether it was written.

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
    new = {**_facts(now), "confirmed": None if confirmed is None else confirmed.winner.label}
    if confirmed is not None:
        new["seeds"] = confirmed.seeds
        new["confirm_left"] = unfinished(confirmed)
        new["ensemble"] = ensemble_line(confirmed)
        new["beaten"] = beaten(confirmed)
    if known == new:
        return False
    maximize = now.direction == "maximize"
    tidy(storage, store, study_id, WEIGHTS, maximize=maximize, keep=KEEP)
    return save(storage, study_id, note(now, study, confirmed), new)


def _facts(now: Snapshot) -> dict[str, Any]:
    progress = now.progress
    names = ("budget", "epochs", "state", "complete", "pruned", "paused")
    counts = {name: getattr(progress, name) for name in names}
    trials = {"best": now.best and now.best.number, "left_out": len(now.left_out)}
    return {**counts, "failed": progress.failed, **trials}
