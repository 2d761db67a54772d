"""Batch normalization, before the activation of every block."""

from __future__ import annotations

from torch import nn

from tuner.layers import BatchNorm, Shape
from tuner.space import Leaf
from tuner.techniques.base import Technique


def _layer(shape: Shape, hp: bool) -> nn.Module:
    return BatchNorm(shape[0])


BATCH_NORM = Technique(
    leaf=Leaf(
        name="batch_norm",
        kind=bool,
        default=False,
        off=False,
        search=(True, False),
        static=True,
        doc="normalizes each feature (mlp) or channel (cnn) over the batch",
        unit="on or off",
        source="Ioffe and Szegedy 2015",
    ),
    layer=_layer,
    before_activation=True,
    centres=True,
)
