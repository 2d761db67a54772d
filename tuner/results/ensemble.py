"""Chooses an ensemble of confirmed trainings by the rows of the search, and measures it.

Candidates are the trainings of ``confirm``: they are trained anyway, and none was chosen for its
own luck, as the best trials of a search are. Their predictions of the measured rows are kept with
them, so that nothing is computed again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.trial import FrozenTrial
from safetensors.torch import load
from torch import Tensor

from tuner.errors import TrainingError
from tuner.metrics import Metric, OwnMetric, sign_of
from tuner.results.estimate import OfRows, jackknife_variance, of_differences, over_rows
from tuner.storage import Artifacts
from tuner.storage.attached import artifact_named
from tuner.training.outcome import GROUPS
from tuner.worker.keep import PREDICTIONS

MOST = 16
"""How often ``confirm`` picks a network unless it is told."""
WARM = 4
"""One in so many of the picks are the best networks by themselves, before the choice begins."""
PARTS = 5
"""Into so many parts the rows are divided, to measure a choice on rows that it has not seen."""
DOUBT = 0.5
"""So many standard errors the gain has to be above 0. With the whole error, half of the ensembles
that help are refused at a hundred rows."""


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
    """

    picks: int
    members: tuple[Member, ...]
    candidates: int
    gain: float
    error: float
    rows: int
    test: OfRows | None = None
    test_gain: OfRows | None = None

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
        return cls(**{**record, "members": members, **tests})


# The predictions of trainings, and what the metric says of them.


@dataclass(frozen=True)
class Predictions:
    """What trainings predict of the same rows.

    Attributes:
        outputs: [..., N, C] probabilities, or [..., N] values in the target's unit.
        targets: [N].
        folds: [N], the number of each row's fold; the metric is the mean over folds.
    """

    outputs: Tensor
    targets: Tensor
    folds: Tensor

    @classmethod
    def of(cls, record: Mapping[str, Tensor]) -> Predictions:
        """Those that a training keeps."""
        sizes = record["sizes"]
        folds = torch.repeat_interleave(torch.arange(len(sizes)), sizes)
        return cls(record["outputs"], record["targets"], folds)

    def same_rows(self, other: Predictions) -> bool:
        """Whether the rows of both are the same, as far as their targets tell."""
        return torch.equal(self.targets, other.targets) and torch.equal(self.folds, other.folds)

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def index(self) -> Tensor:
        return torch.arange(len(self))


class Judge:
    """Measures predictions of rows.

    Args:
        rows: those to measure, by their index.
    """

    def __init__(self, metric: Metric, known: Predictions, rows: Tensor) -> None:
        self.metric, self.sign = metric, sign_of(metric.direction)
        folds, targets = known.folds[rows], known.targets[rows]
        self.targets = targets
        self._folds = [(rows, targets[rows]) for rows in _each_fold(folds)]

    def value(self, outputs: Tensor) -> float:
        """The metric of ``[N, C]`` or ``[N]``; NaN where it cannot be computed of these rows."""
        return float(self.values(outputs.unsqueeze(0)))

    def values(self, outputs: Tensor) -> Tensor:
        """The metric of each of ``[M, N, C]`` or ``[M, N]``: ``[M]``; the mean over the folds in
        which it can be computed."""
        if self.metric.task == "classification":  # the metric takes logits
            outputs = logarithm(outputs)
        folds = [self._of_rows(outputs[:, rows], y) for rows, y in self._folds]
        return torch.stack(folds).nanmean(0)

    def _of_rows(self, outputs: Tensor, y: Tensor) -> Tensor:
        function = self.metric.function
        if not isinstance(function, OwnMetric):
            return torch.vmap(function, in_dims=(0, None))(outputs, y).double()
        try:
            values = [float(function(each, y)) for each in outputs]
            return torch.tensor(values, dtype=torch.float64)
        except TrainingError:  # it may need every row
            return torch.full((len(outputs),), math.nan, dtype=torch.float64)

    def orders(self, outputs: Tensor) -> list[tuple[float, float]]:
        """For each of ``[M, N, …]`` what is larger for better predictions: the metric, and where
        that is equal the mean logarithm of the right class's probability, or the squared error."""
        scores = (self.sign * self.values(outputs)).nan_to_num(nan=-math.inf)
        if self.metric.task == "classification":
            right = outputs[:, torch.arange(len(self.targets)), self.targets]
            closer = logarithm(right).double().mean(1)
        else:
            closer = -(outputs - self.targets).double().square().mean(1)
        return list(zip(scores.tolist(), closer.tolist(), strict=True))


def logarithm(probabilities: Tensor) -> Tensor:
    """Finite for a probability of 0."""
    return probabilities.clamp_min(torch.finfo(probabilities.dtype).tiny).log()


