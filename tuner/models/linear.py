"""Logistic and linear regression."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import nn

from tuner.layers import Shape
from tuner.models.base import Family, Inside


def build(shape: Shape, outputs: int, leaves: Mapping[str, Any], inside: Inside) -> nn.Module:
    """One linear layer: there is no block that a technique could enter.

    Shape:
        ``[B, *shape]`` to ``[B, outputs]``; a row is flattened first.
    """
    flatten = [nn.Flatten()] if len(shape) > 1 else []
    return nn.Sequential(*flatten, nn.Linear(math.prod(shape), outputs))


LINEAR = Family(
    name="linear",
    build=build,
    leaves=(),
    doc="logistic regression for classes, linear regression for numbers",
    source="Cox 1958",
)
