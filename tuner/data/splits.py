"""Decides which rows are for training, for validation and for the test, also in folds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tuner.data import dates
from tuner.data.labels import Labels
from tuner.data.spec import DataSpec
from tuner.data.stable import (
    TEST,
    TRAIN,
    VALIDATION,
    Index,
    least,
    stable_folds,
    stable_group_folds,
    stable_groups,
    stable_split,
    stable_test_groups,
)
from tuner.data.tables import Table
from tuner.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


# The rows of each kind.


Places = NDArray[np.signedinteger[Any]]
PARTS = ("train", "validation", "test")
Rule = Callable[["pd.Series[Any]", DataSpec, str], NDArray[Any]]
"""From a column to the split or fold of each row; the text is for messages."""


@dataclass(frozen=True)
class Rows:
    """Positions of the rows of each kind, ascending: together all rows, and disjoint, but where the
    test rows are trained on."""

    train: Places
    validation: Places
    test: Places

    @classmethod
    def of(cls, part: NDArray[Any]) -> Rows:
        """The positions by the split of each row: TRAIN, VALIDATION or TEST."""
        return cls(*(np.flatnonzero(part == kind) for kind in (TRAIN, VALIDATION, TEST)))

    @property
    def searched(self) -> Places:
        """Those for training and validation, ascending."""
        return np.unique(np.concatenate((self.train, self.validation)))

    def small(self) -> Rows:
        """The same in half the memory, where there are fewer than 2**31 rows: folds have many."""
        parts = (self.train, self.validation, self.test)
        if any(len(part) and part[-1] >= 2**31 for part in parts):
            return self
        return Rows(*(part.astype(np.int32, copy=False) for part in parts))


def final_rows(rows: Rows, everything: bool = False) -> Rows:
    """All rows for training and validation to train on, and the test rows to measure.

    Args:
        everything: the test rows are trained on too, so that what they measure is no estimate.

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
    train = np.union1d(rows.searched, rows.test) if everything else rows.searched
    return Rows(train, rows.test, np.empty(0, dtype=np.int64))


def among(places: Places, rows: Rows) -> Rows:
    """The same rows for training and validation, as positions among the rows at `places`."""
    none = np.empty(0, dtype=np.int64)
    return Rows(np.searchsorted(places, rows.train), np.searchsorted(places, rows.validation), none)


# Rows divided by a specification.


def divisions(table: Table, labels: Labels, spec: DataSpec) -> tuple[Rows, ...]:
    """One for each fold, all with the same test rows; a single one without folds.

    The last has all rows of the search for training and validation: so has each, but of times.

    Raises:
        DataError: as ``divide``; a class or the whole has too few rows or groups for the folds.
    """
    if table.parts is not None:
        return _given(table, table.parts, labels, spec)
    if spec.folds is None:
        return (divide(table, labels, spec),)
    if table.held:
        spec = replace(spec, test=0.0)
    for key, rule in FOLDINGS.items():
        name = getattr(spec, key)
        if name is not None:
            where = f"{table.where}: column {name!r}"
            check_present(table, name)
            fold = rule(table.aside[name], spec, where)
            return _rows_of_folds(fold, labels, key, spec, where)
    return _rows_of_folds(dealt(labels, spec, table.where), labels, "", spec, table.where)


def _given(
    table: Table, parts: NDArray[np.int64], labels: Labels, spec: DataSpec
) -> tuple[Rows, ...]:
    """The splits of a source that divides its rows itself; validation rows are taken from those
    for training where it gives none."""
    if (parts == PARTS.index("validation")).any():
        if spec.folds is not None:
            raise DataError(
                "folds cannot be combined with validation rows that the source gives",
                where="data.validation",
                hint="return train and test alone, or give a share: validation = 0.2",
            )
        rows = Rows(*(np.flatnonzero(parts == kind) for kind in range(len(PARTS))))
        check(rows, labels, "split", spec, table.where)
        return (rows,)
    train, test = (np.flatnonzero(parts == PARTS.index(name)) for name in ("train", "test"))
    of_train = replace(labels, values=labels.values[train])
    alone = replace(table, parts=None, held=True)
    made = tuple(
        replace(rows, train=train[rows.train], validation=train[rows.validation], test=test)
        for rows in divisions(alone, of_train, spec)
    )
    for rows in made:
        check(rows, labels, "split", spec, table.where)
    return made


COPIES, SAME = 0.5, 0.05
"""Larger shares of rows that are copies of others, or all the same, are no accident of a file."""
FEW_SAME = 5
"""So many rows may be the same in any file."""


