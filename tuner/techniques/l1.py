"""L1 penalty: adds the weights' signs to the gradient, so small weights go to zero."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from tuner.space import Leaf, Range
from tuner.techniques.base import Technique, add_masked


def _gradient(gradient: Tensor, params: Tensor, mask: Tensor, hp: Any) -> Tensor:
    """The gradient of loss + λ·Σ|w|: no autograd is needed for it."""
    return add_masked(gradient, params.sign(), mask, hp)


L1 = Technique(
    leaf=Leaf(
        name="l1_lambda",
        kind=float,
        default=0.0,
        off=0.0,
        minimum=0.0,
        search=Range(1e-7, 1e-3, log=True, off=0.0),
        doc="λ in loss + λ·Σ|w| over weights, not biases or norm parameters",
        unit="loss per unit of weight",
        source="Tibshirani 1996",
    ),
    gradient=_gradient,
)
