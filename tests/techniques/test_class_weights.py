from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from tuner.techniques import Draw
from tuner.techniques.class_weights import CLASS_WEIGHTS, weights

Y = np.array([0] * 50 + [1] * 30 + [2] * 3)
SHARES = torch.bincount(torch.from_numpy(Y)).double() / len(Y)


def test_balanced_is_that_of_scikit_learn() -> None:
    expected = compute_class_weight("balanced", classes=np.unique(Y), y=Y)
    assert weights(SHARES, 1.0).tolist() == pytest.approx(expected.tolist(), rel=1e-12)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_the_mean_over_the_training_rows_is_one(power: float) -> None:
    found = weights(SHARES, power)
    assert float(found[torch.from_numpy(Y)].mean()) == pytest.approx(1.0)
    assert power == 0 or found[2] > found[1] > found[0]


def test_sqrt_lies_between_none_and_balanced() -> None:
    ratio = [float(w[2] / w[0]) for w in (weights(SHARES, p) for p in (0.0, 0.5, 1.0))]
    assert ratio == pytest.approx([1.0, (50 / 3) ** 0.5, 50 / 3])


def test_weights_are_the_same_in_every_step() -> None:
    assert CLASS_WEIGHTS.draw
    generator = torch.Generator().manual_seed(0)
    (drawn,) = CLASS_WEIGHTS.draw("balanced", Draw(4, 8, (2,), generator, SHARES))
    assert drawn.shape == (4, 3)
    assert torch.equal(drawn, weights(SHARES, 1.0).expand(4, 3))