def are_alike_by_chance(first: Places) -> bool:
    """Whether rows are equal because a row can hardly differ, as in a table of a few categories.

    Args:
        first: the first row [N] that is equal to each.
    """
    counts = np.bincount(first)
    copies = len(first) - int((counts > 0).sum())
    return bool(copies > COPIES * len(first) or counts.max() > max(FEW_SAME, SAME * len(first)))


def divisions_of_copies(
    table: Table, labels: Labels, spec: DataSpec, first: Places
) -> tuple[Rows, ...]:
    """As ``divisions`` at random, with each row where the first is that is equal to it."""
    originals, place = np.unique(first, return_inverse=True)
    of_originals = replace(labels, values=labels.values[originals])
    made = []
    for rows in divisions(table, of_originals, spec):
        part = np.full(len(originals), TRAIN)
        part[rows.validation], part[rows.test] = VALIDATION, TEST
        made.append(Rows.of(part[place]).small())
    return tuple(made)


def _rows_of_folds(
    fold: Index, labels: Labels, key: str, spec: DataSpec, where: str
) -> tuple[Rows, ...]:
    """Each fold's rows. By time there is one fold more: the first is only trained on."""
    timed = key == "time"
    test = np.flatnonzero(fold == NO_FOLD)
    made: list[Rows] = []
    for kind in range(int(timed), count_of(spec) + int(timed)):
        train = (fold != NO_FOLD) & ((fold < kind) if timed else (fold != kind))
        rows = Rows(np.flatnonzero(train), np.flatnonzero(fold == kind), test)
        check(rows, labels, key, spec, f"{where}, fold {len(made) + 1}")
        made.append(rows.small())
    return tuple(made)


def divide(table: Table, labels: Labels, spec: DataSpec) -> Rows:
    """The rows of each kind; without test rows where these are elsewhere.

    Raises:
        DataError: a split is empty, or the training rows lack a class; the column has gaps, or
            values that are no times, or no splits.
    """
    if table.held:
        spec = replace(spec, test=0.0)
    if not spec.dividing:
        return split(labels, spec, table.where)
    for key, rule in COLUMNS.items():
        name = getattr(spec, key)
        if name is not None:
            where = f"{table.where}: column {name!r}"
            column = table.aside[name]
            check_present(table, name)
            part = rule(column, spec, where)
            rows = Rows.of(part)
            check(rows, labels, key, spec, where)
    return rows


# Rows divided by a column: by group, by time, or by the split that it names.


def by_group(column: pd.Series[Any], spec: DataSpec, where: str) -> NDArray[Any]:
    """Whole groups.

    By the first of DIVISIONS, in an order that the seed decides, until a split has its share; among
    several orders that one is taken whose shares are the nearest to those wanted.
    """
    codes, names = column.astype(str).factorize(sort=True)
    sizes = np.bincount(codes)
    need = 2 + (spec.test > 0)
    if len(names) < need:
        raise DataError(
            f"{len(names)} groups cannot be divided into {need} splits",
            where=where,
            hint="a group stays in one split: use a column with more groups",
        )
    if spec.division > 1:
        return stable_groups(codes, spec)
    wanted = np.array([spec.test, spec.validation]) * len(codes)
    best, nearest = np.zeros(len(sizes), dtype=np.int64), np.inf
    stream = np.random.PCG64(spec.seed)
    for _ in range(20):
        part = _filled(sizes, np.argsort(stream.random_raw(len(sizes))), wanted)
        held = np.bincount(part, sizes, 3)
        empty = int((held[:need] == 0).sum())
        distance = float(np.abs(held[[TEST, VALIDATION]] - wanted).sum()) + empty * len(codes)
        if distance < nearest:
            best, nearest = part, distance
    rows: Index = best[codes]
    return rows


def _filled(sizes: Index, order: Index, wanted: NDArray[Any]) -> Index:
    """The split of each group: a held-out split takes groups while it is nearer to its share with
    the next one than without."""
    part = np.full(len(sizes), TRAIN)
    at = 0
    for kind, share in ((TEST, wanted[0]), (VALIDATION, wanted[1])):
        held = 0
        while share > 0 and at < len(order) and (held == 0 or held + sizes[order[at]] / 2 <= share):
            part[order[at]] = kind
            held += int(sizes[order[at]])
            at += 1
    return part


def by_time(column: pd.Series[Any], spec: DataSpec, where: str) -> NDArray[Any]:
    """The last rows are for the test, those before them for validation; rows of one time stay
    together, on the later side."""
    times = times_of(column, where)
    ordered = np.sort(times)
    count = len(times)
    part = np.full(count, TRAIN)
    ends = [(VALIDATION, spec.validation + spec.test), (TEST, spec.test)]
    for kind, share in ends:
        if share > 0:
            part[times >= ordered[min(count - 1, round(count * (1 - share)))]] = kind
    return part


