"""Preprocessing: statistics of the training rows, applied to all.

A new kind is one function and one line in STATISTICS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.errors import DataError, nearest

Array = NDArray[Any]


def standard(train: Array) -> tuple[Array, Array]:
    """Mean and deviation of each feature; of each channel, for rows [C, H, W].

    A feature that does not vary has deviation 1, and so becomes 0.
    """
    axes = (0, 2, 3) if train.ndim == 4 else (0,)
    mean = train.mean(axis=axes, dtype=np.float64, keepdims=True)
    deviation = train.std(axis=axes, dtype=np.float64, keepdims=True)
    # What rounding leaves of a constant is no deviation.
    varies = deviation > 10 * np.finfo(np.float64).eps * np.abs(mean)
    return mean, np.where(varies, deviation, 1.0)


def none(train: Array) -> tuple[Array, Array]:
    """The numbers as they are."""
    return np.zeros(1), np.ones(1)


STATISTICS: Mapping[str, Callable[[Array], tuple[Array, Array]]] = {
    "standard": standard,
    "none": none,
}


def lookup(name: str) -> Callable[[Array], tuple[Array, Array]]:
    """The statistics of that name: rows [N, *shape] to (shift, scale), both broadcast over rows."""
    if name not in STATISTICS:
        raise DataError(
            f"unknown preprocessing {name!r}",
            where="data.preprocessing",
            hint=nearest(name, STATISTICS),
        )
    return STATISTICS[name]


def apply(rows: Array, shift: Array, scale: Array) -> NDArray[np.float32]:
    """(rows - shift) / scale as float32; computed wide enough that integers and large offsets keep
    their digits."""
    wide = np.result_type(rows.dtype, np.float32)
    values = rows - shift.astype(wide)
    values /= scale.astype(wide)
    narrow: NDArray[np.float32] = values.astype(np.float32, copy=False)
    return narrow
