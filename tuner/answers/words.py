"""Numbers as people say them."""

from __future__ import annotations

from tuner.answers.estimate import Estimate

SHARES = ("accuracy", "balanced_accuracy", "f1_macro")
"""Metrics between 0 and 1, whose differences are said in points: hundredths."""


def sentence(technique: str, difference: Estimate, metric: str) -> str:
    """What a technique does, in words.

    >>> sentence("batch_norm", Estimate(0.013, 0.002, 0.009, 0.017, (0.012, 0.014)), "accuracy")
    'batch norm: +1.3 points (0.9 to 1.7)'
    >>> sentence("dropout", Estimate(0.001, 0.004, -0.003, 0.005, (0.0,) * 5), "accuracy")
    'dropout: no effect that 5 seeds could show (-0.3 to 0.5 points)'
    """
    name, seeds = technique.replace("_", " "), len(difference.values)
    scale, unit = (100.0, " points") if metric in SHARES else (1.0, "")
    low, high = (_number(scale * bound) for bound in (difference.low, difference.high))
    if seeds < 2:
        return f"{name}: {_signed(scale * difference.mean)}{unit} with one seed, which says little"
    if not difference.clear:
        return f"{name}: no effect that {seeds} seeds could show ({low} to {high}{unit})"
    return f"{name}: {_signed(scale * difference.mean)}{unit} ({low} to {high})"


def _number(value: float) -> str:
    return f"{value:.1f}" if abs(value) >= 0.95 or value == 0 else f"{value:.2g}"


def _signed(value: float) -> str:
    return ("+" if value > 0 else "") + _number(value)
