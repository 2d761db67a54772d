"""Rows in folds, each for validation once while the others are trained on (Stone 1974).

The test rows are taken first, as without folds. Of times, fold i trains on all that is before its
rows for validation, so that nothing is predicted from its future (Tashman 2000).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tuner.data import stable
from tuner.data.division import by_group, by_time, check, check_present, divide, times_of
from tuner.data.labels import Labels
from tuner.data.spec import DataSpec
from tuner.data.splits import Index, Rows, share, shuffled, strata
from tuner.data.table import Table
from tuner.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

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
    for key, rule in RULES.items():
        name = getattr(spec, key)
        if name is not None:
            where = f"{table.where}: column {name!r}"
            check_present(table.aside[name], where)
            fold = rule(table.aside[name], spec, where)
            return _rows(fold, labels, key, spec, where)
    return _rows(dealt(labels, spec, table.where), labels, "", spec, table.where)


def _rows(fold: Index, labels: Labels, key: str, spec: DataSpec, where: str) -> tuple[Rows, ...]:
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
        return stable.folds(labels, spec, count_of(spec), TEST)
    each = stable.least(labels)
    test = np.maximum(share(sizes, spec.test), each * (spec.test > 0))
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
        fold[~test] = stable.group_folds(codes[~test], spec.seed, count_of(spec))
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
        return stable.test_groups(codes, spec)
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
RULES: Mapping[str, Rule] = {"group": by_groups, "time": by_times}


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
            hint="a group is never divided: give fewer folds, or a column with more groups",
        )


def _check_sizes(sizes: Index, classes: tuple[str, ...], spec: DataSpec, where: str) -> None:
    smallest = int(sizes.argmin())
    size, each = int(sizes[smallest]), 1 if classes else 2
    need = each * (count_of(spec) + (spec.test > 0))
    if size >= need:
        return
    what = f"class {classes[smallest]!r} has" if classes else "there are"
    raise DataError(
        f"{what} {size} rows, and each of {_parts(spec)} needs {'one' if classes else 'two'}",
        where=where,
        hint=f"give fewer folds, or at least {need} rows" + (" of each class" if classes else ""),
    )


def _parts(spec: DataSpec) -> str:
    return f"{spec.folds} folds" + (" and the test" if spec.test > 0 else "")
