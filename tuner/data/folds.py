"""Splits rows by a column, and into folds for cross-validation (Stone 1974)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tuner.data import splits
from tuner.data.labels import Labels
from tuner.data.spec import DataSpec
from tuner.data.splits import Index, Rows, share_of, shuffled, split, strata
from tuner.data.tables import Table
from tuner.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


# Rows divided by a column: by group, by time, or as the column says.


PARTS = ("train", "validation", "test")


def divide(table: Table, labels: Labels, spec: DataSpec) -> Rows:
    """The rows of each kind; without test rows where these are elsewhere.

    Raises:
        DataError: a split is empty, or the training rows lack a class; the column has gaps, times
            that are none, or something else than train, validation and test.
    """
    if table.held:
        spec = replace(spec, test=0.0)
    if not spec.dividing:
        return split(labels, spec, table.where)
    for key, rule in DIVISIONS.items():
        name = getattr(spec, key)
        if name is not None:
            where = f"{table.where}: column {name!r}"
            column = table.aside[name]
            check_present(column, where)
            part = rule(column, spec, where)
            rows = Rows.of(part)
            check(rows, labels, key, spec, where)
    return rows


def by_group(column: pd.Series[Any], spec: DataSpec, where: str) -> NDArray[Any]:
    """Whole groups, as ``stable`` says.

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
        return splits.groups(codes, spec)
    wanted = np.array([spec.test, spec.validation]) * len(codes)
    best, nearest = np.zeros(len(sizes), dtype=np.int64), np.inf
    stream = np.random.PCG64(spec.seed)
    for _ in range(20):
        part = _filled(sizes, np.argsort(stream.random_raw(len(sizes))), wanted)
        held = np.bincount(part, sizes, 3)
        empty = int((held[:need] == 0).sum())
        distance = float(np.abs(held[[2, 1]] - wanted).sum()) + empty * len(codes)
        if distance < nearest:
            best, nearest = part, distance
    rows: Index = best[codes]
    return rows


def _filled(sizes: Index, order: Index, wanted: NDArray[Any]) -> Index:
    """0, 1 or 2 (the test) for each group: each held-out split takes groups while it is nearer to
    its share with the next one than without."""
    part = np.zeros(len(sizes), dtype=np.int64)
    at = 0
    for kind, share in ((2, wanted[0]), (1, wanted[1])):
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
    part = np.zeros(count, dtype=np.int64)
    ends = [(1, spec.validation + spec.test), (2, spec.test)]
    for kind, share in ends:
        if share > 0:
            part[times >= ordered[min(count - 1, round(count * (1 - share)))]] = kind
    return part


def times_of(column: pd.Series[Any], where: str) -> NDArray[Any]:
    """Numbers [N] in the order of the times; DataError for what is none."""
    if column.dtype.kind in "iuf":
        return column.to_numpy(dtype=np.float64)
    import pandas as pd

    found = column if column.dtype.kind == "M" else _parsed(column)
    bad = found.isna()
    if bad.any():
        raise DataError(
            f"{str(column[bad].iloc[0])!r} is not a time ({int(bad.sum())} such rows)",
            where=where,
            hint="use numbers, or times such as 2026-11-22 or 2026-11-22T13:45:00",
        )
    return np.asarray(pd.DatetimeIndex(found).asi8)


def _parsed(column: pd.Series[Any]) -> pd.Series[Any]:
    import pandas as pd

    return pd.to_datetime(column.astype(str), errors="coerce", utc=True, format="ISO8601")


def by_split(column: pd.Series[Any], spec: DataSpec, where: str) -> NDArray[Any]:
    """As the column says: train, validation or test."""
    said = column.astype(str).str.strip().str.lower()
    other = ~said.isin(PARTS)
    if other.any():
        raise DataError(
            f"{str(column[other].iloc[0])!r} is not a split ({int(other.sum())} such rows)",
            where=where,
            hint=f"allowed: {', '.join(PARTS)}",
        )
    return said.map(PARTS.index).to_numpy()


DIVISIONS: Mapping[str, Callable[[pd.Series[Any], DataSpec, str], NDArray[Any]]] = {
    "group": by_group,
    "time": by_time,
    "split": by_split,
}


HINTS = {
    True: "change the shares of validation and test, or split by another column",
    False: "use fewer folds, or split by another column",
}


def check_present(column: pd.Series[Any], where: str) -> None:
    """DataError where a row has no value."""
    missing = column.isna().to_numpy()
    if missing.any():
        raise DataError(
            f"{int(missing.sum())} of {len(missing)} rows have no value, the first is row "
            f"{int(missing.argmax())} counted from 0",
            where=where,
            hint="fill them, or remove these rows",
        )


