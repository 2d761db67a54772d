"""Evaluates a network on one split."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from tuner.data import DataSet, Split, Target
from tuner.data.dataset import Inputs
from tuner.data.labels import SCALES
from tuner.metrics import METRICS, Metric

CHUNK = 2**20
"""How many input numbers are evaluated at a time; of text 256 rows, for each word is a vector."""


@torch.inference_mode()
def predict(network: nn.Module, x: Inputs) -> Tensor:
    """Outputs ``[N, O]`` of ``x [N, …]`` in evaluation mode; leaves the network in that mode."""
    return in_chunks(network.eval(), x)


def in_chunks(network: Callable[[Tensor], Tensor], x: Inputs) -> Tensor:
    """Outputs ``[N, O]`` of ``x [N, …]``, of so many rows at a time that memory lasts."""
    rows = 256 if not x.is_floating_point() else max(256, CHUNK // max(1, math.prod(x.shape[1:])))
    starts = range(0, max(1, len(x)), rows)
    parts = [network(x[start : start + rows]) for start in starts]
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
    network: nn.Module, split: Split, data: DataSet, metric: Metric
) -> tuple[float, float]:
    """The metric's value and the loss (cross entropy, or mse of standardized targets)."""
    outputs, y = predict(network, split.x), split.y
    if data.target.task == "classification":
        return float(metric.function(outputs, y)), float(_LOSS["classification"](outputs, y))
    outputs = outputs.squeeze(1)
    loss = float(_LOSS["regression"](outputs, y))
    value = metric.function(predicted(outputs, data.target), in_units(y, data.target))
    return float(value), loss


_LOSS = {
    "classification": METRICS["cross_entropy"].function,
    "regression": METRICS["mse"].function,
}
