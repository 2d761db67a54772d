"""Sampling: which rows an epoch takes."""

from __future__ import annotations

import torch
from torch import Tensor

from tuner.space import Leaf
from tuner.techniques.base import Technique


def _rows(hp: str, classes: Tensor, generator: torch.Generator) -> Tensor:
    """As many rows as there are, with replacement: a class at random, and a row of it."""
    by_class = classes.argsort(stable=True)
    counts = torch.bincount(classes)
    known = counts.nonzero().squeeze(1)
    starts = counts.cumsum(0) - counts
    size, device = (len(classes),), generator.device
    chosen = known[torch.randint(len(known), size, generator=generator, device=device)]
    within = torch.rand(size, generator=generator, device=device, dtype=torch.float64)
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
    rows=_rows,
    classes=True,
    section="training",
)
