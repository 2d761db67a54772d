"""Preprocessing: statistics of the training rows, applied to all.

A new kind is one function and one line in STATISTICS. Rows are read in chunks: no copy is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tuner.data.mapped import let_go
from tuner.errors import DataError, nearest

Array = NDArray[Any]
Index = NDArray[np.signedinteger[Any]]

CHUNK = 2**19
"""Numbers that are worked on at a time."""
LANDMARKS = 1000
"""At most so many values of a feature are kept to find ranks by."""


class Transform(Protocol):
    """What was learned of the training rows."""

    def __call__(self, values: Array) -> Array:
        """Rows [n, *shape] to numbers of the same shape."""

    def to_json(self) -> dict[str, Any]:
        """The record as plain values, with its `kind`."""


@dataclass(frozen=True, eq=False)
class Shifted:
    """(value - mean) / scale, each float64 [1, ...] that goes with [n, *shape]."""

    mean: Array
    scale: Array

    def __call__(self, values: Array) -> Array:
        # Wide enough that integers and large offsets keep their digits.
        wide = np.result_type(values.dtype, np.float32)
        found: Array = values - self.mean.astype(wide)
        found /= self.scale.astype(wide)
        return found

    def to_json(self) -> dict[str, Any]:
        return {"kind": "standard", "mean": self.mean.tolist(), "scale": self.scale.tolist()}


@dataclass(frozen=True)
class Unchanged:
    """The numbers as they are."""

    def __call__(self, values: Array) -> Array:
        return values

    def to_json(self) -> dict[str, Any]:
        return {"kind": "none"}


@dataclass(frozen=True, eq=False)
class Ranked:
    """A score of the rank in (0, 1) among the training rows, found between landmarks.

    Attributes:
        score: a name of SCORES.
        known: of each feature, ascending values and the rank of each.
    """

    score: str
    known: tuple[tuple[Array, Array], ...]

    def __call__(self, values: Array) -> Array:
        found, score = np.empty(values.shape), SCORES[self.score]
        for j, (value, rank) in enumerate(self.known):
            found[:, j] = score(np.interp(values[:, j], value, rank))
        return found

    def to_json(self) -> dict[str, Any]:
        known = [{"values": v.tolist(), "ranks": r.tolist()} for v, r in self.known]
        return {"kind": self.score, "features": known}


def from_json(record: Mapping[str, Any]) -> Transform:
    """What `to_json` of a transform gave; KeyError for anything else."""
    if record["kind"] == "none":
        return Unchanged()
    if record["kind"] == "standard":
        return Shifted(np.asarray(record["mean"], float), np.asarray(record["scale"], float))
    SCORES[record["kind"]]
    known = [
        (np.asarray(k["values"], float), np.asarray(k["ranks"], float)) for k in record["features"]
    ]
    return Ranked(record["kind"], tuple(known))


def chunks(x: Array, rows: Index, numbers: int = CHUNK) -> Iterator[tuple[slice, Array]]:
    """Those rows of x, so many numbers at a time, each with its place among ``rows``."""
    size = max(1, numbers // max(1, x[0].size))
    for start in range(0, len(rows), size):
        place = slice(start, start + size)
        yield place, x[rows[place]]
        let_go(x)


def standard(x: Array, rows: Index) -> Transform:
    """Mean 0 and deviation 1 of each feature; of each channel, for rows [C, H, W].

    A feature that does not vary has deviation 1, and so becomes 0.
    """
    axes = (0, 2, 3) if x.ndim == 4 else (0,)
    count = len(rows) * (x[0, 0].size if x.ndim == 4 else 1)
    total = sum(c.sum(axis=axes, dtype=np.float64, keepdims=True) for _, c in chunks(x, rows))
    mean = np.asarray(total / count)
    squares = sum(np.square(c - mean).sum(axis=axes, keepdims=True) for _, c in chunks(x, rows))
    deviation = np.sqrt(squares / count)
    # What rounding leaves of a constant is no deviation.
    varies = deviation > 10 * np.finfo(np.float64).eps * np.abs(mean)
    return Shifted(mean, np.where(varies, deviation, 1.0))


def none(x: Array, rows: Index) -> Transform:
    """The numbers as they are."""
    return Unchanged()


def uniform(x: Array, rows: Index) -> Transform:
    """Ranks among the training rows, scaled to mean 0 and deviation 1: in (-1.74, 1.74)."""
    return _ranked(x, rows, "uniform")


def quantile(x: Array, rows: Index) -> Transform:
    """Normal scores: the normal distribution's quantile at the rank among the training rows.

    Hazen 1914 for the ranks, (i - 0.5) / n; Conover 1999, section 5.10, for the scores.
    """
    return _ranked(x, rows, "quantile")


def _ndtri(rank: Array) -> Array:
    from scipy.special import ndtri

    return np.asarray(ndtri(rank))


SCORES: Mapping[str, Callable[[Array], Array]] = {
    "uniform": lambda rank: (rank - 0.5) * np.sqrt(12),
    "quantile": _ndtri,
}


def _ranked(x: Array, rows: Index, score: str) -> Transform:
    if x.ndim != 2:
        raise DataError(
            f"ranks are for tables, and a row has shape {list(x.shape[1:])}",
            where="data.preprocessing",
            hint='set preprocessing = "standard" or "none"',
        )
    return Ranked(score, tuple(_ranks(x[rows, j]) for j in range(x.shape[1])))


def _ranks(column: Array) -> tuple[Array, Array]:
    """Distinct values and their ranks in (0, 1), the mean rank where several rows are equal."""
    values, counts = np.unique(column.astype(np.float64), return_counts=True)
    ranks = (np.cumsum(counts) - counts / 2) / len(column)
    kept = np.linspace(0, len(values) - 1, min(LANDMARKS, len(values))).round().astype(np.int64)
    return values[kept], ranks[kept]


STATISTICS: Mapping[str, Callable[[Array, Index], Transform]] = {
    "standard": standard,
    "quantile": quantile,
    "uniform": uniform,
    "none": none,
}


def lookup(name: str) -> Callable[[Array, Index], Transform]:
    """The statistics of that name: all rows [N, *shape] and the places of those for training, to
    what is done with rows."""
    if name not in STATISTICS:
        raise DataError(
            f"unknown preprocessing {name!r}",
            where="data.preprocessing",
            hint=nearest(name, STATISTICS),
        )
    return STATISTICS[name]


def apply(transform: Transform, x: Array, rows: Index) -> NDArray[np.float32]:
    """Those rows as float32 [len(rows), *shape]."""
    found = np.empty((len(rows), *x.shape[1:]), dtype=np.float32)
    for place, chunk in chunks(x, rows):
        found[place] = transform(chunk)
    return found
