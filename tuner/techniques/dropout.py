"""Dropout: zero activations at random in training."""

from __future__ import annotations

from tuner.layers import Dropout
from tuner.space import Leaf, Range
from tuner.techniques.base import Technique

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
