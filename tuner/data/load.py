"""From a specification to a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tuner.data import files, preprocessing, sources
from tuner.data.columns import Column
from tuner.data.dataset import DataSet, Split, Target
from tuner.data.division import divide
from tuner.data.features import learn
from tuner.data.labels import Labels, encode
from tuner.data.spec import DataSpec
from tuner.data.splits import Rows
from tuner.data.table import Table


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
    preprocessing.lookup(spec.preprocessing)
    table = _read(spec, folder)
    labels = encode(table, spec.task)
    rows = divide(table, labels, spec)
    features = learn(table, spec, rows.train, rows.validation)
    target, y = _target(labels, rows)
    return DataSet(
        train=_split(features.rows(rows.train), y[rows.train]),
        validation=_split(features.rows(rows.validation), y[rows.validation]),
        shape=features.shape,
        target=target,
        features=features.names,
        columns=(*features.columns, *_set_aside(table, spec)),
    )


def _read(spec: DataSpec, folder: Path) -> Table:
    if spec.source is not None:
        return sources.read(spec.source, spec.target, folder, spec.dividing)
    return files.read(spec, folder)


def _set_aside(table: Table, spec: DataSpec) -> tuple[Column, ...]:
    """The columns that are no features."""
    if not table.columns or spec.target is None:
        return ()
    kinds = {"group": spec.group, "time": spec.time, "split": spec.split}
    division = [
        Column(name, kind, "division", f"divides the rows by {kind}, and is no feature")
        for kind, name in kinds.items()
        if name is not None
    ]
    return (Column(spec.target, "target", "target", "what is predicted"), *division)


def _target(labels: Labels, rows: Rows) -> tuple[Target, NDArray[Any]]:
    if labels.task == "classification":
        return Target("classification", labels.classes), labels.values
    train = labels.values[rows.train]
    mean, scale = float(train.mean()), float(train.std()) or 1.0
    y = ((labels.values - mean) / scale).astype(np.float32)
    return Target("regression", (), mean, scale), y


def _split(x: NDArray[np.float32], y: NDArray[Any]) -> Split:
    return Split(torch.from_numpy(x), torch.from_numpy(y))
