"""How far the studies of a database are, and who works on them."""

from __future__ import annotations

import datetime

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from tuner.storage import Storage, open_storage, schema
from tuner.views.status import overview, view

START = datetime.datetime(2026, 1, 1)


@pytest.fixture
def storage(database_url: str) -> Storage:
    storage = open_storage(database_url)
    words = {"direction": "maximize", "metric": "accuracy", "spec": "{}", "fingerprint": ""}
    storage.join("some", budget=10, **words)
    return storage


def add(storage: Storage, state: TrialState, end: float | None) -> None:
    """A trial that ended so many seconds after the start."""
    value = 0.5 if state == TrialState.COMPLETE else None
    trial = create_trial(state=state, value=value)
    trial.datetime_start = START
    trial.datetime_complete = None if end is None else START + datetime.timedelta(seconds=end)
    optuna.load_study(study_name="some", storage=storage).add_trial(trial)


def test_pace_is_that_of_the_last_ends(storage: Storage) -> None:
    assert storage.seconds_per_trial(1) is None
    add(storage, TrialState.COMPLETE, 10)
    assert storage.seconds_per_trial(1) is None
    add(storage, TrialState.PRUNED, 14)
    add(storage, TrialState.FAIL, 15)
    add(storage, TrialState.COMPLETE, 20)
    assert storage.seconds_per_trial(1) == pytest.approx(5.0)


def test_time_left_needs_somebody_at_work(storage: Storage) -> None:
    add(storage, TrialState.COMPLETE, 10)
    add(storage, TrialState.COMPLETE, 14)
    (idle,) = overview(storage, {"some": 1})["studies"]
    assert idle["seconds_left"] is None
    add(storage, TrialState.RUNNING, None)
    (busy,) = overview(storage, {"some": 1})["studies"]
    assert busy["seconds_left"] == pytest.approx(4.0 * 8)
    assert (busy["finished"], busy["running"], busy["state"]) == (2, 1, "open")


def test_view_of_studies_and_workers(storage: Storage, shown) -> None:
    storage.register_worker("host:7:ab", "host", 7, "cuda:0")
    add(storage, TrialState.FAIL, 3)
    text = shown(view(overview(storage, {"some": 1})), width=120)
    study = next(line for line in text.splitlines() if line.startswith("some"))
    assert study.split() == ["some", "open", "10", "0", "0", "0", "1", "–"]
    worker = next(line for line in text.splitlines() if line.startswith("host:7:ab"))
    assert worker.split()[:5] == ["host:7:ab", "host", "7", "cuda:0", "0"]
    assert worker.rstrip().endswith("s ago")


def test_a_worker_that_is_lost_and_its_trial(storage: Storage, shown) -> None:
    lease = storage.claim(1, "host:7:ab", lambda *_: create_trial(state=TrialState.RUNNING))
    assert lease is not None
    storage.register_worker("host:7:ab", "host", 7, "cpu")
    age = {"renewed": schema.workers.c.renewed - 75}
    with storage.database.write() as connection:
        connection.execute(schema.leases.update().values(expires=1.0))
        connection.execute(schema.workers.update().values(age))
    found = overview(storage, {"some": 1, "deleted": 99})
    (study,), (worker,) = found["studies"], found["workers"]
    assert (study["running"], study["interrupted"]) == (0, 1)
    assert (worker["lost"], worker["trials"]) == (True, 0)
    text = shown(view(found), width=120)
    assert "interrupted" in text
    assert " ago, lost" in text
    with storage.database.write() as connection:
        connection.execute(schema.workers.update().values(renewed=1.0))
    assert overview(storage, {"some": 1})["workers"] == []


def test_nothing_there(storage: Storage, shown) -> None:
    text = shown(view(overview(storage, {})))
    assert "no studies" in text
    assert "no workers" in text


def test_a_finished_study(storage: Storage) -> None:
    for end in range(10):
        add(storage, TrialState.COMPLETE, end)
    (study,) = overview(storage, {"some": 1})["studies"]
    assert (study["state"], study["seconds_left"]) == ("finished", 0.0)