def times_of(column: pd.Series[Any], where: str) -> NDArray[Any]:
    """Numbers [N] in the order of the times; DataError for a value that is no time."""
    if column.dtype.kind in "iuf":
        return column.to_numpy(dtype=np.float64)
    import pandas as pd

    times = column if column.dtype.kind == "M" else _parsed(column)
    bad = times.isna()
    if bad.any():
        seconds = _local(column)
        if not np.isnan(seconds).any():
            return seconds
    if bad.any():
        raise DataError(
            f"{str(column[bad].iloc[0])!r} is not a time ({int(bad.sum())} such rows)",
            where=where,
            hint="use numbers, or times such as 2026-11-22 or 2026-11-22T13:45:00; of 1/2/2026 "
            "only other rows can tell which is the day",
        )
    return np.asarray(pd.DatetimeIndex(times).asi8)


def _parsed(column: pd.Series[Any]) -> pd.Series[Any]:
    import pandas as pd

    return pd.to_datetime(column.astype(str), errors="coerce", utc=True, format="ISO8601")


def _local(column: pd.Series[Any]) -> NDArray[np.float64]:
    """Seconds since 1970 of dates in local forms such as 31.12.2024; NaN for what is no date, and
    where nothing tells the order of day and month."""
    texts, codes = np.unique(column.astype(str).to_numpy(dtype=str), return_inverse=True)
    written = dates.written(texts.tolist())
    order = dates.order_of(written)
    moments = dates.times(written, order.day_first)
    seconds = 86400 * moments.days + 3600 * moments.hours
    return np.where(order.open, np.nan, seconds)[codes]


def by_split(column: pd.Series[Any], spec: DataSpec, where: str) -> NDArray[Any]:
    """The split that the column names: train, validation or test."""
    names = column.astype(str).str.strip().str.lower()
    other = ~names.isin(PARTS)
    if other.any():
        raise DataError(
            f"{str(column[other].iloc[0])!r} is not a split ({int(other.sum())} such rows)",
            where=where,
            hint=f"allowed: {', '.join(PARTS)}",
        )
    return names.map(PARTS.index).to_numpy()


COLUMNS: Mapping[str, Rule] = {
    "group": by_group,
    "time": by_time,
    "split": by_split,
}


HINTS = {
    True: "change the shares of validation and test, or split by another column",
    False: "use fewer folds, or split by another column",
}


def check_present(table: Table, name: str) -> None:
    """DataError where a row has no value in a column that divides rows."""
    missing = table.aside[name].isna().to_numpy()
    if missing.any():
        raise DataError(
            f"{int(missing.sum())} of {len(missing)} rows have no value, the first is "
            f"{table.row(int(missing.argmax()))}",
            where=f"{table.where}: column {name!r}",
            hint="fill them, or remove these rows",
        )


def check(rows: Rows, labels: Labels, key: str, spec: DataSpec, where: str) -> None:
    """DataError where a kind of rows has too few, or the training rows lack a class."""
    wanted = key != "split" and spec.test > 0
    for name, places, need in zip(
        PARTS, (rows.train, rows.validation, rows.test), (2, 2, int(wanted)), strict=True
    ):
        if len(places) < need:
            raise DataError(
                f"the {name} split has {len(places)} rows, but needs at least {need}",
                where=where,
                hint=f"mark more rows as {name}" if key == "split" else HINTS[spec.folds is None],
            )
    known = np.arange(len(labels.classes))
    lacking = np.setdiff1d(known, labels.values[rows.train])
    if len(lacking):
        raise DataError(
            f"class {labels.classes[lacking[0]]!r} does not occur in the training rows",
            where=where,
            hint="split the rows differently, or remove the class",
        )


# Rows divided at random.
#
# The raw stream of PCG64 is the same in every version of NumPy, so workers on several machines
# divide alike. The test rows are taken first: another share for validation never moves a row
# between the test and the search. By the first of DIVISIONS each row draws one random number from
# the seed and its own position, and the order of these numbers decides.


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
        return Rows.of(stable_split(labels, spec))
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
    """The stratum of each row: its class; 0 for a quantity."""
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


# Rows in folds, each for validation once while the others are trained on (Stone 1974).
#
# The test rows are taken first, as without folds. Of times, fold i trains on all that is before its
# rows for validation, so that nothing is predicted from its future (Tashman 2000).


NO_FOLD = -1
"""The fold of the test rows."""


