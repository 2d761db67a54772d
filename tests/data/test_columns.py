from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tuner.data.columns import CATEGORIES, Encoded, encode, plain
from tuner.data.raw import raw_columns
from tuner.errors import DataError


def _encoded(values: Any, train: int | None = None, name: str = "c") -> tuple[Encoded, Any]:
    """A column learned from its first rows, and all rows as features."""
    (raw,) = raw_columns(pd.DataFrame({name: values}), "here")
    found = encode(raw, np.arange(len(values) if train is None else train), "here")
    if not found.names:
        return found, None
    values, write = found.encoder.bind(raw, "here")
    return found, write(values).tolist()


def test_a_number_is_kept() -> None:
    found, rows = _encoded([1, 5, 5])
    assert (found.column.kind, found.column.decision, found.names) == ("numeric", "kept", ("c",))
    assert found.scaled
    assert rows == [[1], [5], [5]]


def test_missing_numbers_get_the_training_median_and_a_column() -> None:
    found, rows = _encoded([1.0, None, 3.0, 8.0, None, 1e9], train=4)
    assert found.names == ("c", "c is missing")
    assert found.column.decision == "filled"
    assert found.column.reason.startswith("1 of 4 training rows are missing: the median 3 ")
    assert rows == [[1, 0], [3, 1], [3, 0], [8, 0], [3, 1], [1e9, 0]]


def test_numbers_missing_only_outside_the_training_rows() -> None:
    found, rows = _encoded([1.0, 2.0, 4.0, None], train=3)
    assert found.names == ("c",)
    assert rows == [[1], [2], [4], [2]]


def test_categories_are_those_of_the_training_rows() -> None:
    found, rows = _encoded(["b", "a", "b", "unseen", None], train=3)
    assert (found.column.kind, found.column.decision) == ("categorical", "one-hot")
    assert found.names == ("c = a", "c = b")
    assert not found.scaled
    assert rows == [[0, 1], [1, 0], [0, 1], [0, 0], [0, 0]]


def test_missing_text_is_a_category() -> None:
    found, rows = _encoded(["b", None, "a", None, "unseen"], train=3)
    assert found.names == ("c = a", "c = b", "c is missing")
    assert found.column.reason == "2 categories in the training rows, and missing ones"
    assert rows == [[0, 1, 0], [0, 0, 1], [1, 0, 0], [0, 0, 1], [0, 0, 0]]


def test_booleans() -> None:
    found, rows = _encoded([True, False, True])
    assert (found.column.kind, found.names) == ("boolean", ("c = False", "c = True"))
    assert rows == [[0, 1], [1, 0], [0, 1]]
    found, _ = _encoded([True, None, False])
    assert found.column.kind == "boolean"
    assert found.names == ("c = False", "c = True", "c is missing")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([3] * 30, "constant: 3 in every training row"),
        (["x"] * 30, "constant: 'x' in every training row"),
        ([True] * 30, "constant: 'True'"),
        ([None] * 30, "no training row has a value"),
        ([float("nan")] * 30, "no training row has a value"),
        ([f"name {i}" for i in range(30)], "an identifier: 30 texts, all different"),
        (list(range(1000, 1100)), "an identifier: 100 whole numbers, all different, in a range of"),
    ],
)
def test_what_is_dropped(values: Any, reason: str) -> None:
    found, _ = _encoded(values)
    assert (found.column.decision, found.names) == ("dropped", ())
    assert found.column.reason.startswith(reason)


@pytest.mark.parametrize("name", ["id", "ID", "customer_id", "customerId", "row", "Ticket No"])
def test_an_identifier_by_its_name(name: str) -> None:
    numbers = np.random.default_rng(0).choice(10**9, 50, replace=False)
    assert _encoded(numbers, name=name)[0].column.decision == "dropped"
    assert _encoded(numbers % 7, name=name)[0].column.decision == "kept"
    assert _encoded(numbers / 7, name=name)[0].column.decision == "kept"


@pytest.mark.parametrize("name", ["income", "grid", "humid", "paid", "piano"])
def test_measurements_that_are_all_different_are_kept(name: str) -> None:
    numbers = np.random.default_rng(0).choice(10**6, 100, replace=False)
    assert _encoded(numbers, name=name)[0].column.decision == "kept"
    assert _encoded(list(range(15)), name=name)[0].column.decision == "kept"  # few rows say nothing


def test_too_many_categories() -> None:
    values = [f"c{i % (CATEGORIES + 1)}" for i in range(2 * CATEGORIES + 2)]
    with pytest.raises(DataError, match=f"'c' has {CATEGORIES + 1} categories in") as caught:
        _encoded(values)
    assert caught.value.where == "here"
    assert len(_encoded(values, train=CATEGORIES // 2)[0].names) == 0  # all different there
    assert len(_encoded([*values[:99], *values[:99]])[0].names) == 99


def test_a_place_in_a_shape() -> None:
    pixel, text = raw_columns(pd.DataFrame({"a": [0, 0], "b": ["x", "y"]}), "here")
    assert plain(pixel, "here").names == ("a",)
    with pytest.raises(
        DataError, match=r"'b' is not numbers, and a row has .*\n.* has 'x' in row 0"
    ):
        plain(text, "here")


@pytest.mark.parametrize(
    ("name", "values", "dropped"),
    [
        ("Unnamed: 0", [3, 7, 7, 20], True),
        ("Unnamed: 0.1", [0, 1, 2, 3], True),
        ("__index_level_0__", [0, 1, 2, 3], True),
        ("index", [0, 1, 2, 3], True),
        ("idx", [5, 8, 13, 40], True),
        ("id", [3, 1, 2, 9], False),
        ("Unnamed: 3", [0.5, 1, 2, 3], False),
        ("floors", [1, 2, 3, 4], False),
    ],
)
def test_a_column_that_counts_the_rows(name: str, values: list[float], dropped: bool) -> None:
    (raw,) = raw_columns(pd.DataFrame({name: values}), "here")
    found = encode(raw, np.arange(4), "here").column
    assert (found.decision == "dropped") == dropped
    assert dropped == ("an identifier" in found.reason)
