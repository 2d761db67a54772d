"""Raw main effects: complete trials with a technique against those without it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance
from typing import Any

from tuner.answers.estimate import ANY, LEVEL, Limits, within
from tuner.space import Config

Trained = tuple[Config, float]
"""A configuration and the value that it reached."""


@dataclass(frozen=True)
class MainEffect:
    """A technique's mean effect over the complete trials of the search.

    The sampler chose these trials, and everything else varies between them: it is no experiment.

    Attributes:
        on, off: mean of the metric with and without it; None where there is no such trial.
        with_it, without: how many trials.
        gain: how much better the trials with it are; positive is better.
        low, high: 95% interval of the gain (Welch 1947); None with fewer than two trials a side.
    """

    technique: str
    on: float | None
    off: float | None
    with_it: int
    without: int
    gain: float | None = None
    low: float | None = None
    high: float | None = None


def main_effect(
    name: str, off_value: Any, trained: Sequence[Trained], sign: int, limits: Limits = ANY
) -> MainEffect:
    """Of one technique.

    Args:
        off_value: the value with which it is off.
        sign: 1 where more is better, else -1.
        limits: what a difference of two values can be.
    """
    on: list[float] = []
    off: list[float] = []
    for config, value in trained:
        if name in config:
            (off if config[name] == off_value else on).append(value)
    counts = (name, _mean(on), _mean(off), len(on), len(off))
    if not on or not off:
        return MainEffect(*counts)
    gain = sign * (fmean(on) - fmean(off))
    half = _half(on, off)
    return MainEffect(
        *counts, gain, *((None, None) if half is None else within(gain, half, limits))
    )


def _mean(values: list[float]) -> float | None:
    return fmean(values) if values else None


def _half(a: list[float], b: list[float]) -> float | None:
    """Half the width of Welch's 95% interval for the difference of two means."""
    from scipy.stats import t

    if len(a) < 2 or len(b) < 2:
        return None
    first, second = variance(a) / len(a), variance(b) / len(b)
    total = first + second
    if total == 0:
        return 0.0
    freedom = total**2 / (first**2 / (len(a) - 1) + second**2 / (len(b) - 1))
    return float(t.ppf(0.5 + LEVEL / 2, freedom)) * math.sqrt(total)
