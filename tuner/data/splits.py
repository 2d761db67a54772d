"""Which rows are for training, for validation and for the test.

The raw stream of PCG64 is the same in every version of NumPy, so workers on several machines divide
alike. The test rows are taken first: another share for validation never moves a row between the
test and the search. By the first of DIVISIONS each row draws one random number from the seed and
its own position, and the order of these numbers decides; ``stable`` has the second.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.data import stable
from tuner.data.labels import Labels
from tuner.data.spec import DataSpec
from tuner.errors import DataError

Index = NDArray[np.int64]
Places = NDArray[np.signedinteger[Any]]


@dataclass(frozen=True)
class Rows:
    """Positions of the rows of each kind, ascending: disjoint, and together all rows."""

    train: Places
    validation: Places
    test: Places

    @classmethod
    def of(cls, part: NDArray[Any]) -> Rows:
        """By what each row is: 0, 1 or, for the test, 2."""
        return cls(*(np.flatnonzero(part == kind) for kind in range(3)))

    @property
    def searched(self) -> Places:
        """Those for training and validation, ascending."""
        return np.sort(np.concatenate((self.train, self.validation)))

    def small(self) -> Rows:
        """The same in half the memory, where there are fewer than 2**31 rows: folds have many."""
        parts = (self.train, self.validation, self.test)
        if any(len(part) and part[-1] >= 2**31 for part in parts):
            return self
        return Rows(*(part.astype(np.int32, copy=False) for part in parts))


def split(labels: Labels, spec: DataSpec, where: str) -> Rows:
    """Divide rows at random; for classification, each class in the same proportions (stratified).

    A class has at least one row in each split.

    Raises:
        DataError: a class, or a split, is too small for that.
    """
    group = strata(labels)
    sizes = np.bincount(group)
    if labels.classes:
        _check_classes(sizes, labels.classes, spec, where)
    else:
        _check_rows(len(group), spec, where)
    if spec.division > 1:
        return Rows.of(stable.parts(labels, spec))
    kinds = 2 + (spec.test > 0)
    test = np.minimum(share(sizes, spec.test), sizes - (kinds - 1))
    validation = np.minimum(share(sizes, spec.validation), sizes - test - 1)

    order, place = shuffled(group, spec.seed)
    test_end = np.repeat(test, sizes)
    validation_end = np.repeat(test + validation, sizes)
    return Rows(
        train=np.sort(order[place >= validation_end]),
        validation=np.sort(order[(place >= test_end) & (place < validation_end)]),
        test=np.sort(order[place < test_end]),
    )


def strata(labels: Labels) -> Index:
    """What is divided alike: the class of each row; 0 for a quantity."""
    return labels.values if labels.classes else np.zeros(len(labels.values), dtype=np.int64)


def shuffled(group: Index, seed: int) -> tuple[Index, Index]:
    """Rows class by class, in random order within each, and the place of each in its class."""
    keys = np.random.PCG64(seed).random_raw(len(group))
    sizes = np.bincount(group)
    starts = np.cumsum(sizes) - sizes
    return np.lexsort((keys, group)), np.arange(len(group)) - np.repeat(starts, sizes)


def share(sizes: Index, fraction: float) -> Index:
    """Rows of each class to hold out: in proportion, by largest remainder, at least one."""
    if fraction == 0:
        return np.zeros_like(sizes)
    exact = sizes * fraction
    held = np.floor(exact).astype(np.int64)
    left = max(0, _round(int(sizes.sum()) * fraction) - int(held.sum()))
    held[np.argsort(held - exact, kind="stable")[:left]] += 1
    counts: Index = np.maximum(held, 1)
    return counts


def _check_classes(sizes: Index, classes: tuple[str, ...], spec: DataSpec, where: str) -> None:
    kinds = 2 + (spec.test > 0)
    smallest = int(sizes.argmin())
    size, few = int(sizes[smallest]), int((sizes < kinds).sum())
    if few:
        others = f" (so are {few - 1} more)" if few > 1 else ""
        without = "set test = 0, for which 2 rows are enough, or " if size == 2 else ""
        raise DataError(
            f"class {classes[smallest]!r} is too small{others}: it has {_rows(size)}, "
            f"and each of {kinds} splits needs one",
            where=where,
            hint=f"{without}give at least {kinds} rows of each class, or remove the class; "
            'for a target that is a quantity, set task = "regression"',
        )
    _check_held(int(sizes.sum()), len(sizes), f"one of each of {len(sizes)} classes", spec, where)


def _check_rows(count: int, spec: DataSpec, where: str) -> None:
    if count < 6:
        raise DataError(f"{_rows(count)} cannot be divided", where=where, hint="give more rows")
    _check_held(count, 2, "two", spec, where)


def _check_held(count: int, need: int, what: str, spec: DataSpec, where: str) -> None:
    for name, fraction in (("validation", spec.validation), ("test", spec.test)):
        held = _round(count * fraction)
        if fraction > 0 and held < need:
            raise DataError(
                f"{name} = {fraction} of {_rows(count)} is {_rows(held)}, and it needs {what}",
                where=where,
                hint=f"set {name} = {math.ceil(1000 * need / count) / 1000} or more",
            )


def _round(value: float) -> int:
    return math.floor(value + 0.5)


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"
