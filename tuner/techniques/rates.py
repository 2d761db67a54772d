"""Techniques that multiply the learning rate of one kind of parameters."""

from __future__ import annotations

from typing import Any

from tuner.lazy_torch import Tensor, torch
from tuner.space import Leaf, Range
from tuner.techniques.base import Technique


def _times(update: Tensor, params: Tensor, mask: Tensor, hp: Any) -> Tensor:
    """The update, with its decay, times ``hp`` where the mask is 1, as in torch's groups."""
    return torch.where(mask > 0, update * hp, update)


def _factor(name: str, search: Range, doc: str) -> Leaf:
    return Leaf(
        name=name,
        kind=float,
        default=1.0,
        off=1.0,
        above=0.0,
        maximum=100.0,
        search=search,
        doc=doc,
        unit="times the learning rate",
        source="Holzmüller et al. 2024, arXiv:2407.04491",
    )


SCALE_RATE = Technique(
    leaf=_factor(
        "scale_rate",
        Range(2.0, 10.0, log=True, off=1.0),
        "factor of the learning rate of the trained scales of inputs (input_scale)",
    ),
    update=_times,
    marks="scales",
    section="training",
)
BIAS_RATE = Technique(
    leaf=_factor(
        "bias_rate",
        Range(0.05, 0.5, log=True, off=1.0),
        "factor of the learning rate of biases",
    ),
    update=_times,
    marks="biases",
    section="training",
)
FIRST_LAYER_RATE = Technique(
    leaf=_factor(
        "first_layer_rate",
        Range(0.2, 0.9, log=True, off=1.0),
        "factor of the learning rate of a network's first layer, after embeddings and scales",
    ),
    update=_times,
    marks="first",
    section="training",
)
