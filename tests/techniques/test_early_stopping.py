from __future__ import annotations

import math

import pytest

from tuner.techniques.early_stopping import EARLY_STOPPING


@pytest.mark.parametrize(
    ("values", "patience", "ends"),
    [
        ([], 1, False),
        ([0.5], 1, False),
        ([0.5, 0.4], 1, True),
        ([0.5, 0.4], 2, False),
        ([0.5, 0.4, 0.45], 2, True),
        ([0.5, 0.4, 0.6], 2, False),
        ([0.5, 0.4, 0.6, 0.1], 2, False),
        ([0.5, 0.4, 0.6, 0.1, 0.2], 2, True),
        ([0.5, 0.5], 1, True),  # as good is not better
        ([-3.0, -2.0, -1.0], 1, False),
        ([-1.0, -2.0, -3.0], 2, True),
        ([-math.inf, -math.inf], 1, True),
        ([-math.inf, 0.1], 1, False),
        ([0.9] + [0.1] * 500, 0, False),
    ],
)
def test_decisions(values: list[float], patience: int, ends: bool) -> None:
    assert EARLY_STOPPING.stop
    assert EARLY_STOPPING.stop(values, patience) is ends
