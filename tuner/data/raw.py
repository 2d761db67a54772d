"""Reads columns of a frame as numbers or as category codes, without fitting anything."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tuner.data.dates import Written, written
from tuner.data.memory import let_go
from tuner.data.numbers import PLAIN, Format
from tuner.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

Read = tuple[NDArray[np.float64], NDArray[np.bool_]]
"""Numbers, and where a text is neither a number nor marked as missing."""
WIDE = {"b": np.bool_, "i": np.int64, "u": np.uint64, "f": np.float64}
OBJECTS_OF_NUMBERS = ("integer", "floating", "decimal", "mixed-integer-float")


@dataclass(frozen=True)
class RawColumn:
    """One column.

    Attributes:
        name: in the source.
        values: booleans or numbers [N], NaN where missing; or int64 codes [N] of the categories,
            -1 where missing.
        categories: the text of each code; None for a column of numbers.
        comma: decimals are written with a comma in its file.
    """

    name: str
    values: NDArray[Any]
    categories: NDArray[np.object_] | None = None
    comma: bool = False
    _read: dict[Format, Read] = field(default_factory=dict, init=False, repr=False, compare=False)
    _dates: list[Written] = field(default_factory=list, init=False, repr=False, compare=False)

    def part(self, rows: NDArray[Any]) -> RawColumn:
        """Some rows, which share what is known of its texts."""
        some = replace(self, values=self.values[rows])
        let_go(self.values)
        for name in ("_read", "_dates"):
            object.__setattr__(some, name, getattr(self, name))
        return some

    def read(self, number_format: Format | None) -> Read:
        """The numbers [N] of a column of text, NaN where missing, and where [N] a text is neither a
        number nor marked as missing; without a format, as plain numbers."""
        assert self.categories is not None
        if self.kind == "boolean":
            known = np.array([*(each == "True" for each in self.categories), np.nan])
            return known[self.values], np.zeros(len(self.values), dtype=bool)
        number_format = number_format or PLAIN
        if number_format not in self._read:
            values, odd = self._read_texts(number_format, self.categories)
            self._read[number_format] = np.append(values, np.nan), np.append(odd, False)
        values, odd = self._read[number_format]  # the last is for the code -1, missing
        return values[self.values], odd[self.values]

    def _read_texts(self, number_format: Format, texts: NDArray[np.object_]) -> Read:
        """The texts as numbers; plain ones with a decimal comma where the file has these and more
        texts are numbers then."""
        plain = number_format.values(texts)
        if (
            self.comma
            and plain[1].any()
            and (number_format.decimal, number_format.thousands) == (".", "")
        ):
            other = replace(number_format, decimal=",").values(texts)
            return min(other, plain, key=lambda each: int(each[1].sum()))
        return plain

    @property
    def dates(self) -> Written:
        """The date that the text of each code is; read once."""
        if not self._dates:
            self._dates.append(written(() if self.categories is None else self.categories))
        return self._dates[0]

    @property
    def kind(self) -> str:
        """numeric, boolean or categorical."""
        if self.categories is None:
            return "boolean" if self.values.dtype.kind == "b" else "numeric"
        return "boolean" if set(self.categories) == {"False", "True"} else "categorical"


def raw_columns(
    frame: pd.DataFrame, where: str, skip: Collection[str] = ()
) -> tuple[RawColumn, ...]:
    """The columns of a frame but those to skip, without a copy, dates as text; DataError for other
    types that are neither numbers nor text."""
    columns: list[RawColumn] = []
    refused: list[str] = []
    comma = writes_comma(frame)
    labels = frame.columns.astype(object)  # an index of text is slow for each column
    for label, series in frame.set_axis(labels, axis=1).items():
        name = str(label)
        if name in skip:
            continue
        if series.dtype.kind in "biuf":
            columns.append(RawColumn(name, _numbers(series)))
        elif series.dtype.kind == "O":
            columns.append(_object_column(name, series, comma))
        elif series.dtype.kind == "M":
            columns.append(_date_column(name, series))
        else:
            refused.append(f"{name} ({series.dtype})")
    if refused:
        raise DataError(
            f"columns that are neither numbers nor text: {', '.join(refused)}",
            where=where,
            hint="remove them, or turn them into numbers",
        )
    return tuple(columns)


def _numbers(series: pd.Series[Any]) -> NDArray[Any]:
    if isinstance(series.dtype, np.dtype):
        return series.to_numpy()
    if series.isna().any():  # nullable, with pandas.NA
        return series.to_numpy(dtype=np.float64, na_value=np.nan)
    return series.to_numpy(dtype=WIDE[series.dtype.kind])


def writes_comma(frame: pd.DataFrame) -> bool:
    """Whether decimals are known to be written with a comma in the file of a frame."""
    return bool(frame.attrs.get("comma"))


def _object_column(name: str, series: pd.Series[Any], comma: bool) -> RawColumn:
    """Numbers where all objects are; else codes of their texts in order of first appearance."""
    from pandas.api.types import infer_dtype

    if infer_dtype(series, skipna=True) in OBJECTS_OF_NUMBERS:
        return RawColumn(name, series.to_numpy(dtype=np.float64, na_value=np.nan))
    text = series.astype(object).where(series.notna(), None)
    codes, categories = text.map(str, na_action="ignore").factorize()
    return RawColumn(name, codes.astype(np.int64), np.asarray(categories, dtype=object), comma)


def _date_column(name: str, series: pd.Series[Any]) -> RawColumn:
    """The text of each date in the form of ISO 8601."""
    codes, dates = series.factorize()
    texts = np.array([each.isoformat(" ") for each in dates], dtype=object)
    return RawColumn(name, codes.astype(np.int64), texts)


Naming = Callable[[int], str]
"""From a row's place to the words for it."""


