"""Splits rows into training, validation and test rows, and prepares the test rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.data.labels import Labels, encode_like
from tuner.data.memory import fresh
from tuner.data.raw import RawColumn, coded, numbers
from tuner.data.spec import DataSpec
from tuner.data.tables import Table, Text
from tuner.errors import DataError, nearest
from tuner.seeds import derive

# Rows divided so that rows which are appended later move none of those before them.
#
# Where a row goes depends on the seed and on the rows up to it. The rows of a class are walked in
# their order, in blocks of 1 / share of them: one row of a block is held out, at a place that the
# seed and the class decide. So each share is met within a row by every beginning of a class, and
# the
# first few rows of a class are in every split. The test rows are taken first, and those for
# validation of what is left: another share for validation moves no row to or from the test.


TRAIN, VALIDATION, TEST = range(3)
ROUNDING = 1e-9
"""Of rows: 3 / 0.1 are 30."""


def parts(labels: Labels, spec: DataSpec) -> Index:
    """TRAIN, VALIDATION or TEST for each row; the sizes of the classes were checked."""
    found = np.full(len(labels.values), TRAIN)
    for name, rows in _classes(labels):
        test = _test(len(rows), name, labels, spec)
        left = rows[~test]
        share = spec.validation / (1 - spec.test)
        found[rows[test]] = TEST
        held = _held_out(len(left), share, least(labels), 2, (spec.seed, "validation", name))
        found[left[held]] = VALIDATION
    return found


def folds(labels: Labels, spec: DataSpec, count: int, outside: int) -> Index:
    """A fold for each row, or `outside` for the test rows, which are those without folds.

    Of as many rows of a class as there are folds, one goes to each, in an order that the seed
    decides. A class that is hardly enough for the folds gives them the last of its test rows.
    """
    found = np.full(len(labels.values), outside)
    for name, rows in _classes(labels):
        test = _test(len(rows), name, labels, spec)
        most = len(rows) - least(labels) * count
        test &= np.cumsum(test) <= most
        left = rows[~test]
        blocks = math.ceil(len(left) / count)
        keys = _stream(blocks * count, spec.seed, "folds", name).reshape(blocks, count)
        found[left] = np.argsort(keys, axis=1).reshape(-1)[: len(left)]
    return found


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


def _test(count: int, name: str, labels: Labels, spec: DataSpec) -> NDArray[np.bool_]:
    return _held_out(count, spec.test, least(labels), 3, (spec.seed, "test", name))


def _held_out(
    count: int, share: float, few: int, splits: int, seed: tuple[int | str, ...]
) -> NDArray[np.bool_]:
    """Which of so many rows are held out: a `few` of the first `few * splits`, as many as are left
    to each of the other splits, and then a row of each block."""
    found = np.zeros(count, dtype=bool)
    if share == 0 or count == 0:
        return found
    first = few * splits
    blocks = np.arange(few, max(few, math.ceil(count * share)))
    keys = _stream(first + len(blocks), *seed)
    starts = np.ceil(np.append(blocks, blocks[-1:] + 1) / share - ROUNDING).astype(np.int64)
    lengths = np.diff(starts).astype(np.uint64)
    places = starts[:-1] + (keys[first:] % np.maximum(lengths, 1)).astype(np.int64)
    # After the first rows, and each after the one before it: what is late is made up for.
    steps = np.arange(len(places))
    places = np.maximum.accumulate(np.maximum(places, first) - steps) + steps
    chosen = np.concatenate((np.argsort(keys[:first])[:few], places))
    found[chosen[chosen < count]] = True
    return found


def _stream(count: int, *seed: int | str) -> NDArray[np.uint64]:
    """Random numbers, of which more only follow; the same in every version of NumPy."""
    found: NDArray[np.uint64] = np.random.PCG64(derive("division", *seed)).random_raw(count)
    return found


def groups(codes: Index, spec: DataSpec) -> Index:
    """TRAIN, VALIDATION or TEST for each row, the same for all rows of a group.

    Args:
        codes: the group of each row; at least as many of them as there are splits.

    The first group is trained on, and of the next ones one goes to each other split. From then on
    a group is held out where its first row finds the split behind its share.
    """
    test = _groups_held_out(codes, spec.test, 3, (spec.seed, "test"))
    found = np.where(test, TEST, TRAIN)
    left = np.flatnonzero(~test)
    share = spec.validation / (1 - spec.test)
    held = _groups_held_out(codes[left], share, 2, (spec.seed, "validation"))
    found[left[held]] = VALIDATION
    return found


def test_groups(codes: Index, spec: DataSpec) -> NDArray[np.bool_]:
    """The rows that ``groups`` takes for the test, whatever the share for validation is."""
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

    return np.asarray(_walked(codes, 2, place) == 1)


def group_folds(codes: Index, seed: int, count: int) -> Index:
    """A fold for each row: a group goes where its first row finds the fewest rows."""
    keys = _stream(count, seed, "group folds")

    def place(number: int, before: int, sizes: Index) -> int:
        return int(np.lexsort((keys, sizes))[0])

    return _walked(codes, count, place)


def _walked(codes: Index, count: int, place: Callable[[int, int, Index], int]) -> Index:
    """A place in [0, count) for each row, asked for once for each group at its first row.

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
    found: Any = of_group[codes]
    return np.asarray(found, dtype=np.int64)


# Which rows are for training, for validation and for the test.
#
# The raw stream of PCG64 is the same in every version of NumPy, so workers on several machines
# divide
# alike. The test rows are taken first: another share for validation never moves a row between the
# test and the search. By the first of DIVISIONS each row draws one random number from the seed and
# its own position, and the order of these numbers decides; ``stable`` has the second.


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
        return Rows.of(parts(labels, spec))
    kinds = 2 + (spec.test > 0)
    test = np.minimum(share_of(sizes, spec.test), sizes - (kinds - 1))
    validation = np.minimum(share_of(sizes, spec.validation), sizes - test - 1)

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


