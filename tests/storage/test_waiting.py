"""What waits to be written: nothing is lost when writing fails, or when the server crashes."""

from __future__ import annotations

from optuna.trial import TrialState

from tuner.storage import Lease, Update
from tuner.storage.frozen import blank
from tuner.storage.waiting import Waiting, key

ONE, TWO = (Lease(1, i, i, "me", 1, blank(i, i)) for i in (1, 2))
DONE = TrialState.COMPLETE


def test_what_could_not_be_written_comes_before_what_came_later() -> None:
    waiting = Waiting(unsure=False)
    waiting.put(Update(ONE, {0: 1.0, 1: 1.0}), 0.0)
    assert [u.reports for u in waiting.take(0.0)] == [{0: 1.0, 1: 1.0}]
    waiting.put(Update(ONE, {1: 2.0}), 1.0)
    waiting.put(Update(TWO, {0: 9.0}), 1.0)
    assert len(waiting) == 2
    waiting.back(2.0)
    assert [u.reports for u in waiting.take(2.0)] == [{0: 1.0, 1: 2.0}, {0: 9.0}]


def test_only_what_nothing_follows_is_settled_and_a_lost_trial_is_dropped() -> None:
    waiting = Waiting(unsure=False)
    waiting.put(Update(ONE, {0: 1.0}), 0.0)
    waiting.put(Update(TWO, {0: 1.0}), 0.0)
    waiting.take(0.0)
    waiting.put(Update(ONE, {1: 1.0}), 0.0)
    waiting.put(Update(TWO, {1: 1.0}), 0.0)
    assert waiting.written({key(TWO)}, 0.0) == [TWO]
    assert [u.lease for u in waiting.take(0.0)] == [ONE]


def test_what_a_crash_may_take_back_is_written_again_with_what_lasts() -> None:
    waiting = Waiting(unsure=True)
    for step in range(3):
        waiting.put(Update(ONE, {step: 1.0}), 0.0)
        assert [u.reports for u in waiting.take(0.0)] == [{step: 1.0}]
        assert waiting.written((), 0.0) == [ONE]
        assert len(waiting) == 0
    waiting.put(Update(ONE, {3: 1.0}, checkpoint=b"state"), 0.0)
    (update,) = waiting.take(0.0)
    assert (sorted(update.reports), update.checkpoint) == ([0, 1, 2, 3], b"state")
    waiting.back(0.0)  # that failed: all of it waits
    waiting.put(Update(ONE, {4: 1.0}, state=DONE, value=1.0), 0.0)
    (update,) = waiting.take(0.0)
    assert (sorted(update.reports), waiting.ended()) == ([0, 1, 2, 3, 4], 0)
    waiting.written((), 0.0)
    waiting.put(Update(TWO, {0: 1.0}, state=DONE), 0.0)
    assert [sorted(u.reports) for u in waiting.take(0.0)] == [[0]]
