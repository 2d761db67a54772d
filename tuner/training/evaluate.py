"""Evaluates a network on one split."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from tuner.data import DataSet, Split
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


@torch.inference_mode()
def evaluate(
    network: nn.Module, split: Split, data: DataSet, metric: Metric, loss: LossFunction
) -> tuple[Tensor, Tensor]:
    """The values of the metric and of the training's loss, without what techniques change.

    The device has them; nobody has waited for it.
    """
    outputs, y, weights = predict(network, split.x), split.y, split.weight
    precise = outputs.to(precision(outputs))
    # cross entropy takes classes as well, which are smaller than rows of probabilities
    targets = y if loss is cross_entropy else data.target.rows(y, precise.dtype)
    value = metric.function(*data.target.judged(outputs, y), weights)
    return value, loss(precise, targets, weights)


def check_metric(metric: Metric, data: DataSet) -> None:
    """Calls a metric that is a function of the user's once, before any trial: with the validation
    targets, and as predictions random probabilities, or the targets of other rows.

    Raises:
        StudyFileError: it cannot be imported here, raises, or returns no finite number.
    """
    if not isinstance(metric.function, OwnMetric):
        return
    y, target = data.validation.y, data.target
    if target.task == "regression":
        outputs = target.rows(y.roll(1, 0), y.dtype)
    else:
        drawn = torch.Generator().manual_seed(0)
        outputs = torch.randn(len(y), data.outputs, generator=drawn)
    try:
        metric.function(*target.judged(outputs, y), data.validation.weight)
    except TrainingError as error:
        raise StudyFileError(error.message, where=error.where, hint=error.hint) from error
