"""Metrics: what a study maximises or minimises, as pure functions of tensors.

Every function takes `outputs`, `targets` and perhaps `weights` [N] on one device and returns a 0-d
tensor there, without waiting for the device; a row of weight 2 counts like two rows.
Classification: `outputs` are logits [N, C], `targets` int64 [N] in [0, C). Labels: `outputs` are
logits [N, O], `targets` are 0 and 1. Regression: both are float [N] or [N, 1], of several
quantities [N, O], in the target's own unit. Sums are float64 (float32 on a device without it), so
that 0.975 is stored as 0.975.

A function of the user's, `metric = "package.module:function"`, gets probabilities in place of
logits: see ``OwnMetric``.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from tuner.errors import StudyFileError, TrainingError, nearest
from tuner.imports import function
from tuner.lazy_torch import Tensor, functional, torch
from tuner.space import Leaf, shown

Task = Literal["classification", "multilabel", "regression"]
Direction = Literal["maximize", "minimize"]
Judged = Literal["classes", "ranks", "probabilities"]


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
        function: (outputs, targets, weights=None) -> 0-d tensor; see the module for shapes.
        source: its definition, range, and where that comes from.
        low, high: the least and the largest value that it can take.
        judges: of a classification: the predicted classes alone, the order of the rows by their
            scores, or the probabilities.
        loss: the loss of ``tuner.losses`` that training takes unless a study names another.
        leaves: its options; the function takes them by name.
        options: their values, once they are known.
        binary: it is of two classes, and of the second of them.
    """

    name: str
    task: Task
    direction: Direction
    function: Callable[..., Tensor]
    source: str
    low: float = 0.0
    high: float = math.inf
    judges: Judged = "classes"
    loss: str = ""
    leaves: tuple[Leaf, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    binary: bool = False

    def bound(self, options: Mapping[str, Any]) -> Metric:
        """The metric with a value for each of its options, which its name then shows."""
        if not self.leaves:
            return self
        values = {leaf.name: options.get(leaf.name, leaf.default) for leaf in self.leaves}
        name, call = label(self.name, values), partial(self.function, **values)
        return replace(self, name=name, function=call, options=values)

    def check(self, task: Task, classes: Sequence[str]) -> None:
        """Raises StudyFileError where the metric cannot measure such a target."""
        if self.task != task:
            what = f"{self.name} is for {self.task}, but the data is for {task}"
            known = _names(task, binary=len(classes) == 2)
            raise StudyFileError(what, where="metric", hint=f"for {task}: {known}")
        if self.binary and len(classes) != 2:
            raise StudyFileError(
                f"{self.name} is for two classes, but the data has {_listed(classes)}",
                where="metric",
                hint=f"for more classes: {_names(task, binary=False)}",
            )
        if self.options.get("k", 0) >= len(classes) > 0:
            raise StudyFileError(
                f"{self.name} is always 1, for the data has {_listed(classes)}",
                where="metric",
                hint="give a k below the number of classes; for k = 1: accuracy",
            )


def label(name: str, options: Mapping[str, Any]) -> str:
    """The name of a metric with its options, for the database and for people.

    >>> label("pinball", {"quantile": 0.9})
    'pinball(quantile=0.9)'
    """
    texts = [f"{k}={str(v).lower() if isinstance(v, bool) else v}" for k, v in options.items()]
    return f"{name}({', '.join(texts)})" if texts else name


def _names(task: str, *, binary: bool) -> str:
    return ", ".join(m.name for m in METRICS.values() if m.task == task and binary >= m.binary)


def _listed(classes: Sequence[str]) -> str:
    """
    >>> _listed(["a", "b", "c"])
    '3 classes: a, b, c'
    """
    more = ", …" if len(classes) > NAMED else ""
    return f"{len(classes)} classes: {', '.join(map(str, classes[:NAMED]))}{more}"


NAMED = 10
"""Classes that a message names."""


# Of predicted classes.


def accuracy(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Share of rows whose largest logit is the target's."""
    return _mean(outputs.argmax(1) == targets, weights, precision(outputs))


def balanced_accuracy(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean recall over the classes that occur in the targets."""
    support = _counts(targets, outputs, weights)
    return _mean_where(_correct(outputs, targets, weights) / support, support > 0)


def f1_macro(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean F1 over the classes that occur in the targets or the predictions."""
    total = _counts(targets, outputs, weights) + _counts(outputs.argmax(1), outputs, weights)
    return _mean_where(2 * _correct(outputs, targets, weights) / total, total > 0)


def f1(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """F1 of the second of two classes; 0 where that is neither predicted nor a target."""
    named, dtype = outputs.argmax(1), precision(outputs)
    total = _sum(named + targets, weights, dtype)
    both = _sum(named * targets, weights, dtype)
    return 2 * both / total.where(total > 0, 1)


def mcc(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Matthews' correlation of predicted and true classes, of two classes or more.

    0 where all predictions, or all targets, are of one class.
    """
    true, named = (_counts(y, outputs, weights) for y in (targets, outputs.argmax(1)))
    rows = true.sum()
    together = _correct(outputs, targets, weights).sum() * rows - (true * named).sum()
    spread = (rows**2 - (true * true).sum()) * (rows**2 - (named * named).sum())
    return together.where(spread > 0, 0) / spread.where(spread > 0, 1).sqrt()


def top_k_accuracy(
    outputs: Tensor, targets: Tensor, weights: Tensor | None = None, *, k: int
) -> Tensor:
    """Share of rows whose target is among the k largest logits; of equal ones the last first."""
    own = outputs.gather(1, targets.unsqueeze(1))
    later = torch.arange(outputs.shape[1], device=outputs.device) > targets.unsqueeze(1)
    before = (outputs > own) | ((outputs == own) & later)
    return _mean(before.sum(1) < k, weights, precision(outputs))


# Of the order of the rows by their scores.


def roc_auc(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Area under the ROC curve, from average ranks, so that a tie counts one half.

    Two classes: of class 1. More: of each class against the rest, averaged over the classes for
    which it is defined. NaN where none is.
    """
    areas = _areas if weights is None else partial(_weighted_areas, weights=weights)
    return _mean_where(*_by_class(areas, outputs, targets))


def average_precision(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Precision at the score of each row of a class, averaged over these rows.

    Two classes: of the second. More: of each class against the rest, averaged over the classes
    that occur. 0 where no row is of the second of two classes.
    """
    measure = _precisions if weights is None else partial(_weighted_precisions, weights=weights)
    values, known = _by_class(measure, outputs, targets)
    return values.where(known, 0).sum() / known.sum().clamp(min=1)


RANKED = 2**20
"""Scores that are ranked in one operation."""


def _by_class(
    measure: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], outputs: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor]:
    """Each class against the rest, of two classes only the second: the values, and where there
    is one.

    Args:
        measure: of scores ``[C, N]`` and of 1 at the rows of each class, else 0, ``[C, N]``.
    """
    logits = outputs.to(precision(outputs))
    if logits.shape[1] == 2:
        scores = (logits[:, 1] - logits[:, 0]).unsqueeze(0)
        return measure(scores, targets.unsqueeze(0).to(scores.dtype))
    scores = functional.log_softmax(logits, 1).T
    size = max(1, RANKED // max(1, len(targets)))
    classes = torch.arange(len(scores), device=targets.device).unsqueeze(1)
    parts = [
        measure(
            scores[first : first + size].contiguous(),
            (targets == classes[first : first + size]).to(scores.dtype),
        )
        for first in range(0, len(scores), size)
    ]
    values, known = (torch.cat(each) for each in zip(*parts, strict=True))
    return values, known


def _areas(scores: Tensor, positive: Tensor) -> tuple[Tensor, Tensor]:
    """The area under the ROC curve of each class, and whether there is one."""
    ordered = scores.sort(1).values
    below = torch.searchsorted(ordered, scores)
    upto = torch.searchsorted(ordered, scores, right=True)
    ranks = (below + upto + 1).to(scores.dtype) / 2
    ones = positive.sum(1)
    pairs = ones * (positive.shape[1] - ones)
    return ((ranks * positive).sum(1) - ones * (ones + 1) / 2) / pairs, pairs > 0


def _precisions(scores: Tensor, positive: Tensor) -> tuple[Tensor, Tensor]:
    """The average precision of each class, and whether a row is of it."""
    ones = positive.sum(1, keepdim=True)
    ordered = scores.sort(1).values
    right = scores.where(positive > 0, math.inf).sort(1).values
    reached = scores.shape[1] - torch.searchsorted(ordered, scores)
    hits = ones - torch.searchsorted(right, scores)
    mean = (hits / reached * positive).sum(1) / ones.squeeze(1).clamp(min=1)
    return mean, ones.squeeze(1) > 0


def _weighted_areas(scores: Tensor, positive: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """``_areas`` of rows with weights: the weight of the pairs in order, of a tie half of it."""
    ones, others = positive * weights.to(scores.dtype), (1 - positive) * weights.to(scores.dtype)
    below, upto = _below_and_upto(scores, others)
    pairs = ones.sum(1) * others.sum(1)
    return (ones * (below + upto) / 2).sum(1) / pairs, pairs > 0


def _weighted_precisions(
    scores: Tensor, positive: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor]:
    """``_precisions`` of rows with weights."""
    every = weights.to(scores.dtype).expand_as(scores)
    ones = positive * every
    total = ones.sum(1, keepdim=True)
    hits = total - _below_and_upto(scores, ones)[0]
    reached = every.sum(1, keepdim=True) - _below_and_upto(scores, every)[0]
    mean = (ones * hits / reached).sum(1) / total.squeeze(1).clamp(
        min=torch.finfo(scores.dtype).tiny
    )
    return mean, total.squeeze(1) > 0


def _below_and_upto(scores: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The weight of the rows with a lower score than each [C, N], and of those with at most it."""
    ordered, order = scores.sort(1)
    sums = functional.pad(weights.gather(1, order).cumsum(1), (1, 0))
    places = (torch.searchsorted(ordered, scores, right=right) for right in (False, True))
    below, upto = (sums.gather(1, place) for place in places)
    return below, upto


# Of probabilities.


def cross_entropy(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean negative log-likelihood of the targets under the softmax of the logits, in nats."""
    logits = outputs.to(precision(outputs))
    if weights is None:
        return functional.cross_entropy(logits, targets)
    losses = functional.cross_entropy(logits, targets, reduction="none")
    return _mean(losses, weights, logits.dtype)


def log_loss(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean negative logarithm of the probability of the target, of which none counts as less than
    the smallest step of a number in [1, 2): a row that is wrong beyond doubt costs 36 nats."""
    least = torch.finfo(precision(outputs)).eps
    own = _probabilities(outputs).gather(1, targets.unsqueeze(1))
    return -_mean(own.clamp(least, 1 - least).log().squeeze(1), weights, own.dtype)


def brier(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean squared distance of the probabilities from the targets, where the target's class has 1
    and the others 0; of two classes half of it, which is that of the second class alone."""
    classes = torch.arange(outputs.shape[1], device=targets.device)
    hot = (targets.unsqueeze(1) == classes).to(precision(outputs))
    distance = _mean((_probabilities(outputs) - hot).square().sum(1), weights, hot.dtype)
    return distance / 2 if outputs.shape[1] == 2 else distance


# Of labels, of which each applies to a row or not: a label is predicted where its probability is
# above one half.


def label_accuracy(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Share of labels that are predicted correctly, over rows and labels: 1 - Hamming loss."""
    right = ((outputs > 0) == (targets > 0)).to(precision(outputs))
    return _mean(right, weights).mean()


def subset_accuracy(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Share of rows of which every label is predicted correctly."""
    right = ((outputs > 0) == (targets > 0)).all(1)
    return _mean(right, weights, precision(outputs))


def label_f1_macro(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean F1 over the labels; 0 for one that is neither predicted nor a target."""
    both, total = _found(outputs, targets, weights)
    return (2 * both / total.where(total > 0, 1)).mean()


def label_f1_micro(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """F1 of the labels of all rows together; 0 where none is predicted or a target."""
    both, total = (each.sum() for each in _found(outputs, targets, weights))
    return 2 * both / total.where(total > 0, 1)


def _found(outputs: Tensor, targets: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    """Of each label how often it is rightly predicted, and how often predicted plus a target."""
    named, dtype = (outputs > 0).to(precision(outputs)), precision(outputs)
    actual = targets.to(dtype)
    return _sum(named * actual, weights), _sum(named + actual, weights)


def label_roc_auc(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean area under the ROC curve over the labels for which it is defined; NaN for none."""
    areas = _areas if weights is None else partial(_weighted_areas, weights=weights)
    return _mean_where(*areas(*_by_label(outputs, targets)))


def label_average_precision(
    outputs: Tensor, targets: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Mean average precision over the labels that occur; 0 for none."""
    measure = _precisions if weights is None else partial(_weighted_precisions, weights=weights)
    values, known = measure(*_by_label(outputs, targets))
    return values.where(known, 0).sum() / known.sum().clamp(min=1)


def _by_label(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Scores and targets of each label ``[O, N]``."""
    scores = outputs.to(precision(outputs)).T.contiguous()
    return scores, targets.to(scores.dtype).T.contiguous()


def label_log_loss(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean over rows and labels of the negative logarithm of the target's probability, of which
    none counts as less than the smallest step of a number in [1, 2)."""
    shares = outputs.to(precision(outputs)).sigmoid()
    least = torch.finfo(shares.dtype).eps
    own = torch.where(targets > 0, shares, 1 - shares).clamp(least, 1 - least)
    return -_mean(own.log(), weights).mean()


# Of the numbers of a regression; of several quantities the mean over them, each in its own unit.


def mse(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean squared error, in the target's unit squared."""
    return _mean(_residuals(outputs, targets).square(), weights).mean()


def rmse(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Root of the mean squared error, in the target's unit."""
    return _mean(_residuals(outputs, targets).square(), weights).sqrt().mean()


def mae(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean absolute error, in the target's unit."""
    return _mean(_residuals(outputs, targets).abs(), weights).mean()


def mape(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean of the absolute error as a share of the target, 0.1 for a tenth; enormous where a target
    is zero."""
    actual = _quantities(targets).to(precision(outputs)).abs()
    least = torch.finfo(actual.dtype).eps
    return _mean(_residuals(outputs, targets).abs() / actual.clamp(min=least), weights).mean()


def pinball(
    outputs: Tensor, targets: Tensor, weights: Tensor | None = None, *, quantile: float
) -> Tensor:
    """Mean pinball loss, in the target's unit: least where the outputs are that quantile."""
    above = -_residuals(outputs, targets)
    return _mean(torch.maximum(quantile * above, (quantile - 1) * above), weights).mean()


def r2(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Share of the targets' variance that is explained, in (-inf, 1].

    Where the targets do not vary: 1 for exact outputs, otherwise 0.
    """
    unexplained = _sum(_residuals(outputs, targets).square(), weights)
    actual = _quantities(targets).to(unexplained.dtype)
    total = _sum((actual - _centre(actual, weights)).square(), weights)
    constant = (unexplained == 0).to(unexplained.dtype)
    return torch.where(total > 0, 1 - unexplained / total, constant).mean()


# By name, and functions of the user's.


def lookup(name: str) -> Metric:
    """The metric of that name; StudyFileError, with the nearest known name, where there is none."""
    if name not in METRICS:
        raise StudyFileError(
            f"unknown metric {name!r}", where="metric", hint=nearest(name, METRICS)
        )
    return METRICS[name]


def limits(name: str) -> tuple[float, float]:
    """The least and the largest value of a metric; of one that is not in the catalogue, any.

    Args:
        name: in the database, with its options.
    """
    metric = METRICS.get(name.partition("(")[0])
    return (-math.inf, math.inf) if metric is None else (metric.low, metric.high)


@dataclass(frozen=True)
class OwnMetric:
    """A function of the user's, called as ``function(predictions, targets, **options)``.

    It gets tensors on the CPU: the probabilities of the classes, float64 ``[N, C]``, and the class
    of each row, int64 ``[N]``; those of labels, float64 and int64 ``[N, O]``; or the predictions
    and the targets of a regression in the target's own unit, both float64 ``[N]``, of several
    quantities ``[N, O]``. A function with a parameter ``weights`` gets the weights of the rows by
    that name, float64 ``[N]``, or None where they have none; to others all rows count the same. It
    returns one finite number.

    Raises (when called):
        TrainingError: the function raises, or returns something else.
        StudyFileError: there is no such function, or it is not allowed here.
    """

    reference: str
    task: Task
    options: Mapping[str, Any] = field(default_factory=dict)
    folder: Path = Path()

    def __call__(self, outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        call, options = self._function, dict(self.options)
        if self.weighs:
            options["weights"] = None if weights is None else weights.cpu().double()
        predictions, targets = outputs.cpu().double(), targets.cpu()
        if self.task == "classification":
            predictions, targets = predictions.softmax(1), targets.clone()
        elif self.task == "multilabel":
            predictions, targets = predictions.sigmoid(), targets.long()
        else:
            predictions, targets = (_quantities(each).double() for each in (predictions, targets))
        if not predictions.isfinite().all():  # the training diverged
            return torch.tensor(math.nan, dtype=torch.float64)
        try:
            result = call(predictions.clone(), targets.clone(), **options)
        except Exception as error:
            what = f"the metric raised {type(error).__name__}: {error}"
            raise TrainingError(what, where=self.reference, hint=self._given(outputs)) from error
        return torch.tensor(self._number(result), dtype=torch.float64)

    @property
    def _function(self) -> Callable[..., Any]:
        return function(self.reference, "metric", StudyFileError, folder=self.folder)

    @property
    def weighs(self) -> bool:
        """Whether the function takes the weights of the rows."""
        with suppress(TypeError, ValueError):  # a built-in without a signature
            return "weights" in inspect.signature(self._function).parameters
        return False

    def _given(self, outputs: Tensor) -> str:
        rows = len(outputs)
        if self.task == "regression":
            shape = list(_quantities(outputs).shape)
            return f"it was given predictions and targets, float64 {shape}"
        shape = list(outputs.shape)
        if self.task == "multilabel":
            return f"it was given probabilities, float64 {shape}, and labels, int64 {shape}"
        return f"it was given probabilities, float64 {shape}, and classes, int64 [{rows}]"

    def _number(self, result: Any) -> float:
        try:
            number = math.nan if isinstance(result, str | bool) else float(result)
        except (TypeError, ValueError, RuntimeError):
            number = math.nan
        if not math.isfinite(number):
            what = f"the metric returned {shown(result)}, which is not a finite number"
            raise TrainingError(what, where=self.reference, hint="return one number")
        return number


def own_metric(
    reference: str, direction: Direction, options: Mapping[str, Any], task: Task, folder: Path
) -> Metric:
    """The metric of a user's function, which is imported only where it is called."""
    return Metric(
        name=label(reference, options),
        task=task,
        direction=direction,
        function=OwnMetric(reference, task, options, folder),
        source="a function of the user's",
        low=-math.inf,
        options=options,
    )


def precision(tensor: Tensor) -> torch.dtype:
    """The most precise floats of a tensor's device."""
    return torch.float32 if tensor.device.type == "mps" else torch.float64


def _counts(index: Tensor, outputs: Tensor, weight: Tensor | None = None) -> Tensor:
    """[C]: how many rows each class has, or the sum of their weights; works under vmap, since no
    shape depends on the values."""
    dtype = precision(outputs)
    ones = torch.ones_like(index, dtype=dtype) if weight is None else weight.to(dtype)
    none = torch.zeros(outputs.shape[1], dtype=dtype, device=outputs.device)
    return none.scatter_add(0, index, ones)


def _correct(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """[C]: how many rows of each class are predicted correctly, or the sum of their weights."""
    right = outputs.argmax(1) == targets
    return _counts(targets, outputs, right if weights is None else right * weights)


def _sum(values: Tensor, weights: Tensor | None, dtype: torch.dtype | None = None) -> Tensor:
    """The sum over rows [N] or [N, O], each times its weight."""
    if weights is None:
        return values.sum(0, dtype=dtype)
    weights = weights.to(dtype or values.dtype)
    return (values * (weights if values.dim() == 1 else weights.unsqueeze(1))).sum(0)


def _mean(values: Tensor, weights: Tensor | None, dtype: torch.dtype | None = None) -> Tensor:
    """The mean over rows [N] or [N, O], each times its weight."""
    if weights is None:
        return values.mean(0, dtype=dtype)
    return _sum(values, weights, dtype) / weights.to(dtype or values.dtype).sum()


def _centre(values: Tensor, weights: Tensor | None) -> Tensor:
    """The mean over rows, exact where they are equal."""
    if weights is None:
        return values.mean(0)
    return values[0] + _mean(values - values[0], weights)


def _mean_where(values: Tensor, mask: Tensor) -> Tensor:
    return values.where(mask, 0).sum() / mask.sum()


def _probabilities(outputs: Tensor) -> Tensor:
    return outputs.to(precision(outputs)).softmax(1)


def _residuals(outputs: Tensor, targets: Tensor) -> Tensor:
    dtype = precision(outputs)
    return _quantities(outputs).to(dtype) - _quantities(targets).to(dtype)


def _quantities(values: Tensor) -> Tensor:
    """[N] of one quantity, [N, O] of several."""
    return values if values.dim() == 2 and values.shape[1] > 1 else values.reshape(-1)


QUANTILE = Leaf(
    name="quantile",
    kind=float,
    default=0.5,
    above=0.0,
    below=1.0,
    doc="share of the targets that should be at most the prediction; 0.5 is the median",
    unit="share",
    source="Koenker and Bassett 1978",
)
MOST_LIKELY = Leaf(
    name="k",
    kind=int,
    default=2,
    minimum=2,
    doc="so many predictions a row, of which one has to be right; less than there are classes",
    unit="classes",
    source="Russakovsky et al. 2015",
)

_RECALLS = "mean recall in [0, 1]; Brodersen et al. 2010, The balanced accuracy"
_RANKS = "Mann-Whitney U over pairs, in [0, 1]; Hanley and McNeil 1982; Fawcett 2006"
_F1 = "F1 of the second of two classes, in [0, 1]; van Rijsbergen 1979, Information Retrieval"
_MCC = "correlation of classes, in [-1, 1]; Matthews 1975; Gorodkin 2004 for more than two"
_HAMMING = "share of right labels, 1 - Hamming loss, in [0, 1]; Tsoumakas and Katakis 2007"
_SUBSET = "share of rows with every label right, in [0, 1]; Tsoumakas and Katakis 2007"
_MACRO = "mean over labels of their F1, in [0, 1]; van Rijsbergen 1979, Information Retrieval"
_MICRO = "F1 of all labels together, in [0, 1]; van Rijsbergen 1979, Information Retrieval"
_CUT = "nats, in [0, 36.1), of probabilities of at least 2.2e-16; Good 1952, Rational Decisions"
_MAPE = "share of the target, in [0, inf), where no target may be near zero; Makridakis 1993"

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
        Metric("f1", "classification", "maximize", f1, _F1, high=1.0, binary=True),
        Metric("mcc", "classification", "maximize", mcc, _MCC, low=-1.0, high=1.0),
        Metric(
            "top_k_accuracy",
            "classification",
            "maximize",
            top_k_accuracy,
            "share of rows with the target among the k most likely classes, in [0, 1]",
            high=1.0,
            leaves=(MOST_LIKELY,),
        ),
        Metric("roc_auc", "classification", "maximize", roc_auc, _RANKS, 0.0, 1.0, judges="ranks"),
        Metric(
            "average_precision",
            "classification",
            "maximize",
            average_precision,
            "area under the steps of precision over recall, in [0, 1]; Salton and McGill 1983",
            high=1.0,
            judges="ranks",
        ),
        Metric(
            "cross_entropy",
            "classification",
            "minimize",
            cross_entropy,
            "nats, in [0, inf); Good 1952, Rational Decisions",
            judges="probabilities",
        ),
        Metric("log_loss", "classification", "minimize", log_loss, _CUT, judges="probabilities"),
        Metric(
            "brier",
            "classification",
            "minimize",
            brier,
            "squared error, in [0, 1] for two classes, else in [0, 2]; Brier 1950",
            high=2.0,
            judges="probabilities",
            loss="brier",
        ),
        Metric("label_accuracy", "multilabel", "maximize", label_accuracy, _HAMMING, high=1.0),
        Metric("subset_accuracy", "multilabel", "maximize", subset_accuracy, _SUBSET, high=1.0),
        Metric("label_f1_macro", "multilabel", "maximize", label_f1_macro, _MACRO, high=1.0),
        Metric("label_f1_micro", "multilabel", "maximize", label_f1_micro, _MICRO, high=1.0),
        Metric(
            "label_roc_auc",
            "multilabel",
            "maximize",
            label_roc_auc,
            "mean over labels of the area under the ROC curve, in [0, 1]; Fawcett 2006",
            high=1.0,
            judges="ranks",
        ),
        Metric(
            "label_average_precision",
            "multilabel",
            "maximize",
            label_average_precision,
            "mean over labels of the average precision, in [0, 1]; Salton and McGill 1983",
            high=1.0,
            judges="ranks",
        ),
        Metric(
            "label_log_loss",
            "multilabel",
            "minimize",
            label_log_loss,
            _CUT,
            judges="probabilities",
        ),
        Metric("mse", "regression", "minimize", mse, "target's unit squared, in [0, inf)"),
        Metric("rmse", "regression", "minimize", rmse, "target's unit, in [0, inf)"),
        Metric("mae", "regression", "minimize", mae, "target's unit, in [0, inf)"),
        Metric("mape", "regression", "minimize", mape, _MAPE, loss="mape"),
        Metric(
            "pinball",
            "regression",
            "minimize",
            pinball,
            "target's unit, in [0, inf); Koenker and Bassett 1978, Regression Quantiles",
            loss="pinball",
            leaves=(QUANTILE,),
        ),
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
