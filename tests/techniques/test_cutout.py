from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tuner.techniques import Draw
from tuner.techniques.cutout import CUTOUT

Y = torch.eye(2)


def hidden(hp: float, row: float, column: float) -> Tensor:
    assert CUTOUT.batch
    x, _ = CUTOUT.batch(torch.ones(1, 2, 6, 6), Y, hp, torch.tensor([[row, column]]))
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
    out, y = CUTOUT.batch(x, Y, 0.5, centres)
    assert y is Y
    expected = x.clone()
    expected[0, 0, 0:2, 0:4] = 0
    expected[1, 0, 2:4, 2:6] = 0
    assert torch.equal(out, expected)


def test_everything_else_stays() -> None:
    assert CUTOUT.batch
    x = torch.randn(3, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    out, _ = CUTOUT.batch(x, Y, 0.4, torch.rand(3, 2, generator=torch.Generator().manual_seed(1)))
    assert torch.equal(out[out != 0], x[out != 0])
    assert 0 < int((out == 0).sum()) < x.numel()


def test_centres_are_everywhere(draw: Draw) -> None:
    assert CUTOUT.draw
    (centres,) = CUTOUT.draw(0.3, draw)
    counts = torch.histc(centres, 10, 0, 1) / centres.numel()
    assert torch.allclose(counts, torch.full((10,), 0.1), atol=0.01)
