"""Draws rows at random so that rows which are appended later move none of those before them.

It is the second rule of DIVISIONS. Where a row goes depends on the seed and on the rows up to it.
The rows of a class are walked in their order, in blocks of 1 / share of them: one row of a block is
held out, at a place that the seed and the class decide. So each share is met within a row by every
beginning of a class, and the first few rows of a class are in every split. The test rows are taken
first, and those for validation from the rest: another share for validation moves no row to or from
the test.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.data.labels import Labels
from tuner.data.spec import DataSpec
from tuner.seeds import derive

Index = NDArray[np.int64]
TRAIN, VALIDATION, TEST = range(3)
"""The split of a row."""
ROUNDING = 1e-9
"""Tolerance in rows: 3 / 0.1 are 30."""


# Rows of classes, or of a quantity.


def stable_split(labels: Labels, spec: DataSpec) -> Index:
    """TRAIN, VALIDATION or TEST for each row; the sizes of the classes were checked."""
    part = np.full(len(labels.values), TRAIN)
    for name, rows in _classes(labels):
        test = _test_rows(len(rows), name, labels, spec)
        left = rows[~test]
        share = spec.validation / (1 - spec.test)
        part[rows[test]] = TEST
        held = _held_out(len(left), share, least(labels), 2, (spec.seed, "validation", name))
        part[left[held]] = VALIDATION
    return part


def stable_folds(labels: Labels, spec: DataSpec, count: int, outside: int) -> Index:
    """A fold for each row, or `outside` for the test rows, which are those without folds.

    Of as many rows of a class as there are folds, one goes to each, in an order that the seed
    decides. A class that is hardly enough for the folds gives them the last of its test rows.
    """
    fold = np.full(len(labels.values), outside)
    for name, rows in _classes(labels):
        test = _test_rows(len(rows), name, labels, spec)
        most = len(rows) - least(labels) * count
        test &= np.cumsum(test) <= most
        left = rows[~test]
        blocks = math.ceil(len(left) / count)
        keys = _stream(blocks * count, spec.seed, "folds", name).reshape(blocks, count)
        fold[left] = np.argsort(keys, axis=1).reshape(-1)[: len(left)]
    return fold


def least(labels: Labels) -> int:
    """How many rows of a class are in every split, or of all where the target is a quantity."""
    return 1 if labels.classes else 2


def _classes(labels: Labels) -> Iterator[tuple[str, Index]]:
    """The name and the rows of each class, in order; all rows where the target is a quantity."""
    if not labels.classes:
        yield "", np.arange(len(labels.values))
        return
    order = np.argsort(labels.values, kind="stable")
    ends = np.cumsum(np.bincount(labels.values, minlength=len(labels.classes)))
    yield from zip(labels.classes, np.split(order, ends[:-1]), strict=True)


def _test_rows(count: int, name: str, labels: Labels, spec: DataSpec) -> NDArray[np.bool_]:
    return _held_out(count, spec.test, least(labels), 3, (spec.seed, "test", name))


def _held_out(
    count: int, share: float, few: int, splits: int, seed: tuple[int | str, ...]
) -> NDArray[np.bool_]:
    """Which of so many rows are held out: a `few` of the first `few * splits`, as many as are left
    to each of the other splits, and then a row of each block."""
    held = np.zeros(count, dtype=bool)
    if share == 0 or count == 0:
        return held
    first = few * splits
    blocks = np.arange(few, max(few, math.ceil(count * share)))
    keys = _stream(first + len(blocks), *seed)
    starts = np.ceil(np.append(blocks, blocks[-1:] + 1) / share - ROUNDING).astype(np.int64)
    lengths = np.diff(starts).astype(np.uint64)
    places = starts[:-1] + (keys[first:] % np.maximum(lengths, 1)).astype(np.int64)
    # After the first rows, and each after the one before it.
    steps = np.arange(len(places))
    places = np.maximum.accumulate(np.maximum(places, first) - steps) + steps
    chosen = np.concatenate((np.argsort(keys[:first])[:few], places))
    held[chosen[chosen < count]] = True
    return held


def _stream(count: int, *seed: int | str) -> NDArray[np.uint64]:
    """Random numbers; with a larger count more follow. The same in every version of NumPy."""
    numbers: NDArray[np.uint64] = np.random.PCG64(derive("division", *seed)).random_raw(count)
    return numbers


# Whole groups.


def stable_groups(codes: Index, spec: DataSpec) -> Index:
    """TRAIN, VALIDATION or TEST for each row, the same for all rows of a group.

    Args:
        codes: the group of each row; at least as many of them as there are splits.

    The first group is trained on, and of the next ones one goes to each other split. From then on
    a group is held out where its first row finds the split behind its share.
    """
    test = _groups_held_out(codes, spec.test, 3, (spec.seed, "test"))
    part = np.where(test, TEST, TRAIN)
    left = np.flatnonzero(~test)
    share = spec.validation / (1 - spec.test)
    held = _groups_held_out(codes[left], share, 2, (spec.seed, "validation"))
    part[left[held]] = VALIDATION
    return part


def stable_test_groups(codes: Index, spec: DataSpec) -> NDArray[np.bool_]:
    """The rows that ``stable_groups`` takes for the test, whatever the share for validation is."""
    return _groups_held_out(codes, spec.test, 3, (spec.seed, "test"))


def _groups_held_out(
    codes: Index, share: float, splits: int, seed: tuple[int | str, ...]
) -> NDArray[np.bool_]:
    """Which rows are of groups that are held out.

    A group is where the rows so far that are held out are fewer than the share by more than a
    random part of a group of average size.
    """
    if share == 0:
        return np.zeros(len(codes), dtype=bool)
    keys = _stream(1 + int(codes.max(initial=0)) + 1, "groups", *seed)
    chosen = 1 + int(keys[0] % np.uint64(splits - 1))

    def place(number: int, before: int, sizes: Index) -> int:
        if number < splits:
            return int(number == chosen)
        behind = share * (before + 1) - int(sizes[1])
        return int(behind * number > float(keys[1 + number] / 2.0**64) * before)

    return np.asarray(_place_groups(codes, 2, place) == 1)


def stable_group_folds(codes: Index, seed: int, count: int) -> Index:
    """A fold for each row: a group goes where its first row finds the fewest rows."""
    keys = _stream(count, seed, "group folds")

    def place(number: int, before: int, sizes: Index) -> int:
        return int(np.lexsort((keys, sizes))[0])

    return _place_groups(codes, count, place)


def _place_groups(codes: Index, count: int, place: Callable[[int, int, Index], int]) -> Index:
    """A place in [0, count) for each row, chosen once for each group at its first row.

    Args:
        place: called with the group's number in their order, the rows before it, and how many of
            these have each place.
    """
    _, firsts = np.unique(codes, return_index=True)
    of_group = np.zeros(1 + int(codes.max(initial=0)), dtype=np.int64)
    sizes, done = np.zeros(count, dtype=np.int64), 0
    for number, first in enumerate(np.sort(firsts).tolist()):
        sizes += np.bincount(of_group[codes[done:first]], minlength=count)
        of_group[codes[first]] = place(number, first, sizes)
        done = first
    places: Any = of_group[codes]
    return np.asarray(places, dtype=np.int64)
