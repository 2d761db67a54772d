"""A data set as a trainer needs it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from tuner.data import DataSet, Split


def in_precision(data: DataSet, dtype: torch.dtype) -> DataSet:
    """Features, and the targets of a regression, in that precision, but words as whole numbers; no
    copy if they are."""

    def split(rows: Split) -> Split:
        y = rows.y.to(dtype) if rows.y.is_floating_point() else rows.y
        x = rows.x.to(dtype) if rows.x.is_floating_point() else rows.x
        return replace(rows, x=x, y=y)

    return replace(data, train=split(data.train), validation=split(data.validation))


def training_targets(data: DataSet, dtype: torch.dtype) -> Tensor:
    """Training targets ``[N, O]``: rows of probabilities, or standardized numbers."""
    if data.target.task == "regression":
        return data.train.y.unsqueeze(1)
    return functional.one_hot(data.train.y, data.outputs).to(dtype)
