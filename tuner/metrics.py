"""Metrics: what a study maximises or minimises, as pure functions of tensors.

Every function takes `outputs` and `targets` on one device and returns a 0-d tensor there, without
waiting for the device. Classification: `outputs` are logits [N, C], `targets` int64 [N] in
[0, C). Regression: both are float [N] or [N, 1], in the target's own unit. Sums are float64
(float32 on a device without it), so that 0.975 is stored as 0.975.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from tuner.errors import StudyFileError, nearest

Task = Literal["classification", "regression"]
Direction = Literal["maximize", "minimize"]


def sign_of(direction: str) -> int:
    """1 where more is better, else -1: of two values times it, the better one is larger."""
    return 1 if direction == "maximize" else -1


def better(a: float, b: float, direction: str) -> bool:
    """Whether a value is better than another one."""
    return a > b if direction == "maximize" else a < b


@dataclass(frozen=True)
class Metric:
    """A metric and what is known about it.

    Attributes:
        name: as in a study file.
        task: the kind of target that it measures.
        direction: whether more or less is better.
        function: (outputs, targets) -> 0-d tensor; see the module for shapes.
        source: its definition, range, and where that comes from.
        low, high: the least and the largest value that it can take.
    """

    name: str
    task: Task
    direction: Direction
    function: Callable[[Tensor, Tensor], Tensor]
    source: str
    low: float = 0.0
    high: float = math.inf


def accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Share of rows whose largest logit is the target's."""
    return (outputs.argmax(1) == targets).mean(dtype=_precision(outputs))


def balanced_accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean recall over the classes that occur in the targets."""
    support = _counts(targets, outputs)
    return _mean_where(_correct(outputs, targets) / support, support > 0)


def f1_macro(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean F1 over the classes that occur in the targets or the predictions."""
    total = _counts(targets, outputs) + _counts(outputs.argmax(1), outputs)
    return _mean_where(2 * _correct(outputs, targets) / total, total > 0)


