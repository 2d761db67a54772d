from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tuner.techniques import Draw
from tuner.techniques.shift import SHIFT

IMAGE = torch.arange(1.0, 13).view(1, 1, 3, 4)
Y = torch.zeros(1, 2)


def moved(hp: float, down: float, right: float, image: Tensor = IMAGE) -> Tensor:
    assert SHIFT.batch
    return SHIFT.batch(image, Y, hp, torch.tensor([[down, right]]))[0]


def by_hand(down: int, right: int) -> Tensor:
    """Where a pixel comes from: so many rows below and so many columns to the right, else 0."""
    expected = torch.zeros_like(IMAGE)
    for row in range(3):
        for column in range(4):
            if 0 <= row + down < 3 and 0 <= column + right < 4:
                expected[0, 0, row, column] = IMAGE[0, 0, row + down, column + right]
    return expected


@pytest.mark.parametrize("right", [-3, -2, -1, 0, 1, 2, 3])
@pytest.mark.parametrize("down", [-2, -1, 0, 1, 2])
def test_moves_by_whole_pixels_and_zeros_come_in(down: int, right: int) -> None:
    assert torch.equal(moved(1.0, down / 3, right / 4), by_hand(down, right))


def test_one_column() -> None:
    expected = torch.tensor([[2.0, 3, 4, 0], [6, 7, 8, 0], [10, 11, 12, 0]])
    assert torch.equal(moved(0.25, 0.0, 0.99)[0, 0], expected)


def test_everything_may_leave() -> None:
    assert torch.equal(moved(1.0, 1.0, 0.0), torch.zeros_like(IMAGE))


def test_each_image_on_its_own_and_all_channels_alike() -> None:
    images = torch.stack([IMAGE[0].repeat(2, 1, 1), -IMAGE[0].repeat(2, 1, 1)])
    assert SHIFT.batch
    offsets = torch.tensor([[0.0, 0.25], [1 / 3, 0.0], [0.9, 0.9]])  # more than there are rows
    x, y = SHIFT.batch(images, Y, 1.0, offsets)
    assert y is Y
    for channel in (0, 1):
        assert torch.equal(x[0, channel], by_hand(0, 1)[0, 0])
        assert torch.equal(x[1, channel], -by_hand(1, 0)[0, 0])


def test_offsets_are_even_and_reach_the_limit(draw: Draw) -> None:
    assert SHIFT.draw
    (offsets,) = SHIFT.draw(0.2, draw)
    assert offsets.shape == (4000, 8, 2)
    assert -1 <= offsets.min() < -0.999
    assert 0.999 < offsets.max() < 1
    assert abs(float(offsets.mean())) < 0.01
