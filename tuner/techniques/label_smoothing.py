"""Label smoothing: a little of the target's probability goes to every class."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from tuner.space import Leaf, Range
from tuner.techniques.base import Technique


def _batch(x: Tensor, y: Tensor, hp: Any) -> tuple[Tensor, Tensor]:
    return x, y * (1 - hp) + hp / y.shape[-1]


LABEL_SMOOTHING = Technique(
    leaf=Leaf(
        name="label_smoothing",
        kind=float,
        default=0.0,
        off=0.0,
        minimum=0.0,
        maximum=0.9,
        search=Range(0.02, 0.2, off=0.0),
        doc="share of the target's probability that is spread evenly over the classes",
        unit="probability",
        source="Szegedy et al. 2016",
    ),
    batch=_batch,
    classes=True,
)
