"""A data set as a trainer needs it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from tuner.data import DataSet, Split

BLOCK = 2**21
"""How many numbers of targets are held at a time. No result depends on it."""


def in_precision(data: DataSet, dtype: torch.dtype) -> DataSet:
    """Features, and the targets of a regression, in that precision, but words as whole numbers; no
    copy if they are."""

    def split(rows: Split) -> Split:
        y = rows.y.to(dtype) if rows.y.is_floating_point() else rows.y
        x = rows.x.to(dtype) if rows.x.is_floating_point() else rows.x
        return replace(rows, x=x, y=y)

    return replace(data, train=split(data.train), validation=split(data.validation))


def training_targets(data: DataSet, rows: Tensor, dtype: torch.dtype) -> Tensor:
    """Targets ``[B, O]`` of those training rows: probabilities, or standardized numbers."""
    y = data.train.y[rows]
    if data.target.task == "regression":
        return y.unsqueeze(1)
    soft = torch.zeros(len(y), data.outputs, dtype=dtype, device=y.device)
    return soft.scatter_(1, y.unsqueeze(1), 1)


def batches_of_targets(
    data: DataSet, batches: Sequence[Tensor], dtype: torch.dtype
) -> Iterator[Tensor]:
    """The same for each batch of rows, made for several at once, but for so few that memory lasts:
    probabilities of all rows would take a number for each class of each row."""
    size = max(1, BLOCK // max(1, len(batches[0]) * data.outputs))
    for first in range(0, len(batches), size):
        some = batches[first : first + size]
        parts = [len(rows) for rows in some]
        yield from torch.split(training_targets(data, torch.cat(tuple(some)), dtype), parts)
