"""Rows as a source gives them: the form that every reader returns."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from tuner.errors import DataError, nearest

if TYPE_CHECKING:
    import pandas as pd

NUMERIC = "biuf"  # numpy's kinds: boolean, signed, unsigned, floating


@dataclass(frozen=True)
class Table:
    """Rows before they are divided.

    Attributes:
        x: numbers [N, ...].
        y: labels [N]: numbers, booleans, text, or objects with None where one is missing.
        names: of the columns of x, or empty.
        classes: what the labels 0, 1, ... mean, or empty.
        where: the file or function, for messages.
    """

    x: NDArray[Any]
    y: NDArray[Any]
    names: tuple[str, ...]
    classes: tuple[str, ...]
    where: str


def from_arrays(
    x: Any, y: Any, where: str, *, names: Sequence[Any] = (), classes: Sequence[Any] = ()
) -> Table:
    """A table from array-likes (lists, arrays, tensors, frames); DataError where they do not fit.

    Args:
        x: [N, ...] or [N] numbers.
        y: [N] or [N, 1] labels.
        where: for messages.
        names: of the columns; those of a frame come first.
        classes: what the labels 0, 1, ... mean.
    """
    if is_frame(x):
        x, names = frame_features(x, where)
    features, labels = _features(x, where), _labels(y, where)
    if len(features) != len(labels):
        raise DataError(f"{len(features)} rows of features and {len(labels)} labels", where=where)
    if len(features) == 0:
        raise DataError("no rows", where=where)
    if features[0].size == 0:
        raise DataError("no feature columns", where=where)
    return Table(features, labels, tuple(map(str, names)), tuple(map(str, classes)), where)


def from_frame(frame: pd.DataFrame, target: str | None, where: str) -> Table:
    """A table from a pandas frame: `target` is the label, every other column a feature."""
    columns = [str(column) for column in frame.columns]
    check_unique(columns, where)
    if len(frame) == 0:
        raise DataError("no rows", where=where)
    if target is None:
        raise DataError(
            "no target given for a table", where=where, hint=f"columns: {', '.join(columns)}"
        )
    if target not in columns:
        raise DataError(f"no column {target!r}", where=where, hint=nearest(target, columns))
    at = columns.index(target)
    features = frame.drop(columns=frame.columns[at])
    return from_arrays(features, frame.iloc[:, at], where)


def check_unique(columns: Sequence[str], where: str) -> None:
    """DataError where two columns have one name."""
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if twice:
        raise DataError(
            f"columns with the same name: {', '.join(twice)}",
            where=where,
            hint="rename or remove all but one",
        )


def is_frame(value: object) -> TypeGuard[pd.DataFrame]:
    """Whether it is a pandas frame, without an import of pandas: no frame was made without one."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, pandas.DataFrame)


def frame_features(frame: pd.DataFrame, where: str) -> tuple[NDArray[Any], tuple[str, ...]]:
    """The numbers [N, F] of a frame (NaN where missing) and the columns' names."""
    text = [
        str(c) for c, t in zip(frame.columns, frame.dtypes, strict=True) if t.kind not in NUMERIC
    ]
    if text:
        raise DataError(
            f"columns that are not numbers: {', '.join(text)}",
            where=where,
            hint="remove them, or turn them into numbers",
        )
    values = frame.to_numpy(dtype=np.float64, na_value=np.nan)
    return values, tuple(str(column) for column in frame.columns)


def _features(x: Any, where: str) -> NDArray[Any]:
    values = _array(x, "features", where)
    if values.dtype.kind == "O":
        try:
            values = values.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(f"features that are not numbers: {error}", where=where) from error
    if values.dtype.kind not in NUMERIC or values.ndim == 0:
        raise DataError(
            f"features of type {values.dtype} and shape {list(values.shape)}",
            where=where,
            hint="give numbers in an array of one row per example",
        )
    return values[:, None] if values.ndim == 1 else values


def _labels(y: Any, where: str) -> NDArray[Any]:
    if is_frame(y) and y.shape[1] == 1:
        y = y.iloc[:, 0]
    if hasattr(y, "isna") and hasattr(y, "to_numpy"):  # a pandas series, which may hold pandas.NA
        y = y.astype(object).where(y.notna(), None) if y.isna().any() else y.to_numpy()
    if isinstance(y, list | tuple):
        y = np.asarray(y, dtype=object)  # or NumPy would turn ["a", NaN] into ["a", "nan"]
    values = _array(y, "labels", where)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise DataError(
            f"labels of shape {list(values.shape)}", where=where, hint="give one label per row"
        )
    return values


def _array(value: Any, what: str, where: str) -> NDArray[Any]:
    try:
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{what} do not make an array: {error}", where=where) from error
