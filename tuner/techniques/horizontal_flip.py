"""Random mirror images."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tuner.space import Leaf, Range
from tuner.techniques.base import Draw, Noise, Technique


def _draw(hp: Any, draw: Draw) -> Noise:
    return (draw.uniform(draw.batch),)


def _batch(x: Tensor, y: Tensor, hp: Any, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """Mirrors each image [B, C, H, W] left to right with probability ``hp``."""
    flipped = (uniform[: x.shape[0]] < hp).view(-1, 1, 1, 1)
    return torch.where(flipped, x.flip(3), x), y


HORIZONTAL_FLIP = Technique(
    leaf=Leaf(
        name="horizontal_flip",
        kind=float,
        default=0.0,
        off=0.0,
        minimum=0.0,
        maximum=1.0,
        search=Range(0.1, 0.5, off=0.0),
        doc="how often an image is mirrored; not for digits or letters",
        unit="probability",
        source="Krizhevsky et al. 2012",
    ),
    draw=_draw,
    batch=_batch,
    images=True,
)
