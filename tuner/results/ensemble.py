"""Chooses an ensemble of confirmed trainings by the rows of the search, and measures it.

Candidates are the trainings of ``confirm``: they are trained anyway, and none was chosen for its
own luck, as the best trials of a search are. Their predictions of the measured rows are kept with
them, so that nothing is computed again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tuner.lazy_torch import Tensor, torch
from tuner.metrics import Metric
from tuner.results.calibration import Calibration, calibrated
from tuner.results.estimate import OfRows, jackknife_variance, of_differences, over_rows
from tuner.results.predictions import DOUBT, Judge, Predictions, Table, masks, mixed

MOST = 16
"""How often ``confirm`` picks a network unless it is told."""
WARM = 4
"""One in so many of the picks are the best networks by themselves, before the choice begins."""


# What was chosen, and what it is worth.


@dataclass(frozen=True)
class Member:
    """A network of an ensemble: a training of `confirm`.

    Attributes:
        label: of its configuration, "baseline" or "trial N".
        number: of that trial in the search.
        seed: the index of its seed.
        weight: of its predictions; the weights add up to 1.
    """

    label: str
    number: int
    seed: int
    weight: float


@dataclass(frozen=True)
class Ensemble:
    """An ensemble of confirmed trainings.

    Attributes:
        picks: how often a network was picked; one may be picked several times.
        members: the heaviest first.
        candidates: the number of trainings to pick from.
        gain: what such a choice adds to the metric on rows of the search that it has not seen, over
            the configuration that is the best on those it has seen; more than 0 is better.
        error: the standard error of the gain over the rows; NaN where it is not known.
        rows: of the search, by which it was chosen.
        test: on the test rows; none where there are none.
        test_gain: what it adds there to one network of the winner, more than 0 is better.
        calibration: of its probabilities; none of values, or where there is none yet.
        left_out: the metric on the test rows without each of some groups of them; empty where it
            is not known, or not all of the test rows are kept.
    """

    picks: int
    members: tuple[Member, ...]
    candidates: int
    gain: float
    error: float
    rows: int
    test: OfRows | None = None
    test_gain: OfRows | None = None
    calibration: Calibration | None = None
    left_out: tuple[float, ...] = ()

    @property
    def helps(self) -> bool:
        """Whether it is better than one network, by the rows of the search alone."""
        return self.gain > DOUBT * self.error

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Ensemble:
        """The ensemble of a record by ``dataclasses.asdict``."""
        members = tuple(Member(**each) for each in record["members"])
        tests = {
            key: None if record[key] is None else OfRows(**record[key])
            for key in ("test", "test_gain")
        }
        known = record.get("calibration")
        calibration = None if known is None else Calibration(**known)
        left_out = tuple(record.get("left_out", ()))
        more = {"calibration": calibration, "left_out": left_out}
        return cls(**{**record, "members": members, **tests, **more})


# The choice, and its guard.


def choose(metric: Metric, known: Predictions, rows: Tensor, picks: int) -> Tensor:
    """Weights ``[M]`` of the networks whose predictions ``[M, N, …]`` average best on these rows.

    Forward selection with replacement from a few of the best (Caruana et al. 2004): each pick is
    the network that, added to those before, is the best.
    """
    outputs, judge = known.outputs[:, rows], Judge(metric, known, rows)
    alone = judge.orders(outputs)
    ranked = sorted(range(len(alone)), key=alone.__getitem__, reverse=True)
    chosen = ranked[: max(1, picks // WARM)]
    total = outputs[chosen].sum(0)
    while len(chosen) < picks:
        orders = judge.orders((total + outputs) / (len(chosen) + 1))
        chosen.append(max(range(len(orders)), key=orders.__getitem__))
        total = total + outputs[chosen[-1]]
    counts = torch.bincount(torch.tensor(chosen), minlength=len(outputs))
    return counts.double() / len(chosen)


def gain(
    metric: Metric, known: Predictions, picks: int, candidates: Predictions | None = None
) -> tuple[float, float]:
    """What an ensemble adds to one network of the best configuration, and its standard error.

    Both are chosen without the rows on which they are measured: without one fold after the other,
    or one part of the rows. The metric is the mean over these, for probabilities of networks that
    differ from part to part have no common order. The error over rows is the jackknife's; NaN with
    too few of them.

    Args:
        known: with outputs ``[K, S, N, …]`` of K configurations with S seeds each.
        candidates: of the ensemble, ``[M, N, …]``; these networks alone if there are no others.
    """
    flat, parts = known.flat if candidates is None else candidates, known.parts
    together, single = torch.empty_like(flat.outputs[0]), torch.empty_like(known.outputs[0])
    for held in masks(parts):
        others = (~held).nonzero().squeeze(1)
        weights = choose(metric, flat, others, picks)
        together[held] = mixed(flat.outputs[:, held], weights)
        judge = Judge(metric, known, others)
        means = [judge.sign * _mean(judge, seeds[:, others]) for seeds in known.outputs]
        best = max(range(len(means)), key=means.__getitem__)
        single[:, held] = known.outputs[best][:, held]
    return _difference(metric, replace(known, folds=parts), together, single)


def _mean(judge: Judge, outputs: Tensor) -> float:
    """The mean of the metric over seeds ``[S, N, …]``."""
    return float(judge.values(outputs).mean())


def _difference(
    metric: Metric, known: Predictions, together: Tensor, single: Tensor
) -> tuple[float, float]:
    """How much better predictions are than the mean of several others, with a standard error."""

    def better(rows: Tensor) -> float:
        judge = Judge(metric, known, rows)
        return judge.sign * (judge.value(together[rows]) - _mean(judge, single[:, rows]))

    without = [better(rows) for rows in _without(known)]
    error = math.sqrt(jackknife_variance(without)) if without else math.nan
    return better(known.index), error


def _without(known: Predictions) -> list[Tensor]:
    """The rows without each of GROUPS groups; none where there are fewer than two a group."""
    from tuner.training.outcome import GROUPS

    index = known.index
    if len(known) < 2 * GROUPS:
        return []
    return [index[index % GROUPS != group] for group in range(GROUPS)]


# On the test rows.


def measured(
    metric: Metric, known: Predictions, together: Tensor, single: Tensor
) -> tuple[OfRows, OfRows]:
    """What an ensemble reaches on the test rows, and what it adds to one network of the winner.

    Args:
        together: its predictions ``[N, …]``.
        single: those of the winner with each seed, ``[S, N, …]``.
    """
    from tuner.training.outcome import GROUPS

    limits = metric.low, metric.high
    value = Judge(metric, known, known.index).value(together)
    spread = over_rows(value, _variance(metric, known, together, value), GROUPS, limits)
    added, error = _difference(metric, known, together, single)
    return spread, over_rows(added, error**2, GROUPS, of_differences(limits))


def _variance(metric: Metric, known: Predictions, outputs: Tensor, value: float) -> float:
    """Over rows: of an accuracy binomial, at its value with two rows more, one of them right."""
    if metric.name == "accuracy":
        from tuner.training.outcome import effective_rows

        rows = effective_rows(len(known), known.weights)
        share = (value * rows + 1) / (rows + 2)
        return share * (1 - share) / rows
    without = _left_out(metric, known, outputs)
    return jackknife_variance(without) if without else math.nan


def _left_out(metric: Metric, known: Predictions, outputs: Tensor) -> tuple[float, ...]:
    """The metric of predictions ``[N, …]`` without each group of rows; empty where it is not known
    of each."""
    values = [Judge(metric, known, rows).value(outputs[rows]) for rows in _without(known)]
    return tuple(values) if all(map(math.isfinite, values)) else ()


# From the trainings of ``confirm`` to an ensemble.


def ensemble(metric: Metric, table: Table, picks: int) -> Ensemble:
    """Chooses the ensemble of a table by the rows of the search, and measures it on the test rows
    if its members are measured there."""
    with torch.inference_mode():
        known = table.candidates
        weights = choose(metric, known, known.index, picks)
        added, error = gain(metric, table.validation, picks, known)
        members = [
            Member(*key, weight)
            for key, weight in zip(table.keys, weights.tolist(), strict=True)
            if weight
        ]
        members.sort(key=lambda each: -each.weight)
        found = Ensemble(picks, tuple(members), len(table.keys), added, error, len(known))
        own = torch.tensor([each.weight for each in members], dtype=torch.float64)
        tested = table.test([(each.label, each.seed) for each in members])
        if metric.task == "classification":
            unseen = None if tested is None else tested.mixed(own)
            found = replace(found, calibration=calibrated(known.mixed(weights), unseen))
        single = table.of(table.labels[0])[1]
        if tested is None or single is None:
            return found
        together = mixed(tested.outputs, own)
        test, test_gain = measured(metric, tested, together, single.outputs)
        left_out = _left_out(metric, tested, together) if tested.whole else ()
        return replace(found, test=test, test_gain=test_gain, left_out=left_out)
