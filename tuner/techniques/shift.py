"""Random shifts of images: the same as a random crop of the zero-padded image."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tuner.space import Leaf, Range
from tuner.techniques.base import Draw, Noise, Technique


def _draw(hp: Any, draw: Draw) -> Noise:
    """Offsets in [-1, 1), ``[steps, batch, 2]``."""
    return (draw.uniform(draw.batch, 2) * 2 - 1,)


def _batch(x: Tensor, y: Tensor, hp: Any, offset: Tensor) -> tuple[Tensor, Tensor]:
    """Moves each image [B, C, H, W] by whole pixels; what comes in from outside is 0."""
    for axis in (2, 3):
        size = x.shape[axis]
        pixels = torch.round(offset[: x.shape[0], axis - 2] * (hp * size)).long()
        source = torch.arange(size, device=x.device) + pixels[:, None]
        inside = (source >= 0) & (source < size)
        view = (-1, 1, size, 1) if axis == 2 else (-1, 1, 1, size)
        index = source.clamp(0, size - 1).view(view).expand_as(x)
        x = x.gather(axis, index) * inside.view(view).to(x.dtype)
    return x, y


SHIFT = Technique(
    leaf=Leaf(
        name="shift",
        kind=float,
        default=0.0,
        off=0.0,
        minimum=0.0,
        maximum=0.5,
        search=Range(0.02, 0.2, off=0.0),
        doc="largest shift of an image, up, down or sideways",
        unit="share of its height and width",
        source="Krizhevsky et al. 2012",
    ),
    draw=_draw,
    batch=_batch,
    images=True,
)
