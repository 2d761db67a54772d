"""Training time, and the wall-clock time in which trials ran: pauses between runs do not count."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from optuna.trial import FrozenTrial

from tuner.reports.compare import compare_facts
from tuner.reports.report import report_of
from tuner.reports.time_spent import active_time, ended_in_order, wall_seconds

Make = Callable[[int, float, float, float | None], FrozenTrial]
BEGUN = datetime(2026, 1, 1)
DAY = 86400.0


@pytest.fixture
def between(make_trial: Callable[..., FrozenTrial]) -> Make:
    """A trial from one second to another, whose workers spent so many seconds on it."""

    def make(number: int, start: float, end: float, seconds: float | None) -> FrozenTrial:
        found = make_trial(number)
        found.datetime_start = BEGUN + timedelta(seconds=start)
        found.datetime_complete = BEGUN + timedelta(seconds=end)
        found.user_attrs = {} if seconds is None else {"seconds": seconds}
        return found

    return make


def test_a_pause_between_two_runs_is_no_training_time(place: Any, between: Make) -> None:
    """Two workers for ten seconds, and the next day one for five."""
    trials = [between(0, 0, 6, 6), between(1, 0, 10, 10), between(2, 6, 9, 3)]
    facts = place.facts(*trials, between(3, DAY, DAY + 5, 5))
    assert wall_seconds(facts) == 15
    assert [(x, e.number) for x, e in ended_in_order(facts)] == [(6, 0), (9, 2), (10, 1), (15, 3)]
    report = report_of(facts)
    assert max(max(trace.x) for trace in report.figures["seconds"].data) == 15
    text = "Training took 24 s, added up over all workers, within 15 s of wall-clock time"
    assert text in report.markdown()
    assert json.loads(report.text("json"))["time"] == {"seconds": 24, "wall": 15}
    assert compare_facts([facts, facts]).sides[0].wall == 15


def test_a_trial_that_was_resumed_did_not_run_in_between(place: Any, between: Make) -> None:
    """Its first worker was stopped after 4 of its 7 seconds."""
    facts = place.facts(between(0, 0, 8, 8), between(1, 4, DAY + 3, 7))
    assert wall_seconds(facts) == 8 + 7
    assert [x for x, _ in ended_in_order(facts)] == [8, 15]


def test_a_released_trial_counts_what_its_worker_spent(
    place: Any, between: Make, make_trial: Callable[..., FrozenTrial]
) -> None:
    released = make_trial(1, "RUNNING", None, seconds=3.0)
    released.datetime_start = BEGUN + timedelta(seconds=5)
    assert wall_seconds(place.facts(between(0, 0, 5, 5), released)) == 8


def test_of_trials_that_recorded_no_seconds_start_and_end_count(place: Any, between: Make) -> None:
    facts = place.facts(between(0, 0, 5, None), between(1, 60, 70, None))
    assert wall_seconds(facts) == sum(entry.seconds for entry in facts.entries) == 15
    assert "15 s of wall-clock time" in report_of(facts).markdown()


def test_a_clock_that_went_backwards(place: Any, between: Make) -> None:
    """Optuna keeps local times, which are an hour earlier after the summer."""
    facts = place.facts(between(0, 3600, 10, 10), between(1, 3600, 3605, 5))
    assert wall_seconds(facts) == 5
    assert active_time([]).seconds == active_time([]).at(BEGUN) == 0
