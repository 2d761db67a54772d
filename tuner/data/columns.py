"""What becomes of each column of a table: kept, filled, made one-hot or dropped, and why.

Everything is learned from the training rows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.data.encoders import Encoder, Number, OneHot
from tuner.data.raw import RawColumn
from tuner.errors import DataError

Index = NDArray[np.signedinteger[Any]]
IDENTIFIER = re.compile(r"(?i:(^|[\W_])(id|uuid|guid|index|key|row|nr|no|number))$|[a-z]I[Dd]$")
CATEGORIES = 1000
"""A column with more is refused: each would be an input of the network."""
ROWS = 20
"""Fewer rows say nothing about identifiers."""


@dataclass(frozen=True)
class Column:
    """What was decided about a column of the source.

    Attributes:
        name: as the source calls it.
        kind: numeric, boolean, categorical, text; target; or what it divides rows by: group, time,
            split.
        decision: kept, filled, one-hot, words, dropped, target or division.
        reason: for people, with numbers.
    """

    name: str
    kind: str
    decision: str
    reason: str


@dataclass(frozen=True)
class Encoded:
    """How a column becomes features.

    Attributes:
        column: what was decided.
        names: of the features it gives; none where it was dropped.
        scaled: whether the first one is a quantity, to be preprocessed.
        encoder: values [n] to numbers [n, len(names)].
    """

    column: Column
    names: tuple[str, ...] = ()
    scaled: bool = False
    encoder: Encoder = field(default_factory=Number)


def encode(raw: RawColumn, rows: Index, where: str, keep: bool = False) -> Encoded:
    """Decides about a column by its training rows; DataError for one with too many categories.

    With `keep` it may look like an identifier.
    """
    train = raw.values[rows]
    if raw.categories is not None:
        return _categorical(raw, raw.categories, train, where, keep)
    if raw.kind == "boolean":
        return _categorical(raw, np.array(["False", "True"], dtype=object), train + 0, where)
    missing = np.isnan(train) if train.dtype.kind == "f" else np.zeros(len(train), dtype=bool)
    present = train[~missing]
    if not len(present):
        return _dropped(raw, "no training row has a value")
    if not missing.any() and (present == present[0]).all():
        return _dropped(raw, f"constant: {present[0]} in every training row")
    why = "" if keep else _identifier(raw.name, present)
    if why:
        return _dropped(raw, why)
    return _numeric(raw, present, missing)


def plain(raw: RawColumn, where: str) -> Encoded:
    """A column of numbers as it is: a place in a row of a given shape, such as a pixel."""
    if raw.categories is not None:
        raise DataError(
            f"column {raw.name!r} is not numbers, and a row has a shape",
            where=where,
            hint="remove the column, or data.shape",
        )
    return Encoded(Column(raw.name, raw.kind, "kept", "a place in the shape"), (raw.name,), True)


def _dropped(raw: RawColumn, reason: str) -> Encoded:
    return Encoded(Column(raw.name, raw.kind, "dropped", reason))


def _identifier(name: str, present: NDArray[Any]) -> str:
    """Why a column of numbers looks like an identifier, or nothing.

    Whole numbers that are all different are one by their name, or where they lie so close that
    drawn at random some would be equal: n from a range of R are all different with probability
    exp(-n^2 / 2R) (the birthday problem), and below a millionth is no chance.
    """
    count = len(present)
    if count < ROWS or present.dtype.kind not in "iuf" or not np.isfinite(present).all():
        return ""
    if (present != np.floor(present)).any() or len(np.unique(present)) < count:
        return ""
    if IDENTIFIER.search(name):
        return "an identifier by its name: whole numbers, all different"
    width = float(present.max()) - float(present.min()) + 1
    if count**2 > 28 * width:
        return f"an identifier: {count} whole numbers, all different, in a range of {width:.0f}"
    return ""


def _numeric(raw: RawColumn, present: NDArray[Any], missing: NDArray[np.bool_]) -> Encoded:
    median = float(np.median(present))
    if not missing.any():
        column = Column(raw.name, raw.kind, "kept", "a number in every training row")
        return Encoded(column, (raw.name,), True, Number(median))
    said = f"{missing.sum()} of {len(missing)} training rows are missing: the median {median:g} "
    column = Column(raw.name, raw.kind, "filled", f"{said}and a column that says so")
    return Encoded(column, (raw.name, f"{raw.name} is missing"), True, Number(median, flag=True))


def _categorical(
    raw: RawColumn,
    categories: NDArray[np.object_],
    train: NDArray[Any],
    where: str,
    keep: bool = False,
) -> Encoded:
    seen, counts = np.unique(train, return_counts=True)
    absent = seen[0] == -1
    known = seen[seen >= 0]
    if not len(known):
        return _dropped(raw, "no training row has a value")
    if len(seen) == 1:
        return _dropped(raw, f"constant: {categories[known[0]]!r} in every training row")
    if not keep and len(known) >= ROWS and counts[-len(known) :].max() == 1:
        return _dropped(raw, f"an identifier: {len(known)} texts, all different")
    if len(known) > CATEGORIES:
        raise DataError(
            f"column {raw.name!r} has {len(known)} categories in {len(train)} training rows, "
            f"and at most {CATEGORIES} can be told apart",
            where=where,
            hint=f"drop = [{raw.name!r}], or group its values",
        )
    # In the order of the text, whatever rows come first.
    known = known[np.argsort(categories[known].astype(str), kind="stable")]
    texts = tuple(str(categories[code]) for code in known)
    names = tuple(f"{raw.name} = {text}" for text in texts)
    if absent:
        names = (*names, f"{raw.name} is missing")
    said = f"{len(known)} categories in the training rows" + (
        ", and missing ones" if absent else ""
    )
    column = Column(raw.name, raw.kind, "one-hot", said)
    return Encoded(column, names, False, OneHot(texts, bool(absent)))