def counted(row: int) -> str:
    """A row of an array or a frame in words."""
    return f"row {row} counted from 0"


def in_file(row: int) -> str:
    """A row of a text file in words, by its number: a spreadsheet counts the header as row 1."""
    return f"row {row + 2} (the header is row 1)"


def numbers(
    raw: RawColumn, where: str, number_format: Format | None = None, row: Naming = counted
) -> NDArray[Any]:
    """The values of a column that is numbers in the training rows.

    Args:
        number_format: of text in the training rows; texts that are no number in it are missing.
        row: names a row in words.

    Raises:
        DataError: without a format, a text that is no number, with its row.
    """
    if raw.categories is None:
        return raw.values
    values, odd = raw.read(number_format)
    if number_format is None and odd.any():
        raise DataError(
            f"{first_odd(raw, odd, row)}, but the training rows have numbers there",
            where=where,
            hint=NO_NUMBER,
        )
    return values


NO_NUMBER = "write numbers, or leave cells without one empty"


def first_odd(raw: RawColumn, odd: NDArray[np.bool_], row: Naming) -> str:
    """The first cell that is no number, in words.

    Args:
        odd: where [N] they are.
        row: names a row in words.
    """
    at = int(odd.argmax())
    assert raw.categories is not None
    text, count = str(raw.categories[raw.values[at]]), int(odd.sum())
    more = f" ({count} such rows)" if count > 1 else ""
    return f"column {raw.name!r} has {text[:80]!r} in {row(at)}{more}"


def coded(raw: RawColumn) -> tuple[NDArray[np.int64], list[str]]:
    """Codes, -1 where missing, and their texts."""
    if raw.categories is not None:
        return raw.values, [str(each) for each in raw.categories]
    if raw.values.dtype.kind == "b":
        return raw.values.astype(np.int64), ["False", "True"]
    missing = np.isnan(raw.values) if raw.values.dtype.kind == "f" else np.zeros_like(raw.values)
    distinct, codes = np.unique(raw.values, return_inverse=True)
    texts = [f"{each:.0f}" if each == np.floor(each) else str(each) for each in distinct.tolist()]
    return np.where(missing, -1, codes.astype(np.int64)), texts
