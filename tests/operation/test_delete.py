"""A study goes with all that is its own, and with nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from tuner.errors import UsageError
from tuner.operation.delete import delete, doomed
from tuner.storage import Storage, Update

Make = Callable[..., int]


def test_a_study_goes_with_its_replicas_and_nothing_else(storage: Storage, make: Make) -> None:
    others = ["study2", "study:2025", "study:ablate"]
    for name in ("study", *others):
        make(storage, name, 2)
    make(storage, "study:confirm", 2, of="study")
    make(storage, "study:confirm:confirm", 1, of="study:confirm")
    found = doomed(storage, "study")
    replicas = ["study:confirm", "study:confirm:confirm"]
    assert (list(found.studies), found.trials) == (["study", *replicas], 5)
    assert len(storage.get_all_studies()) == 6
    delete(storage, found)
    assert [study.study_name for study in storage.get_all_studies()] == others
    assert {event.study for event in storage.events()} == set(others)
    delete(storage, found)  # somebody else was faster


def test_a_study_that_workers_are_at_stays(storage: Storage, make: Make, claim: Any) -> None:
    lease = claim(storage, make(storage))
    storage.write([Update(lease, checkpoint=b"state")])
    found = doomed(storage, "study", force=True)
    for look in (lambda: doomed(storage, "study"), lambda: delete(storage, found)):
        with pytest.raises(UsageError, match="workers are at 1 of its trials"):
            look()
    assert storage.progress(lease.study_id).running == 1
    delete(storage, found, force=True)
    assert storage.write([Update(lease, {1: 0.5})]) == [lease]
    with storage.database.read() as connection:
        for table in ("leases", "checkpoints", "studies", "events"):
            found = connection.execute(text(f"SELECT count(*) FROM tuner_{table}"))
            assert found.scalar() == 0
