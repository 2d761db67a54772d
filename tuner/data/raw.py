"""Columns of a frame as numbers, or as codes of categories; nothing is learned from them yet."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tuner.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

WIDE = {"b": np.bool_, "i": np.int64, "u": np.uint64, "f": np.float64}
OBJECTS_OF_NUMBERS = ("integer", "floating", "decimal", "mixed-integer-float")


@dataclass(frozen=True)
class RawColumn:
    """One column.

    Attributes:
        name: as the source calls it.
        values: booleans or numbers [N], NaN where missing; or int64 codes [N] of the categories,
            -1 where missing.
        categories: what the codes mean; None for a column of numbers.
    """

    name: str
    values: NDArray[Any]
    categories: NDArray[np.object_] | None = None

    @property
    def kind(self) -> str:
        """numeric, boolean or categorical."""
        if self.categories is None:
            return "boolean" if self.values.dtype.kind == "b" else "numeric"
        return "boolean" if set(self.categories) == {"False", "True"} else "categorical"


def raw_columns(
    frame: pd.DataFrame, where: str, skip: Collection[str] = ()
) -> tuple[RawColumn, ...]:
    """The columns of a frame but those to skip, without a copy; DataError for dates and other
    types that are neither numbers nor text."""
    found: list[RawColumn] = []
    refused: list[str] = []
    for place, name in enumerate(map(str, frame.columns)):
        if name in skip:
            continue
        series = frame.iloc[:, place]
        if series.dtype.kind in "biuf":
            found.append(RawColumn(name, _numbers(series)))
        elif series.dtype.kind == "O":
            found.append(_objects(name, series))
        else:
            refused.append(f"{name} ({series.dtype})")
    if refused:
        raise DataError(
            f"columns that are neither numbers nor text: {', '.join(refused)}",
            where=where,
            hint="remove them, or turn them into numbers",
        )
    return tuple(found)


def _numbers(series: pd.Series[Any]) -> NDArray[Any]:
    if isinstance(series.dtype, np.dtype):
        return series.to_numpy()
    if series.isna().any():  # nullable, with pandas.NA
        return series.to_numpy(dtype=np.float64, na_value=np.nan)
    return series.to_numpy(dtype=WIDE[series.dtype.kind])


def _objects(name: str, series: pd.Series[Any]) -> RawColumn:
    """Numbers where all are; else codes in order of first appearance, and what is not text is
    taken by its text."""
    from pandas.api.types import infer_dtype

    if infer_dtype(series, skipna=True) in OBJECTS_OF_NUMBERS:
        return RawColumn(name, series.to_numpy(dtype=np.float64, na_value=np.nan))
    text = series.astype(object).where(series.notna(), None)
    codes, categories = text.map(str, na_action="ignore").factorize()
    return RawColumn(name, codes.astype(np.int64), np.asarray(categories, dtype=object))


def numbers(other: RawColumn, where: str) -> NDArray[Any]:
    """The values of a column where those to train on are numbers; DataError for text."""
    if other.categories is None:
        return other.values
    if not len(other.categories):
        return np.full(len(other.values), np.nan)
    raise DataError(
        f"column {other.name!r} has {str(other.categories[0])!r}, and the rows to train on have "
        "numbers",
        where=where,
        hint="give numbers, or empty cells where there are none",
    )


def coded(raw: RawColumn) -> tuple[NDArray[np.int64], list[str]]:
    """Codes, -1 where missing, and the texts that they mean."""
    if raw.categories is not None:
        return raw.values, [str(each) for each in raw.categories]
    if raw.values.dtype.kind == "b":
        return raw.values.astype(np.int64), ["False", "True"]
    missing = np.isnan(raw.values) if raw.values.dtype.kind == "f" else np.zeros_like(raw.values)
    found, codes = np.unique(raw.values, return_inverse=True)
    texts = [f"{each:.0f}" if each == np.floor(each) else str(each) for each in found.tolist()]
    return np.where(missing, -1, codes.astype(np.int64)), texts
