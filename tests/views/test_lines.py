"""One plain line for each trial that ended."""

from __future__ import annotations

import pytest

from tuner.views.lines import Lines, line
from tuner.views.snapshot import Ended


@pytest.mark.parametrize(
    ("ended", "text"),
    [
        (
            Ended(12, "complete", 0.97222, 30, "all epochs", (7, 0.98)),
            "trial 12: 0.9722; best 0.9800 (trial 7)",
        ),
        (
            Ended(3, "pruned", 0.91, 4, "pruned", (7, 0.98)),
            "trial 3: pruned at epoch 4, 0.9100; best 0.9800 (trial 7)",
        ),
        (Ended(3, "pruned", None, 4, "diverged"), "trial 3: diverged at epoch 4"),
        (Ended(5, "pruned", None, 0), "trial 5: pruned at epoch 0"),
        (Ended(4, "failed", None, 1, "ValueError: no\nmore"), "trial 4: failed: ValueError: no"),
        (Ended(4, "failed", None, 0), "trial 4: failed"),
    ],
)
def test_line(ended: Ended, text: str) -> None:
    assert line(ended) == text


def test_each_trial_is_told_once(snapshot) -> None:
    lines = Lines()
    first, second = snapshot().ended
    assert [*lines.new(snapshot(ended=(first,)))] == [line(first)]
    assert [*lines.new(snapshot(ended=(first,)))] == []
    # one that ended earlier may be written later
    assert [*lines.new(snapshot(ended=(second, first)))] == [line(second)]
