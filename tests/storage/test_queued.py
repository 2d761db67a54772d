"""Merging updates of one trial."""

from __future__ import annotations

import pytest
from optuna.trial import TrialState

from tuner.storage import Lease, Update
from tuner.storage.frozen import blank
from tuner.storage.queued import Queued

LEASE = Lease(1, 7, 6, "me", 2, blank(6, 7))


def test_the_later_wins_and_nothing_else_is_lost() -> None:
    queued = Queued(Update(LEASE, {0: 1.0, 1: 2.0}, {"a": 1, "b": 1}, checkpoint=b"old"), 10.0)
    queued.add(Update(LEASE, {1: 3.0, 2: 4.0}, {"b": 2}, {"s": 0}, checkpoint=b"new"), 11.0)
    queued.add(Update(LEASE, {3: 5.0}), 12.0)
    merged = queued.update(20.0)
    assert merged.reports == {0: 1.0, 1: 3.0, 2: 4.0, 3: 5.0}
    assert (merged.user_attrs, merged.system_attrs) == ({"a": 1, "b": 2}, {"s": 0})
    assert (merged.checkpoint, merged.state, merged.age) == (b"new", None, 0.0)


def test_a_result_gets_older_while_it_waits() -> None:
    queued = Queued(Update(LEASE, {0: 1.0}), 10.0)
    assert not queued.lasting
    queued.add(Update(LEASE, state=TrialState.COMPLETE, value=0.5, age=3.0), 12.0)
    assert queued.lasting
    merged = queued.update(20.0)
    assert (merged.state, merged.value) == (TrialState.COMPLETE, 0.5)
    assert merged.age == pytest.approx(11.0)


def test_the_update_that_was_given_is_not_changed() -> None:
    first = Update(LEASE, {0: 1.0})
    Queued(first, 0.0).add(Update(LEASE, {1: 2.0}), 0.0)
    assert first.reports == {0: 1.0}
