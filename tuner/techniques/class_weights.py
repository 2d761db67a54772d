"""Class weights: an error about a rare class counts more."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tuner.space import Leaf
from tuner.techniques.base import Draw, Noise, Technique

POWERS = {"none": 0.0, "sqrt": 0.5, "balanced": 1.0}


def weights(shares: Tensor, power: float) -> Tensor:
    """``[C]``: (1 / share)^power, scaled so that their mean over the training rows is 1.

    With power 1 these are n / (k n_c), scikit-learn's "balanced".

    Args:
        shares: of each class among the training rows ``[C]``.
    """
    rare = shares**-power
    return rare / (shares * rare).sum()


def _draw(hp: str, draw: Draw) -> Noise:
    """The weights, the same in every step: nothing is random about them."""
    if hp == "none" or draw.shares is None:
        found = torch.ones(1, device=draw.generator.device)
    else:
        found = weights(draw.shares, POWERS[hp])
    return (found.expand(draw.steps, -1),)


def _batch(x: Tensor, y: Tensor, hp: Any, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted last, so that mixed and smoothed targets count as they do in torch's
    ``CrossEntropyLoss(weight=…)`` with rows of probabilities: Σ w_c y_c log p_c, over B rows."""
    return x, y * weights.to(y.dtype)


CLASS_WEIGHTS = Technique(
    leaf=Leaf(
        name="class_weights",
        kind=str,
        default="none",
        off="none",
        options=dict.fromkeys(POWERS, ()),
        search=("none", "sqrt", "balanced"),
        static=True,
        doc="weighs the loss of each class: balanced is n / (k n_c), sqrt goes half the way",
        unit="name",
        source="King and Zeng 2001; Cui et al. 2019",
    ),
    draw=_draw,
    batch=_batch,
    classes=True,
    section="training",
)
