from __future__ import annotations

import torch
from torch import nn

from tuner.layers import BatchNorm
from tuner.training.flat import flatten, layout


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), BatchNorm(4), nn.Linear(4, 2))


def test_parameters_become_views() -> None:
    module = network()
    before = [p.detach().clone() for p in module.parameters()]
    _, vector = flatten(module)
    assert len(vector) == 12 + 4 + 4 + 4 + 8 + 2
    for old, new in zip(before, module.parameters(), strict=True):
        assert torch.equal(old, new)
    vector.zero_()
    assert all(not p.any() for p in module.parameters())
    with torch.no_grad():
        next(module.parameters()).fill_(3.0)
    assert vector[:12].eq(3).all()


def test_order_is_the_modules() -> None:
    plan = layout(network())
    assert [(name, at) for name, at, _ in plan.entries] == [
        ("0.weight", 0),
        ("0.bias", 12),
        ("1.weight", 16),
        ("1.bias", 20),
        ("2.weight", 24),
        ("2.bias", 32),
    ]


def test_mask_is_1_at_weights_only() -> None:
    plan, vector = flatten(network())
    mask = plan.mask(vector)
    assert {name: int(view.sum()) for name, view in plan.views(mask).items()} == {
        "0.weight": 12,
        "0.bias": 0,
        "1.weight": 0,
        "1.bias": 0,
        "2.weight": 8,
        "2.bias": 0,
    }
    assert mask.dtype == vector.dtype


def test_views_have_the_shapes_and_share_the_memory() -> None:
    plan, vector = flatten(network())
    views = plan.views(vector)
    assert views["2.weight"].shape == (2, 4)
    views["2.weight"].fill_(7.0)
    assert vector[24:32].eq(7).all()
