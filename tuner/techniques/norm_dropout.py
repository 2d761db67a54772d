"""Techniques that are layers: batch normalization and dropout."""

from __future__ import annotations

from torch import nn

from tuner.layers import BatchNorm, Dropout, Shape
from tuner.space import Leaf, Range
from tuner.techniques.base import Technique

# Batch normalization, before the activation of every block.


def _batch_norm(shape: Shape, hp: bool) -> nn.Module:
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
    layer=_batch_norm,
    before_activation=True,
    centres=True,
)


# Dropout: zero activations at random in training.


DROPOUT = Technique(
    leaf=Leaf(
        name="dropout",
        kind=float,
        default=0.0,
        off=0.0,
        minimum=0.0,
        maximum=0.95,
        search=Range(0.05, 0.6, off=0.0),
        doc="zeroes activations after each block; whole channels in a cnn",
        unit="probability",
        source="Srivastava et al. 2014; Tompson et al. 2015",
    ),
    layer=Dropout,
)
