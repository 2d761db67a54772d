"""A study goes with all that is its own, and with nothing else."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from sqlalchemy import text

from tuner.errors import UsageError
from tuner.operation.remove import Garbage, collect, delete, plan_deletion
from tuner.storage import Storage, Update
from tuner.storage.artifacts import DatabaseArtifacts
from tuner.storage.outbox import Spool

Make = Callable[..., int]


def test_a_study_goes_with_its_replicas_and_nothing_else(storage: Storage, make: Make) -> None:
    others = ["study2", "study:2025", "study:ablate"]
    for name in ("study", *others):
        make(storage, name, 2)
    make(storage, "study:confirm", 2, of="study")
    make(storage, "study:confirm:confirm", 1, of="study:confirm")
    found = plan_deletion(storage, "study")
    replicas = ["study:confirm", "study:confirm:confirm"]
    assert (list(found.studies), found.trials) == (["study", *replicas], 5)
    assert len(storage.get_all_studies()) == 6
    delete(storage, found)
    assert [study.study_name for study in storage.get_all_studies()] == others
    assert {event.study for event in storage.events()} == set(others)
    delete(storage, found)  # somebody else was faster


def test_a_study_that_workers_are_at_stays(storage: Storage, make: Make, claim: Any) -> None:
    lease = claim(storage, make(storage))
    storage.writer.write([Update(lease, checkpoint=b"state")])
    found = plan_deletion(storage, "study", force=True)
    for look in (lambda: plan_deletion(storage, "study"), lambda: delete(storage, found)):
        with pytest.raises(UsageError, match="workers are training 1 of its trials"):
            look()
    assert storage.progress(lease.study_id).running == 1
    delete(storage, found, force=True)
    assert storage.writer.write([Update(lease, {1: 0.5})]) == [lease]
    with storage.database.read() as connection:
        for table in ("leases", "checkpoints", "studies", "events"):
            found = connection.execute(text(f"SELECT count(*) FROM tuner_{table}"))
            assert found.scalar() == 0


# What nobody needs goes; what somebody may need stays.


NOTHING = Garbage(0, 0, 0, 0, 0, 0)


def test_what_nobody_needs_goes(
    storage: Storage, make: Callable[..., int], claim: Any, spool: Path
) -> None:
    study_id = make(storage, trials=1)
    ended, goes_on = claim(storage, study_id), claim(storage, study_id)
    storage.writer.write([Update(lease, checkpoint=b"state") for lease in (ended, goes_on)])
    results = Spool(spool, str(storage.database.url))
    results.keep([Update(lease, state=TrialState.PRUNED) for lease in (ended, goes_on)])
    optuna.load_study(study_name="study", storage=storage)._storage.set_trial_state_values(
        ended.trial_id, TrialState.COMPLETE, [1.0]
    )
    storage.claims.register("died", "host", 1, "cpu")
    DatabaseArtifacts(storage.database).write("orphan", io.BytesIO(b"x"))
    assert collect(storage, spool, 3600.0) == Garbage(1, 1, 0, 0, 0, 0)

    for table, column in (("workers", "renewed"), ("artifacts", "written"), ("events", "time")):
        with storage.database.write() as connection:
            connection.execute(text(f"UPDATE tuner_{table} SET {column} = {column} - 90000"))
    for path in spool.rglob("*.json"):
        os.utime(path, (1, 1))
    found = Garbage(0, 0, 1, 1, 1, 1)
    assert collect(storage, spool, 3600.0, dry=True) == found
    assert collect(storage, spool, 3600.0) == found
    assert collect(storage, spool, 3600.0) == NOTHING
    assert storage.workers() == []
    assert [path.name for path in spool.rglob("*.json")] == [f"{goes_on.trial_id}-1.json"]
    storage.claims.release([goes_on])
    assert claim(storage, study_id).checkpoint == b"state"
    kinds = [event.kind for event in storage.events()]
    assert kinds[:2] == ["submitted", "claimed"]  # a study's events stay with it


def test_what_may_live_or_be_waited_for_stays(storage: Storage, spool: Path) -> None:
    storage.claims.register("stopped", "host", 1, "cpu")
    DatabaseArtifacts(storage.database).write("waited-for", io.BytesIO(b"x"))
    with storage.database.write() as connection:
        connection.execute(text("UPDATE tuner_workers SET renewed = renewed - 300"))
        connection.execute(text("UPDATE tuner_artifacts SET written = written - 7200"))
    found = collect(storage, spool, 1.0)
    assert (found.workers, found.artifacts) == (0, 0)
