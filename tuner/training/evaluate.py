"""Evaluates a network on one split."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from tuner.data import DataSet, Split, Target
from tuner.data.labels import SCALES
from tuner.data.rows import RowSource, slices_of
from tuner.errors import StudyFileError, TrainingError
from tuner.losses import LossFunction, cross_entropy
from tuner.metrics import Metric, OwnMetric, precision

CHUNK, CHUNK_OF_TEXT = 2**16, 2**8
"""How many input numbers, or texts, are evaluated at a time on a CPU: so few that what wide layers
make of them stays in its cache."""
GPU_CHUNK, GPU_CHUNK_OF_TEXT = 2**23, 2**11
"""The same on a GPU, for which small pieces are slow."""
LEAST, MOST = 256, 2**16
"""Rows of numbers that are evaluated at a time at least, and at most: wide layers make thousands of
numbers of a few, and a GPU has to have the memory for them."""


@torch.inference_mode()
def predict(network: nn.Module, x: RowSource) -> Tensor:
    """Outputs ``[N, O]`` of ``x [N, …]`` in evaluation mode; leaves the network in that mode."""
    return in_chunks(network.eval(), x)


def in_chunks(network: Callable[[Tensor], Tensor], x: RowSource) -> Tensor:
    """Outputs ``[N, O]`` of ``x [N, …]``, of so many rows at a time that memory lasts."""
    on_cpu = x.device.type == "cpu"
    rows = CHUNK_OF_TEXT if on_cpu else GPU_CHUNK_OF_TEXT
    if x.is_floating_point():
        numbers = CHUNK if on_cpu else GPU_CHUNK
        rows = min(MOST, max(LEAST, numbers // max(1, math.prod(x.shape[1:]))))
    parts = [network(some) for some in slices_of(x, rows)]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def in_units(values: Tensor, target: Target) -> Tensor:
    """Targets of a regression ``[N]`` or ``[N, 1]`` in their own unit."""
    return SCALES[target.form].back(values * target.scale + target.mean)


def predicted(outputs: Tensor, target: Target) -> Tensor:
    """Outputs of a regression in the target's own unit, within its limits."""
    values = in_units(outputs, target)
    return values if target.limits is None else values.clamp(*target.limits)


@torch.inference_mode()
def evaluate(
    network: nn.Module, split: Split, data: DataSet, metric: Metric, loss: LossFunction
) -> tuple[Tensor, Tensor]:
    """The values of the metric and of the training's loss, without what techniques change.

    The device has them; nobody has waited for it.
    """
    outputs, y, weights = predict(network, split.x), split.y, split.weight
    precise = outputs.to(precision(outputs))
    if data.target.task == "classification":
        # cross entropy takes classes as well, which are smaller than rows of probabilities
        hot = y if loss is cross_entropy else functional.one_hot(y, outputs.shape[1]).to(precise)
        return metric.function(outputs, y, weights), loss(precise, hot, weights)
    values = predicted(outputs.squeeze(1), data.target), in_units(y, data.target)
    return metric.function(*values, weights), loss(precise, y.unsqueeze(1).to(precise), weights)


def check_metric(metric: Metric, data: DataSet) -> None:
    """Calls a metric that is a function of the user's once, before any trial: with the validation
    targets, and as predictions random probabilities, or the targets of other rows.

    Raises:
        StudyFileError: it cannot be imported here, raises, or returns no finite number.
    """
    if not isinstance(metric.function, OwnMetric):
        return
    y = data.validation.y
    outputs, targets = in_units(y.roll(1), data.target), in_units(y, data.target)
    if data.target.task == "classification":
        drawn = torch.Generator().manual_seed(0)
        outputs, targets = torch.randn(len(y), data.outputs, generator=drawn), y
    try:
        metric.function(outputs, targets, data.validation.weight)
    except TrainingError as error:
        raise StudyFileError(error.message, where=error.where, hint=error.hint) from error
