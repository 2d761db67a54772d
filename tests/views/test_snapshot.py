"""Snapshots of trials in a real database."""

from __future__ import annotations

import time
from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from tuner.storage import PAUSED, Progress, Storage, open_storage
from tuner.study import Study, parse
from tuner.views.snapshot import Snapshot, shown_url, snapshot, time_left

RATE = FloatDistribution(1e-4, 1e-1, log=True)


def small(metric: str = "accuracy") -> Study:
    rate = {"low": 1e-4, "high": 1e-1, "log": True}
    training = {"epochs": 3, "learning_rate": rate}
    document = {"metric": metric, "data": {"source": "a:b"}, "training": training}
    return parse("small", document)


class Database:
    """A study in a database, to which trials are added."""

    def __init__(self, url: str, direction: str) -> None:
        self.storage: Storage = open_storage(url)
        self.metric = "accuracy" if direction == "maximize" else "cross_entropy"
        self.study_id = self.storage.join(
            "small",
            direction=direction,
            metric=self.metric,
            spec="{}",
            fingerprint="",
            budget=10,
        )
        self.optuna = optuna.load_study(study_name="small", storage=self.storage)

    def add(self, state: str, value: float | None, *values: float, **attrs: object) -> None:
        trial = create_trial(
            state=TrialState[state],
            value=value,
            params={"learning_rate": 0.01},
            distributions={"learning_rate": RATE},
            intermediate_values={step + 1: each for step, each in enumerate(values)},
            user_attrs=attrs,
        )
        self.optuna.add_trial(trial)

    def look(self, before: int = 0) -> Snapshot:
        started = time.monotonic() - 10
        return snapshot(self.storage, small(self.metric), self.study_id, started, before)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(f"sqlite:///{tmp_path}/a.db", "maximize")


def test_an_empty_study(database: Database) -> None:
    found = database.look()
    assert (found.baseline, found.best, found.running, found.ended) == (None, None, (), ())
    assert (found.metric, found.direction, found.study) == ("accuracy", "maximize", "small")
    assert found.left is None
    assert found.elapsed >= 10
    assert found.searched == {"learning_rate"}


def test_best_is_complete_and_the_first_of_equal_ones(database: Database) -> None:
    database.add("COMPLETE", 0.8, 0.7, 0.8)
    database.add("PRUNED", 0.99, 0.99)
    database.add("COMPLETE", 0.9, 0.9)
    database.add("COMPLETE", 0.9, 0.9)
    found = database.look()
    assert found.baseline is not None
    assert (found.baseline.number, found.baseline.value) == (0, 0.8)
    assert found.best is not None
    assert (found.best.number, found.best.value) == (2, 0.9)
    assert found.best.config["learning_rate"] == 0.01
    assert found.best.config["epochs"] == 3


def test_less_may_be_better(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/b.db", "minimize")
    for value in (0.5, 0.2, 0.9):
        database.add("COMPLETE", value)
    found = database.look()
    assert found.direction == "minimize"
    assert found.best is not None
    assert found.best.number == 1
    assert [ended.best for ended in found.ended] == [(0, 0.5), (1, 0.2), (1, 0.2)]


def test_a_baseline_that_was_pruned_is_none(database: Database) -> None:
    database.add("PRUNED", 0.5, 0.5)
    database.add("COMPLETE", 0.9)
    assert database.look().baseline is None


def test_running_trials(database: Database) -> None:
    database.add("RUNNING", None, 0.5, 0.6)
    database.add("RUNNING", None)
    first, second = database.look().running
    assert (first.number, first.epoch, first.epochs, first.value) == (0, 2, 3, 0.6)
    assert (second.epoch, second.value) == (0, None)


def test_what_ended_in_this_run(database: Database) -> None:
    database.add("COMPLETE", 0.8, 0.8)
    database.add("FAIL", None, error="ValueError: before")
    database.add("PRUNED", 0.5, 0.4, 0.5, ended="pruned")
    database.add("FAIL", None, error="ValueError: no", ended="failed")
    database.add("COMPLETE", 0.7, 0.7, ended="all epochs")
    assert [ended.number for ended in database.look().ended] == [0, 1, 2, 3, 4]
    pruned, failed, complete = database.look(before=1).ended[1:]
    assert (pruned.state, pruned.epoch, pruned.value) == ("pruned", 2, 0.5)
    assert (failed.state, failed.why) == ("failed", "ValueError: no")
    assert (complete.state, complete.value, complete.best) == ("complete", 0.7, (0, 0.8))
    assert database.look(before=3).ended == ()


def test_time_left_is_by_this_run(database: Database) -> None:
    for value in (0.1, 0.2, 0.3, 0.4):
        database.add("COMPLETE", value)
    found = database.look(before=2)
    assert found.left == pytest.approx(found.elapsed / 2 * 6)


def test_time_left() -> None:
    progress = Progress(10, 6, 2, 5, 1, 0, "open")
    assert time_left(progress, 30.0, 3) == 20.0
    assert time_left(progress, 30.0, 0) is None
    assert time_left(Progress(8, 6, 2, 0, 0, 0, "open"), 30.0, 0) == 0.0


def test_progress_is_the_database_s(database: Database) -> None:
    database.add("FAIL", None)
    database.storage.set_study_state(database.study_id, PAUSED)
    progress = database.look().progress
    assert (progress.budget, progress.failed, progress.state) == (10, 1, "paused")


def test_shown_url() -> None:
    assert shown_url("postgresql+psycopg://a:geheim@h/x") == "postgresql://a:***@h/x"
    assert shown_url("sqlite+pysqlite:////tmp/a.db") == "sqlite:////tmp/a.db"
    assert shown_url("sqlite:///a.db") == "sqlite:///a.db"
