"""What a model of the trials believes: a Gaussian process fitted to them, whatever proposed them.

The process is that of tuner's sampler, over all parameters at once. It gives the expected value of
any configuration with its uncertainty, how much each parameter matters, and the configuration that
it expects to be best.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from tuner.metrics import limits, sign_of
from tuner.results.estimate import ANY, LEVEL, Limits
from tuner.search.joint import OFF, Joint, joint_of_nodes
from tuner.study import Study
from tuner.study.trials import RESULT, Own, complete, value_of
from tuner.worker.job import REPLICA

if TYPE_CHECKING:
    from tuner.search.sampler import History

Array = NDArray[np.float64]

FEWEST = 10
"""Results below which a model would repeat the noise."""
ENOUGH = 60
"""Results from which the predicted best and slices are worth a look."""
METHOD = "share of the model's variance"
"""The importance of a parameter; see `Surrogate.importances`."""
DRAWN, BINS = 4096, 16
"""Random configurations for the importances, and bins of a number."""
SPREAD = 64
"""Equally probable points that stand for a predicted distribution."""
STEPS, NEAR, COPIES = (0.2, 0.1, 0.05, 0.02), 10, 40
"""The search for the predicted best: its steps, and how many changed copies of how many."""
PLACES = 25
"""Points of a slice along a number."""


@dataclass(frozen=True)
class Belief:
    """The value that a configuration has on average, without noise.

    Attributes:
        mean, sd: of the model's belief, in the metric's unit.
        low, high: its 95% interval.
    """

    mean: float
    sd: float
    low: float
    high: float


@dataclass(frozen=True)
class Slice:
    """Beliefs along one parameter, the others held.

    Attributes:
        values: of the parameter.
        held: the other parameters: those of the configuration with it that is predicted best.
    """

    name: str
    distribution: BaseDistribution
    values: tuple[Any, ...]
    beliefs: tuple[Belief, ...]
    held: Mapping[str, Any]


class Surrogate:
    """A model of a study's trials. It is a function of the trials alone.

    Args:
        past: the trials' configurations and values.
        sign: 1 if smaller values are better, -1 if larger are.
        within: the least and the largest value of the metric.
    """

    def __init__(self, past: History, sign: float, within: Limits) -> None:
        from tuner.search.gaussian import Features, Process, warped
        from tuner.search.sampler import OWN

        self.joint: Joint = past.joint
        self._rows, self._sign, self._within = past.rows, sign, within
        z, unit = warped(past.values)
        self._z, first = np.unique(z, return_index=True)
        self._known = past.values[first]
        noise = (past.errors * unit * OWN) ** 2
        rng = np.random.default_rng(0)
        self._process = Process(Features.of(self.joint), past.rows, z, noise, rng)

    def __call__(self, params: Iterable[Mapping[str, Any]]) -> list[Belief]:
        """What it believes of configurations; one that lacks a parameter takes its middle."""
        return self._beliefs(self.joint.encode(params))

    def _beliefs(self, rows: Array) -> list[Belief]:
        from scipy.special import ndtri

        mean, sd = self._process.predict(rows)
        normal = ndtri((np.arange(SPREAD) + 0.5) / SPREAD)
        z = mean[:, None] + sd[:, None] * normal[:, None]
        values = np.clip(self._sign * self._unwarped(z.reshape(-1, len(rows))), *self._within)
        tail = (1 - LEVEL) / 2
        low, high = np.quantile(values, (tail, 1 - tail), axis=0)
        numbers = np.stack((values.mean(0), values.std(0), low, high), axis=1)
        return [Belief(*each) for each in numbers.tolist()]

    def _unwarped(self, z: Array) -> Array:
        """The values of warped ones: between known ones along lines, on below the best as far as
        to the median, and never worse than the worst."""
        known, values = self._z, self._known
        inside = np.asarray(np.interp(z, known, values))
        middle = len(known) // 2
        if not middle:
            return inside
        slope = (values[middle] - values[0]) / (known[middle] - known[0])
        return np.asarray(inside + slope * np.minimum(z - known[0], 0))

    def _mean(self, rows: Array) -> Array:
        """The warped mean [n] of rows."""
        return np.asarray(self._process.predict(rows)[0].mean(0))

    @cached_property
    def importances(self) -> dict[str, float]:
        """The share in [0, 1] of each parameter in how the mean varies over the space, the largest
        first; what is missing to 1 is interaction. Empty where nothing varies.

        First-order indices (Sobol' 1993) of the mean of a Gaussian process (Oakley and O'Hagan
        2004), on the scale on which it is fitted. The share of a parameter that is not always
        asked for is its variance where it is, times how often that is: that it is asked for is to
        the credit of the choice above it.
        """
        rows = self.joint.draw(DRAWN, np.random.default_rng(0))
        mean = self._mean(rows)
        total = float(mean.var())
        if total <= 1e-12:
            return {}
        shares = defaultdict[str, float](float)  # several dimensions may have one name
        for column, d in zip(rows.T, self.joint.dimensions, strict=True):
            asked = column != OFF
            place = column if d.choices else np.floor(column * BINS * (1 - 1e-9))
            shares[d.name] += explained(place[asked], mean[asked]) / (total * DRAWN)
        return dict(sorted(shares.items(), key=lambda item: -item[1]))

    @cached_property
    def best(self) -> dict[str, Any]:
        """The parameters of the configuration with the best expected value."""
        return self.joint.decode(self._promising[0])

    @cached_property
    def _promising(self) -> Array:
        """Rows, the one with the best mean first."""
        rng = np.random.default_rng(0)
        rows = np.concatenate((self._rows, self.joint.draw(DRAWN // 4, rng)))
        mean = self._mean(rows)
        for scale in STEPS:
            near = self.joint.moved(rows[np.argsort(mean)[:NEAR]], COPIES, scale, rng)
            rows, mean = np.concatenate((rows, near)), np.r_[mean, self._mean(near)]
        return np.asarray(rows[np.argsort(mean, kind="stable")])

    def slice(self, name: str) -> Slice:
        """What it believes along a parameter, the others as in the predicted best that has it."""
        columns = [i for i, d in enumerate(self.joint.dimensions) if d.name == name]
        asked = self._promising[(self._promising[:, columns] != OFF).any(1)]
        start = asked[0] if len(asked) else self._promising[0]
        j = next((i for i in columns if start[i] != OFF), columns[0])
        d = self.joint.dimensions[j]
        if d.choices:
            places = np.arange(float(d.choices))
        else:
            places = np.unique(d.rounded(np.linspace(0, 1, PLACES)))
        rows = np.repeat(start[None], len(places), axis=0)
        rows[:, j] = places
        held = {key: value for key, value in self.joint.decode(start).items() if key != name}
        beliefs = tuple(self._beliefs(self.joint.settled(rows)))
        return Slice(name, d.distribution, tuple(map(d.decode, places)), beliefs, held)


def explained(groups: Array, values: Array) -> float:
    """The sum of squares of values that their groups explain, less what chance would."""
    if len(values) < 2:
        return 0.0
    _, place = np.unique(groups, return_inverse=True)
    counts = np.bincount(place)
    means = np.bincount(place, values) / counts
    within = float(((values - means[place]) ** 2).sum())
    between = float((counts * (means - values.mean()) ** 2).sum())
    free = len(values) - len(counts)
    return max(0.0, between - (len(counts) - 1) * within / free) if free else 0.0


def surrogate(
    study: Study, trials: Sequence[FrozenTrial], metric: str, direction: str
) -> Surrogate | None:
    """A model of a study's trials; None with fewer than FEWEST results, fewer than two complete
    trials or no parameter, and for trainings of known configurations."""
    from tuner.search.sampler import history

    usable = results(study, trials)
    if len(usable) < FEWEST or sum(map(complete, usable)) < 2:
        return None
    sign = -float(sign_of(direction))
    space = joint_of_nodes(study.nodes) if study.nodes else None
    past = history(usable, sign, np.random.default_rng(0), space)
    values = [value_of(trial) for trial in usable if complete(trial)]
    return Surrogate(past, sign, _within(metric, values)) if len(past.joint) else None


def _within(metric: str, values: Sequence[float]) -> Limits:
    """The limits of a metric; any where values are beyond them, as an own objective's may be that
    gives the name accuracy to a percentage."""
    low, high = limits(metric)
    within = all(low <= value <= high for value in values)
    return (low, high) if within else ANY


def results(study: Study, trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """The study's own trials with a result, pruned ones among them, but no replicas."""
    own = Own(study).learned(trials)
    return [t for t in own if t.state in RESULT and REPLICA not in t.user_attrs]
