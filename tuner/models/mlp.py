"""Fully connected networks: the linear model and the multilayer perceptron."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import nn

from tuner.models.base import ACTIVATION, RESIDUAL, Family, Inside, Residual, activated, depth
from tuner.space import Leaf
from tuner.techniques import Shape

# Logistic and linear regression.


def build_linear(
    shape: Shape, outputs: int, leaves: Mapping[str, Any], inside: Inside
) -> nn.Module:
    """One linear layer: there is no block that a technique could enter.

    Shape:
        ``[B, *shape]`` to ``[B, outputs]``; a row is flattened first.
    """
    flatten = [nn.Flatten()] if len(shape) > 1 else []
    return nn.Sequential(*flatten, nn.Linear(math.prod(shape), outputs))


LINEAR = Family(
    name="linear",
    build=build_linear,
    leaves=(),
    doc="logistic regression for classes, linear regression for numbers",
    source="Cox 1958",
)


# Fully connected networks.


def build_mlp(shape: Shape, outputs: int, leaves: Mapping[str, Any], inside: Inside) -> nn.Module:
    """``depth`` blocks of ``width`` units and a linear output.

    Shape:
        ``[B, *shape]`` to ``[B, outputs]``; a row is flattened first.
    """
    width, entering = leaves["width"], math.prod(shape)
    layers: list[nn.Module] = [nn.Flatten()] if len(shape) > 1 else []
    for _ in range(leaves["depth"]):
        weights = nn.Linear(entering, width, bias=inside.bias)
        block = activated(weights, (width,), leaves["activation"], inside)
        if leaves["residual"] and entering == width:
            block = [Residual(nn.Sequential(*block))]
        layers += block
        entering = width
    return nn.Sequential(*layers, nn.Linear(entering, outputs))


WIDTH = Leaf(
    name="width",
    kind=int,
    default=64,
    minimum=1,
    maximum=65536,
    search=(32, 64, 128, 256),
    static=True,
    doc="units of each hidden block",
    unit="units",
    source="Goodfellow et al. 2016, chapter 6",
)

MLP = Family(
    name="mlp",
    build=build_mlp,
    leaves=(depth(2, 4), WIDTH, ACTIVATION, RESIDUAL),
    doc="fully connected blocks of one width",
    source="Rumelhart et al. 1986",
)
