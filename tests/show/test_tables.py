"""Events of the database, for people and for programs."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.trial import TrialState, create_trial

from tuner import hidden
from tuner.show.tables import (
    SPEC,
    catalogue,
    check,
    data_lines,
    event_line,
    event_record,
    extent_lines,
    overview,
    status_table,
    studies_table,
    with_stored,
)
from tuner.storage import Storage, open_storage, schema
from tuner.storage.history import Event
from tuner.study import describe, load_study


def test_neither_people_nor_programs_see_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hidden, "_known", set())
    hidden.remember_secret('pä"5\\5')
    detail = {"error": 'no pä"5\\5', "at": ["postgresql://me:s3cret@h/x"]}
    event = Event(1, 0.0, "small", 2, "me", "ended", detail)
    assert event_record(event) == {
        "time": "1970-01-01T00:00:00.000Z",
        "kind": "ended",
        "study": "small",
        "trial": 2,
        "worker": "me",
        "error": "no ***",
        "at": ["postgresql://me:***@h/x"],
    }
    (said,) = event_line([event])
    assert 'error="no ***"' in said
    assert "s3cret" not in said


# How far the studies of a database are, and who works on them.


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
    storage.claims.register("host:7:ab", "host", 7, "cuda:0")
    add(storage, TrialState.FAIL, 3)
    text = shown(status_table(overview(storage, {"some": 1})), width=120)
    study = next(line for line in text.splitlines() if line.startswith("some"))
    assert study.split() == ["some", "open", "10", "0", "0", "0", "1", "–"]
    worker = next(line for line in text.splitlines() if line.startswith("host:7:ab"))
    assert worker.split()[:5] == ["host:7:ab", "host", "7", "cuda:0", "0"]
    assert worker.rstrip().endswith("s ago")


def test_a_worker_that_is_lost_and_its_trial(storage: Storage, shown) -> None:
    lease = storage.claims.claim(1, "host:7:ab", lambda *_: create_trial(state=TrialState.RUNNING))
    assert lease is not None
    storage.claims.register("host:7:ab", "host", 7, "cpu")
    age = {"renewed": schema.workers.c.renewed - 75}
    with storage.database.write() as connection:
        connection.execute(schema.leases.update().values(expires=1.0))
        connection.execute(schema.workers.update().values(age))
    found = overview(storage, {"some": 1, "deleted": 99})
    (study,), (worker,) = found["studies"], found["workers"]
    assert (study["running"], study["interrupted"]) == (0, 1)
    assert (worker["lost"], worker["trials"]) == (True, 0)
    text = shown(status_table(found), width=120)
    assert "interrupted" in text
    assert " ago, lost" in text
    with storage.database.write() as connection:
        connection.execute(schema.workers.update().values(renewed=1.0))
    assert overview(storage, {"some": 1})["workers"] == []


def test_trials_of_other_programs_that_are_left_out_are_named(storage: Storage, shown) -> None:
    spec = {
        "data": {"source": "sklearn.datasets:load_iris"},
        "model": {"width": {"low": 2, "high": 9}},
    }
    storage.set_study_user_attr(1, SPEC, json.dumps(spec))
    kinds = {"width": IntDistribution(2, 9), "x": IntDistribution(0, 9)}
    for params in ({"width": 3}, {"x": 3}, {"width": 4, "x": 3}):
        known = {name: kinds[name] for name in params}
        trial = create_trial(value=0.5, params=params, distributions=known)
        optuna.load_study(study_name="some", storage=storage).add_trial(trial)
    found = overview(storage, {"some": 1})
    assert [each["number"] for each in found["studies"][0]["left_out"]] == [1, 2]
    assert "some: 2 trials of another program are left out: trial 1 (" in shown(status_table(found))


def test_nothing_there(storage: Storage, shown) -> None:
    text = shown(status_table(overview(storage, {})))
    assert "no studies" in text
    assert "no workers" in text


def test_a_finished_study(storage: Storage) -> None:
    for end in range(10):
        add(storage, TrialState.COMPLETE, end)
    (study,) = overview(storage, {"some": 1})["studies"]
    assert (study["state"], study["seconds_left"]) == ("finished", 0.0)


# Study files and the studies of a database, together.


FILE = {
    "name": "digits",
    "where": "shipped",
    "file": "digits.toml",
    "description": "some digits",
    "metric": "accuracy",
    "trials": 60,
    "error": None,
}


def test_one_study_is_one_record(tmp_path: Path, shown) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/a.db")
    spec = '{"description":"kept"}'
    words = {"direction": "maximize", "metric": "r2", "spec": spec, "fingerprint": ""}
    storage.join("digits", budget=30, **words)
    storage.join("another", budget=7, **words)
    optuna.create_study(study_name="foreign", storage=storage)
    found = with_stored([FILE], storage)
    assert [record["name"] for record in found] == ["another", "digits", "foreign"]
    another, digits, foreign = found
    assert (another["where"], another["description"], another["metric"]) == (
        "database",
        "kept",
        "r2",
    )
    assert (digits["where"], digits["trials"], digits["finished"]) == ("shipped, database", 30, 0)
    assert foreign["description"] == "not made by tuner"
    text = shown(studies_table(found))
    assert "0 of 30 done" in text
    assert "kept" in text


def test_a_broken_file_shows_its_error(shown) -> None:
    broken = {**FILE, "metric": None, "trials": None, "error": "a.toml: [x] is wrong\n  hint"}
    text = shown(studies_table([broken]))
    assert "a.toml: [x] is wrong" in text
    assert "hint" not in text


# Tables of a study and of the catalogue.


DATA = {
    "task": "classification",
    "classes": ["a", "b"],
    "shape": [1, 8, 8],
    "words": None,
    "folds": None,
    "train": 1079,
    "validation": 359,
    "test": 359,
    "note": "",
    "weights": "",
    "targets": [],
    "balance": {"a": 1000, "b": 438},
    "columns": [],
}


def test_check(shown) -> None:
    study = load_study("digits")
    found = {
        "name": "digits",
        "description": "some [digits]",
        "metric": "accuracy",
        "data": DATA,
        "search": {"sampler": "tpe: a [sampler]", "pruner": "none: no pruner"},
        "extent": describe.extent(study),
        "leaves": describe.leaves(study),
        "recording": {"mlp": ""},
    }
    text = shown(check(found), width=200)
    assert text.startswith("digits: some [digits]")
    assert "sampler   tpe: a [sampler]\npruner    none: no pruner\nseed      0\n" in text
    assert "steps     are recorded\n" in text
    row = next(line for line in text.splitlines() if line.startswith("weight_decay"))
    assert "0, or 1e-06 to 0.1, log" in row
    row = next(line for line in text.splitlines() if line.startswith("sgd.momentum"))
    assert "0 to 0.99" in row
    assert "–" in row


def test_data_in_words() -> None:
    assert data_lines(DATA) == [
        "data      1,079 rows to train on, 359 to validate; 1 x 8 x 8 features; "
        "classification, 2 classes",
        "test      359 rows set aside",
        "classes   a 69.5%, b 30.5%",
    ]
    regression = {**DATA, "task": "regression", "classes": [], "shape": [10], "balance": {}}
    first, *others = data_lines({**regression, "test": None})
    assert first.endswith("10 features; regression")
    assert others == ["test      rows of their own"]
    text = {**DATA, "shape": [69], "words": 13789}
    assert "each of at most 69 words (13,789 are known); classification" in data_lines(text)[0]


def test_extent_in_words() -> None:
    extent = describe.extent(load_study("digits"))
    assert extent_lines(extent) == [
        "size      11 dimensions, infinitely many configurations",
        "cost      at most 1,800 epochs: 60 trials of 30 epochs, less those of paused trials",
    ]
    finite = {**extent, "configurations": 1, "dimensions": 1, "pruner": "none"}
    assert extent_lines(finite)[0] == "size      1 dimension, 1 configuration"
    assert "prunes" not in extent_lines(finite)[1]


def test_catalogue(shown) -> None:
    text = shown(catalogue(describe.catalogue()), width=250)
    rows = [line for line in text.splitlines() if line.strip()]
    dropout = next(row for row in rows if row.startswith("dropout"))
    for word in ("0, or 0.05 to 0.6", "probability", "Srivastava et al. 2014"):
        assert word in dropout
    assert "needs images" in next(row for row in rows if row.startswith("cutout"))
    assert "needs classes" in next(row for row in rows if row.startswith("label_smoothing"))
    assert "momentum" in next(row for row in rows if row.startswith("sgd"))
    assert "Cox 1958" in next(row for row in rows if row.startswith("linear"))


def test_folds_in_words() -> None:
    assert data_lines({**DATA, "note": "rows are turned"})[1] == "note      rows are turned"
    weights = data_lines({**DATA, "weights": "each row's in the loss and the metric"})[1]
    assert weights == "weights   each row's in the loss and the metric"
    assert data_lines({**DATA, "folds": 5})[0].startswith(
        "data      5 folds, the last with 1,079 rows to train on, 359 to validate"
    )
