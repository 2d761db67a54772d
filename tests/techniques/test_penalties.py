"""L1, L2 and decoupled weight decay: on weights, not on biases."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tuner.techniques.l1 import L1
from tuner.techniques.l2 import L2
from tuner.techniques.weight_decay import WEIGHT_DECAY

PARAMS = torch.tensor([2.0, -3.0, 0.0, 5.0])
MASK = torch.tensor([1.0, 1.0, 1.0, 0.0])
GRADIENT = torch.tensor([10.0, 20.0, 30.0, 40.0])


@pytest.mark.parametrize(
    ("hook", "expected"),
    [
        (L1.gradient, [10.5, 19.5, 30.0, 40.0]),
        (L2.gradient, [11.0, 18.5, 30.0, 40.0]),
        (WEIGHT_DECAY.update, [11.0, 18.5, 30.0, 40.0]),
    ],
    ids=["l1", "l2", "weight_decay"],
)
def test_numbers(hook: Any, expected: list[float]) -> None:
    assert hook(GRADIENT, PARAMS, MASK, 0.5).tolist() == expected


@pytest.mark.parametrize(
    ("hook", "penalty"),
    [
        (L1.gradient, lambda w, hp: hp * w.abs().sum()),
        (L2.gradient, lambda w, hp: hp / 2 * w.square().sum()),
    ],
    ids=["l1", "l2"],
)
def test_gradient_of_the_penalty(hook: Any, penalty: Any) -> None:
    params = PARAMS.double().requires_grad_()
    penalty(params * MASK, 0.3).backward()
    added = hook(torch.zeros(4).double(), params.detach(), MASK.double(), 0.3)
    torch.testing.assert_close(added, params.grad)
