"""When notes are written: at milestones, by one of many, and never to a trial's harm."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from optuna_dashboard import get_note, save_note

from tuner.run import publish as publish_module
from tuner.run.prepare import join
from tuner.run.publish import Publisher, publish
from tuner.search.overlay import Overlay
from tuner.storage import Storage, Update, artifact_store, open_storage
from tuner.storage.notes import TURN
from tuner.study.objective import ObjectiveStudy
from tuner.study.parse import parse
from tuner.worker.job import ObjectiveJob
from tuner.worker.objective import BlankProposer

DOCUMENT = {"objective": "a:b", "direction": "maximize", "metric": "height"}


class Clock:
    """Time that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("tuner.run.publish.time", made)
    return made


@pytest.fixture
def job(sqlite_url: str) -> ObjectiveJob:
    study = parse("small", DOCUMENT)
    assert isinstance(study, ObjectiveStudy)
    made = join(open_storage(sqlite_url), ObjectiveJob(study, -1), 10)
    assert isinstance(made, ObjectiveJob)
    return made


@pytest.fixture
def storage(sqlite_url: str) -> Storage:
    return open_storage(sqlite_url)


def told(storage: Storage, job: ObjectiveJob, value: float) -> None:
    proposer = BlankProposer(job, Overlay(storage, job.study.name), False)
    lease = storage.claims.claim(job.study_id, "me", proposer)
    assert lease is not None
    storage.writer.write([Update(lease, state=TrialState.COMPLETE, value=value)])


def note_of(storage: Storage) -> str:
    return get_note(optuna.load_study(study_name="small", storage=storage))


def version(storage: Storage) -> int:
    return int(storage.get_study_system_attrs(1).get("dashboard:note_ver", 0))


@pytest.fixture
def snapshots(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The studies that a publisher read whole, one entry each time."""
    found: list[int] = []
    original = publish_module.snapshot

    def counting(storage: Storage, study: Any, study_id: int, *rest: Any) -> Any:
        found.append(study_id)
        return original(storage, study, study_id, *rest)

    monkeypatch.setattr(publish_module, "snapshot", counting)
    return found


def age(storage: Storage, seconds: float) -> None:
    """Let the last look at the note be so long ago."""
    last = storage.get_study_system_attrs(1)[TURN]
    storage.set_study_system_attr(1, TURN, last - seconds)


def test_a_note_at_the_beginning_now_and_then_and_at_the_end(
    storage: Storage, job: ObjectiveJob, clock: Clock
) -> None:
    tell = Publisher(storage, artifact_store(storage))
    tell(job)
    assert "**0 of 10 trials**" in note_of(storage)
    for i in range(5):
        told(storage, job, float(i))
        tell(job)
    assert "**0 of 10 trials**" in note_of(storage)  # all of that within a moment
    clock.now += 31
    age(storage, 31)
    tell(job)
    assert "**5 of 10 trials**" in note_of(storage)
    assert "| best so far | 4 | 4.0000 |" in note_of(storage)
    told(storage, job, 9.0)
    tell.finish(job)
    assert "**6 of 10 trials**" in note_of(storage)


def test_what_says_nothing_new_is_not_written(storage: Storage, job: ObjectiveJob) -> None:
    store = artifact_store(storage)
    assert publish(storage, store, job.study, job.study_id)
    assert not publish(storage, store, job.study, job.study_id)
    storage.set_study_state(job.study_id, "paused")
    assert publish(storage, store, job.study, job.study_id)
    assert "(paused)" in note_of(storage)


def test_of_many_workers_one_writes_and_the_others_look_less_often(
    storage: Storage,
    job: ObjectiveJob,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    snapshots: list[int],
) -> None:
    workers = [Publisher(storage, artifact_store(storage)) for _ in range(50)]
    for tell in workers:
        tell(job)
    assert len(snapshots) == 1
    looks: list[int] = []
    monkeypatch.setattr("tuner.run.publish.turn", lambda s, i, _: bool(looks.append(i)))
    for _ in range(240):
        clock.now += 1
        for tell in workers:
            tell(job)
    assert len(looks) <= 50 * 4  # in four minutes, fifty workers


@pytest.mark.parametrize("trouble", ["taken over", "broken"])
def test_where_nothing_is_written_no_more_look(
    storage: Storage,
    job: ObjectiveJob,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    snapshots: list[int],
    trouble: str,
) -> None:
    workers = [Publisher(storage, artifact_store(storage)) for _ in range(20)]
    workers[0](job)
    if trouble == "taken over":
        save_note(optuna.load_study(study_name="small", storage=storage), "all mine")
    else:
        monkeypatch.setattr(publish_module, "note", lambda *_: 1 / 0)
    snapshots.clear()
    for i in range(4):
        told(storage, job, float(i))
        clock.now += 300
        age(storage, 300)
        for tell in workers:
            tell(job)
    assert len(snapshots) == 4
    assert trouble == "broken" or note_of(storage) == "all mine"


def test_nothing_that_goes_wrong_reaches_the_worker_and_it_is_said(
    storage: Storage,
    job: ObjectiveJob,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tell = Publisher(storage, artifact_store(storage))

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("whatever")

    with monkeypatch.context() as patch, caplog.at_level("INFO", "tuner"):
        patch.setattr("tuner.run.publish.note", broken)
        tell(job)
        tell.finish(job)
    said = [record.getMessage() for record in caplog.records]
    what = "could not update the note of small: RuntimeError: whatever"
    assert said == [what, what]
    assert version(storage) == 0
    storage.delete_study(job.study_id)
    tell.finish(job)
    clock.now += 1000
    tell(job)


def test_an_outage_is_waited_for(postgres: Any, clock: Clock) -> None:
    storage = open_storage(postgres.create())
    study = parse("small", DOCUMENT)
    assert isinstance(study, ObjectiveStudy)
    job = join(storage, ObjectiveJob(study, -1), 10)
    tell = Publisher(storage, artifact_store(storage))
    postgres.kill()
    tell(job)
    tell.finish(job)
    postgres.start()
    clock.now += 60
    tell(job)
    assert "**0 of 10 trials**" in note_of(storage)
