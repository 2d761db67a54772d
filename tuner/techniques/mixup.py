"""Mixup: trains on mixtures of two rows and of their targets."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tuner.space import Leaf, Range
from tuner.techniques.base import Draw, Noise, Technique


def _draw(hp: float, draw: Draw) -> Noise:
    """The share of the own row, one Beta(α, α) number a step; 1 where mixup is off.

    By the inverse of the distribution function, so that each share is a function of one number.
    """
    uniform = draw.uniform(dtype=torch.float64)
    if hp == 0:
        return (torch.ones_like(uniform),)
    from scipy.special import betaincinv  # here, for it takes a quarter of a second

    return (torch.from_numpy(betaincinv(hp, hp, uniform.numpy(force=True))).to(uniform),)


def _batch(x: Tensor, y: Tensor, hp: Any, share: Tensor) -> tuple[Tensor, Tensor]:
    """The partner is the next row: rows come in random order, so it is a random one."""
    share = share.to(x.dtype)
    return _mix(x, share), _mix(y, share)


def _mix(rows: Tensor, share: Tensor) -> Tensor:
    return rows * share + rows.roll(1, 0) * (1 - share)


MIXUP = Technique(
    leaf=Leaf(
        name="mixup",
        kind=float,
        default=0.0,
        off=0.0,
        minimum=0.0,
        maximum=10.0,
        search=Range(0.05, 1.0, off=0.0),
        doc="α of the Beta(α, α) distribution of the mixing share, one share a step",
        unit="none",
        source="Zhang et al. 2018",
    ),
    draw=_draw,
    batch=_batch,
    numbers=True,
)
