"""How a column becomes features: records of plain values, learned from the training rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.data import dates
from tuner.data.dates import Times
from tuner.data.numbers import Format
from tuner.data.raw import RawColumn, coded, numbers

Array = NDArray[Any]

Bound = tuple[Array, Callable[[Array], Array]]
"""A column's values [N], and a function from some of them [n] to features [n, k]."""


@dataclass(frozen=True)
class Number:
    """A quantity.

    Attributes:
        fill: in place of a missing number; None where missing ones stay.
        flag: whether a second feature marks the missing ones.
        format: of the numbers in the training rows, where they were text.
    """

    fill: float | None = None
    flag: bool = False
    format: Format | None = None

    def bind(self, raw: RawColumn, where: str) -> Bound:
        """Binds one column; DataError where it holds text and the training rows did not."""
        return numbers(raw, where, self.format), self._write

    def _write(self, values: Array) -> Array:
        values = values.astype(np.float64)  # columns may be stored in fewer bytes
        missing = np.isnan(values)
        fill = self.fill
        filled = values if fill is None or not missing.any() else np.where(missing, fill, values)
        if not self.flag:
            return filled[:, None]
        return np.concatenate((filled[:, None], missing[:, None]), axis=1)

    def to_json(self) -> dict[str, Any]:
        known = {"kind": "number", "median": self.fill, "flag": self.flag}
        return known if self.format is None else {**known, "format": self.format.to_json()}


@dataclass(frozen=True)
class OneHot:
    """A feature for each category; an unknown one is 0 in all features.

    Attributes:
        categories: in the order of the features.
        missing: whether a last feature marks missing values.
    """

    categories: tuple[str, ...]
    missing: bool = False

    def bind(self, raw: RawColumn, where: str) -> Bound:
        """Binds one column; numbers are categories by their text."""
        codes, texts = coded(raw)
        last = len(self.categories) if self.missing else -1
        place = np.append(self._places(texts), last)
        hot = np.arange(len(self.categories) + self.missing)
        return codes, lambda some: place[some][:, None] == hot

    def unknown(self, raw: RawColumn) -> tuple[Array, list[str]]:
        """Where [N] a column has an unknown category, and the names of these."""
        codes, texts = coded(raw)
        strange = np.append(self._places(texts) < 0, False)
        return strange[codes], [text for text, odd in zip(texts, strange, strict=False) if odd]

    def _places(self, texts: list[str]) -> Array:
        """The feature [n] of each category, -1 for an unknown one. 1 and 0 are other names for true
        and false."""
        known = {text: i for i, text in enumerate(self.categories)}
        if self.categories == ("False", "True"):
            known = _BOOLEAN
            texts = [text.strip().lower() for text in texts]
        return np.array([known.get(text, -1) for text in texts], dtype=np.int64)

    def to_json(self) -> dict[str, Any]:
        return {"kind": "one-hot", "categories": list(self.categories), "missing": self.missing}


@dataclass(frozen=True)
class Date:
    """A date or a time of day, as parts of the calendar; a missing one has the age and the year of
    the median date, and no place in the year, the week and the day.

    Attributes:
        parts: as ``tuner.data.dates.varying`` gives them.
        day_first: whether 1/2/2024 is in February.
        newest, fill: the newest and the median date, in days since 1970; 0 for times of day.
        span: the unit of years, as in ``tuner.data.dates.features``.
        flag: whether a last feature marks missing dates.
    """

    parts: tuple[str, ...]
    day_first: bool
    newest: float = 0.0
    fill: float = 0.0
    span: float = 1.0
    flag: bool = False

    def bind(self, raw: RawColumn, where: str) -> Bound:
        """Binds one column; a text that is no date is missing."""
        codes, moments = self._times(raw)
        rows = dates.features(moments, self.parts, self.newest, self.fill, self.span)
        if self.flag:
            rows = np.concatenate((rows, ~moments.known[:, None]), axis=1)
        return codes, lambda some: rows[some]

    def unknown(self, raw: RawColumn) -> tuple[Array, list[str]]:
        """Where [N] a column has a text that is no date, and these texts."""
        codes, moments = self._times(raw)
        texts = coded(raw)[1]
        odd = [not known for known in moments.known[:-1]]
        return np.array([*odd, False])[codes], [t for t, bad in zip(texts, odd, strict=True) if bad]

    def _times(self, raw: RawColumn) -> tuple[Array, Times]:
        """The code of each row, and the time of each code; the last, that of -1, is missing."""
        codes, texts = coded(raw)
        written = raw.dates if raw.categories is not None else dates.written(texts)
        found = dates.times(written, self.day_first)
        return codes, Times(np.append(found.days, np.nan), np.append(found.hours, np.nan))

    def to_json(self) -> dict[str, Any]:
        return {"kind": "date", **vars(self), "parts": list(self.parts)}


@dataclass(frozen=True)
class Flag:
    """Yes or no as 1 or 0; a missing or unknown word is 0.5.

    Attributes:
        yes, no: the words for each, in lower case.
        missing: whether a second feature marks missing words.
    """

    yes: tuple[str, ...]
    no: tuple[str, ...]
    missing: bool = False

    def bind(self, raw: RawColumn, where: str) -> Bound:
        """Binds one column; numbers are words by their text."""
        codes, texts = coded(raw)
        values = np.array([*map(self.value, texts), np.nan])
        rows = np.nan_to_num(values, nan=0.5)[:, None]
        if self.missing:
            rows = np.concatenate((rows, np.isnan(values)[:, None]), axis=1)
        return codes, lambda some: rows[some]

    def unknown(self, raw: RawColumn) -> tuple[Array, list[str]]:
        """Where [N] a column has an unknown word, and these."""
        codes, texts = coded(raw)
        odd = [bool(np.isnan(self.value(text))) for text in texts]
        return np.array([*odd, False])[codes], [t for t, bad in zip(texts, odd, strict=True) if bad]

    def value(self, text: str) -> float:
        """1 for yes, 0 for no, NaN for another text."""
        word = text.strip().lower()
        return 1.0 if word in self.yes else 0.0 if word in self.no else np.nan

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "flag",
            "yes": list(self.yes),
            "no": list(self.no),
            "missing": self.missing,
        }


_BOOLEAN = {"false": 0, "true": 1, "0": 0, "1": 1, "0.0": 0, "1.0": 1}

Encoder = Number | OneHot | Date | Flag


def encoder_from_json(record: Mapping[str, Any]) -> Encoder:
    """The encoder of a record by `to_json`; KeyError for anything else."""
    if record["kind"] == "number":
        form = Format.from_json(record["format"]) if record.get("format") else None
        return Number(record["median"], record["flag"], form)
    if record["kind"] == "flag":
        return Flag(tuple(record["yes"]), tuple(record["no"]), record["missing"])
    if record["kind"] == "date":
        known = {key: value for key, value in record.items() if key != "kind"}
        return Date(**{**known, "parts": tuple(record["parts"])})
    return OneHot(tuple(record["categories"]), record["missing"])
