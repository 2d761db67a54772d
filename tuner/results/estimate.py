"""Estimates means with confidence intervals, over seeds and over rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
Limits = tuple[float, float]
ANY: Limits = (-math.inf, math.inf)


@dataclass(frozen=True)
class Estimate:
    """A mean with its confidence interval.

    Attributes:
        mean, sd: over the values; the deviation is that of a sample, NaN for a single value.
        low, high: of the 95% interval; NaN for a single value.
        values: one for each seed.
    """

    mean: float
    sd: float
    low: float
    high: float
    values: tuple[float, ...]

    @property
    def clear(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0

    def __neg__(self) -> Estimate:
        flipped = tuple(-value for value in self.values)
        return Estimate(-self.mean, self.sd, -self.high, -self.low, flipped)


@dataclass(frozen=True)
class OfRows:
    """A number of certain networks, with the interval that other rows would give.

    Attributes:
        mean: on the rows that were measured.
        low, high: of the 95% interval; NaN where it is not known.
    """

    mean: float
    low: float
    high: float


def of_differences(limits: Limits) -> Limits:
    """The limits of a difference of two values within limits."""
    width = limits[1] - limits[0]
    return -width, width


def over_seeds(values: Sequence[float], limits: Limits = ANY) -> Estimate:
    """The mean over seeds with Student's interval (Student 1908).

    It estimates what further seeds would give on the same rows, and nothing about other rows.

    Args:
        limits: the least and the largest that the true mean can be; cutting the interval there
            keeps its coverage.
    """
    return _estimate(values, 0.0, 0, limits)


def over_seeds_and_rows(
    values: Sequence[float],
    left_out: Sequence[Sequence[float]] = (),
    limits: Limits = ANY,
) -> Estimate:
    """The mean over seeds with an interval that allows for other rows as well.

    Args:
        values: a number, or a difference of two, for each seed.
        left_out: for each seed the same without each of G groups of rows. The variance over rows
            is that of the delete-a-group jackknife (Kott 2001), added to that over seeds, with
            the degrees of freedom of Satterthwaite (1946).
        limits: as in ``over_seeds``.
    """
    groups = {len(each) for each in left_out}
    if len(left_out) != len(values) or len(groups) != 1 or max(groups) < 2:
        return over_seeds(values, limits)
    without = np.array(left_out, dtype=float).mean(axis=0)
    return _estimate(values, jackknife_variance(without), len(without) - 1, limits)


def jackknife_variance(left_out: Sequence[float] | NDArray[np.float64]) -> float:
    """The variance over rows of a number that is known without each of G groups of them."""
    without = np.asarray(left_out, dtype=float)
    return (len(without) - 1) * float(without.var())


def over_rows(mean: float, variance: float, groups: int, limits: Limits = ANY) -> OfRows:
    """A number with the interval that allows for other rows alone.

    Args:
        variance: over rows; NaN where it is not known.
        groups: of the jackknife that it comes from.
        limits: as in ``over_seeds``.
    """
    return OfRows(mean, *within(mean, _quantile(groups - 1) * math.sqrt(variance), limits))


def _estimate(values: Sequence[float], rows: float, freedom: int, limits: Limits) -> Estimate:
    sample = np.array(values, dtype=float)
    mean, count = float(sample.mean()), len(sample)
    sd = float(sample.std(ddof=1)) if count > 1 else math.nan
    half = math.nan
    if count > 1:
        half = _half_width(sd**2 / count, count - 1, rows, freedom)
    low, high = within(mean, half, limits)
    return Estimate(mean, sd, low, high, tuple(map(float, sample)))


def within(mean: float, half: float, limits: Limits) -> tuple[float, float]:
    """The interval around a mean, cut off at the limits; NaN stays NaN."""
    low, high = (float(np.clip(mean + side, *limits)) for side in (-half, half))
    return low, high


def _half_width(seeds: float, seed_freedom: int, rows: float, row_freedom: int) -> float:
    total = seeds + rows
    if total == 0:
        return 0.0
    parts = seeds**2 / seed_freedom + (rows**2 / row_freedom if row_freedom else 0.0)
    freedom = total**2 / parts
    return _quantile(freedom) * math.sqrt(total)


def _quantile(freedom: float) -> float:
    """Of Student's distribution, for an interval of the level."""
    from scipy.special import stdtrit  # the t distribution's quantile, without all of scipy.stats

    return float(stdtrit(freedom, 0.5 + LEVEL / 2))
