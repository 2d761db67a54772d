from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tuner.data.labels import Labels, encode
from tuner.data.tables import from_arrays
from tuner.errors import DataError


def _encode(y: Any, task: str = "auto", classes: tuple[str, ...] = ()) -> Labels:
    return encode(from_arrays(np.zeros((len(y), 1)), y, "here", classes=classes), task)


@pytest.mark.parametrize(
    ("y", "classes", "values"),
    [
        (["b", "a", "b", "a"], ("a", "b"), [1, 0, 1, 0]),
        ([True, False, True, True], ("False", "True"), [1, 0, 1, 1]),
        (np.array([True, False], dtype=object), ("False", "True"), [1, 0]),
        ([3, 7, 3, 7], ("3", "7"), [0, 1, 0, 1]),
        (np.array([9, 10, 9, 10], dtype=np.uint8), ("9", "10"), [0, 1, 0, 1]),
        ([0.0, 1.0, 1.0, 0.0], ("0", "1"), [0, 1, 1, 0]),
        (pd.Series(["x", "y", "x"], dtype="category"), ("x", "y"), [0, 1, 0]),
        (np.array([b"x", b"y"]), ("x", "y"), [0, 1]),
        (["a", 1, "a", 1], ("1", "a"), [1, 0, 1, 0]),
    ],
)
def test_auto_takes_for_classes(y: Any, classes: tuple[str, ...], values: list[int]) -> None:
    labels = _encode(y)
    assert labels.task == "classification"
    assert labels.classes == classes
    assert labels.values.dtype == np.int64
    assert labels.values.tolist() == values


@pytest.mark.parametrize(
    "y", [[0.5, 1.0, 0.5, 1.0], list(range(10)), list(range(21)) * 5, [1e9, 2e9, 3e9]]
)
def test_auto_takes_for_a_quantity(y: list[float]) -> None:
    labels = _encode(y)
    assert (labels.task, labels.classes) == ("regression", ())
    assert labels.values.dtype == np.float64
    assert labels.values.tolist() == y


def test_the_task_can_be_said() -> None:
    assert _encode([1, 2, 1, 2], "regression").values.tolist() == [1.0, 2.0, 1.0, 2.0]
    assert _encode([*range(30)] * 2, "classification").classes[:2] == ("0", "1")
    assert _encode([0.5, 1.5], "classification").classes == ("0.5", "1.5")


def test_names_from_the_source_belong_to_their_numbers() -> None:
    assert _encode([2, 0, 2, 0], classes=("cat", "dog", "owl")).classes == ("cat", "owl")
    assert _encode([2, 3, 2, 3], classes=("cat", "dog", "owl")).classes == ("2", "3")
    assert _encode(["x", "y"], classes=("cat", "dog")).classes == ("x", "y")


@pytest.mark.parametrize(
    "y",
    [
        [1.0, 2.0, np.nan, np.nan],
        ["a", "b", None, None],
        ["a", "b", np.nan, np.nan],
        np.array(["a", "b", np.nan, np.nan]),
        pd.Series(["a", "b", None, None]),
        pd.Series([1, 2, None, None], dtype="Int64"),
        pd.Series([True, False, None, None], dtype="boolean"),
    ],
    ids=str,
)
def test_missing_labels(y: Any) -> None:
    with pytest.raises(
        DataError, match=r"2 of 4 labels are missing.*first in row 2 counted from 0"
    ):
        _encode(y)


@pytest.mark.parametrize(
    ("y", "task", "says"),
    [
        (["a", "a"], "auto", "all 2 labels are 'a': a classifier"),
        ([1, 1, 1], "auto", "all 3 labels are '1': a classifier"),
        ([0.5, 0.5], "auto", "all 2 labels are 0.5"),
        ([0.5, np.inf, 1.0], "auto", "1 labels are infinite"),
        (["a", "b"], "regression", "label 'a' in row 0 .* is text .* task is regression"),
        (np.array(["2020-01-01", "2020-01-02"], "M8[D]"), "auto", r"labels of type datetime64"),
    ],
)
def test_labels_that_do_not_fit(y: Any, task: str, says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        _encode(y, task)
    assert caught.value.where == "here"


def test_labels_that_are_all_different() -> None:
    with pytest.raises(DataError, match="all 9 labels are different, such as 'n0' and 'n1'"):
        _encode([f"n{i}" for i in range(9)])
    assert len(_encode(["x", "y"]).classes) == 2


def test_by_the_first_rule_each_text_is_a_class() -> None:
    for y in (["1,5", "2,5", "3,75"] * 10, ["a", "b", "?"] * 10):
        table = from_arrays(np.zeros((30, 1)), y, "here")
        assert encode(table, "auto", rule=1).classes == tuple(sorted(set(y)))
    assert encode(
        from_arrays(np.zeros((30, 1)), ["1,5", "2,5", "3,75"] * 10, "here"), "auto"
    ).task == ("regression")
