"""Raw main effects: complete trials with a technique against those without it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean, variance

from tuner.reports.facts import Facts
from tuner.space import Node


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


def main_effects(facts: Facts) -> tuple[MainEffect, ...]:
    """One for each technique that the study searches, in the study's order."""
    return tuple(_effect(facts, node) for node in facts.techniques)


def _effect(facts: Facts, node: Node) -> MainEffect:
    on: list[float] = []
    off: list[float] = []
    for entry in facts.complete:
        if entry.value is not None and node.name in entry.config:
            (off if entry.config[node.name] == node.leaf.off else on).append(entry.value)
    counts = (node.name, _mean(on), _mean(off), len(on), len(off))
    if not on or not off:
        return MainEffect(*counts)
    gain = facts.gain(fmean(on), fmean(off))
    half = _half(on, off)
    return MainEffect(
        *counts, gain, *((None, None) if half is None else (gain - half, gain + half))
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
    return float(t.ppf(0.975, freedom)) * math.sqrt(total)
