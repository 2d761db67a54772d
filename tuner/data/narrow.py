"""Columns of a large table in as few bytes as they need, each in memory of its own.

Whole numbers stay exact: they take the smallest integers that hold them. Other numbers become
float32, as the features will be, where that moves none by more than some 2e-6 of the column's
deviation; where it would, as for coordinates or amounts with a large mean, they stay float64.
All statistics are computed in float64.
"""

from __future__ import annotations

import ctypes
import mmap
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

OFFSET = 32.0
"""Float32 keeps 24 bits: at a mean of so many deviations it moves a number by 2e-6 of one."""
WITH_FRACTIONS = 2.0**22
"""Float32 has no fractions, so that numbers could look like identifiers, from twice as much on."""
SMALLEST = 2.0**-100
"""Deviations down to which float32 has all its bits."""
SMALL = 2**16
"""Bytes; smaller arrays come from the allocator, which keeps what was freed for later ones."""


def fresh(count: int, dtype: Any) -> NDArray[Any]:
    """An array [count] whose memory goes back to the system when it is freed, and of which only
    what was written is taken."""
    size = count * np.dtype(dtype).itemsize
    if size < SMALL:
        return np.empty(count, dtype)
    return np.frombuffer(mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), dtype)


def give_back() -> None:
    """Returns to the system what the allocator keeps of freed memory, where it can (glibc)."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def narrow(values: NDArray[Any]) -> NDArray[Any]:
    """The numbers [n] in fewer bytes, or as they are where these would not do; NaN stays NaN."""
    if values.dtype.kind in "iu":
        return values.astype(_whole(values))
    if values.dtype != np.float64:
        return values
    with np.errstate(over="ignore"):
        small = values.astype(np.float32)
    present = ~np.isnan(values)
    wide = values[present]
    return small if np.array_equal(small[present], wide) or _harmless(wide) else values


def _whole(values: NDArray[Any]) -> np.dtype[Any]:
    """The smallest integers of the same kind that hold all."""
    low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    known = [np.dtype(f"{values.dtype.kind}{size}") for size in (1, 2, 4, 8)]
    fits = (each for each in known if np.iinfo(each).min <= low and high <= np.iinfo(each).max)
    return next(fits)


def _harmless(values: NDArray[Any]) -> bool:
    """Whether float32 is enough for numbers that it does not hold exactly."""
    if not np.abs(values).max() < WITH_FRACTIONS or (values == np.floor(values)).all():
        return False
    mean, deviation = abs(float(values.mean())), float(values.std())
    return deviation > SMALLEST and mean <= OFFSET * deviation


class Grown:
    """Numbers that come piece by piece, narrowed or as they are."""

    def __init__(self, narrowed: bool) -> None:
        self._narrowed = narrowed
        self._held: NDArray[Any] = np.empty(0, np.int8)
        self._count = 0

    def add(self, values: NDArray[Any]) -> None:
        """The next numbers [n]."""
        small = narrow(values) if self._narrowed else values
        dtype = np.result_type(self._held, small) if self._count else small.dtype
        start, self._count = self._count, self._count + len(small)
        if dtype != self._held.dtype or self._count > len(self._held):
            larger = fresh(max(self._count, 2 * start), dtype)
            larger[:start] = self._held[:start]
            self._held = larger
        self._held[start : self._count] = small

    @property
    def values(self) -> NDArray[Any]:
        """All numbers so far."""
        return self._held[: self._count]