def _each_fold(folds: Tensor) -> list[Tensor]:
    return [(folds == fold).nonzero().squeeze(1) for fold in sorted(set(folds.tolist()))]


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


def mixed(outputs: Tensor, weights: Tensor) -> Tensor:
    """The weighted mean of predictions ``[M, N, …]``."""
    mean: Tensor = torch.tensordot(weights.double(), outputs.double(), 1)
    return mean.to(outputs.dtype)


def gain(metric: Metric, known: Predictions, picks: int) -> tuple[float, float]:
    """What an ensemble adds to one network of the best configuration, and its standard error.

    Both are chosen without the rows on which they are measured: without one fold after the other,
    or one part of the rows. The metric is the mean over these, for probabilities of networks that
    differ from part to part have no common order. The error over rows is the jackknife's; NaN with
    too few of them.

    Args:
        known: with outputs ``[K, S, N, …]`` of K configurations with S seeds each.
    """
    flat = Predictions(known.outputs.flatten(0, 1), known.targets, known.folds)
    together, single = torch.empty_like(flat.outputs[0]), torch.empty_like(known.outputs[0])
    parts = known.folds if len(set(known.folds.tolist())) > 1 else known.index % PARTS
    for part in sorted(set(parts.tolist())):
        held = parts == part
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
    limits = metric.low, metric.high
    value = Judge(metric, known, known.index).value(together)
    spread = over_rows(value, _variance(metric, known, together, value), GROUPS, limits)
    added, error = _difference(metric, known, together, single)
    return spread, over_rows(added, error**2, GROUPS, of_differences(limits))


def _variance(metric: Metric, known: Predictions, outputs: Tensor, value: float) -> float:
    """Over rows: of an accuracy binomial, at its value with two rows more, one of them right."""
    if metric.name == "accuracy":
        share = (value * len(known) + 1) / (len(known) + 2)
        return share * (1 - share) / len(known)
    without = [Judge(metric, known, rows).value(outputs[rows]) for rows in _without(known)]
    return jackknife_variance(without) if without else math.nan


# From the trainings of ``confirm`` to an ensemble.


def read_predictions(store: Artifacts, trial: FrozenTrial) -> Predictions | None:
    """The predictions that a training kept; None if it has none."""
    artifact_id = artifact_named(trial, PREDICTIONS)
    if artifact_id is None:
        return None
    try:
        with store.open_reader(artifact_id) as file:
            return Predictions.of(load(file.read()))
    except ArtifactNotFound:
        return None


def stacked(rows: Sequence[Sequence[Predictions | None]]) -> Predictions | None:
    """The predictions ``[K, S, N, …]`` of a table of trainings; None if any is missing, or is of
    other rows."""
    every = [each for row in rows for each in row]
    first = every[0] if every else None
    if first is None or not all(each is not None and each.same_rows(first) for each in every):
        return None
    outputs = torch.stack([torch.stack([each.outputs for each in row if each]) for row in rows])
    return Predictions(outputs, first.targets, first.folds)


@dataclass(frozen=True)
class Table:
    """The trainings of ``confirm`` that an ensemble may have: each configuration with each seed.

    Attributes:
        labels: of K configurations, the winner first.
        numbers: of their trials.
        seeds: S of them, by their index.
        validation: predictions ``[K, S, N, …]`` of the rows of the search.
        test: of the test rows, by networks that are trained on all others; none where there are
            no test rows.
    """

    labels: tuple[str, ...]
    numbers: tuple[int, ...]
    seeds: tuple[int, ...]
    validation: Predictions
    test: Predictions | None

    @cached_property
    def keys(self) -> list[tuple[str, int, int]]:
        """Label, number and seed of each training, in the order of the flat predictions."""
        pairs = zip(self.labels, self.numbers, strict=True)
        return [(label, number, seed) for label, number in pairs for seed in self.seeds]


@torch.inference_mode()
def ensemble(metric: Metric, table: Table, picks: int) -> Ensemble:
    """Chooses the ensemble of a table by the rows of the search, and measures it."""
    known = table.validation
    flat = Predictions(known.outputs.flatten(0, 1), known.targets, known.folds)
    weights = choose(metric, flat, known.index, picks)
    added, error = gain(metric, known, picks)
    members = [
        Member(*key, weight)
        for key, weight in zip(table.keys, weights.tolist(), strict=True)
        if weight
    ]
    members.sort(key=lambda each: -each.weight)
    test = test_gain = None
    if table.test is not None:
        together = mixed(table.test.outputs.flatten(0, 1), weights)
        test, test_gain = measured(metric, table.test, together, table.test.outputs[0])
    return Ensemble(
        picks,
        tuple(members),
        len(table.keys),
        added,
        error,
        len(known),
        test,
        test_gain,
    )
