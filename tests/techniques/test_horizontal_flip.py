from __future__ import annotations

import torch

from tuner.techniques import Draw
from tuner.techniques.horizontal_flip import HORIZONTAL_FLIP

X = torch.arange(24.0).view(2, 2, 2, 3)
Y = torch.eye(2)


def test_with_probability_1_every_image(draw: Draw) -> None:
    assert HORIZONTAL_FLIP.draw
    assert HORIZONTAL_FLIP.batch
    for uniform in HORIZONTAL_FLIP.draw(1.0, draw)[0][:50]:
        x, y = HORIZONTAL_FLIP.batch(X, Y, 1.0, uniform)
        assert torch.equal(x, X[..., [2, 1, 0]])
        assert y is Y


def test_some_of_a_batch() -> None:
    assert HORIZONTAL_FLIP.batch
    x, _ = HORIZONTAL_FLIP.batch(X, Y, 0.5, torch.tensor([0.5, 0.49, 0.1]))
    assert torch.equal(x[0], X[0])
    assert torch.equal(x[1], X[1].flip(2))


def test_how_often(draw: Draw) -> None:
    assert HORIZONTAL_FLIP.draw
    (uniform,) = HORIZONTAL_FLIP.draw(0.3, draw)
    assert abs(float((uniform < 0.3).double().mean()) - 0.3) < 0.01