def dealt(labels: Labels, spec: DataSpec, where: str) -> Index:
    """A fold for each row: those of a class are dealt one after the other (stratified), so that
    the folds' rows of a class differ by one at most. By the first of DIVISIONS their sizes do too.
    """
    group = strata(labels)
    sizes = np.bincount(group)
    _check_sizes(sizes, labels.classes, spec, where)
    if spec.division > 1:
        return stable_folds(labels, spec, count_of(spec), NO_FOLD)
    each = least(labels)
    test = np.maximum(share_of(sizes, spec.test), each * (spec.test > 0))
    test = np.minimum(test, sizes - each * count_of(spec))
    order, place = shuffled(group, spec.seed)
    searched = order[place >= np.repeat(test, sizes)]
    fold = np.full(len(group), NO_FOLD, dtype=np.int64)
    fold[searched] = np.arange(len(searched)) % count_of(spec)
    return fold


def by_groups(column: pd.Series[Any], spec: DataSpec, where: str) -> Index:
    """Whole groups, each into the smallest fold so far; in the order in which they come, or, by the
    first of DIVISIONS, the largest first."""
    codes, names = column.astype(str).factorize(sort=True)
    sizes = np.bincount(codes)
    _check_groups(len(names), spec, where)
    test = _test_groups(column, codes, spec, where)
    left = np.setdiff1d(codes, codes[test])
    _check_groups(len(left), replace(spec, test=0.0), where)
    if spec.division > 1:
        fold = np.full(len(codes), NO_FOLD)
        fold[~test] = stable_group_folds(codes[~test], spec.seed, count_of(spec))
        return fold
    keys = np.random.PCG64(spec.seed).random_raw(len(sizes))
    place, held = np.full(len(sizes), NO_FOLD), np.zeros(count_of(spec), dtype=np.int64)
    for group in left[np.lexsort((keys[left], -sizes[left]))]:
        place[group] = held.argmin()
        held[place[group]] += sizes[group]
    return np.asarray(place[codes])


def _test_groups(
    column: pd.Series[Any], codes: Index, spec: DataSpec, where: str
) -> NDArray[np.bool_]:
    if spec.division > 1:
        return stable_test_groups(codes, spec)
    part = _divide_once(spec, column, where, by_group) if spec.test else np.zeros_like(codes)
    return np.asarray(part == TEST)


def by_times(column: pd.Series[Any], spec: DataSpec, where: str) -> Index:
    """One part more than folds, of equal size in the order of time: the first is only trained on.
    Rows of one time stay together, on the later side."""
    times = times_of(column, where)
    test = (_divide_once(spec, column, where, by_time) == TEST) if spec.test else times != times
    ordered, parts = np.sort(times[~test]), count_of(spec) + 1
    at = [round(len(ordered) * i / parts) for i in range(1, parts)]
    ends = ordered[at] if len(ordered) else ordered  # all rows are of the last time
    fold: Index = np.where(test, NO_FOLD, np.searchsorted(ends, times, side="right"))
    return fold


FOLDINGS: Mapping[str, Rule] = {"group": by_groups, "time": by_times}


def count_of(spec: DataSpec) -> int:
    """How many folds there are."""
    return spec.folds or 1


def _divide_once(spec: DataSpec, column: pd.Series[Any], where: str, rule: Rule) -> NDArray[Any]:
    """The division with a share for validation that is as large as a fold."""
    part = (1 - spec.test) / count_of(spec)
    return rule(column, replace(spec, folds=None, validation=part), where)


def _check_groups(count: int, spec: DataSpec, where: str) -> None:
    need = count_of(spec) + (spec.test > 0)
    if count < need:
        raise DataError(
            f"{count} groups cannot be divided into {_parts(spec)}",
            where=where,
            hint="a group stays in one fold: use fewer folds, or a column with more groups",
        )


def _check_sizes(sizes: Index, classes: tuple[str, ...], spec: DataSpec, where: str) -> None:
    smallest = int(sizes.argmin())
    size, each = int(sizes[smallest]), 1 if classes else 2
    need = each * (count_of(spec) + (spec.test > 0))
    if size >= need:
        return
    what = f"class {classes[smallest]!r} has" if classes else "there are"
    raise DataError(
        f"{what} {size} rows, but each of {_parts(spec)} needs {'one' if classes else 'two'}",
        where=where,
        hint=f"use fewer folds, or provide at least {need} rows"
        + (" of each class" if classes else ""),
    )


def _parts(spec: DataSpec) -> str:
    return f"{spec.folds} folds" + (" and the test split" if spec.test > 0 else "")
