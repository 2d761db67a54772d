"""L2 penalty: adds the weights to the gradient; with adaptive optimizers not the same as decay."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from tuner.space import Leaf, Range
from tuner.techniques.base import Technique, add_masked


def _gradient(gradient: Tensor, params: Tensor, mask: Tensor, hp: Any) -> Tensor:
    """The gradient of loss + λ/2·Σw²."""
    return add_masked(gradient, params, mask, hp)


L2 = Technique(
    leaf=Leaf(
        name="l2_lambda",
        kind=float,
        default=0.0,
        off=0.0,
        minimum=0.0,
        search=Range(1e-6, 1e-1, log=True, off=0.0),
        doc="λ in loss + λ/2·Σw² over weights, not biases or norm parameters",
        unit="loss per squared unit of weight",
        source="Krogh and Hertz 1991",
    ),
    gradient=_gradient,
)
