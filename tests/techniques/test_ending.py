"""test_ending"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from tuner.techniques.ending import EARLY_STOPPING, EMA


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


START, AFTER, EVALUATE = EMA.start, EMA.after, EMA.evaluate


def averages(hp: Any, steps: list[Tensor]) -> list[Tensor]:
    assert START
    assert AFTER
    assert EVALUATE
    state, found = START(steps[0]), []
    for params in steps[1:]:
        state = AFTER(params, state, hp)
        found.append(EVALUATE(params, state))
    return found


def test_numbers() -> None:
    """Decays 1/10, 2/11, then the decay itself, which the warm-up 3/12 has reached."""
    steps = [torch.tensor([v], dtype=torch.float64) for v in (0.0, 10.0, 20.0, 30.0)]
    first = 0.1 * 0 + 0.9 * 10
    second = 2 / 11 * first + 9 / 11 * 20
    third = 0.2 * second + 0.8 * 30
    found = torch.cat(averages(0.2, steps))
    expected = torch.tensor([first, second, third], dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


def test_constant_parameters_stay() -> None:
    steps = [torch.full((3,), 0.1, dtype=torch.float64)] * 20
    for average in averages(0.99, steps):
        torch.testing.assert_close(average, steps[0], rtol=1e-15, atol=0)


def test_many_trials() -> None:
    generator = torch.Generator().manual_seed(0)
    steps = [torch.randn(2, 4, generator=generator, dtype=torch.float64) for _ in range(30)]
    together = averages(torch.tensor([[0.3], [0.9]], dtype=torch.float64), steps)
    for k, decay in enumerate((0.3, 0.9)):
        alone = averages(decay, [params[k] for params in steps])
        for a, b in zip(together, alone, strict=True):
            torch.testing.assert_close(a[k], b, rtol=1e-12, atol=1e-15)
