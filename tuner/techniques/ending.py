"""Techniques that decide which weights count at the end: an average, or an early end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tuner.lazy_torch import Tensor, torch
from tuner.space import Leaf, Range
from tuner.techniques.base import State, Technique

# An exponential moving average of the weights, with which the network is evaluated.


def _start(params: Tensor) -> State:
    return params.clone(), torch.zeros_like(params[..., :1])


def _after(params: Tensor, state: State, hp: Any) -> State:
    """average ← d·average + (1−d)·params, where d grows as (1+n)/(10+n) up to the decay."""
    average, steps = state
    decay = ((1 + steps) / (10 + steps)).clamp(max=hp)
    return torch.lerp(average, params, 1 - decay), steps + 1


def _evaluate(params: Tensor, state: State) -> Tensor:
    return state[0]


EMA = Technique(
    leaf=Leaf(
        name="ema",
        kind=float,
        default=0.0,
        off=0.0,
        minimum=0.0,
        maximum=0.99999,
        search=Range(0.9, 0.999, off=0.0),
        doc="decay a step of the average of the weights that is evaluated",
        unit="share kept per step",
        source="Polyak and Juditsky 1992; warm-up as in Abadi et al. 2016",
    ),
    start=_start,
    after=_after,
    evaluate=_evaluate,
)


# Early stopping: ends a trial when its value has not improved for a while.


def _stop(values: Sequence[float], hp: Any) -> bool:
    """Whether the best of the values (higher is better) is at least ``hp`` epochs old."""
    if hp == 0 or not values:
        return False
    best = max(range(len(values)), key=lambda epoch: values[epoch])
    return bool(len(values) - 1 - best >= hp)


EARLY_STOPPING = Technique(
    leaf=Leaf(
        name="early_stopping",
        kind=int,
        default=0,
        off=0,
        minimum=0,
        search=Range(3, 10, off=0),
        doc="patience: epochs without a better value before the trial ends; 0 never ends it",
        unit="epochs",
        source="Prechelt 1998",
    ),
    stop=_stop,
)
