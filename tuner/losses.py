"""Losses: what training minimises, as pure functions of tensors.

Every function takes ``outputs`` and ``targets`` of a batch, whole rows of ``[B, O]``, and perhaps
``weights`` ``[B]``; it returns a 0-d tensor, the mean over the rows, each times its weight. Weights
are 1 in the mean over the training rows, so that the expectation over batches is their weighted
mean. Classification: logits, and rows of probabilities, which techniques may
have mixed, smoothed, or multiplied by the weight of a class. Labels: logits, and a probability of
each label. Regression: both are ``[B, 1]``, of several quantities ``[B, O]``, and standardized, as
the network gives them; those of a loss ``in_units`` are in the target's own unit, divided by its
deviation. It works under ``torch.func.vmap``: no branch and no
shape depends on values.

A function of the user's, `loss = "package.module:function"`, has the same arguments; see
``OwnLoss``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from tuner.errors import StudyFileError, TrainingError
from tuner.imports import function
from tuner.lazy_torch import Tensor, functional
from tuner.metrics import QUANTILE, Metric, Task
from tuner.space import Leaf, shown


class LossFunction(Protocol):
    """The mean loss of a batch, of rows that may have weights."""

    def __call__(
        self, outputs: Tensor, targets: Tensor, weights: Tensor | None = None
    ) -> Tensor: ...


@dataclass(frozen=True)
class Loss:
    """A loss and what is known about it.

    Attributes:
        name: as in a study file.
        task: the kind of target that it is for.
        function: (outputs, targets, weights=None) -> 0-d tensor; see the module for shapes.
        doc, source: a short description, and where that comes from.
        leaves: its options; the function takes them by name.
        in_units: outputs and targets are not standardized.
    """

    name: str
    task: Task
    function: Callable[..., Tensor]
    doc: str
    source: str
    leaves: tuple[Leaf, ...] = ()
    in_units: bool = False


def _mean(losses: Tensor, weights: Tensor | None) -> Tensor:
    """The mean of the losses of rows, ``[B]`` or ``[B, O]``, each times the weight of its row."""
    if weights is None:
        return losses.mean()
    return (losses.reshape(len(weights), -1).mean(1) * weights).mean()


def cross_entropy(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Cross entropy of logits ``[B, C]``; the targets may also be classes, int64 ``[B]``."""
    if weights is None:
        return functional.cross_entropy(outputs, targets)
    return _mean(functional.cross_entropy(outputs, targets, reduction="none"), weights)


