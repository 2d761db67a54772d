"""Augmentation of images: cutout, mirror images and shifts."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tuner.space import Leaf, Range
from tuner.techniques.base import Draw, Noise, Technique

# Cutout: hides a random square of each image.


def _draw_squares(hp: Any, draw: Draw) -> Noise:
    """Centres in [0, 1), ``[steps, batch, 2]``."""
    return (draw.uniform(draw.batch, 2),)


def _cut(x: Tensor, y: Tensor, hp: Any, centre: Tensor) -> tuple[Tensor, Tensor]:
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
    draw=_draw_squares,
    batch=_cut,
    images=True,
)


# Random mirror images.


def _draw_flips(hp: Any, draw: Draw) -> Noise:
    return (draw.uniform(draw.batch),)


def _flip(x: Tensor, y: Tensor, hp: Any, uniform: Tensor) -> tuple[Tensor, Tensor]:
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
    draw=_draw_flips,
    batch=_flip,
    images=True,
)


# Random shifts of images: the same as a random crop of the zero-padded image.


def _draw_shifts(hp: Any, draw: Draw) -> Noise:
    """Offsets in [-1, 1), ``[steps, batch, 2]``."""
    return (draw.uniform(draw.batch, 2) * 2 - 1,)


def _shift(x: Tensor, y: Tensor, hp: Any, offset: Tensor) -> tuple[Tensor, Tensor]:
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
    draw=_draw_shifts,
    batch=_shift,
    images=True,
)
