from __future__ import annotations

import torch
from torch.nn import functional

from tuner.techniques.label_smoothing import LABEL_SMOOTHING


def test_numbers() -> None:
    x, y = torch.zeros(2, 3), torch.tensor([[0.0, 1, 0, 0], [1, 0, 0, 0]])
    assert LABEL_SMOOTHING.batch
    same, smooth = LABEL_SMOOTHING.batch(x, y, 0.2)
    assert same is x
    assert torch.allclose(
        smooth, torch.tensor([[0.05, 0.85, 0.05, 0.05], [0.85, 0.05, 0.05, 0.05]])
    )


def test_the_loss_is_torchs() -> None:
    logits = torch.randn(6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    classes = torch.tensor([0, 1, 2, 3, 4, 0])
    assert LABEL_SMOOTHING.batch
    _, y = LABEL_SMOOTHING.batch(logits, functional.one_hot(classes, 5).double(), 0.13)
    theirs = functional.cross_entropy(logits, classes, label_smoothing=0.13)
    torch.testing.assert_close(functional.cross_entropy(logits, y), theirs, rtol=1e-12, atol=0)


def test_needs_classes() -> None:
    assert LABEL_SMOOTHING.classes
