"""Large checkpoints are files, of which the database knows the one that counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from tuner.errors import TrainingError
from tuner.operation.remove import delete, plan_deletion
from tuner.storage import Lease, Outbox, Storage, Update, artifact_store, open_storage
from tuner.storage.artifacts import orphans
from tuner.worker import checkpoints as saved_module
from tuner.worker.checkpoints import LARGE, CheckpointStore, Pace

SMALL = b"s" * LARGE
FIRST, SECOND = b"1" * (LARGE + 1), b"2" * (LARGE + 1)


def propose(number: int, fixed: Mapping[str, Any] | None) -> FrozenTrial:
    return create_trial(state=TrialState.RUNNING, user_attrs={"seed": number})


@dataclass
class Place:
    """A study with one trial to claim, and a folder for files."""

    storage: Storage
    study_id: int
    folder: Path

    def claim(self, holder: str) -> Lease:
        lease = self.storage.claims.claim(self.study_id, holder, propose)
        assert lease is not None
        return lease

    def worker(self) -> tuple[Outbox, CheckpointStore]:
        outbox = Outbox(self.storage, flush_seconds=3600)
        return outbox, CheckpointStore(artifact_store(self.storage, str(self.folder)), outbox)

    @property
    def files(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()} if self.folder.exists() else set()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    storage = open_storage(f"sqlite:///{tmp_path}/tuner.db")
    given = {"direction": "maximize", "metric": "m", "spec": "", "fingerprint": "f", "budget": 1}
    yield Place(storage, storage.join("study", **given), tmp_path / "files")
    storage.close()


def test_a_file_stays_until_what_follows_it_is_in_the_database(place: Place) -> None:
    lease, (outbox, saved) = place.claim("me"), place.worker()
    outbox.put(Update(lease, checkpoint=saved.put(lease, FIRST)))
    outbox.flush()
    first = place.files
    told = saved.put(lease, SECOND)
    assert len(told) < 100
    outbox.put(Update(lease, checkpoint=told))
    saved.tidy()  # what was told is not written yet
    assert len(first) == 1
    assert len(place.files) == 2
    outbox.flush()
    saved.tidy()
    assert len(place.files) == 1
    assert not first & place.files
    outbox.put(Update(lease, state=TrialState.COMPLETE, value=1.0))
    saved.ended(lease)
    saved.tidy()
    assert len(place.files) == 1
    outbox.flush()
    saved.tidy()
    assert place.files == set()


def test_a_small_one_and_one_that_no_file_takes_are_told_as_they_are(place: Place) -> None:
    lease, (_, saved) = place.claim("me"), place.worker()
    assert saved.put(lease, SMALL) == SMALL
    assert place.files == set()
    place.folder.write_text("not a folder")
    assert saved.put(lease, FIRST) == FIRST
    within = CheckpointStore(artifact_store(place.storage), Outbox(place.storage))
    assert within.put(lease, FIRST) == FIRST


def test_one_too_large_for_the_database_waits_for_the_place_of_files(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved_module, "DATABASE_LIMIT", LARGE)
    lease, (outbox, saved) = place.claim("me"), place.worker()
    outbox.put(Update(lease, checkpoint=saved.put(lease, FIRST)))
    outbox.flush()
    before, aside = place.files, place.folder.with_name("aside")
    place.folder.rename(aside)
    place.folder.write_text("not a folder")
    assert saved.put(lease, SECOND) is None
    place.folder.unlink()
    aside.rename(place.folder)
    saved.tidy()
    assert place.files == before  # it still counts


def test_the_limit_of_an_objective_s_files_depends_on_the_place(place: Place) -> None:
    _, files = place.worker()
    within = CheckpointStore(artifact_store(place.storage), Outbox(place.storage))
    assert files.limit[0] == 2**30
    assert within.limit[0] == 32 * 2**20
    assert "TUNER_ARTIFACTS" in within.limit[1]


def test_another_worker_goes_on_from_it_and_removes_it(place: Place) -> None:
    lease, (outbox, saved) = place.claim("me"), place.worker()
    outbox.put(Update(lease, checkpoint=saved.put(lease, FIRST)))
    outbox.flush()
    place.storage.claims.release([lease])
    taken, (others, continued) = place.claim("other"), place.worker()
    assert taken.checkpoint is not None
    assert continued.get(taken, taken.checkpoint) == FIRST
    others.put(Update(taken, checkpoint=continued.put(taken, SMALL)))
    others.flush()
    continued.tidy()
    assert place.files == set()


def test_a_worker_that_lost_the_trial_removes_nothing_that_another_reads(place: Place) -> None:
    lease, (outbox, saved) = place.claim("me"), place.worker()
    outbox.put(Update(lease, checkpoint=saved.put(lease, FIRST)))
    outbox.flush()
    counts = place.files
    place.storage.claims.release([lease])
    taken = place.claim("other")
    outbox.put(Update(lease, checkpoint=saved.put(lease, SECOND)))
    outbox.flush()
    saved.tidy()
    assert outbox.lost(lease)
    assert counts < place.files
    store = artifact_store(place.storage, str(place.folder))
    assert set(orphans(place.storage, store, 0.0)) == place.files - counts
    assert taken.checkpoint is not None
    assert place.worker()[1].get(taken, taken.checkpoint) == FIRST


def test_a_worker_without_the_place_says_so(place: Place) -> None:
    lease, (outbox, saved) = place.claim("me"), place.worker()
    told = saved.put(lease, FIRST)
    elsewhere = CheckpointStore(artifact_store(place.storage), outbox)
    with pytest.raises(TrainingError, match="no --artifacts"):
        elsewhere.get(lease, told)


def test_a_study_that_is_deleted_takes_them_along(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNER_ARTIFACTS", str(place.folder))
    lease, (outbox, saved) = place.claim("me"), place.worker()
    outbox.put(Update(lease, checkpoint=saved.put(lease, FIRST)))
    outbox.flush()
    assert len(place.files) == 1
    delete(place.storage, plan_deletion(place.storage, "study", force=True), force=True)
    assert place.files == set()


def test_checkpoints_take_a_tenth_of_the_time_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(saved_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    pace, seen = Pace(lease_seconds=60), []
    for second in (2, 3, 10, 32, 34):
        now[0] = second
        seen.append(pace.due)
        if second == 3:
            with pace:
                now[0] = 6  # 3 seconds, so that 30 have to pass
    assert seen == [False, True, False, False, False]
    now[0] = 37
    assert pace.due
    assert not Pace(lease_seconds=60).due
