"""A worker that serves studies: what it asks the database, and what it does when one is deleted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from sqlalchemy import event

from tuner.data.spec import DIVISIONS
from tuner.errors import TrainingError
from tuner.run.prepare import join, load_job, prepared, stored_study
from tuner.run.process import open_worker
from tuner.run.serve import Service, Shelf
from tuner.storage import Storage, open_storage
from tuner.storage.studies import DATA, SPEC, USER_ATTRS
from tuner.study import Study
from tuner.study.parse import parse
from tuner.worker.job import Job
from tuner.worker.loop import Worker
from tuner.worker.signals import Leaving

DOCUMENT = {
    "data": {"source": "sklearn.datasets:load_iris"},
    "model": {"family": "linear"},
    "training": {"epochs": 1},
    "search": {"sampler": "random", "pruner": "none", "trials": 2},
}


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("TUNER_SPOOL", str(tmp_path / "spool"))
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def storage(database_url: str) -> Iterator[Storage]:
    opened = open_storage(database_url)
    yield opened
    opened.close()


@pytest.fixture
def worker(storage: Storage, database_url: str) -> Iterator[Worker]:
    made = open_worker(database_url, "cpu", Leaving())
    yield made
    made.close()


@pytest.fixture(scope="module")
def job() -> Job:
    return load_job(parse("any", DOCUMENT))


@pytest.fixture
def submit(storage: Storage, job: Any) -> Callable[[str], int]:
    """Puts a study of a name into the database, without reading its data again."""

    def submitted(name: str) -> int:
        made = type(job)(parse(name, DOCUMENT), -1, job.data)
        return join(storage, made, None).study_id

    return submitted


def statements(storage: Storage, work: Callable[[], object]) -> list[str]:
    """What a database is asked meanwhile."""
    asked: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    engine = storage.database.engine
    event.listen(engine, "before_cursor_execute", note)
    work()
    event.remove(engine, "before_cursor_execute", note)
    return [statement for statement in asked if not statement.startswith(("BEGIN", "SELECT 1"))]


def hold(storage: Storage, study_id: int) -> None:
    """Somebody else is at all trials of a study."""
    from optuna.trial import TrialState, create_trial

    for _ in range(2):
        storage.claims.claim(study_id, "other", lambda *_: create_trial(state=TrialState.RUNNING))


def test_a_round_is_one_statement_however_many_studies_there_are(
    storage: Storage,
    worker: Worker,
    submit: Callable[[str], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tuner.run.serve.POLL_SECONDS", 0.05)
    for i in range(12):
        hold(storage, submit(f"s{i}"))
    service = Service(worker, [], lambda _: None, prepared)
    worker.leaving.by(time.monotonic() + 1.0)
    asked = statements(worker.storage, lambda: service.run(idle_exit=False))
    assert len(asked) > 1
    assert len(set(asked)) == 1
    assert service.benches == {}


def test_a_study_is_read_by_one_statement_however_many_there_are(
    storage: Storage, submit: Callable[[str], int]
) -> None:
    ids = {f"s{i}": submit(f"s{i}") for i in range(12)}
    found: list[tuple[Study, int]] = []
    asked = statements(storage, lambda: found.append(stored_study(storage, "s7")))
    assert len(asked) == 1
    assert (found[0][0].name, found[0][1]) == ("s7", ids["s7"])


def test_it_leaves_without_a_pause_when_the_last_trial_is_written(
    storage: Storage,
    worker: Worker,
    job: Any,
    submit: Callable[[str], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study_id, pauses = submit("whole"), []
    monkeypatch.setattr(Service, "_doze", pauses.append)
    Service(worker, [], str, lambda study, study_id: type(job)(study, study_id, job.data)).run(True)
    assert pauses == []
    assert storage.progress(study_id).complete == 2


def test_a_study_that_is_deleted_after_it_was_listed_is_let_go_and_others_are_served(
    storage: Storage, worker: Worker, job: Any, submit: Callable[[str], int]
) -> None:
    ids = {name: submit(name) for name in ("unread", "read", "kept")}
    said: list[str] = []

    def read(study: Study, study_id: int) -> Job:
        if study.name == "read":
            storage.delete_study(ids["read"])
        return type(job)(study, study_id, job.data)

    service = Service(worker, [], said.append, read)
    assert len(service._open_studies()) == 3
    service.seen_at = float("inf")  # read again when a study is refused, however long that takes
    storage.delete_study(ids["unread"])
    service.run(idle_exit=True)
    assert said[0].startswith("cannot serve unread: ")
    assert said[1:] == ["cannot serve read: read: the study was deleted", "serving kept"]
    assert storage.progress(ids["kept"]).state == "finished"


def test_another_study_under_a_deleted_ones_number_is_read_anew(
    storage: Storage, worker: Worker, job: Any, submit: Callable[[str], int]
) -> None:
    first = submit("first")
    read: list[str] = []

    def reading(study: Study, study_id: int) -> Job:
        read.append(study.name)
        return type(job)(study, study_id, job.data)

    service = Service(worker, [], lambda _: None, reading)
    assert service._step(service._open_studies()[0])
    storage.delete_study(first)
    second = submit("second")  # on SQLite its number is that of the first
    service.seen_at = float("-inf")
    service.run(idle_exit=True)
    assert read == ["first", "second"]
    assert [trial.user_attrs["epochs"] for trial in storage.get_all_trials(second)] == [1, 1]


def test_workers_of_one_command_divide_the_rows_as_one_worker_does(
    storage: Storage, database_url: str, submit: Callable[[str], int]
) -> None:
    old = submit("old")
    hold(storage, old)  # it began before anything was kept of rows
    with storage.database.write() as connection:
        mine = USER_ATTRS.c.study_id == old, USER_ATTRS.c.key == DATA
        connection.execute(USER_ATTRS.delete().where(*mine))
    new, shelf = submit("new"), Shelf(database_url, [])
    shelf.fill()
    found = {name: shelf.job(*stored_study(storage, name)).spec.division for name in ("old", "new")}
    assert found == {"old": DIVISIONS[0], "new": DIVISIONS[-1]}
    assert shelf.job(*stored_study(storage, "new")).study.row_record is not None
    assert new != old


def test_a_study_that_makes_no_sense_leaves_the_others_to_the_workers(
    storage: Storage, worker: Worker, database_url: str, submit: Callable[[str], int]
) -> None:
    for name, spec in (("text", "{"), ("key", '{"nonsense": 1}'), ("list", "[]")):
        storage.set_study_user_attr(submit(name), SPEC, spec)
    good = submit("good")
    shelf, said = Shelf(database_url, []), list[str]()
    shelf.fill()
    worker.leaving.by(time.monotonic() + 60)
    with pytest.raises(TrainingError, match="cannot serve"):
        Service(worker, ["text", "key", "list", "good"], said.append, shelf.job).run(idle_exit=True)
    assert storage.progress(good).met
    refused = [line for line in said if line.startswith("cannot serve ")]
    assert [line.split()[2] for line in refused] == ["text:", "key:", "list:"]
