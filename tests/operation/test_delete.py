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
    for name in ("study", "study:confirm", "study2"):
        make(storage, name, 2)
    found = doomed(storage, "study")
    assert (list(found.studies), found.trials) == (["study", "study:confirm"], 4)
    assert len(storage.get_all_studies()) == 3
    delete(storage, found)
    assert [study.study_name for study in storage.get_all_studies()] == ["study2"]
    assert {event.study for event in storage.events()} == {"study2"}


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
