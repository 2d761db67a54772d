"""How a column becomes features: records of plain numbers, learned from the training rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    """

    fill: float | None = None
    flag: bool = False

    def bind(self, raw: RawColumn, where: str) -> Bound:
        """For one column; DataError where it holds text."""
        return numbers(raw, where), self._write

    def _write(self, values: Array) -> Array:
        values = values.astype(np.float64)  # to be worked on, however narrow they are held
        missing = np.isnan(values)
        fill = self.fill
        filled = values if fill is None or not missing.any() else np.where(missing, fill, values)
        if not self.flag:
            return filled[:, None]
        return np.concatenate((filled[:, None], missing[:, None]), axis=1)

    def to_json(self) -> dict[str, Any]:
        return {"kind": "number", "median": self.fill, "flag": self.flag}


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
        known = {text: i for i, text in enumerate(self.categories)}
        last = len(known) if self.missing else -1
        place = np.array([*(known.get(text, -1) for text in texts), last], dtype=np.int64)
        hot = np.arange(len(known) + self.missing)
        return codes, lambda some: place[some][:, None] == hot

    def to_json(self) -> dict[str, Any]:
        return {"kind": "one-hot", "categories": list(self.categories), "missing": self.missing}


Encoder = Number | OneHot


def from_json(record: Mapping[str, Any]) -> Encoder:
    """What `to_json` of an encoder gave; KeyError for anything else."""
    if record["kind"] == "number":
        return Number(record["median"], record["flag"])
    return OneHot(tuple(record["categories"]), record["missing"])