def share_of(sizes: Index, fraction: float) -> Index:
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
            f"but each of {kinds} splits needs one",
            where=where,
            hint=f"{without}provide at least {kinds} rows of each class, or remove the class; "
            'for a numeric target, set task = "regression"',
        )
    _check_held(int(sizes.sum()), len(sizes), f"one of each of {len(sizes)} classes", spec, where)


def _check_rows(count: int, spec: DataSpec, where: str) -> None:
    if count < 6:
        raise DataError(
            f"{_rows(count)} cannot be split", where=where, hint="at least 6 are needed"
        )
    _check_held(count, 2, "two", spec, where)


def _check_held(count: int, need: int, what: str, spec: DataSpec, where: str) -> None:
    for name, fraction in (("validation", spec.validation), ("test", spec.test)):
        held = _round(count * fraction)
        if fraction > 0 and held < need:
            raise DataError(
                f"{name} = {fraction} of {_rows(count)} is {_rows(held)}, but it needs {what}",
                where=where,
                hint=f"set {name} = {math.ceil(1000 * need / count) / 1000} or more",
            )


def _round(value: float) -> int:
    return math.floor(value + 0.5)


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


# Test rows beside the rows of a search, for a final number alone.
#
# They are a part of the same file, or in files of their own; what is learned is learned without
# them.


def final_rows(rows: Rows) -> Rows:
    """All rows for training and validation to train on, and the test rows to measure.

    Raises:
        DataError: there are no test rows.
    """
    if not len(rows.test):
        raise DataError(
            "there are no test rows",
            where="data.test",
            hint='set a share (test = 0.2), a second file (test_path = "test.csv") or a column '
            "(split), and search again: the training rows change",
        )
    return Rows(rows.searched, rows.test, np.empty(0, dtype=np.int64))


def without_test(columns: list[RawColumn], kept: Places) -> None:
    """Leaves only the rows to keep in columns, one after the other, so that a copy of one is made
    at a time."""
    for at, raw in enumerate(columns):
        values = fresh(len(kept), raw.values.dtype)
        np.take(raw.values, kept, out=values, mode="clip")  # the default mode makes a copy
        columns[at] = replace(raw, values=values)


def among(kept: Places, rows: Rows) -> Rows:
    """The same rows for training and validation, counted among those that are kept."""
    none = np.empty(0, dtype=np.int64)
    return Rows(np.searchsorted(kept, rows.train), np.searchsorted(kept, rows.validation), none)


def check_fits(table: Table, labels: Labels, test: Table) -> Labels:
    """The labels of the rows of a second table, which are to be the test rows of the first.

    Raises:
        DataError: a column or class that is not there, or rows of another kind or shape.
    """
    values = encode_like(test, labels)
    if table.text is not None:
        _check_text(table.text, test)
    elif table.x is not None:
        _check_array(table.x, test)
    for raw in table.columns:
        other = _same(raw, test)
        if raw.kind == "numeric":
            numbers(other, test.where)
    return replace(labels, values=values)


def append(table: Table, labels: Labels, rows: Rows, test: Table) -> tuple[Table, Labels, Rows]:
    """The rows of a second table after those of the first, as its test rows; errors as those of
    ``check_fits``."""
    count = len(labels.values)
    values = np.concatenate((labels.values, encode_like(test, labels)))
    if table.text is not None:
        texts = np.concatenate((table.text.values, _check_text(table.text, test)))
        both = replace(table, text=replace(table.text, values=texts), y=values)
    elif table.x is None:
        columns = tuple(_joined(raw, _same(raw, test), test.where) for raw in table.columns)
        both = replace(table, columns=columns, y=values)
    else:
        both = replace(table, x=np.concatenate((table.x, _check_array(table.x, test))), y=values)
    places = np.arange(count, len(values))
    return both, replace(labels, values=values), replace(rows, test=places)


def _check_text(text: Text, test: Table) -> NDArray[np.object_]:
    if test.text is None:  # a table has one where it was asked for
        raise DataError(f"no column {text.name!r}", where=test.where)
    return test.text.values


def _check_array(x: NDArray[Any], test: Table) -> NDArray[Any]:
    if test.x is None or test.x.shape[1:] != x.shape[1:]:
        found = "columns" if test.x is None else f"rows of shape {list(test.x.shape[1:])}"
        raise DataError(
            f"{found}, but the training rows have shape {list(x.shape[1:])}",
            where=test.where,
            hint="give the test rows in the same form",
        )
    return test.x


def _same(raw: RawColumn, test: Table) -> RawColumn:
    for other in test.columns:
        if other.name == raw.name:
            return other
    names = [column.name for column in test.columns]
    raise DataError(f"no column {raw.name!r}", where=test.where, hint=nearest(raw.name, names))


def _joined(raw: RawColumn, other: RawColumn, where: str) -> RawColumn:
    """A column and its test rows; categories that only these have come last."""
    if raw.kind == "numeric":
        return replace(raw, values=np.concatenate((raw.values, numbers(other, where))))
    (codes, texts), (more, meant) = coded(raw), coded(other)
    known = {text: code for code, text in enumerate(texts)}
    for text in meant:
        known.setdefault(text, len(known))
    place = np.array([*(known[text] for text in meant), -1], dtype=np.int64)  # the last: missing
    values = np.concatenate((codes, place[more]))
    return replace(raw, values=values, categories=np.array(list(known), dtype=object))
