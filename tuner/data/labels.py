"""From labels as they are to class indices or numbers."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.data.spec import Task
from tuner.data.table import NUMERIC, Table
from tuner.errors import DataError

FEW = 20  # "auto" takes at most so many distinct whole numbers for classes


@dataclass(frozen=True)
class Labels:
    """Labels of all rows.

    Attributes:
        task: what they were taken for.
        values: int64 [N], the index of the class; or float64 [N] in the target's unit.
        classes: the classes' names by index, in the order of the labels; empty for regression.
    """

    task: Task
    values: NDArray[Any]
    classes: tuple[str, ...]


def encode(table: Table, task: str) -> Labels:
    """The labels of a table as indices or numbers.

    "auto" takes text and booleans for classes, and whole numbers where there are at most 20
    distinct ones, each twice on average; all else for a quantity.

    Raises:
        DataError: missing or infinite labels, a single class or value, text in a regression.
    """
    _check_present(table)
    y = _plain(table.y, table.where)
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise DataError(f"{np.isinf(y).sum()} infinite labels", where=table.where)
    if task == "auto":
        task = _guess(y)
    return _classes(y, table) if task == "classification" else _numbers(y, table)


def _check_present(table: Table) -> None:
    missing = _missing(table.y)
    count = int(missing.sum())
    if count:
        raise DataError(
            f"{count} of {len(missing)} labels are missing (NaN), "
            f"the first in row {int(missing.argmax())} counted from 0",
            where=table.where,
            hint="remove these rows; in a file, empty cells, NA, None and null are missing",
        )


def _missing(y: NDArray[Any]) -> NDArray[np.bool_]:
    missing = np.zeros(len(y), dtype=bool)
    if y.dtype.kind == "f":
        missing[:] = np.isnan(y)
    elif y.dtype.kind == "O":
        missing[:] = [v is None or (isinstance(v, float) and v != v) for v in y]
    elif y.dtype.kind == "U":
        missing[:] = y == "nan"  # what NumPy makes of NaN among text
    return missing


def _plain(y: NDArray[Any], where: str) -> NDArray[Any]:
    """Objects as what they are: booleans, numbers or text."""
    if y.dtype.kind == "O":
        if all(isinstance(value, bool | np.bool_) for value in y):
            return y.astype(bool)
        if all(isinstance(value, numbers.Real) for value in y):
            return np.array(y.tolist())
    if y.dtype.kind in "OST":
        return y.astype(str)
    if y.dtype.kind not in NUMERIC + "U":
        raise DataError(
            f"labels of type {y.dtype}", where=where, hint="give numbers, text or booleans"
        )
    return y


def _guess(y: NDArray[Any]) -> Task:
    if y.dtype.kind in "bU":
        return "classification"
    if y.dtype.kind == "f" and (y != np.floor(y)).any():
        return "regression"
    distinct = len(np.unique(y))
    return "classification" if distinct <= FEW and 2 * distinct <= len(y) else "regression"


def _classes(y: NDArray[Any], table: Table) -> Labels:
    if y.dtype.kind == "f" and (y == np.floor(y)).all():
        y = y.astype(np.int64)  # 0.0 and 1.0 in a table are the classes "0" and "1"
    found, index = np.unique(y, return_inverse=True)
    codes = found.tolist()
    if y.dtype.kind in "iu" and min(codes) >= 0 and max(codes) < len(table.classes):
        names = tuple(table.classes[code] for code in codes)
    else:
        names = tuple(str(code) for code in codes)
    if len(names) == 1:
        raise DataError(
            f"all {len(y)} labels are {names[0]!r}: one class cannot be told apart",
            where=table.where,
            hint="give rows of at least two classes",
        )
    if len(names) == len(y) > 5:
        raise DataError(
            f"all {len(y)} labels are different, such as {names[0]!r} and {names[1]!r}",
            where=table.where,
            hint='name a column with a few classes, or, for a quantity, set task = "regression"',
        )
    return Labels("classification", index.astype(np.int64), names)


def _numbers(y: NDArray[Any], table: Table) -> Labels:
    if y.dtype.kind == "U":
        raise DataError(
            f"labels such as {str(y[0])!r} are text, and the task is regression",
            where=table.where,
            hint='give numbers, or set task = "classification"',
        )
    values = y.astype(np.float64)
    if values.min() == values.max():
        raise DataError(f"all {len(y)} labels are {values[0]:g}", where=table.where)
    return Labels("regression", values, ())
