"""Test rows beside the rows of a search, for a final number alone.

They are a part of the same file, or in files of their own; what is learned is learned without them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.data.labels import Labels, encode_like
from tuner.data.narrow import fresh
from tuner.data.raw import RawColumn, coded, numbers
from tuner.data.splits import Places, Rows
from tuner.data.table import Table, Text
from tuner.errors import DataError, nearest


def final_rows(rows: Rows) -> Rows:
    """All rows for training and validation to train on, and the test rows to measure.

    Raises:
        DataError: there are no test rows.
    """
    if not len(rows.test):
        raise DataError(
            "there are no test rows",
            where="data.test",
            hint='give a share (test = 0.2), a second file (test_path = "test.csv") or a column '
            "(split), and search again: other rows are then for training",
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
            f"{found}, and those to train on have shape {list(x.shape[1:])}",
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