def check(rows: Rows, labels: Labels, key: str, spec: DataSpec, where: str) -> None:
    """DataError where a kind of rows has too few, or the training rows lack a class."""
    wanted = key != "split" and spec.test > 0
    for name, found, need in zip(
        PARTS, (rows.train, rows.validation, rows.test), (2, 2, int(wanted)), strict=True
    ):
        if len(found) < need:
            raise DataError(
                f"the {name} split has {len(found)} rows, but needs at least {need}",
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


# Rows in folds, each for validation once while the others are trained on (Stone 1974).
#
# The test rows are taken first, as without folds. Of times, fold i trains on all that is before its
# rows for validation, so that nothing is predicted from its future (Tashman 2000).


TEST = -1
"""In place of a fold, for the test rows."""


def divisions(table: Table, labels: Labels, spec: DataSpec) -> tuple[Rows, ...]:
    """One for each fold, all with the same test rows; a single one without folds.

    The last has all rows of the search for training and validation: so has each, but of times.

    Raises:
        DataError: as ``divide``; a class or the whole has too few rows or groups for the folds.
    """
    if spec.folds is None:
        return (divide(table, labels, spec),)
    if table.held:
        spec = replace(spec, test=0.0)
    for key, rule in FOLDINGS.items():
        name = getattr(spec, key)
        if name is not None:
            where = f"{table.where}: column {name!r}"
            check_present(table.aside[name], where)
            fold = rule(table.aside[name], spec, where)
            return _rows_of_folds(fold, labels, key, spec, where)
    return _rows_of_folds(dealt(labels, spec, table.where), labels, "", spec, table.where)


def _rows_of_folds(
    fold: Index, labels: Labels, key: str, spec: DataSpec, where: str
) -> tuple[Rows, ...]:
    """Each fold's rows. By time, what comes after fold 0 is for validation, and folds are one more
    than wanted."""
    timed = key == "time"
    test = np.flatnonzero(fold == TEST)
    made: list[Rows] = []
    for kind in range(int(timed), count_of(spec) + int(timed)):
        train = (fold != TEST) & ((fold < kind) if timed else (fold != kind))
        rows = Rows(np.flatnonzero(train), np.flatnonzero(fold == kind), test)
        check(rows, labels, key, spec, f"{where}, fold {len(made) + 1}")
        made.append(rows.small())
    return tuple(made)


def dealt(labels: Labels, spec: DataSpec, where: str) -> Index:
    """A fold for each row: those of a class are dealt one after the other (stratified), so that
    the folds' rows of a class differ by one at most. By the first of DIVISIONS their sizes do too.
    """
    group = strata(labels)
    sizes = np.bincount(group)
    _check_sizes(sizes, labels.classes, spec, where)
    if spec.division > 1:
        return splits.folds(labels, spec, count_of(spec), TEST)
    each = splits.least(labels)
    test = np.maximum(share_of(sizes, spec.test), each * (spec.test > 0))
    test = np.minimum(test, sizes - each * count_of(spec))
    order, place = shuffled(group, spec.seed)
    searched = order[place >= np.repeat(test, sizes)]
    fold = np.full(len(group), TEST, dtype=np.int64)
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
        fold = np.full(len(codes), TEST)
        fold[~test] = splits.group_folds(codes[~test], spec.seed, count_of(spec))
        return fold
    keys = np.random.PCG64(spec.seed).random_raw(len(sizes))
    place, held = np.full(len(sizes), TEST), np.zeros(count_of(spec), dtype=np.int64)
    for group in left[np.lexsort((keys[left], -sizes[left]))]:
        place[group] = held.argmin()
        held[place[group]] += sizes[group]
    return np.asarray(place[codes])


def _test_groups(
    column: pd.Series[Any], codes: Index, spec: DataSpec, where: str
) -> NDArray[np.bool_]:
    if spec.division > 1:
        return splits.test_groups(codes, spec)
    part = _without(spec, column, where, by_group) if spec.test else np.zeros_like(codes)
    return np.asarray(part == 2)


def by_times(column: pd.Series[Any], spec: DataSpec, where: str) -> Index:
    """One part more than folds, of equal size in the order of time: the first is only trained on.
    Rows of one time stay together, on the later side."""
    times = times_of(column, where)
    test = (_without(spec, column, where, by_time) == 2) if spec.test else times != times
    ordered, parts = np.sort(times[~test]), count_of(spec) + 1
    ends = [ordered[round(len(ordered) * i / parts)] for i in range(1, parts)]
    fold: Index = np.where(test, TEST, np.searchsorted(ends, times, side="right"))
    return fold


Rule = Callable[["pd.Series[Any]", DataSpec, str], NDArray[Any]]
FOLDINGS: Mapping[str, Rule] = {"group": by_groups, "time": by_times}


def count_of(spec: DataSpec) -> int:
    """How many folds there are."""
    return spec.folds or 1


def _without(spec: DataSpec, column: pd.Series[Any], where: str, rule: Rule) -> NDArray[Any]:
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
