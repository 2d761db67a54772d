"""Techniques that change a batch: which rows, their weights and their targets."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tuner.space import Leaf, Range
from tuner.techniques.base import Draw, Noise, Technique

# Sampling: which rows an epoch takes.


def _balanced_rows(hp: str, classes: Tensor, generator: torch.Generator) -> Tensor:
    """As many rows as there are, with replacement: a class at random, and a row of it."""
    by_class = classes.argsort(stable=True)
    counts = torch.bincount(classes)
    known = counts.nonzero().squeeze(1)
    starts = counts.cumsum(0) - counts
    size = (len(classes),)
    chosen = known[torch.randint(len(known), size, generator=generator)]
    within = torch.rand(size, generator=generator, dtype=torch.float64)
    places = (within * counts[chosen]).long()
    return by_class[starts[chosen] + places]


SAMPLING = Technique(
    leaf=Leaf(
        name="sampling",
        kind=str,
        default="shuffled",
        off="shuffled",
        options={"shuffled": (), "balanced": ()},
        search=("shuffled", "balanced"),
        static=True,
        doc="an epoch's rows: each once, or drawn with replacement, each class as often",
        unit="name",
        source="He and Garcia 2009",
    ),
    rows=_balanced_rows,
    classes=True,
    section="training",
)


# Class weights: an error about a rare class counts more.


POWERS = {"none": 0.0, "sqrt": 0.5, "balanced": 1.0}


def weights(shares: Tensor, power: float) -> Tensor:
    """``[C]``: (1 / share)^power, scaled so that their mean over the training rows is 1.

    With power 1 these are n / (k n_c), scikit-learn's "balanced".

    Args:
        shares: of each class among the training rows ``[C]``.
    """
    rare = shares**-power
    return rare / (shares * rare).sum()


def _draw_weights(hp: str, draw: Draw) -> Noise:
    """The weights, the same in every step: nothing is random about them."""
    if hp == "none" or draw.shares is None:
        factors = torch.ones(1)
    else:
        factors = weights(draw.shares, POWERS[hp])
    return (factors.expand(draw.steps, -1),)


def _weigh(x: Tensor, y: Tensor, hp: Any, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted last, so that mixed and smoothed targets count as they do in torch's
    ``CrossEntropyLoss(weight=…)`` with rows of probabilities: Σ w_c y_c log p_c, over B rows."""
    return x, y * weights.to(y.dtype)


CLASS_WEIGHTS = Technique(
    leaf=Leaf(
        name="class_weights",
        kind=str,
        default="none",
        off="none",
        options=dict.fromkeys(POWERS, ()),
        search=("none", "sqrt", "balanced"),
        static=True,
        doc="weighs the loss of each class: balanced is n / (k n_c), sqrt goes half the way",
        unit="name",
        source="King and Zeng 2001; Cui et al. 2019",
    ),
    draw=_draw_weights,
    batch=_weigh,
    classes=True,
    section="training",
)


# Label smoothing: a little of the target's probability goes to every class.


def _smooth(x: Tensor, y: Tensor, hp: Any) -> tuple[Tensor, Tensor]:
    return x, y * (1 - hp) + hp / y.shape[-1]


def _smooth_labels(x: Tensor, y: Tensor, hp: Any) -> tuple[Tensor, Tensor]:
    """Between yes and no of each label."""
    return x, y * (1 - hp) + hp / 2


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
    batch=_smooth,
    of_labels=_smooth_labels,
    classes=True,
)


# Mixup: trains on mixtures of two rows and of their targets.


def _draw_mixup(hp: float, draw: Draw) -> Noise:
    """The share of the own row, one Beta(α, α) number a step; 1 where mixup is off.

    By the inverse of the distribution function, so that each share is a function of one number.
    """
    uniform = draw.uniform(dtype=torch.float64)
    if hp == 0:
        return (torch.ones_like(uniform),)
    from scipy.special import betaincinv  # here, for it takes a quarter of a second

    return (torch.from_numpy(betaincinv(hp, hp, uniform.numpy())),)


def _mix_batch(x: Tensor, y: Tensor, hp: Any, share: Tensor) -> tuple[Tensor, Tensor]:
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
    draw=_draw_mixup,
    batch=_mix_batch,
    mixes=True,
    numbers=True,
)
