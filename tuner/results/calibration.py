"""Calibrates probabilities with a temperature, by the rows of the search.

The network's outputs are divided by one number before their softmax (Guo et al. 2017): that moves
all probabilities towards equal ones, or away from these, and changes no predicted class.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tuner.lazy_torch import Tensor, torch
from tuner.results.predictions import DOUBT, Predictions, logarithm, masks

DEVIATION = 0.5
"""Of the logarithm of a temperature before any row is seen (that of a normal distribution): few
rows move it little from 1, also where all of them are predicted right, and many rows outvote it."""
FARTHEST = math.log(20)
"""Of that logarithm from 0."""
STEPS = 40
"""Halvings of the interval in which the best temperature lies."""


@dataclass(frozen=True)
class Calibration:
    """A temperature for probabilities, and what it is worth.

    Attributes:
        temperature: below 1 it makes the probabilities surer, above 1 less sure.
        gain: how much smaller the log loss is on rows of the search that its fit has not seen.
        error: the standard error of the gain over the rows.
        rows: of the search, by which it was fitted.
        before, after: the log loss on the test rows without and with it; none where there are none.
    """

    temperature: float
    gain: float
    error: float
    rows: int
    before: float | None = None
    after: float | None = None

    @property
    def helps(self) -> bool:
        """Whether the probabilities are better with it, by the rows of the search alone."""
        return self.gain > DOUBT * self.error


def calibrated(known: Predictions, tested: Predictions | None) -> Calibration:
    """Fits a temperature, and measures it on rows that the fit has not seen.

    Args:
        known: probabilities ``[S, N, C]`` of the rows of the search by S networks, of which each
            counts the same.
        tested: those of the test rows.
    """
    with torch.inference_mode():
        gains = torch.empty(len(known), dtype=torch.float64)
        for held in masks(known.parts):
            learned = fitted(known.only(~held))
            without, scaled = (losses(known, each)[held] for each in (1.0, learned))
            gains[held] = without - scaled
        temperature = fitted(known)
        before = after = None
        if tested is not None:
            before, after = (tested.mean(losses(tested, each)) for each in (1.0, temperature))
        gain = known.mean(gains)
        return Calibration(temperature, gain, _error(known, gains, gain), len(known), before, after)


def _error(known: Predictions, gains: Tensor, mean: float) -> float:
    """The standard error of the mean of gains ``[N]``; NaN for a single row."""
    if len(gains) < 2:
        return math.nan
    if known.weights is None:
        return float(gains.std()) / math.sqrt(len(gains))
    weights = known.weights.double()
    return float((weights * (gains - mean)).square().sum().sqrt() / weights.sum())


def losses(known: Predictions, temperature: float) -> Tensor:
    """The log loss ``[N]`` of each row with a temperature, the mean over networks."""
    shares = (logarithm(known.outputs).double() / temperature).log_softmax(2)
    return -shares[:, known.index, known.targets].mean(0)


def fitted(known: Predictions) -> float:
    """The temperature with the least log loss of probabilities ``[S, N, C]`` over rows with classes
    ``[N]``, and over what is likely before any row is seen; 1 for no rows."""
    logits, weights = logarithm(known.outputs).double(), known.weights
    own = logits[:, known.index, known.targets]

    def slope(sharpness: float) -> float:
        """The derivative of the loss by the logarithm of what multiplies the logits."""
        factor = math.exp(sharpness)
        expected = ((logits * factor).softmax(2) * logits).sum(2)
        slopes = (expected - own).mean(0)
        total = slopes.sum() if weights is None else (slopes * weights).sum()
        return factor * float(total) + sharpness / DEVIATION**2

    low, high = -FARTHEST, FARTHEST
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return math.exp(-(low + high) / 2)
