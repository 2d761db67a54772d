"""Snapshots of trials in a real database."""

from __future__ import annotations

import pytest

from tuner.show.snapshot import shown_url, time_left
from tuner.storage import PAUSED, Progress
from tuner.study.record import UNLIMITED


def test_an_empty_study(database) -> None:
    found = database.look()
    assert (found.baseline, found.best, found.running, found.ended) == (None, None, (), ())
    assert (found.metric, found.direction, found.study) == ("accuracy", "maximize", "small")
    assert found.left is None
    assert found.elapsed >= 10
    assert found.searched == {"learning_rate"}


def test_time_left_is_by_this_run(database) -> None:
    for value in (0.1, 0.2, 0.3, 0.4):
        database.add("COMPLETE", value)
    found = database.look(before=2)
    assert found.left == pytest.approx(found.elapsed / 2 * 6)


def test_time_left() -> None:
    progress = Progress(10, 6, 2, 5, 1, 0, "open")
    assert time_left(progress, 30.0, 3) == 20.0
    assert time_left(progress, 30.0, 0) is None
    assert time_left(Progress(8, 6, 2, 0, 0, 0, "open"), 30.0, 0) == 0.0
    assert time_left(Progress(10, 2, 0, 0, 1, 0, "open", paused=3), 30.0, 5) == 30.0
    assert time_left(Progress(UNLIMITED, 2, 0, 0, 1, 0, "open", epochs=9), 30.0, 2) is None


def test_progress_is_the_database_s(database) -> None:
    database.add("FAIL", None)
    database.storage.set_study_state(database.study_id, PAUSED)
    progress = database.look().progress
    assert (progress.budget, progress.failed, progress.state) == (10, 1, "paused")


def test_shown_url() -> None:
    assert shown_url("postgresql+psycopg://a:geheim@h/x") == "postgresql://a:***@h/x"
    assert shown_url("sqlite+pysqlite:////tmp/a.db") == "sqlite:////tmp/a.db"
    assert shown_url("sqlite:///a.db") == "sqlite:///a.db"


# The best, the running and the ended trials of a real database.


def test_best_is_complete_and_the_first_of_equal_ones(database) -> None:
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


def test_less_may_be_better(a_database) -> None:
    database = a_database("minimize")
    for value in (0.5, 0.2, 0.9):
        database.add("COMPLETE", value)
    found = database.look()
    assert found.direction == "minimize"
    assert found.best is not None
    assert found.best.number == 1
    assert [ended.best for ended in found.ended] == [(0, 0.5), (1, 0.2), (1, 0.2)]


def test_a_baseline_that_was_pruned_is_none(database) -> None:
    database.add("PRUNED", 0.5, 0.5)
    database.add("COMPLETE", 0.9)
    assert database.look().baseline is None


def test_running_trials(database) -> None:
    database.add("RUNNING", None, 0.5, 0.6)
    database.add("RUNNING", None)
    first, second = database.look().running
    assert (first.number, first.epoch, first.epochs, first.value) == (0, 2, 3, 0.6)
    assert (second.epoch, second.value) == (0, None)


def test_what_ended_in_this_run(database) -> None:
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
