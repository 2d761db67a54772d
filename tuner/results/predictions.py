"""The predictions that the trainings of ``confirm`` keep, and what a metric says of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.trial import FrozenTrial

from tuner.errors import TrainingError
from tuner.lazy_torch import Tensor, torch
from tuner.metrics import Metric, OwnMetric, sign_of
from tuner.storage import Artifacts
from tuner.storage.attached import artifact_named
from tuner.worker.keep import PREDICTIONS

PARTS = 5
"""Into so many parts the rows are divided, to measure a choice on rows that it has not seen."""
DOUBT = 0.5
"""So many standard errors the gain of a choice has to be above 0. With the whole error, half of the
ensembles that help are refused at a hundred rows."""


@dataclass(frozen=True)
class Predictions:
    """What trainings predict of the same rows.

    Attributes:
        outputs: [..., N, C] probabilities, or [..., N] values in the target's unit; [..., N, O] of
            several targets.
        targets: [N], or [N, O].
        folds: [N], the number of each row's fold; the metric is the mean over folds.
        weights: [N], how much each row counts; None where all count the same.
    """

    outputs: Tensor
    targets: Tensor
    folds: Tensor
    weights: Tensor | None = None

    @classmethod
    def of(cls, record: Mapping[str, Tensor]) -> Predictions:
        """Those that a training keeps."""
        sizes = record["sizes"]
        folds = torch.repeat_interleave(torch.arange(len(sizes)), sizes)
        return cls(record["outputs"], record["targets"], folds, record.get("weights"))

    def same_rows(self, other: Predictions) -> bool:
        """Whether the rows of both are the same, as far as their targets tell."""
        return torch.equal(self.targets, other.targets) and torch.equal(self.folds, other.folds)

    @property
    def whole(self) -> bool:
        """Whether none of the rows of networks ``[M, N, …]`` was left out for their number."""
        from tuner.training.outcome import most_rows

        return len(self) < most_rows(self.outputs[0].numel() // len(self))

    def __len__(self) -> int:
        return len(self.targets)

    def only(self, rows: Tensor) -> Predictions:
        """Those ``[..., n, …]`` of some rows of predictions ``[S, N, …]``."""
        weights = None if self.weights is None else self.weights[rows]
        return Predictions(self.outputs[:, rows], self.targets[rows], self.folds[rows], weights)

    def mean(self, values: Tensor) -> float:
        """The mean of values ``[N]`` over the rows, each times its weight."""
        if self.weights is None:
            return float(values.mean())
        return float((values * self.weights).sum() / self.weights.sum())

    @property
    def index(self) -> Tensor:
        return torch.arange(len(self))

    @property
    def parts(self) -> Tensor:
        """[N], the part of each row: its fold, or one of PARTS."""
        return self.folds if len(set(self.folds.tolist())) > 1 else self.index % PARTS

    @property
    def flat(self) -> Predictions:
        """Those ``[M, N, …]`` of networks in place of ``[K, S, N, …]``."""
        return replace(self, outputs=self.outputs.flatten(0, 1))

    def mixed(self, weights: Tensor) -> Predictions:
        """The weighted mean ``[1, N, …]`` of those ``[M, N, …]``."""
        return replace(self, outputs=mixed(self.outputs, weights).unsqueeze(0))


# What a metric says of them.


class Judge:
    """Measures predictions of rows.

    Args:
        rows: those to measure, by their index.
    """

    def __init__(self, metric: Metric, known: Predictions, rows: Tensor) -> None:
        self.metric, self.sign = metric, sign_of(metric.direction)
        folds, targets = known.folds[rows], known.targets[rows]
        self.targets = targets
        self.weights = None if known.weights is None else known.weights[rows]
        self._folds = [
            (rows, targets[rows], None if self.weights is None else self.weights[rows])
            for rows in masks(folds)
        ]

    def value(self, outputs: Tensor) -> float:
        """The metric of ``[N, C]`` or ``[N]``; NaN where it cannot be computed of these rows."""
        return float(self.values(outputs.unsqueeze(0)))

    def values(self, outputs: Tensor) -> Tensor:
        """The metric of each of ``[M, N, C]`` or ``[M, N]``: ``[M]``; the mean over the folds in
        which it can be computed."""
        if self.metric.task == "classification":  # the metric takes logits
            outputs = logarithm(outputs)
        elif self.metric.task == "multilabel":
            outputs = logarithm(outputs) - logarithm(1 - outputs)
        folds = [self._of_rows(outputs[:, rows], y, weights) for rows, y, weights in self._folds]
        return torch.stack(folds).nanmean(0)

    def _of_rows(self, outputs: Tensor, y: Tensor, weights: Tensor | None) -> Tensor:
        function = self.metric.function
        if not isinstance(function, OwnMetric):
            return torch.vmap(function, in_dims=(0, None, None))(outputs, y, weights).double()
        try:
            values = [float(function(each, y, weights)) for each in outputs]
            return torch.tensor(values, dtype=torch.float64)
        except TrainingError:  # it may need every row
            return torch.full((len(outputs),), math.nan, dtype=torch.float64)

    def orders(self, outputs: Tensor) -> list[tuple[float, float]]:
        """For each of ``[M, N, …]`` what is larger for better predictions: the metric, and where
        that is equal the mean logarithm of the probability of what is right, or the squared
        error."""
        scores = (self.sign * self.values(outputs)).nan_to_num(nan=-math.inf)
        if self.metric.task == "classification":
            right = outputs[:, torch.arange(len(self.targets)), self.targets]
            closeness = logarithm(right).double()
        elif self.metric.task == "multilabel":
            right = torch.where(self.targets > 0, outputs, 1 - outputs)
            closeness = logarithm(right).double().mean(2)
        else:
            closeness = -(outputs - self.targets).double().square()
            closeness = closeness.flatten(2).mean(2) if closeness.dim() > 2 else closeness
        closer = (closeness if self.weights is None else closeness * self.weights).mean(1)
        return list(zip(scores.tolist(), closer.tolist(), strict=True))


def logarithm(probabilities: Tensor) -> Tensor:
    """Finite for a probability of 0."""
    return probabilities.clamp_min(torch.finfo(probabilities.dtype).tiny).log()


def masks(parts: Tensor) -> list[Tensor]:
    """For each part which rows ``[N]`` it has."""
    return [parts == part for part in sorted(set(parts.tolist()))]


def mixed(outputs: Tensor, weights: Tensor) -> Tensor:
    """The weighted mean of predictions ``[M, N, …]``."""
    mean: Tensor = torch.tensordot(weights.double(), outputs.double(), 1)
    return mean.to(outputs.dtype)


# Those of the trainings of ``confirm``.


def read_predictions(store: Artifacts, trial: FrozenTrial) -> Predictions | None:
    """The predictions that a training kept; None if it has none."""
    from safetensors.torch import load

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
    return replace(first, outputs=outputs)


@dataclass(frozen=True)
class Table:
    """The trainings of ``confirm``: each configuration with each seed.

    Attributes:
        labels: of K configurations, the winner first.
        numbers: of their trials.
        seeds: S of them, by their index.
        validation: predictions ``[K, S, N, …]`` of the rows of the search.
        tested: by label and seed, predictions ``[N, …]`` of the test rows, by networks that are
            trained on all others; of those that are measured there.
        few: label, number and seed of the trainings of further configurations, which got fewer
            seeds.
        also: the predictions of these, as ``validation`` but ``[M, N, …]``.
    """

    labels: tuple[str, ...]
    numbers: tuple[int, ...]
    seeds: tuple[int, ...]
    validation: Predictions
    tested: Mapping[tuple[str, int], Predictions] = field(default_factory=dict)
    few: tuple[tuple[str, int, int], ...] = ()
    also: Predictions | None = None

    @cached_property
    def keys(self) -> list[tuple[str, int, int]]:
        """Label, number and seed of each training, in the order of the candidates."""
        pairs = zip(self.labels, self.numbers, strict=True)
        whole = [(label, number, seed) for label, number in pairs for seed in self.seeds]
        return [*whole, *self.few]

    @cached_property
    def candidates(self) -> Predictions:
        """The predictions ``[M, N, …]`` of all trainings for the rows of the search."""
        flat = self.validation.flat
        if self.also is None:
            return flat
        return replace(flat, outputs=torch.cat([flat.outputs, self.also.outputs]))

    def of(self, label: str) -> tuple[Predictions, Predictions | None]:
        """Predictions ``[S, N, …]`` of a configuration, of the rows of the search and of the test
        rows, with the seeds that it has."""
        every = self.candidates
        mine = [place for place, (name, *_) in enumerate(self.keys) if name == label]
        seeds = [self.keys[place][2] for place in mine]
        known = replace(every, outputs=every.outputs[mine])
        return known, self.test([(label, seed) for seed in seeds])

    def test(self, keys: Sequence[tuple[str, int]]) -> Predictions | None:
        """Predictions ``[S, N, …]`` of the test rows; None unless all of these are known."""
        row = [self.tested.get(key) for key in keys]
        table = stacked([row])
        return None if table is None else table.flat
