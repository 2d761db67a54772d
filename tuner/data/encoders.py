"""How a column becomes features: records of plain numbers, learned from the training rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.data.numbers import Format
from tuner.data.raw import RawColumn, coded, numbers

Array = NDArray[Any]
Bound = tuple[Array, Callable[[Array], Array]]
"""A column's values [N], and what makes features [n, k] of some of them [n]."""


@dataclass(frozen=True)
class Number:
    """A quantity.

    Attributes:
        fill: what a missing one becomes; None where none is looked for.
        flag: whether a second feature says which were missing.
        format: how numbers were written in the training rows, where they were text.
    """

    fill: float | None = None
    flag: bool = False
    format: Format | None = None

    def bind(self, raw: RawColumn, where: str) -> Bound:
        """For one column; DataError where it holds text and those to train on did not."""
        return numbers(raw, where, self.format), self._write

    def _write(self, values: Array) -> Array:
        values = values.astype(np.float64)  # to be worked on, however narrow they are held
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
    """A feature for each category; what is none of them is 0 in all.

    Attributes:
        categories: in the order of the features.
        missing: whether a last feature says what is missing.
    """

    categories: tuple[str, ...]
    missing: bool = False

    def bind(self, raw: RawColumn, where: str) -> Bound:
        """For one column, whose numbers are categories by their text."""
        codes, texts = coded(raw)
        last = len(self.categories) if self.missing else -1
        place = np.append(self._places(texts), last)
        hot = np.arange(len(self.categories) + self.missing)
        return codes, lambda some: place[some][:, None] == hot

    def unknown(self, raw: RawColumn) -> tuple[Array, list[str]]:
        """Where [N] a column has a category that is none of these, and which there are."""
        codes, texts = coded(raw)
        strange = np.append(self._places(texts) < 0, False)
        return strange[codes], [text for text, odd in zip(texts, strange, strict=False) if odd]

    def _places(self, texts: list[str]) -> Array:
        """The feature [n] of each category, -1 for an unknown one. Of what is true or false, 1 and
        0 are other names."""
        known = {text: i for i, text in enumerate(self.categories)}
        if self.categories == ("False", "True"):
            known = _BOOLEAN
            texts = [text.strip().lower() for text in texts]
        return np.array([known.get(text, -1) for text in texts], dtype=np.int64)

    def to_json(self) -> dict[str, Any]:
        return {"kind": "one-hot", "categories": list(self.categories), "missing": self.missing}


_BOOLEAN = {"false": 0, "true": 1, "0": 0, "1": 1, "0.0": 0, "1.0": 1}

Encoder = Number | OneHot


def from_json(record: Mapping[str, Any]) -> Encoder:
    """What `to_json` of an encoder gave; KeyError for anything else."""
    if record["kind"] == "number":
        form = Format.from_json(record["format"]) if record.get("format") else None
        return Number(record["median"], record["flag"], form)
    return OneHot(tuple(record["categories"]), record["missing"])