def brier(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Squared distance of the probabilities from the targets, times the weight of a row's classes:
    what its targets add up to."""
    sums = targets.sum(1, keepdim=True)
    errors = outputs.softmax(1) - targets / sums
    return _mean((sums * errors.square()).sum(1), weights)


def binary_cross_entropy(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Cross entropy of the logit of each label ``[B, O]`` and its target in [0, 1]; the mean over
    labels."""
    losses = functional.binary_cross_entropy_with_logits(outputs, targets, reduction="none")
    return _mean(losses, weights)


def mse(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Squared error."""
    if weights is None:
        return functional.mse_loss(outputs, targets)
    return _mean((outputs - targets).square(), weights)


def mae(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Absolute error."""
    if weights is None:
        return functional.l1_loss(outputs, targets)
    return _mean((outputs - targets).abs(), weights)


def mape(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Absolute error as a share of the target, which counts as at least 0.01 deviations: a target
    of zero would outweigh all others."""
    return _mean((outputs - targets).abs() / targets.abs().clamp(min=0.01), weights)


def pinball(
    outputs: Tensor, targets: Tensor, weights: Tensor | None = None, *, quantile: float
) -> Tensor:
    """Pinball loss: an error below the target counts as much as the quantile, one above as much as
    the rest."""
    above = targets - outputs
    return _mean(above.clamp(min=0) * quantile + (-above).clamp(min=0) * (1 - quantile), weights)


LOSSES: Mapping[str, Loss] = {
    loss.name: loss
    for loss in (
        Loss(
            "cross_entropy",
            "classification",
            cross_entropy,
            "negative logarithm of the target's probability",
            "Good 1952",
        ),
        Loss(
            "brier",
            "classification",
            brier,
            "squared error of the probabilities, which bounds what one row can cost",
            "Brier 1950",
        ),
        Loss(
            "binary_cross_entropy",
            "multilabel",
            binary_cross_entropy,
            "negative logarithm of the probability of each label's target",
            "Good 1952",
        ),
        Loss("mse", "regression", mse, "squared error; predicts the mean", "Gauss 1809"),
        Loss("mae", "regression", mae, "absolute error; predicts the median", "Laplace 1774"),
        Loss(
            "mape",
            "regression",
            mape,
            "absolute error as a share of the target",
            "Makridakis 1993",
            in_units=True,
        ),
        Loss(
            "pinball",
            "regression",
            pinball,
            "absolute error, weighed by its sign; predicts a quantile",
            "Koenker and Bassett 1978",
            leaves=(QUANTILE,),
        ),
    )
}
FITTING = "auto"
"""The loss that fits the metric."""
USUAL: Mapping[Task, str] = {
    "classification": "cross_entropy",
    "multilabel": "binary_cross_entropy",
    "regression": "mse",
}
"""The loss of each task, unless the metric has one of its own."""

LOSS = Leaf(
    name="loss",
    kind=str,
    default=FITTING,
    off=FITTING,
    options={FITTING: (), **{loss.name: loss.leaves for loss in LOSSES.values()}},
    static=True,
    doc="what training minimizes; auto fits the metric, which is cross_entropy or mse for most",
    unit="name",
)


def fitting(metric: Metric) -> tuple[Loss, dict[str, Any]]:
    """The loss that fits a metric, and its options, which are the metric's."""
    loss = LOSSES[metric.loss or USUAL[metric.task]]
    return loss, {leaf.name: metric.options[leaf.name] for leaf in loss.leaves}


@dataclass(frozen=True)
class OwnLoss:
    """A function of the user's, called as ``function(outputs, targets, **options)``.

    It returns the mean over the rows, or the loss of each row, ``[B]`` or ``[B, 1]``; of rows that
    have weights the loss of each row.

    Raises (when called):
        TrainingError: the function raises, or returns something else.
    """

    reference: str
    call: Callable[..., Any]
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        try:
            result = self.call(outputs, targets, **self.options)
        except Exception as error:
            what = f"the loss raised {type(error).__name__}: {error}"
            raise TrainingError(what, where=self.reference, hint=_given(outputs)) from error
        losses = self._checked(result, len(outputs))
        if weights is not None and not losses.shape:
            what = "the loss returned one number for all rows, but the rows have weights"
            hint = f"return one number for each of {len(outputs)} rows, or remove data.weight"
            raise TrainingError(what, where=self.reference, hint=hint)
        return _mean(losses, weights)

    def _checked(self, result: Any, rows: int) -> Tensor:
        if not isinstance(result, Tensor):
            what = f"the loss returned {shown(result)} of type {type(result).__name__}"
            raise TrainingError(what, where=self.reference, hint="return a tensor")
        if tuple(result.shape) not in ((), (rows,), (rows, 1)):
            what = f"the loss returned a tensor of shape {list(result.shape)}"
            hint = f"return the mean over the rows, or one number for each of {rows} rows"
            raise TrainingError(what, where=self.reference, hint=hint)
        if not result.is_floating_point():
            what = f"the loss returned a tensor of type {result.dtype}"
            hint = "compute it in floats: whole numbers have no gradient"
            raise TrainingError(what, where=self.reference, hint=hint)
        return result


def _given(outputs: Tensor) -> str:
    return f"it was given outputs and targets of shape {list(outputs.shape)}"


def own_loss(reference: str, options: Mapping[str, Any]) -> OwnLoss:
    """The loss of a user's function, whose module is imported if that is allowed here.

    Raises:
        StudyFileError: there is none, or it is not allowed.
    """
    return OwnLoss(reference, function(reference, "training.loss", StudyFileError), options)


def bound(loss: Loss, options: Mapping[str, Any]) -> LossFunction:
    """The loss with a value for each of its options."""
    return partial(loss.function, **options) if options else loss.function
