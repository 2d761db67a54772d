"""From a specification to a data set."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tuner.data import files, preprocessing, sources
from tuner.data.dataset import DataSet, Split, Target
from tuner.data.labels import Labels, encode
from tuner.data.spec import DataSpec
from tuner.data.splits import Rows, split
from tuner.data.table import Table
from tuner.errors import DataError

LARGEST = np.finfo(np.float32).max


def load(spec: DataSpec, *, folder: Path = Path()) -> DataSet:
    """Read, divide and prepare; the same specification and rows give the same data set.

    The test rows are set aside: their features are in no statistic, no check and no tensor of the
    result. Their labels are used to know the classes and to divide each class alike.

    Args:
        spec: what a study file says.
        folder: the study file's, where relative paths and private modules are looked for first.

    Raises:
        DataError: the data does not exist, cannot be read, or does not fit.
    """
    statistics = preprocessing.lookup(spec.preprocessing)
    table = _read(spec, folder)
    labels = encode(table, spec.task)
    rows = split(labels, spec, table.where)
    x = _shaped(table, spec.shape)
    train, validation = x[rows.train], x[rows.validation]
    _check_finite((train, validation), table)
    shift, scale = statistics(train)
    target, y = _target(labels, rows)
    return DataSet(
        train=_split(preprocessing.apply(train, shift, scale), y[rows.train]),
        validation=_split(preprocessing.apply(validation, shift, scale), y[rows.validation]),
        shape=tuple(x.shape[1:]),
        target=target,
    )


def _read(spec: DataSpec, folder: Path) -> Table:
    if spec.source is not None:
        return sources.read(spec.source, spec.target, folder)
    return files.read(spec.path or "", spec.target, folder)


def _shaped(table: Table, shape: tuple[int, ...] | None) -> NDArray[Any]:
    if shape is None:
        return table.x
    given = table.x.shape[1:]
    if math.prod(shape) != math.prod(given):
        raise DataError(
            f"shape {list(shape)} holds {math.prod(shape)} numbers, and a row of {table.where} "
            f"has {math.prod(given)} (shape {list(given)})",
            where="data.shape",
        )
    return table.x.reshape(len(table.x), *shape)


def _check_finite(splits: tuple[NDArray[Any], ...], table: Table) -> None:
    if table.x.dtype.kind != "f":
        return
    # Also false for NaN, and for what float32 cannot hold.
    good = [np.abs(x) <= LARGEST for x in splits]
    if all(g.all() for g in good):
        return
    bad = sum((~g).reshape(len(g), -1).sum(0) for g in good)
    columns = np.flatnonzero(bad)
    named = [f"{_column(table, j)} ({bad[j]})" for j in columns[:10].tolist()]
    more = f" and {len(columns) - 10} more" if len(columns) > 10 else ""
    raise DataError(
        f"NaN, infinite or too large for float32: {', '.join(named)}{more} "
        "(how many, among the rows for training and validation)",
        where=table.where,
        hint="remove these rows or columns, or fill them with a number",
    )


def _column(table: Table, position: int) -> str:
    if len(table.names) == math.prod(table.x.shape[1:]):
        return f"column {table.names[position]!r}"
    return f"feature {position}"


def _target(labels: Labels, rows: Rows) -> tuple[Target, NDArray[Any]]:
    if labels.task == "classification":
        return Target("classification", labels.classes), labels.values
    train = labels.values[rows.train]
    mean, scale = float(train.mean()), float(train.std()) or 1.0
    y = ((labels.values - mean) / scale).astype(np.float32)
    return Target("regression", (), mean, scale), y


def _split(x: NDArray[np.float32], y: NDArray[Any]) -> Split:
    return Split(torch.from_numpy(np.ascontiguousarray(x)), torch.from_numpy(y))
