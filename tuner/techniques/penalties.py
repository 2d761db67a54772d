"""Penalties on the weights, and clipping of the gradient."""

from __future__ import annotations

import math
from typing import Any

from tuner.lazy_torch import Tensor, torch
from tuner.space import Leaf, Range
from tuner.techniques.base import Technique, add_masked

# L1 penalty: adds the weights' signs to the gradient, so small weights go to zero.


def _l1_gradient(gradient: Tensor, params: Tensor, mask: Tensor, hp: Any) -> Tensor:
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
    gradient=_l1_gradient,
)


# L2 penalty: adds the weights to the gradient; with adaptive optimizers not the same as decay.


def _l2_gradient(gradient: Tensor, params: Tensor, mask: Tensor, hp: Any) -> Tensor:
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
    gradient=_l2_gradient,
)


# Decoupled weight decay: shrinks the weights beside the optimizer's step.


def _decay(update: Tensor, params: Tensor, mask: Tensor, hp: Any) -> Tensor:
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
    update=_decay,
)


# Gradient clipping by the norm of the whole gradient.


def _clip(gradient: Tensor, params: Tensor, mask: Tensor, hp: Any) -> Tensor:
    """Scales a gradient [..., P] whose norm is above ``hp`` down to it; 0 leaves it alone."""
    norm: Tensor = torch.linalg.vector_norm(gradient, dim=-1, keepdim=True)
    limit = hp if isinstance(hp, Tensor) else torch.full_like(norm, hp)
    limit = torch.where(limit > 0, limit, math.inf)
    return gradient * (limit / (norm + 1e-6)).clamp(max=1.0)


GRADIENT_CLIPPING = Technique(
    leaf=Leaf(
        name="gradient_clipping",
        kind=float,
        default=0.0,
        off=0.0,
        minimum=0.0,
        search=Range(0.1, 10.0, log=True, off=0.0),
        doc="largest norm of the gradient, penalties included; 0 is no limit",
        unit="norm of the gradient",
        source="Pascanu et al. 2013",
    ),
    gradient=_clip,
)
