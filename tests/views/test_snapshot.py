"""Snapshots of trials in a real database."""

from __future__ import annotations

import pytest

from tuner.storage import PAUSED, Progress
from tuner.views.snapshot import shown_url, time_left


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


def test_progress_is_the_database_s(database) -> None:
    database.add("FAIL", None)
    database.storage.set_study_state(database.study_id, PAUSED)
    progress = database.look().progress
    assert (progress.budget, progress.failed, progress.state) == (10, 1, "paused")


def test_shown_url() -> None:
    assert shown_url("postgresql+psycopg://a:geheim@h/x") == "postgresql://a:***@h/x"
    assert shown_url("sqlite+pysqlite:////tmp/a.db") == "sqlite:////tmp/a.db"
    assert shown_url("sqlite:///a.db") == "sqlite:///a.db"
