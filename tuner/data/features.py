"""From a table to float32 features, learned from the training rows and applied to any."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.data import columns, preprocessing, vocabulary
from tuner.data.columns import Column, Encoded
from tuner.data.raw import RawColumn
from tuner.data.recipe import (
    Feature,
    OfArray,
    OfColumns,
    OfText,
    Recipe,
    arranged,
    channels_first,
    is_turned,
)
from tuner.data.spec import DataSpec
from tuner.data.table import Table, Text
from tuner.data.vocabulary import Vocabulary
from tuner.errors import DataError

Index = NDArray[np.signedinteger[Any]]
LARGEST = np.finfo(np.float32).max


@dataclass(frozen=True)
class Features:
    """What was learned from the training rows.

    Attributes:
        names: of the features, or empty.
        columns: what was decided about each column of a frame.
        recipe: from rows of the table to float32 [n, *shape]; to int32 for text.
        vocabulary: of a text.
        note: what people should know of how the rows were taken, or empty.
    """

    names: tuple[str, ...]
    columns: tuple[Column, ...]
    recipe: Recipe
    vocabulary: Vocabulary | None = None
    note: str = ""


def learn(table: Table, spec: DataSpec, train: Index, validation: Index) -> Features:
    """Decides about each column and learns the preprocessing from the training rows.

    Raises:
        DataError: numbers that are not finite among the rows for training and validation, a column
            of too many categories, nothing left to learn from, training rows that are all the
            same, a shape that does not fit.
    """
    together = np.concatenate((train, validation))
    if table.text is not None:
        return _of_text(table.text, spec, train, table.where)
    if table.x is not None:
        return _of_array(table, table.x, spec, train, together)
    if spec.shape is None:
        encoded = [
            columns.encode(raw, train, table.where, raw.name in spec.keep) for raw in table.columns
        ]
    else:
        encoded = [columns.plain(raw, table.where) for raw in table.columns]
    _check_columns(table, encoded, together, spec.shape is None)
    return _of_columns(table, encoded, spec, train)


def _of_text(text: Text, spec: DataSpec, train: Index, where: str) -> Features:
    """The numbers of the words, in the order of the text."""
    if len({*text.values[train]}) == 1 < len(train):
        raise _constant(f"column {text.name!r} is {text.values[train[0]][:40]!r}", where)
    found = vocabulary.learn(text.values[train], spec.vocabulary, spec.min_count, spec.max_length)
    why = f"words of the training rows: {len(found.words)}; at most {found.length} of a row"
    decided = [Column(name, "other", "dropped", "the text is the feature") for name in text.unused]
    columns = (Column(text.name, "text", "words", why), *decided)
    return Features((), columns, OfText(text.name, found), found)


def _of_array(
    table: Table, given: NDArray[Any], spec: DataSpec, train: Index, together: Index
) -> Features:
    x = _shaped(table, given, spec.shape)
    _check_array(x, table, together)
    _check_varies(x, train, table.where)
    transform = preprocessing.lookup(spec.preprocessing)(x, train)
    shape = tuple(x.shape[1:])
    note = ""
    if is_turned(tuple(given.shape[1:]), shape):
        said = f"rows of shape {list(given.shape[1:])} have their channels last"
        note = f"{said}, and are turned to {list(shape)}"
    return Features(table.names, (), OfArray(shape, table.names, transform), note=note)


def _of_columns(table: Table, encoded: list[Encoded], spec: DataSpec, train: Index) -> Features:
    """Features in the order of the columns."""
    statistics = preprocessing.lookup(spec.preprocessing)
    used = [(raw, e) for raw, e in zip(table.columns, encoded, strict=True) if e.names]
    names = tuple(name for _, each in used for name in each.names)
    if not names:
        what = "; ".join(f"{e.column.name}: {e.column.reason}" for e in encoded[:10])
        raise DataError("no column is left to learn from", where=table.where, hint=what)
    shape = spec.shape or (len(names),)
    _check_shape(shape, (len(names),), table.where)
    if spec.shape and all((raw.values[train] == raw.values[train[0]]).all() for raw, _ in used):
        raise _constant("every column is the same number", table.where)
    features = tuple(
        Feature(
            raw.name,
            each.column.kind,
            each.names,
            each.encoder,
            _transform(raw, each, statistics, train, table.where),
        )
        for raw, each in used
    )
    decided = tuple(each.column for each in encoded)
    return Features(names, decided, OfColumns(shape, features))


def _transform(
    raw: RawColumn,
    each: Encoded,
    statistics: Callable[[NDArray[Any], Index], preprocessing.Transform],
    train: Index,
    where: str,
) -> preprocessing.Transform | None:
    """One-hot columns and those that say what is missing stay 0 and 1."""
    if not each.scaled:
        return None
    values, write = each.encoder.bind(raw, where)
    return statistics(write(values[train])[:, :1], np.arange(len(train)))


def _shaped(table: Table, x: NDArray[Any], shape: tuple[int, ...] | None) -> NDArray[Any]:
    given = tuple(x.shape[1:])
    shape = shape or channels_first(given)
    _check_shape(shape, given, table.where)
    return arranged(x, shape)


def _check_shape(shape: tuple[int, ...], given: tuple[int, ...], where: str) -> None:
    if math.prod(shape) != math.prod(given):
        raise DataError(
            f"shape {list(shape)} holds {math.prod(shape)} numbers, and a row of {where} "
            f"has {math.prod(given)} (shape {list(given)})",
            where="data.shape",
        )


def _check_array(x: NDArray[Any], table: Table, rows: Index) -> None:
    if x.dtype.kind != "f":
        return
    bad = np.zeros(x.shape[1:], dtype=np.int64)
    for _, chunk in preprocessing.chunks(x, rows):
        bad += (~(np.abs(chunk) <= LARGEST)).sum(axis=0)  # also true for NaN
    flat = bad.reshape(-1)
    named = len(table.names) == len(flat)
    _refuse(
        [
            (f"column {table.names[j]!r}" if named else f"feature {j}", int(flat[j]))
            for j in np.flatnonzero(flat).tolist()
        ],
        table.where,
    )


def _check_varies(x: NDArray[Any], train: Index, where: str) -> None:
    first = x[train[:1]]
    if len(train) > 1 and all((part == first).all() for _, part in preprocessing.chunks(x, train)):
        flat = np.unique(first)
        one = f"every number is {flat[0]:g}" if len(flat) == 1 else "all numbers are the same"
        raise _constant(one, where)


def _constant(what: str, where: str) -> DataError:
    return DataError(
        f"{what} in every row to train on: there is nothing to learn from",
        where=where,
        hint="look at the file, and at how it was made",
    )


def _check_columns(
    table: Table, encoded: list[Encoded], rows: Index, missing_allowed: bool
) -> None:
    bad = []
    for raw, each in zip(table.columns, encoded, strict=True):
        if not each.scaled:
            continue
        values = each.encoder.bind(raw, table.where)[0]
        if values.dtype.kind != "f":
            continue
        values = values[rows]
        good = np.abs(values) <= LARGEST
        if missing_allowed:
            good |= np.isnan(values)
        bad += [(f"column {raw.name!r}", int((~good).sum()))] * (not good.all())
    _refuse(bad, table.where)


def _refuse(bad: list[tuple[str, int]], where: str) -> None:
    if not bad:
        return
    named = ", ".join(f"{name} ({count})" for name, count in bad[:10])
    more = f" and {len(bad) - 10} more" if len(bad) > 10 else ""
    raise DataError(
        f"NaN, infinite or too large for float32: {named}{more} "
        "(how many, among the rows that are used)",
        where=where,
        hint="remove these rows or columns, or fill them with a number",
    )
