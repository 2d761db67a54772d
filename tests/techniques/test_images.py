"""test_images"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tuner.techniques import Draw
from tuner.techniques.images import CUTOUT, HORIZONTAL_FLIP, SHIFT

CUTOUT_Y = torch.eye(2)


def hidden(hp: float, row: float, column: float) -> Tensor:
    assert CUTOUT.batch
    x, _ = CUTOUT.batch(torch.ones(1, 2, 6, 6), CUTOUT_Y, hp, torch.tensor([[row, column]]))
    assert torch.equal(x[0, 0], x[0, 1])
    return x[0, 0] == 0


@pytest.mark.parametrize(("row", "column"), [(2, 3), (3, 3), (2, 2)])
def test_a_square_of_the_right_side(row: int, column: int) -> None:
    expected = torch.zeros(6, 6, dtype=torch.bool)
    expected[row - 1 : row + 1, column - 1 : column + 1] = True
    assert torch.equal(hidden(2 / 6, row / 6, column / 6), expected)


def test_over_the_border() -> None:
    expected = torch.zeros(6, 6, dtype=torch.bool)
    expected[:2, 4:] = True  # the centre is just left of the right border
    assert torch.equal(hidden(0.5, 0.5 / 6, 0.999), expected)


def test_oblong_images_and_images_on_their_own() -> None:
    assert CUTOUT.batch
    x = torch.full((2, 1, 4, 8), 3.0)
    centres = torch.tensor([[0.25, 0.25], [0.75, 0.5], [0.1, 0.1]])
    out, y = CUTOUT.batch(x, CUTOUT_Y, 0.5, centres)
    assert y is CUTOUT_Y
    expected = x.clone()
    expected[0, 0, 0:2, 0:4] = 0
    expected[1, 0, 2:4, 2:6] = 0
    assert torch.equal(out, expected)


def test_everything_else_stays() -> None:
    assert CUTOUT.batch
    x = torch.randn(3, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    out, _ = CUTOUT.batch(
        x, CUTOUT_Y, 0.4, torch.rand(3, 2, generator=torch.Generator().manual_seed(1))
    )
    assert torch.equal(out[out != 0], x[out != 0])
    assert 0 < int((out == 0).sum()) < x.numel()


def test_centres_are_everywhere(draw: Draw) -> None:
    assert CUTOUT.draw
    (centres,) = CUTOUT.draw(0.3, draw)
    counts = torch.histc(centres, 10, 0, 1) / centres.numel()
    assert torch.allclose(counts, torch.full((10,), 0.1), atol=0.01)


X = torch.arange(24.0).view(2, 2, 2, 3)
HORIZONTAL_FLIP_Y = torch.eye(2)


def test_with_probability_1_every_image(draw: Draw) -> None:
    assert HORIZONTAL_FLIP.draw
    assert HORIZONTAL_FLIP.batch
    for uniform in HORIZONTAL_FLIP.draw(1.0, draw)[0][:50]:
        x, y = HORIZONTAL_FLIP.batch(X, HORIZONTAL_FLIP_Y, 1.0, uniform)
        assert torch.equal(x, X[..., [2, 1, 0]])
        assert y is HORIZONTAL_FLIP_Y


def test_some_of_a_batch() -> None:
    assert HORIZONTAL_FLIP.batch
    x, _ = HORIZONTAL_FLIP.batch(X, HORIZONTAL_FLIP_Y, 0.5, torch.tensor([0.5, 0.49, 0.1]))
    assert torch.equal(x[0], X[0])
    assert torch.equal(x[1], X[1].flip(2))


def test_how_often(draw: Draw) -> None:
    assert HORIZONTAL_FLIP.draw
    (uniform,) = HORIZONTAL_FLIP.draw(0.3, draw)
    assert abs(float((uniform < 0.3).double().mean()) - 0.3) < 0.01


IMAGE = torch.arange(1.0, 13).view(1, 1, 3, 4)
SHIFT_Y = torch.zeros(1, 2)


def moved(hp: float, down: float, right: float, image: Tensor = IMAGE) -> Tensor:
    assert SHIFT.batch
    return SHIFT.batch(image, SHIFT_Y, hp, torch.tensor([[down, right]]))[0]


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
    x, y = SHIFT.batch(images, SHIFT_Y, 1.0, offsets)
    assert y is SHIFT_Y
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
