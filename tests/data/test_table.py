from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tuner.data.table import Table, from_arrays, from_frame, is_frame
from tuner.errors import DataError

Y = [0, 1, 0]


@pytest.mark.parametrize(
    "x",
    [
        [[1, 2], [3, 4], [5, 6]],
        np.array([[1, 2], [3, 4], [5, 6]], dtype=np.uint8),
        np.array([[1, 2], [3, 4], [5, 6]], dtype=object),
        torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]),
        pd.DataFrame({"a": [1, 3, 5], "b": [2.0, 4.0, 6.0]}),
    ],
    ids=lambda x: type(x).__name__,
)
def test_features_in_every_form(x: Any) -> None:
    table = from_arrays(x, Y, "here")
    np.testing.assert_array_equal(_values(table), [[1, 2], [3, 4], [5, 6]])
    assert table.names == (("a", "b") if is_frame(x) else ())


def _values(table: Table) -> np.ndarray[Any, Any]:
    return np.stack([c.values for c in table.columns], 1) if table.x is None else table.x


def test_one_feature_and_images() -> None:
    assert _values(from_arrays([1.0, 2.0, 3.0], Y, "here")).shape == (3, 1)
    assert _values(from_arrays(np.zeros((3, 1, 8, 8)), Y, "here")).shape == (3, 1, 8, 8)


@pytest.mark.parametrize(
    "y",
    [
        [[0], [1], [0]],
        np.array([[0], [1], [0]]),
        torch.tensor([0, 1, 0]),
        pd.Series([0, 1, 0], dtype="Int64"),
        pd.DataFrame({"y": [0, 1, 0]}),
    ],
    ids=lambda y: type(y).__name__,
)
def test_labels_in_every_form(y: Any) -> None:
    assert from_arrays([[1.0]] * 3, y, "here").y.tolist() == Y


@pytest.mark.parametrize(
    ("x", "y", "says"),
    [
        ([[1.0]] * 2, Y, "2 rows of features and 3 labels"),
        ([], [], "no rows"),
        (np.zeros((3, 0)), Y, "no feature columns"),
        ([["a"]] * 3, Y, "features of type <U1"),
        (np.array([["a"]] * 3, dtype=object), Y, "not numbers: could not convert"),
        ([[1.0], [2.0, 3.0], [4.0]], Y, "features do not make an array"),
        (None, Y, r"features of type float64 and shape \[\]"),
        ([[1.0]] * 3, np.zeros((3, 2)), r"labels of shape \[3, 2\]"),
        ([[1.0]] * 3, 5, r"labels of shape \[\]"),
    ],
)
def test_arrays_that_do_not_fit(x: Any, y: Any, says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        from_arrays(x, y, "here")
    assert caught.value.where == "here"


def test_frame() -> None:
    frame = pd.DataFrame({"a": [1, 2, None], "label": ["x", "y", "x"], "b": [True, False, True]})
    table = from_frame(frame, "label", "here")
    assert table.names == ("a", "b")
    assert table.y.tolist() == ["x", "y", "x"]
    np.testing.assert_array_equal(_values(table), [[1, 1], [2, 0], [np.nan, 1]])
    assert [column.kind for column in table.columns] == ["numeric", "boolean"]


def test_frame_with_nullable_types() -> None:
    frame = pd.DataFrame(
        {"a": pd.array([1, None, 3], "Int64"), "y": pd.array([1, 0, None], "Int8")}
    )
    table = from_frame(frame, "y", "here")
    np.testing.assert_array_equal(_values(table), [[1], [np.nan], [3]])
    assert pd.isna(table.y).tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("frame", "target", "says"),
    [
        (
            pd.DataFrame({"a": [1], "label": [1]}),
            "lable",
            "no column 'lable'\n.*mean 'label'.*a, l",
        ),
        (pd.DataFrame({"a": [1], "label": [1]}), None, "no target given.*\n.*columns: a, label"),
        (pd.DataFrame([[1, 2, 3]], columns=["a", "a", "y"]), "y", "same name: a\n"),
        (
            pd.DataFrame({"a": pd.to_datetime(["2020-01-01"]), "y": [1]}),
            "y",
            r"neither numbers nor text: a \(datetime",
        ),
        (pd.DataFrame({"a": [], "y": []}), "y", "no rows"),
        (pd.DataFrame({"y": [1, 2]}), "y", "no feature columns"),
    ],
)
def test_frames_that_do_not_fit(frame: pd.DataFrame, target: str | None, says: str) -> None:
    with pytest.raises(DataError, match=says):
        from_frame(frame, target, "here")
