"""Vectors of categories, beside the one-hot numbers that they replace."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tuner.models.categories import Categories

COLUMNS = (range(5), range(6, 8), range(8, 17))
"""Of five, two and nine categories; number 5 is a quantity."""


def one_hot(width: int, *at: int) -> Tensor:
    row = torch.zeros(1, width)
    row[0, list(at)] = 1.0
    return row


def test_each_column_has_its_own_vectors_and_the_other_numbers_stay() -> None:
    layer = Categories(18, [COLUMNS[0], COLUMNS[2]], 4)
    first, last = (each.weight for each in layer.layers if isinstance(each, nn.Linear))
    assert (first.shape, last.shape) == ((3, 5), (4, 9))  # at most half as many, rounded up
    x = one_hot(18, 2, 7, 16)
    x[0, 5], x[0, 17] = -1.5, 2.5
    expected = [*first[:, 2], torch.tensor(-1.5), *x[0, 6:8], *last[:, 8], torch.tensor(2.5)]
    assert torch.equal(layer(x)[0], torch.stack(expected))
    assert layer.width == len(expected)


def test_a_category_that_is_not_known_is_zeros() -> None:
    layer = Categories(5, [range(5)], 2)
    assert torch.equal(layer(torch.zeros(3, 5)), torch.zeros(3, 2))