def roc_auc(outputs: Tensor, targets: Tensor) -> Tensor:
    """Area under the ROC curve, from average ranks, so that a tie counts one half.

    Two classes: of class 1. More: of each class against the rest, averaged over the classes for
    which it is defined. NaN where none is.
    """
    logits = outputs.to(_precision(outputs))
    if logits.shape[1] == 2:
        scores = (logits[:, 1] - logits[:, 0]).unsqueeze(0)
        return _mean_where(*_areas(scores, targets, 1))
    scores = functional.log_softmax(logits, 1).T
    size = max(1, RANKED // max(1, len(targets)))
    parts = [
        _areas(scores[first : first + size].contiguous(), targets, first)
        for first in range(0, len(scores), size)
    ]
    areas, known = (torch.cat(each) for each in zip(*parts, strict=True))
    return _mean_where(areas, known)


RANKED = 2**20
"""Scores that are ranked in one operation."""


def _areas(scores: Tensor, targets: Tensor, first: int) -> tuple[Tensor, Tensor]:
    """The area under the curve of each class from the first on, by its scores ``[C, N]``; and
    whether there is one."""
    classes = torch.arange(first, first + len(scores), device=targets.device)
    positive = (targets == classes.unsqueeze(1)).to(scores.dtype)
    ordered = scores.sort(1).values
    below = torch.searchsorted(ordered, scores)
    upto = torch.searchsorted(ordered, scores, right=True)
    ranks = (below + upto + 1).to(scores.dtype) / 2
    ones = positive.sum(1)
    pairs = ones * (positive.shape[1] - ones)
    return ((ranks * positive).sum(1) - ones * (ones + 1) / 2) / pairs, pairs > 0


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean negative log-likelihood of the targets under the softmax of the logits, in nats."""
    return functional.cross_entropy(outputs.to(_precision(outputs)), targets)


def mse(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean squared error, in the target's unit squared."""
    return _residuals(outputs, targets).square().mean()


def rmse(outputs: Tensor, targets: Tensor) -> Tensor:
    """Root of the mean squared error, in the target's unit."""
    return mse(outputs, targets).sqrt()


def mae(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean absolute error, in the target's unit."""
    return _residuals(outputs, targets).abs().mean()


def r2(outputs: Tensor, targets: Tensor) -> Tensor:
    """Share of the targets' variance that is explained, in (-inf, 1].

    Where the targets do not vary: 1 for exact outputs, otherwise 0.
    """
    unexplained = _residuals(outputs, targets).square().sum()
    actual = targets.reshape(-1).to(unexplained.dtype)
    total = (actual - actual.mean()).square().sum()
    constant = (unexplained == 0).to(unexplained.dtype)
    return torch.where(total > 0, 1 - unexplained / total, constant)


def lookup(name: str) -> Metric:
    """The metric of that name; StudyFileError, with the nearest known name, where there is none."""
    if name not in METRICS:
        raise StudyFileError(
            f"unknown metric {name!r}", where="metric", hint=nearest(name, METRICS)
        )
    return METRICS[name]


def limits(name: str) -> tuple[float, float]:
    """The least and the largest value of a metric; of one that is not in the catalogue, any."""
    metric = METRICS.get(name)
    return (-math.inf, math.inf) if metric is None else (metric.low, metric.high)


def _precision(tensor: Tensor) -> torch.dtype:
    return torch.float32 if tensor.device.type == "mps" else torch.float64


def _counts(index: Tensor, outputs: Tensor, weight: Tensor | None = None) -> Tensor:
    """[C]: how many rows each class has, or the sum of their weights; works under vmap, since no
    shape depends on the values."""
    dtype = _precision(outputs)
    ones = torch.ones_like(index, dtype=dtype) if weight is None else weight.to(dtype)
    none = torch.zeros(outputs.shape[1], dtype=dtype, device=outputs.device)
    return none.scatter_add(0, index, ones)


def _correct(outputs: Tensor, targets: Tensor) -> Tensor:
    """[C]: how many rows of each class are predicted correctly."""
    return _counts(targets, outputs, outputs.argmax(1) == targets)


def _mean_where(values: Tensor, mask: Tensor) -> Tensor:
    return values.where(mask, 0).sum() / mask.sum()


def _residuals(outputs: Tensor, targets: Tensor) -> Tensor:
    dtype = _precision(outputs)
    return outputs.reshape(-1).to(dtype) - targets.reshape(-1).to(dtype)


_RECALLS = "mean recall in [0, 1]; Brodersen et al. 2010, The balanced accuracy"
_RANKS = "Mann-Whitney U over pairs, in [0, 1]; Hanley and McNeil 1982; Fawcett 2006"

METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "accuracy",
            "classification",
            "maximize",
            accuracy,
            "share of correct predictions, in [0, 1]",
            0.0,
            1.0,
        ),
        Metric(
            "balanced_accuracy", "classification", "maximize", balanced_accuracy, _RECALLS, 0.0, 1.0
        ),
        Metric(
            "f1_macro",
            "classification",
            "maximize",
            f1_macro,
            "mean of the classes' F1, in [0, 1]; van Rijsbergen 1979, Information Retrieval",
            high=1.0,
        ),
        Metric("roc_auc", "classification", "maximize", roc_auc, _RANKS, 0.0, 1.0),
        Metric(
            "cross_entropy",
            "classification",
            "minimize",
            cross_entropy,
            "nats, in [0, inf); Good 1952, Rational Decisions",
        ),
        Metric("mse", "regression", "minimize", mse, "target's unit squared, in [0, inf)"),
        Metric("rmse", "regression", "minimize", rmse, "target's unit, in [0, inf)"),
        Metric("mae", "regression", "minimize", mae, "target's unit, in [0, inf)"),
        Metric(
            "r2",
            "regression",
            "maximize",
            r2,
            "1 - residual / total sum of squares, in (-inf, 1]; Wright 1921",
            low=-math.inf,
            high=1.0,
        ),
    )
}
