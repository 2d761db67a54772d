"""Estimates the effects of parameters from the trials of the search, without an experiment."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, variance
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial

from tuner.metrics import limits, sign_of
from tuner.results.estimate import ANY, LEVEL, Limits, of_differences, within
from tuner.results.surrogate import Surrogate
from tuner.space import Config, Node, walk
from tuner.study import Study
from tuner.study.trials import Own, complete, value_of

if TYPE_CHECKING:
    import pandas as pd


# Raw main effects: complete trials with a technique against those without it.


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
    """The main effect of one technique.

    Args:
        off_value: the value with which it is off.
        sign: 1 where more is better, else -1.
        limits: of a difference of two values.
    """
    on: list[float] = []
    off: list[float] = []
    for config, value in trained:
        if name in config:
            (off if config[name] == off_value else on).append(value)
    effect = MainEffect(name, _mean(on), _mean(off), len(on), len(off))
    if not on or not off:
        return effect
    gain, half = sign * (fmean(on) - fmean(off)), _half_width(on, off)
    low, high = (None, None) if half is None else within(gain, half, limits)
    return replace(effect, gain=gain, low=low, high=high)


def _mean(values: list[float]) -> float | None:
    return fmean(values) if values else None


def _half_width(a: list[float], b: list[float]) -> float | None:
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


# Effects of parameters, estimated from the trials of the search, without an experiment.


@dataclass(frozen=True)
class Pooled:
    """Effects over the trials of a search, which the sampler chose.

    Attributes:
        trials: the number of complete ones.
        effects: of each technique that the study searches, in its order.
        importances: share in [0, 1] of each parameter by a model of the trials, the largest first;
            empty where there are too few trials.
    """

    trials: int = 0
    effects: tuple[MainEffect, ...] = ()
    importances: Mapping[str, float] = field(default_factory=dict)

    def to_frame(self) -> pd.DataFrame:
        """A row for each technique; its importance with that of its switch."""
        import pandas as pd

        rows = [
            {**vars(each), "importance": self.importance(each.technique)} for each in self.effects
        ]
        return pd.DataFrame(rows)

    def importance(self, name: str) -> float | None:
        """That of a parameter or of its switch, whichever is larger; None where it has none."""
        known = [self.importances.get(each) for each in (name, f"{name}.on")]
        return max((share for share in known if share is not None), default=None)


def techniques(study: Study) -> tuple[Node, ...]:
    """The parameters that the study searches and that can be switched off."""
    return tuple(n for n in walk(study.nodes) if n.searched and n.leaf.off is not None)


def pooled(
    study: Study,
    trials: Sequence[FrozenTrial],
    metric: str,
    direction: str,
    model: Surrogate | None,
) -> Pooled:
    """Estimates the effects from the trials of a search.

    Args:
        model: of the trials; None where there are too few.
    """
    trained = _trained(study, Own(study)(trials))
    sign = sign_of(direction)
    possible = of_differences(limits(metric))
    return Pooled(
        trials=len(trained),
        effects=tuple(
            main_effect(node.name, node.leaf.off, trained, sign, possible)
            for node in techniques(study)
        ),
        importances={} if model is None else model.importances,
    )


def _trained(study: Study, trials: Sequence[FrozenTrial]) -> list[Trained]:
    """Complete trials with a finite value."""
    return [(study.config(trial.params), value_of(trial)) for trial in trials if complete(trial)]
