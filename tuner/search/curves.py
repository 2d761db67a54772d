"""What trials reached or would have reached, from their curves.

A trial that was pruned, or that is paused, tells by the value at which it stopped. The curves of
the trials that went further show what such a value comes to: a line is fitted to them, from the
longest curves to the shortest. It is flat until they show that early values tell something, so that
no quick start passes for a result.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState

from tuner.search.promote import CONTINUES, is_paused, last_epoch

Array = NDArray[np.float64]

LARGEST = 1e100
"""Values are clipped to this size, so that their differences are finite."""
DOUBT = 2.0
"""The line is flat before any trial has gone further; so many trials outweigh that."""
FITTED = 200
"""At most so many trials are fitted at a step, those with the longest curves."""


def observed(trials: Sequence[FrozenTrial], sign: float) -> tuple[list[FrozenTrial], Array]:
    """Trials that tell something, and what each reached or would have, smaller is better.

    A trial that another one continues is left out.

    Args:
        sign: 1 if smaller values are better, -1 if larger are.
    """
    known, stopped = _ends(trials, sign)
    longer = [each for each in trials if each.number in known and each.intermediate_values]
    for step in sorted(stopped, reverse=True):
        now = np.array([sign * each.intermediate_values[step] for each in stopped[step]])
        pairs = [
            (sign * each.intermediate_values[step], known[each.number])
            for each in longer[:FITTED]
            if step in each.intermediate_values
        ]
        expected = _expected(now, np.array(pairs).reshape(-1, 2)).tolist()
        known.update(zip((each.number for each in stopped[step]), expected, strict=True))
        longer += stopped[step]
    measured = [each for each in trials if each.number in known]
    values = np.array([known[each.number] for each in measured])
    finite = values[np.isfinite(values)]
    worst, best = (finite.max(), finite.min()) if len(finite) else (0.0, 0.0)
    finite_values = np.nan_to_num(values, nan=worst, posinf=worst, neginf=best)
    return measured, np.clip(finite_values, -LARGEST, LARGEST)


def _ends(
    trials: Sequence[FrozenTrial], sign: float
) -> tuple[dict[int, float], dict[int, list[FrozenTrial]]]:
    """The values of the trials that need no curve, by number, and all others by their last step."""
    continued = {each.user_attrs.get(CONTINUES) for each in trials}
    known: dict[int, float] = {}
    stopped: dict[int, list[FrozenTrial]] = {}
    for each in trials:
        if each.number in continued:
            continue
        if each.state == TrialState.COMPLETE and each.values:
            known[each.number] = sign * each.values[0]
        elif each.state == TrialState.PRUNED and not each.intermediate_values:
            known[each.number] = np.inf
        elif each.state == TrialState.PRUNED or is_paused(each):
            stopped.setdefault(last_epoch(each), []).append(each)
    return known, stopped


def _expected(now: Array, pairs: Array) -> Array:
    """What trials would reach that have values ``now`` [n] at a step.

    Args:
        pairs: [m, 2], the value of others at that step, and what they reached or would have.
    """
    pairs, usable = pairs[np.isfinite(pairs).all(1)], np.isfinite(now)
    if not len(pairs) or not usable.any():
        return now
    every = np.concatenate((now[usable], pairs[:, 0]))
    x, y = _bent(pairs[:, 0], every), pairs[:, 1]
    doubt = DOUBT * _bent(every, every).var()
    slope = ((x - x.mean()) * y).sum() / (((x - x.mean()) ** 2).sum() + doubt or 1.0)
    line = y.mean() + max(0.0, slope) * (_bent(now, every) - x.mean())
    return np.where(usable, line, np.inf)


def _bent(values: Array, every: Array) -> Array:
    """Values as they are up to the median of all, and by the logarithm above it: in units of what
    the best is below the median."""
    median = np.median(every)
    unit = (values - median) / (float(median - every.min()) or float(np.ptp(every)) or 1.0)
    return np.where(unit > 0, np.log1p(np.maximum(unit, 0)), unit)
