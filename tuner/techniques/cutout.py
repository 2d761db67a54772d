"""Cutout: hides a random square of each image."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tuner.space import Leaf, Range
from tuner.techniques.base import Draw, Noise, Technique


def _draw(hp: Any, draw: Draw) -> Noise:
    """Centres in [0, 1), ``[steps, batch, 2]``."""
    return (draw.uniform(draw.batch, 2),)


def _batch(x: Tensor, y: Tensor, hp: Any, centre: Tensor) -> tuple[Tensor, Tensor]:
    """Sets a square around the centre to 0, which is the mean of standardized images."""
    near = []
    for axis in (2, 3):
        size = x.shape[axis]
        pixels = torch.arange(size, device=x.device) + 0.5
        distance = (pixels - centre[: x.shape[0], axis - 2, None] * size).abs()
        near.append(distance < hp * size / 2)
    hidden = near[0][:, None, :, None] & near[1][:, None, None, :]
    return x * (~hidden).to(x.dtype), y


CUTOUT = Technique(
    leaf=Leaf(
        name="cutout",
        kind=float,
        default=0.0,
        off=0.0,
        minimum=0.0,
        maximum=0.9,
        search=Range(0.1, 0.5, off=0.0),
        doc="side of the hidden square; it may reach over the border",
        unit="share of the image's height and width",
        source="DeVries and Taylor 2017",
    ),
    draw=_draw,
    batch=_batch,
    images=True,
)
