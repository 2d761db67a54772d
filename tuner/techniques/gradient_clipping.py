"""Gradient clipping by the norm of the whole gradient."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from tuner.space import Leaf, Range
from tuner.techniques.base import Technique


def _gradient(gradient: Tensor, params: Tensor, mask: Tensor, hp: Any) -> Tensor:
    """Scales a gradient [..., P] whose norm is above ``hp`` down to it; 0 leaves it alone."""
    limit = torch.as_tensor(hp, dtype=gradient.dtype, device=gradient.device)
    limit = torch.where(limit > 0, limit, math.inf)
    norm: Tensor = torch.linalg.vector_norm(gradient, dim=-1, keepdim=True)
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
    gradient=_gradient,
)
