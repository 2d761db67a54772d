"""Stops configurations that can hardly win any more before they have all of their seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

LEVEL = 0.05
"""The share of errors at each look: that a stopped configuration, with all of its seeds, would be
before the one that leads. It is divided by the number of configurations behind the leader."""
FIRST = 2
"""So many seeds every configuration has before the first look."""


@dataclass(frozen=True)
class Stopped:
    """Why a configuration gets no further seeds.

    Attributes:
        seeds: those it was measured with, the first ones.
        leader: the label of the configuration that is the best over these.
        behind: how much worse than the leader it is over them.
        margin: so much the difference over all seeds may be smaller than that over these, but for
            the share of errors; less than ``behind``.
    """

    seeds: int
    leader: str
    behind: float
    margin: float


@dataclass(frozen=True)
class Race:
    """What is decided so far.

    Attributes:
        stopped: the configurations that get no further seeds.
        look: with so many seeds of each other configuration the next decision is made; with all of
            them none is left to make.
    """

    stopped: Mapping[str, Stopped]
    look: int


def race(
    values: Mapping[str, Mapping[int, float]],
    diverged: Mapping[str, AbstractSet[int]],
    seeds: int,
    sign: int,
    always: AbstractSet[str] = frozenset(),
) -> Race:
    """Decides after each seed from the second on which configurations get no further ones.

    It is a race (Maron and Moore 1994) to the mean over all seeds. After some of the seeds, what
    the difference of two configurations will be over all of them has a prediction interval
    (Spiegelhalter et al. 1986): differences are of pairs with one seed, their variance is what
    configurations and seeds leave unexplained, pooled over all that are compared. Who stays below
    zero by that is stopped. The decisions are a function of the results alone: in whatever order
    and by whomever they were trained, they are the same.

    Args:
        values: by label and seed; seeds are 0, 1, 2, ...
        diverged: seeds that ended without a value. With one of the first seeds among them a
            configuration neither leads nor is stopped.
        seeds: of each configuration that is not stopped.
        sign: 1 where more is better, else -1.
        always: labels that get all seeds.
    """
    stopped: dict[str, Stopped] = {}
    for look in range(FIRST, seeds):
        first, running = range(look), [label for label in values if label not in stopped]
        if any(
            seed not in values[label] and seed not in diverged.get(label, ())
            for label in running
            for seed in first
        ):
            return Race(stopped, look)
        whole = [label for label in running if all(seed in values[label] for seed in first)]
        table = [[sign * values[label][seed] for seed in first] for label in whole]
        stopped |= {k: v for k, v in _behind(whole, table, seeds).items() if k not in always}
    return Race(stopped, seeds)


def _behind(
    labels: Sequence[str], table: Sequence[Sequence[float]], seeds: int
) -> dict[str, Stopped]:
    """The configurations that are too far behind; of each a row of values, more is better."""
    from scipy.special import stdtrit

    if len(labels) < 2:
        return {}
    values = np.array(table)
    count, look = values.shape
    means = values.mean(axis=1)
    unexplained = values - means[:, None] - values.mean(axis=0) + values.mean()
    freedom = (count - 1) * (look - 1)
    variance = float((unexplained**2).sum()) / freedom
    if variance <= np.finfo(float).eps * float(np.abs(values).max()) ** 2:
        return {}  # too coarse a metric to know how much the values vary
    quantile = float(stdtrit(freedom, 1 - LEVEL / (count - 1)))
    margin = quantile * math.sqrt(2 * variance * (seeds - look) / (seeds * look))
    best = int(means.argmax())
    gaps = {label: float(means[best] - mean) for label, mean in zip(labels, means, strict=True)}
    return {
        label: Stopped(look, labels[best], gap, margin)
        for label, gap in gaps.items()
        if gap > margin
    }
