"""Rows as a source gives them: the form that every reader returns."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from tuner.data.raw import RawColumn, raw_columns, writes_comma
from tuner.errors import DataError, nearest

if TYPE_CHECKING:
    import pandas as pd

NUMERIC = "biuf"  # numpy's kinds: boolean, signed, unsigned, floating


@dataclass(frozen=True)
class Text:
    """A column of text, which is the only feature.

    Attributes:
        name: as the source calls it.
        values: strings [N], empty where missing.
        unused: the names of the other columns.
    """

    name: str
    values: NDArray[np.object_]
    unused: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """Rows before they are divided: an array of numbers, or columns of a frame.

    Attributes:
        x: numbers [N, ...]; None where there are columns or text.
        y: labels [N]: numbers, booleans, text, or objects with None where one is missing.
        names: of the columns of x, or empty.
        classes: what the labels 0, 1, ... mean, or empty.
        where: the file or function, for messages.
        columns: of a frame, each [N].
        aside: columns [N] that say how to divide the rows, by name; they are no features.
        held: the test rows are elsewhere, and all rows are for training and validation.
        text: the column of text, or None.
        comma: decimals are written with a comma in the file.
    """

    x: NDArray[Any] | None
    y: NDArray[Any]
    names: tuple[str, ...]
    classes: tuple[str, ...]
    where: str
    columns: tuple[RawColumn, ...] = ()
    aside: Mapping[str, pd.Series[Any]] = field(default_factory=dict)
    held: bool = False
    text: Text | None = None
    comma: bool = False


def from_arrays(
    x: Any, y: Any, where: str, *, names: Sequence[Any] = (), classes: Sequence[Any] = ()
) -> Table:
    """A table from array-likes (lists, arrays, tensors, frames); DataError where they do not fit.

    Args:
        x: [N, ...] or [N] numbers, or a frame.
        y: [N] or [N, 1] labels.
        where: for messages.
        names: of the columns; those of a frame come first.
        classes: what the labels 0, 1, ... mean.
    """
    columns: tuple[RawColumn, ...] = ()
    if is_frame(x):
        check_unique([str(column) for column in x.columns], where)
        features, columns, count = None, raw_columns(x, where), len(x)
        names, empty = [column.name for column in columns], not columns
    else:
        features = _features(x, where)
        count, empty = len(features), len(features) > 0 and features[0].size == 0
    labels = _labels(y, where)
    if count != len(labels):
        raise DataError(f"{count} rows of features and {len(labels)} labels", where=where)
    if count == 0:
        raise DataError("no rows", where=where)
    if empty:
        raise DataError("no feature columns", where=where)
    return Table(features, labels, tuple(map(str, names)), tuple(map(str, classes)), where, columns)


def from_frame(
    frame: pd.DataFrame,
    target: str | None,
    where: str,
    aside: Sequence[str] = (),
    text: str | None = None,
    drop: Sequence[str] = (),
) -> Table:
    """A table from a pandas frame: `target` is the label, every other column a feature but those
    `aside` and those to `drop`; or the column `text` is the only one."""
    columns = [str(column) for column in frame.columns]
    check_unique(columns, where)
    if len(frame) == 0:
        raise DataError("no rows", where=where)
    if target is None:
        raise DataError(
            "no target given for a table", where=where, hint=f"columns: {', '.join(columns[:20])}"
        )
    named = (target, *aside, *([] if text is None else [text]))
    known = set(columns)
    for name in (*named, *drop):
        if name not in known:
            raise DataError(f"no column {name!r}", where=where, hint=nearest(name, columns))
    if target in named[1:]:
        cannot = "be the text" if target == text else "divide rows"
        raise DataError(f"column {target!r} is the target and cannot {cannot}", where=where)
    at = [columns.index(name) for name in named]
    kept = {name: frame.iloc[:, columns.index(name)] for name in aside}
    labels = _labels(frame.iloc[:, at[0]], where)
    away, comma = {*named, *drop}, writes_comma(frame)
    others = [name for name in columns if name not in away]
    if text is None:
        if not others:
            raise DataError("no feature columns", where=where)
        found = raw_columns(frame, where, away)  # not of a frame without them: a copy
        return Table(None, labels, tuple(others), (), where, found, kept, comma=comma)
    column = Text(text, strings(frame.iloc[:, at[-1]]), tuple(others))
    return Table(None, labels, (), (), where, (), kept, text=column, comma=comma)


def strings(written: pd.Series[Any]) -> NDArray[np.object_]:
    """The texts [N] of a column, empty where missing."""
    return written.astype(object).where(written.notna(), "").astype(str).to_numpy(dtype=object)


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
