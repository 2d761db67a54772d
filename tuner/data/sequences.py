"""Sequences of numbers of different lengths: rows that are filled up with NaN at the end.

A row is [L], or [L, C] with C numbers for each step. Networks for sequences read the NaN as the end
of a row, like the 0 after a text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.data import prepare
from tuner.data.prepare import Index, Shifted, Transform, Unchanged
from tuner.data.raw import Naming, counted
from tuner.data.tables import Table
from tuner.errors import DataError

Array = NDArray[Any]


def is_sequence(x: Array) -> bool:
    """Whether a row may have another length than others: one of floating-point numbers does."""
    return x.ndim in (1, 2) and x.dtype.kind == "f"


def fits(one: Array, other: Array) -> bool:
    """Whether two rows differ in nothing but their length."""
    both = is_sequence(one) and is_sequence(other)
    return both and one.ndim == other.ndim and one.shape[1:] == other.shape[1:]


def stacked(rows: Sequence[Array]) -> Array:
    """Rows [n, longest, ...], filled up at the end."""
    longest = max(map(len, rows))
    if all(len(row) == longest for row in rows):
        return np.stack(rows)
    return np.stack([extended(row[None], longest)[0] for row in rows])


def of_list(value: Any, where: str) -> Any:
    """A list of sequences of different lengths as rows; any other value as it is.

    Raises:
        DataError: rows of different lengths are not sequences of numbers with a point.
    """
    listed = isinstance(value, np.ndarray) and value.dtype.kind == "O" and value.ndim == 1
    if not (listed or isinstance(value, list | tuple)) or not len(value):
        return value
    try:
        rows = [np.asarray(row) for row in value]
    except (TypeError, ValueError, RuntimeError):
        return value
    if any(row.ndim == 0 for row in rows):
        return value
    if len({len(row) for row in rows}) > 1:
        _check_alike(rows, where)
        return stacked(rows)
    return np.stack(rows) if listed and len({row.shape for row in rows}) == 1 else value


def _check_alike(rows: Sequence[Array], where: str) -> None:
    """DataError where rows of different lengths are no sequences; names the first."""
    first, sizes = rows[0], [len(row) for row in rows]
    if 0 in sizes:
        raise DataError(f"{counted(sizes.index(0))} is empty", where=where, hint="remove this row")
    odd = next((at for at, row in enumerate(rows) if not fits(first, row)), None)
    if odd is None:
        return
    at = odd or next(at for at, size in enumerate(sizes) if size != sizes[0])
    row = rows[at]
    others, its = (f"{each.dtype} of shape {list(each.shape)}" for each in (first, row))
    what = f"{counted(at)} is {its}, and {counted(0)} {others}"
    hint = "make them equal, or all of them sequences [L] or [L, C]"
    if row.ndim == first.ndim <= 2 and row.shape[1:] == first.shape[1:]:
        hint = "sequences of different lengths need numbers with a point: x.astype(float)"
    raise DataError(what, where=where, hint=hint)


def extended(x: Array, length: int) -> Array:
    """Rows [n, l, ...] as [n, length, ...], filled up at the end; themselves where they are."""
    if x.shape[1] == length:
        return x
    longer = np.full((len(x), length, *x.shape[2:]), np.nan, x.dtype)
    longer[:, : x.shape[1]] = x
    return longer


def joined(parts: Sequence[Array]) -> Array:
    """Rows of several arrays, each with a length of its own."""
    longest = max(part.shape[1] for part in parts)
    return np.concatenate([extended(part, longest) for part in parts])


def ends(x: Array) -> NDArray[np.bool_]:
    """Where [n, L] a row of floating-point numbers [n, L, ...] has ended."""
    nothing: Any = np.isnan(x.reshape(*x.shape[:2], -1)).all(2)
    ended: NDArray[np.bool_] = np.logical_and.accumulate(nothing[:, ::-1], axis=1)[:, ::-1]
    return ended


def lengths(x: Array) -> NDArray[np.int64]:
    """How many steps [n] rows have before their end."""
    return np.asarray(x.shape[1] - ends(x).sum(1))


def odd(x: Array) -> NDArray[np.bool_]:
    """Where numbers [n, ...] are not finite, or too large for float32; in a sequence before its end
    alone, of which at least one step is before it."""
    strange = ~(np.abs(x) <= np.finfo(np.float32).max)
    if x.ndim in (2, 3) and strange.any():
        known = ~ends(x)
        known[:, 0] = True
        strange &= known.reshape(*known.shape, *[1] * (x.ndim - 2))
    return strange


def in_words(counts: NDArray[np.int64], rows: Index, name: Naming) -> str:
    """How long rows are, for people, with the shortest and the longest."""
    both = (int(counts.min()), int(counts.max()))
    ends = (f"{each} ({name(int(rows[counts == each].min()))})" for each in both)
    return f"rows are sequences of {' to '.join(ends)} steps"


# Statistics: each channel has the same at all steps, of which the last ones are few.


@dataclass(frozen=True)
class Moments:
    """Count, mean and sum of squared differences of each channel, as [1, 1] or [1, 1, C]."""

    count: Array
    mean: Array
    squares: Array

    @classmethod
    def of(cls, x: Array) -> Moments:
        """Of the steps of some rows."""
        known = ~np.isnan(x)
        count = known.sum((0, 1), keepdims=True)
        wide = np.where(known, x, 0).astype(np.float64)
        mean = wide.sum((0, 1), keepdims=True) / np.maximum(count, 1)
        squares = np.square(np.where(known, wide - mean, 0)).sum((0, 1), keepdims=True)
        return cls(count, mean, squares)

    def joined(self, other: Moments) -> Moments:
        """Of these rows and of others (Chan et al. 1979)."""
        count = self.count + other.count
        share, shift = other.count / np.maximum(count, 1), other.mean - self.mean
        squares = self.squares + other.squares + np.square(shift) * self.count * share
        return Moments(count, self.mean + shift * share, squares)

    @property
    def standardizing(self) -> Shifted:
        """Mean 0 and deviation 1; a channel that does not vary becomes 0."""
        deviation = np.sqrt(self.squares / np.maximum(self.count, 1))
        varies = deviation > 10 * np.finfo(np.float64).eps * np.abs(self.mean)
        return Shifted(self.mean, np.where(varies, deviation, 1.0))


def transform(name: str, x: Array, rows: Index) -> Transform:
    """The statistics of that name, of some rows."""
    check_statistics(name)
    if name == "none":
        return Unchanged()
    total: Moments | None = None
    for _, part in prepare.chunks(x, rows):
        own = Moments.of(part)
        total = own if total is None else total.joined(own)
    assert total is not None
    return total.standardizing


def check_statistics(name: str) -> None:
    """DataError for statistics of a column, of which sequences have none."""
    prepare.lookup(name)
    if name not in ("standard", "none"):
        raise DataError(
            f"{name} needs rows of one length",
            where="data.preprocessing",
            hint='use "standard" or "none"',
        )


# Tables of such rows.


def of_columns(table: Table, shape: tuple[int, ...] | None) -> Table:
    """A table whose columns are the numbers of a sequence of that shape, as an array, where one of
    them misses a number; any other as it is.

    Raises:
        DataError: such a table is not in memory.
    """
    if shape is None or len(shape) > 2 or math.prod(shape) != len(table.columns):
        return table
    if any(raw.categories is not None for raw in table.columns):
        return table
    floats = (raw.values for raw in table.columns if raw.values.dtype.kind == "f")
    if not any(np.isnan(values).any() for values in floats):
        return table
    if table.folder is not None:
        raise DataError(
            "a table of sequences of different lengths is read into memory as a whole, for which "
            "it is too large",
            where=table.where,
            hint="raise data.in_memory, or write its rows into an NPZ file as x [N, L, C]",
        )
    return _as_array(table)


def alike(table: Table, test: Table) -> Table:
    """A second table in the form of the first, where that is an array made of columns."""
    if table.x is None or not test.columns:
        return test
    known = {raw.name: raw for raw in test.columns if raw.categories is None}
    if not known.keys() >= {*table.names}:
        return test
    return _as_array(replace(test, columns=tuple(known[name] for name in table.names)))


def _as_array(table: Table) -> Table:
    x = np.stack([raw.values.astype(np.float64) for raw in table.columns], 1)
    return replace(table, x=x, names=tuple(raw.name for raw in table.columns), columns=())
