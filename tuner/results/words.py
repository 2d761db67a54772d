"""Puts estimates into words."""

from __future__ import annotations

import math

from tuner.metrics import limits
from tuner.results.estimate import Estimate

SHARE = (0.0, 1.0)
"""Limits of metrics whose differences are given in points: hundredths."""


def rows_of(split: str, folds: int | None) -> str:
    """The rows that something was measured on, in words.

    >>> rows_of("validation", 5), rows_of("test", 5)
    ('validation rows of 5 folds', 'test rows')
    """
    return f"{split} rows" + (f" of {folds} folds" if folds and split == "validation" else "")


def sentence(technique: str, difference: Estimate, metric: str, direction: str = "maximize") -> str:
    """The effect of a technique, in words.

    Args:
        difference: above zero the technique helps, whatever the direction.

    >>> sentence("batch_norm", Estimate(0.013, 0.002, 0.009, 0.017, (0.012, 0.014)), "accuracy")
    'batch norm: +1.3 points (0.9 to 1.7)'
    >>> sentence("dropout", Estimate(0.001, 0.004, -0.003, 0.005, (0.0,) * 5), "accuracy")
    'dropout: no significant effect, 5 seeds (-0.3 to 0.5 points)'
    >>> sentence("dropout", Estimate(-2.5, 0.4, -3.1, -1.9, (-2.2, -2.8)), "rmse", "minimize")
    'dropout: worse by 2.5 (1.9 to 3.1)'
    """
    name, seeds = technique.replace("_", " "), len(difference.values)
    if seeds < 2:
        mean = amount(difference.mean, None, metric, direction)
        return f"{name}: {mean} with one seed, which says little"
    interval = difference.low, difference.high
    if difference.clear:
        return f"{name}: {amount(difference.mean, interval, metric, direction)}"
    span = _span(*interval, metric, direction)
    return f"{name}: no significant effect, {seeds} seeds ({span})"


def amount(
    gain: float, interval: tuple[float, float] | None, metric: str, direction: str = "maximize"
) -> str:
    """A gain, and its interval if there is one.

    >>> amount(-0.2, (-0.5, 0.1), "cross_entropy", "minimize")
    'worse by 0.20 (worse by 0.50 to better by 0.10)'
    """
    scale, unit = _unit(metric)
    places = _places(gain, gain, scale) if interval is None else _places(*interval, scale)
    if direction == "maximize":
        text = ("+" if gain > 0 else "") + _number(scale * gain, places) + unit
    else:
        text = _judged(gain, places, scale, unit)
    if interval is None:
        return text
    low, high = interval
    if low <= 0 <= high:
        return f"{text} ({_span(low, high, metric, direction, '')})"
    if direction != "maximize":
        low, high = sorted((abs(low), abs(high)))
    return f"{text} ({_number(scale * low, places)} to {_number(scale * high, places)})"


def _span(low: float, high: float, metric: str, direction: str, unit: str | None = None) -> str:
    """An interval around zero."""
    scale, own = _unit(metric)
    unit = own if unit is None else unit
    places = _places(low, high, scale)
    if direction == "maximize":
        return f"{_number(scale * low, places)} to {_number(scale * high, places)}{unit}"
    return f"{_judged(low, places, scale, '')} to {_judged(high, places, scale, unit)}"


def _unit(metric: str) -> tuple[float, str]:
    return (100.0, " points") if limits(metric) == SHARE else (1.0, "")


def _judged(gain: float, places: int, scale: float, unit: str) -> str:
    """A gain without a sign: where less is better, a sign would be misread."""
    return f"{'worse' if gain < 0 else 'better'} by {_number(scale * abs(gain), places)}{unit}"


def _places(low: float, high: float, scale: float) -> int:
    """Decimals: points have one, other units so many that an interval has two digits; more where a
    bound would else read as zero."""
    width = scale * (high - low if high > low else abs(high))
    if width == 0 or not math.isfinite(width):
        return 1
    least, digits = (1, 0) if scale > 1 else (0, 1)
    places = max(least, digits - math.floor(math.log10(width)))
    nearest = scale * min(abs(low), abs(high))
    if low * high > 0:
        places = max(places, -math.floor(math.log10(nearest)))
    return min(places, 8)


def _number(value: float, places: int) -> str:
    """
    >>> _number(-0.04, 1)
    '0.0'
    """
    text = f"{value:,.{places}f}"
    return text.removeprefix("-") if float(text.replace(",", "")) == 0 else text
