"""Decoupled weight decay: shrinks the weights beside the optimizer's step."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from tuner.space import Leaf, Range
from tuner.techniques.base import Technique, add_masked


def _update(update: Tensor, params: Tensor, mask: Tensor, hp: Any) -> Tensor:
    """Adds λ·w to the update, which the learning rate then scales, as AdamW does."""
    return add_masked(update, params, mask, hp)


WEIGHT_DECAY = Technique(
    leaf=Leaf(
        name="weight_decay",
        kind=float,
        default=0.0,
        off=0.0,
        minimum=0.0,
        search=Range(1e-6, 1e-1, log=True, off=0.0),
        doc="λ in w ← w − lr·(update + λ·w) over weights, not biases or norm parameters",
        unit="per unit of learning rate",
        source="Loshchilov and Hutter 2019",
    ),
    update=_update,
)
