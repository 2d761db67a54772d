"""Embeddings of a table's numbers, beside the other numbers of a row."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from tuner.models.inputs import NUMBERS, Numbers, Periodic, PiecewiseLinear, Scale, embedding_of

X = torch.tensor([[0.0, 7.0], [1.0, 7.0], [2.0, 7.0], [6.0, 7.0], [10.0, 7.0]])


class Squares(nn.Module):
    """A number and its square; keeps what it is to learn from."""

    size = 2

    def learn(self, x: torch.Tensor) -> None:
        self.rows = x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack((x, x * x), 2)


def test_quantities_are_embedded_and_the_others_follow() -> None:
    layer = Numbers(6, (1, 4), Squares())
    x = torch.arange(6.0).repeat(2, 1)
    assert layer(x)[0].tolist() == [1, 1, 4, 16, 0, 2, 3, 5]
    assert layer.width == 8
    assert (layer.moved(range(2, 4)), layer.moved(range(5, 6))) == (range(5, 7), range(7, 8))
    layer.learn(x)
    assert layer.embedding.rows.tolist() == [[1, 4]] * 2
    assert layer.state_dict() == {}  # positions are no weights


def entries(layer: PiecewiseLinear, *values: float) -> list[list[float]]:
    """Of a first number, before the linear layer."""
    seen: list[torch.Tensor] = []
    layer.linear.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    layer(torch.tensor([[value, 7.0] for value in values]))
    return [[round(e, 6) for e in row] for row in seen[0][:, 0].tolist()]


def test_bins_lie_between_quantiles_of_the_training_rows() -> None:
    layer = PiecewiseLinear(2, bins=2, size=3)
    layer.learn(X)
    found = entries(layer, 0.0, 1.0, 2.0, 4.0, 10.0, -2.0, 18.0)
    assert found == [[0, 0], [0.5, 0], [1, 0], [1, 0.25], [1, 1], [-1, 0], [1, 2]]


def test_equal_quantiles_make_fewer_bins() -> None:
    layer = PiecewiseLinear(2, bins=4, size=3)
    rows = X.clone()
    rows[:3, 0] = 0.0  # quartiles 0, 0, 0, 6, 10
    layer.learn(rows)
    found = entries(layer, -3.0, 0.0, 3.0, 6.0, 8.0, 14.0)
    assert [row[:2] for row in found] == [[-0.5, 0], [0, 0], [0.5, 0], [1, 0], [1, 0.5], [1, 2]]
    assert all(row[2:] == [0, 0] for row in found)
    constant = layer(torch.tensor([[0.0, 7.0], [0.0, 1e9]]))
    assert torch.equal(constant[0, 1], constant[1, 1])


def test_quantiles_that_differ_by_rounding_make_no_bin() -> None:
    column = torch.zeros(241, 1)
    column[145:] = 1.0  # the quantile 0.6 is 3e-14
    layer = PiecewiseLinear(1, bins=5, size=3)
    layer.learn(column)
    assert layer.slope[0].tolist() == [1, 0, 0, 0, 0]


@pytest.mark.parametrize("form", ["plr", "pbld"])
def test_waves(form: str) -> None:
    torch.manual_seed(0)
    layer = Periodic(2, frequencies=50, scale=0.5, size=3, form=form)
    assert float(layer.frequencies.detach().std()) == pytest.approx(0.5, rel=0.2)
    with torch.no_grad():
        layer.frequencies[:] = 1.0
    out = layer(X)
    assert out.shape == (5, 2, 3)
    moved = layer(X + 1)  # by one whole wave
    if form == "plr":
        assert float(out.detach().min()) == 0
        torch.testing.assert_close(moved, out, atol=1e-4, rtol=1e-4)
        return
    assert torch.equal(out[:, :, 0], X)
    torch.testing.assert_close(moved[:, :, 1:], out[:, :, 1:], atol=1e-4, rtol=1e-4)
    assert layer.phases is not None
    assert math.pi * 0.9 < float(layer.phases.detach().abs().max()) < math.pi


def test_each_name_has_its_embedding() -> None:
    options: Any = NUMBERS.options
    made = {
        name: embedding_of(name, {leaf.name: leaf.default for leaf in leaves}, 2)
        for name, leaves in options.items()
    }
    kinds = {name: type(each) for name, each in made.items()}
    assert kinds == {
        "plain": type(None),
        "piecewise-linear": PiecewiseLinear,
        "periodic": Periodic,
    }


def test_a_scale_is_1_at_first() -> None:
    layer = Scale(2)
    assert torch.equal(layer(X), X)
    assert layer.scale.dim() == 1  # no weight: no penalty makes it small
