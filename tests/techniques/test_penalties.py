from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from tuner.techniques.penalties import GRADIENT_CLIPPING

MASK = torch.ones(2, dtype=torch.float64)


def clipped(gradient: Tensor, hp: float | Tensor) -> Tensor:
    assert GRADIENT_CLIPPING.gradient
    return GRADIENT_CLIPPING.gradient(gradient, torch.zeros_like(gradient), MASK, hp)


def test_numbers() -> None:
    gradient = torch.tensor([3.0, 4.0], dtype=torch.float64)  # of norm 5
    assert clipped(gradient, 1.0).tolist() == pytest.approx([0.6, 0.8], rel=1e-6)
    assert float(clipped(gradient, 2.5).norm()) == pytest.approx(2.5, rel=1e-6)
    assert torch.equal(clipped(gradient, 5.1), gradient)
    assert torch.equal(clipped(gradient, 0.0), gradient)
    assert torch.equal(clipped(gradient * 0, 1.0), gradient * 0)


def test_each_of_many_trials_by_its_own_norm() -> None:
    gradients = torch.tensor([[3.0, 4.0], [0.3, 0.4], [30, 40]], dtype=torch.float64)
    limits = torch.tensor([[1.0], [1.0], [0.0]], dtype=torch.float64)
    expected = torch.stack(
        [clipped(g, float(limit)) for g, limit in zip(gradients, limits, strict=True)]
    )
    assert torch.equal(clipped(gradients, limits), expected)


@pytest.mark.parametrize("limit", [0.01, 1.0, 100.0])
def test_equals_torch(limit: float) -> None:
    generator = torch.Generator().manual_seed(0)
    parts = [torch.randn(s, generator=generator, dtype=torch.float64) for s in ((3, 4), (4,))]
    parameters = [nn.Parameter(torch.zeros_like(part)) for part in parts]
    for parameter, part in zip(parameters, parts, strict=True):
        parameter.grad = part.clone()
    clip_grad_norm_(parameters, limit)
    theirs = torch.cat([p.grad.reshape(-1) for p in parameters if p.grad is not None])
    ours = clipped(torch.cat([part.reshape(-1) for part in parts]), limit)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)
