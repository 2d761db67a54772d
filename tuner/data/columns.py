"""What becomes of each column of a table: kept, filled, made one-hot or dropped, and why.

Everything is learned from the training rows.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.data.encoders import Encoder, Number, OneHot
from tuner.data.numbers import Found, are_digits, is_mark, recognize
from tuner.data.raw import RawColumn, first_odd
from tuner.errors import DataError

Index = NDArray[np.signedinteger[Any]]
IDENTIFIER = re.compile(
    r"(?i:(^|[\W_])(id|ids|uuid|guid|index|idx|key|row|rowid|rownames?|nr|no|sno|number))$|[a-z]I[Dd]$|^#$"
)
INDEX = re.compile(r"(Unnamed: \d+(_level_\d+)?(\.\d+)?|__index_level_\d+__|level_\d+|)")
"""A column without a name, as `to_csv` saves the index of a frame."""
_MONTH = (
    "(?:january?|jan|february?|februar|feb|march|märz|mar|mär|mrz|april|apr|may|mai|june|juni|jun|"
    "july|juli|jul|august|aug|september|sept|sep|october|oktober|oct|okt|november|nov|december|"
    r"dezember|dec|dez)\.?"
)
_YEAR = r"(?:\d{4}|\d\d)"
_CLOCK = r"\d\d?:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?[ap]\.?m\.?)?(?: ?(?:Z|UTC|GMT|[-+]\d\d:?\d\d))?"
_DAYS = (
    r"\d{4}[-/.]\d\d?[-/.]\d\d?",
    rf"\d\d?[./-]\d\d?[./-]{_YEAR}",
    rf"{_MONTH} \d\d?(?:st|nd|rd|th)?,? \d{{4}}",
    rf"\d\d?(?:st|nd|rd|th|\.)?[ -]{_MONTH},?[ -]{_YEAR}",
    rf"{_MONTH},? \d{{4}}",
    rf"\d{{4}}[- ]{_MONTH}[- ]\d\d?",
    r"\d{4}年\d\d?月\d\d?日",
)
DATE = re.compile(
    rf"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,? )?(?:{'|'.join(_DAYS)})(?:(?:T|,? +){_CLOCK})?"
    rf"|{_CLOCK}",
    re.IGNORECASE,
)
"""A date, with or without the time of day, or a time of day alone."""
DATES = 0.95
"""The share of texts that are dates, but those that are known to be missing, where a column is."""
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
        return _of_text(raw, raw.categories, rows, where, keep)
    if raw.kind == "boolean":
        return _categorical(raw, np.array(["False", "True"], dtype=object), train + 0, where)
    return _of_numbers(raw, train, keep)


def _of_numbers(raw: RawColumn, train: NDArray[Any], keep: bool) -> Encoded:
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


def _of_text(
    raw: RawColumn, categories: NDArray[np.object_], rows: Index, where: str, keep: bool
) -> Encoded:
    """A column of text: numbers, dates, or categories."""
    train = raw.values[rows]
    seen, counts = np.unique(train[train >= 0], return_counts=True)
    texts = categories[seen]
    typed = raw.kind == "boolean" or are_digits(categories)
    found = None if typed else recognize(texts, counts, raw.comma)
    if found is not None and found.format is not None:
        return _written(raw, categories, found, rows, keep)
    if keep or raw.kind == "boolean":
        return _categorical(raw, categories, train, where, keep)
    if found is not None:
        return _dropped(raw, found.said)
    if len(seen) >= ROWS and are_dates(texts):
        return _dropped(raw, f"{len(seen)} dates or times, such as {texts[0]!r}: no quantity")
    return _categorical(raw, categories, train, where, keep)


def are_dates(texts: Iterable[Any]) -> bool:
    """Whether texts are dates or times of day, but for some that are marked as missing."""
    present = [text for text in map(str, texts) if not is_mark(text)]
    dates = sum(DATE.fullmatch(text.strip()) is not None for text in present)
    return dates > 0 and dates >= DATES * len(present)


def _written(
    raw: RawColumn, categories: NDArray[np.object_], found: Found, rows: Index, keep: bool
) -> Encoded:
    """Numbers that are text, and what stands there for missing ones."""
    how, codes = found.format, raw.values[rows]
    assert how is not None
    values = raw.read(how)[0][rows]
    quantity = bool(how.unit or how.thousands)  # and no identifier
    made = _of_numbers(RawColumn(raw.name, values), values, keep or quantity)
    if not isinstance(made.encoder, Number) or not made.names:
        return made
    said = [found.said] if found.said else []
    marks = Counter(str(categories[code]) for code in codes[np.isnan(values)] if code >= 0)
    if marks:
        named = ", ".join(f"{text!r} ({count})" for text, count in marks.most_common(3))
        said.append(f"no numbers are {named}" + (", …" if len(marks) > 3 else ""))
    reason = "; ".join((made.column.reason, *said))
    column = replace(made.column, reason=reason)
    return replace(made, column=column, encoder=replace(made.encoder, format=how))


def plain(raw: RawColumn, where: str) -> Encoded:
    """A column of numbers as it is: a place in a row of a given shape, such as a pixel."""
    if raw.categories is not None:
        odd = raw.read(None)[1]
        found = f"{first_odd(raw, odd)}; " if odd.any() else ""
        raise DataError(
            f"column {raw.name!r} is not numbers, and a row has a shape",
            where=where,
            hint=f"{found}remove the column, or data.shape",
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
    if present.dtype.kind not in "iuf" or not np.isfinite(present).all():
        return ""
    if (present != np.floor(present)).any():
        return ""
    if INDEX.fullmatch(name) and present.min() >= 0:
        return "an identifier: the rows' numbers, which a frame's index is when it is saved"
    if count < ROWS:
        return "an identifier: it counts the rows" if _counts(name, present) else ""
    if len(np.unique(present)) < count:
        return ""
    if IDENTIFIER.search(name):
        return "an identifier by its name: whole numbers, all different"
    width = float(present.max()) - float(present.min()) + 1
    if count**2 > 28 * width:
        return f"an identifier: {count} whole numbers, all different, in a range of {width:.0f}"
    return ""


def _counts(name: str, present: NDArray[Any]) -> bool:
    """Whether a column with an identifier's name rises from row to row."""
    named = IDENTIFIER.search(name) is not None and len(present) > 2
    return named and bool((present[1:] > present[:-1]).all())


def _median(values: NDArray[Any]) -> float:
    """As `numpy.median`, which takes twenty times as long for a short column."""
    first, last = (len(values) - 1) // 2, len(values) // 2
    ordered = np.partition(values, (first, last))
    return (float(ordered[first]) + float(ordered[last])) / 2


def _numeric(raw: RawColumn, present: NDArray[Any], missing: NDArray[np.bool_]) -> Encoded:
    median = _median(present)
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
