from __future__ import annotations

import decimal
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tuner.data.raw import raw_columns
from tuner.errors import DataError


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1, 2], np.int64),
        ([1.5, None], np.float64),
        ([True, False], np.bool_),
        (np.array([1, 2], dtype=np.uint8), np.uint8),
        (np.array([1, 2], dtype=np.float32), np.float32),
        (pd.array([1, 2], dtype="Int8"), np.int64),
        (pd.array([1, None], dtype="Int8"), np.float64),
        (pd.array([True, False], dtype="boolean"), np.bool_),
        (pd.array([0.5, None], dtype="Float32"), np.float64),
        ([decimal.Decimal("1.5"), None], np.float64),
        (np.array([1, 2.5], dtype=object), np.float64),
    ],
    ids=str,
)
def test_numbers_keep_their_type(values: Any, dtype: type) -> None:
    (column,) = raw_columns(pd.DataFrame({"a": values}), "here")
    assert column.categories is None
    assert column.values.dtype == dtype
    for found, given in zip(column.values.tolist(), values, strict=True):
        assert math.isnan(found) if pd.isna(given) else found == float(given)


@pytest.mark.parametrize(
    "values",
    [
        ["b", None, "a", "b"],
        pd.Categorical(["b", None, "a", "b"], categories=["z", "b", "a"]),
        np.array(["b", np.nan, "a", "b"], dtype=object),
        pd.array(["b", pd.NA, "a", "b"], dtype="string"),
    ],
    ids=lambda values: type(values).__name__,
)
def test_text_becomes_codes(values: Any) -> None:
    (column,) = raw_columns(pd.DataFrame({"a": values}), "here")
    assert column.kind == "categorical"
    assert column.categories is not None
    assert column.categories.tolist() == ["b", "a"]
    assert column.values.tolist() == [0, -1, 1, 0]


def test_a_mixture_is_text() -> None:
    (column,) = raw_columns(pd.DataFrame({"a": [1, "x", None]}, dtype=object), "here")
    assert column.categories is not None
    assert column.categories.tolist() == ["1", "x"]


def test_spans_of_time_are_refused() -> None:
    frame = pd.DataFrame({"wait": pd.to_timedelta(["1 day"]), "a": [1]})
    with pytest.raises(DataError, match=r"neither numbers nor text: wait \(timedelta64"):
        raw_columns(frame, "here")


def test_dates_become_text() -> None:
    days = pd.Series(
        pd.to_datetime(["2020-01-01 00:00", None, "2020-01-02 13:45", "2020-01-01 00:00"])
    )
    for series in (days, days.dt.tz_localize("Europe/Berlin")):
        (raw,) = raw_columns(pd.DataFrame({"day": series}), "here")
        assert raw.values.tolist() == [0, -1, 1, 0]
        texts = [each[:16] for each in raw.categories.tolist()]  # type: ignore[union-attr]
        assert texts == ["2020-01-01 00:00", "2020-01-02 13:45"]
