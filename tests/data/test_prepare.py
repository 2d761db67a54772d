"""test_prepare"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from tuner.data import prepare
from tuner.data.encoders import encoder_from_json
from tuner.data.prepare import (
    CATEGORIES,
    STATISTICS,
    Encoded,
    Wishes,
    encode_column,
    lookup,
    plain_column,
)
from tuner.data.raw import RawColumn, raw_columns
from tuner.errors import DataError


def _encoded(values: Any, train: int | None = None, name: str = "c") -> tuple[Encoded, Any]:
    """A column learned from its first rows, and all rows as features."""
    (raw,) = raw_columns(pd.DataFrame({name: values}), "here")
    found = encode_column(raw, np.arange(len(values) if train is None else train), "here")
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
    assert found.column.reason.startswith("missing in 1 of 4 training rows: the median 3 ")
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
    assert found.column.reason == "2 categories in the training rows, and missing values"
    assert rows == [[0, 1, 0], [0, 0, 1], [1, 0, 0], [0, 0, 1], [0, 0, 0]]


def test_booleans() -> None:
    found, rows = _encoded([True, False, True])
    assert (found.column.kind, found.column.decision, found.names) == ("boolean", "kept", ("c",))
    assert (found.scaled, rows) == (False, [[1], [0], [1]])
    found, rows = _encoded([True, None, False])
    assert (found.column.kind, found.names) == ("boolean", ("c", "c is missing"))
    assert rows == [[1, 0], [0.5, 1], [0, 0]]


@pytest.mark.parametrize(
    ("yes", "no"), [("yes", "No"), ("Y", "N"), ("t", "f"), ("ja", "nein"), ("TRUE", "false")]
)
def test_booleans_in_words(yes: str, no: str) -> None:
    found, rows = _encoded([no, yes, f" {yes.upper()} ", "?", None, "perhaps", "1"], train=5)
    assert (found.column.kind, found.names) == ("boolean", ("c", "c is missing"))
    missing = "missing in 2 of 5 training rows, which are 0.5 and marked by a column"
    assert found.column.reason == f"{yes!r} is 1, {no!r} is 0; {missing}"
    assert rows == [[0, 0], [1, 0], [1, 0], [0.5, 1], [0.5, 1], [0.5, 1], [1, 0]]
    assert encoder_from_json(json.loads(json.dumps(found.encoder.to_json()))) == found.encoder
    (raw,) = raw_columns(pd.DataFrame({"c": [yes, "perhaps", None]}), "here")
    mask, texts = found.encoder.unknown(raw)  # type: ignore[union-attr]
    assert (mask.tolist(), texts) == ([False, True, False], ["perhaps"])


@pytest.mark.parametrize("words", [("yes", "maybe"), ("m", "f"), ("on", "no"), ("yes", "no", "a")])
def test_words_that_are_no_booleans(words: tuple[str, ...]) -> None:
    found, _ = _encoded([*words] * 3)
    assert (found.column.kind, found.column.decision) == ("categorical", "one-hot")


def test_booleans_were_categories_before_the_third_rule() -> None:
    for cells in ([True, False] * 3, ["yes", "no"] * 3):
        (raw,) = raw_columns(pd.DataFrame({"c": cells}), "here")
        for wishes in (Wishes(rule=2), Wishes(category=True)):
            found = encode_column(raw, np.arange(6), "here", wishes)
            assert (found.column.decision, len(found.names)) == ("one-hot", 2)


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
    assert plain_column(pixel, "here").names == ("a",)
    with pytest.raises(
        DataError, match=r"'b' is not numeric, but data.shape .*\n.* has 'x' in row 0"
    ):
        plain_column(text, "here")


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
    found = encode_column(raw, np.arange(4), "here").column
    assert (found.decision == "dropped") == dropped
    assert dropped == ("an identifier" in found.reason)


Array = np.ndarray[Any, Any]


def _applied(kind: str, train: Array, rows: Array | None = None) -> Array:
    """Learned from all rows of train, applied to them or to others."""
    learned = STATISTICS[kind](train, np.arange(len(train)))
    rows = train if rows is None else rows
    return prepare.apply(learned, rows, np.arange(len(rows)))


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint8, np.int64, np.bool_])
def test_features_get_mean_zero_and_deviation_one(dtype: type) -> None:
    train = np.random.default_rng(0).integers(0, 9, (200, 5)).astype(dtype)
    out = _applied("standard", train)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out.mean(0), 0, atol=1e-6)
    if dtype is not np.bool_:
        np.testing.assert_allclose(out.std(0), 1, atol=1e-6)


def test_images_by_channel() -> None:
    images = np.random.default_rng(0).normal(size=(50, 3, 4, 4)) * [[[1]], [[5]], [[9]]] + 7
    out = _applied("standard", images)
    np.testing.assert_allclose(out.mean((0, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(out.std((0, 2, 3)), 1, atol=1e-6)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e12, -3.3e-7])
def test_a_constant_feature_becomes_zero(constant: float) -> None:
    train = np.full((101, 1), constant)
    out = _applied("standard", train)
    np.testing.assert_allclose(out, 0, atol=1e-3)


def test_large_offsets_keep_their_digits() -> None:
    """Seconds since 1970 a minute apart are equal in float32."""
    seconds = (1_700_000_000 + np.arange(100))[:, None]
    out = _applied("standard", seconds)
    assert len(np.unique(out)) == 100
    assert out.std() == pytest.approx(1, abs=1e-6)


def test_none_leaves_the_numbers_alone() -> None:
    train = np.array([[1.5, -2.0], [3.0, 4.0]])
    assert _applied("none", train).tolist() == train.tolist()


def test_unknown() -> None:
    with pytest.raises(DataError, match="did you mean 'standard'"):
        lookup("standart")


@pytest.mark.parametrize("kind", STATISTICS)
@pytest.mark.parametrize("shape", [(700, 5), (300, 2, 4, 4)])
def test_chunks_change_nothing(
    monkeypatch: pytest.MonkeyPatch, kind: str, shape: tuple[int, ...]
) -> None:
    if kind in ("robust", "quantile", "uniform") and len(shape) > 2:
        return
    x = np.random.default_rng(0).gamma(2, 3, size=shape).astype(np.float32)
    whole = _applied(kind, x)
    monkeypatch.setattr(prepare, "CHUNK", 64)
    np.testing.assert_allclose(_applied(kind, x), whole, rtol=1e-5, atol=1e-6)


def test_only_the_given_rows_count() -> None:
    x = np.array([[0.0], [2.0], [1e9]])
    learned = STATISTICS["standard"](x, np.array([0, 1]))
    assert prepare.apply(learned, x, np.array([1, 0])).tolist() == [[1.0], [-1.0]]


def test_robust_is_median_quartiles_and_a_smooth_clip() -> None:
    train = np.random.default_rng(0).lognormal(sigma=3, size=(501, 2))
    low, median, high = np.quantile(train, (0.25, 0.5, 0.75), axis=0)
    z = (train - median) / (high - low)
    out = _applied("robust", train)
    np.testing.assert_allclose(out, z / np.sqrt(1 + (z / 3) ** 2), rtol=1e-6, atol=1e-6)
    assert np.abs(out).max() < 3


def test_robust_of_equal_quartiles_and_of_a_constant() -> None:
    train = np.array([[0.0, 7.0]] * 9 + [[10.0, 7.0]])
    other = np.array([[10.0, 7.0], [-10.0, 7.0], [1e30, 8.0]])
    ends = 2 / np.sqrt(1 + 4 / 9)  # its whole range is 2 before the clip
    np.testing.assert_allclose(_applied("robust", train, other)[:, 0], [ends, -ends, 3], rtol=1e-6)
    assert _applied("robust", train, other)[:2, 1].tolist() == [0.0, 0.0]


def test_quantile_gives_normal_scores() -> None:
    train = np.random.default_rng(0).lognormal(sigma=3, size=(501, 2))
    out = _applied("quantile", train)
    rank = (scipy.stats.rankdata(train, axis=0) - 0.5) / len(train)
    np.testing.assert_allclose(out, scipy.stats.norm.ppf(rank), rtol=1e-5, atol=1e-6)


def test_quantile_of_equal_and_of_unseen_values() -> None:
    train = np.array([[1.0], [1.0], [1.0], [2.0]])
    other = np.array([[-1e30], [1.0], [1.5], [2.0], [1e30]])
    rank = (_applied("uniform", train, other) / np.sqrt(12) + 0.5)[:, 0]
    np.testing.assert_allclose(rank, [0.375, 0.375, 0.625, 0.875, 0.875], atol=1e-6)


def test_ranks_of_many_values_are_found_by_landmarks() -> None:
    train = np.random.default_rng(0).normal(size=(20_000, 1))
    exact = (scipy.stats.rankdata(train) - 0.5) / len(train)
    rank = _applied("uniform", train)[:, 0] / np.sqrt(12) + 0.5
    np.testing.assert_allclose(rank, exact, atol=1e-3)
    assert _applied("uniform", train).std() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(("kind", "what"), [("quantile", "ranks"), ("robust", "medians")])
def test_ranks_and_medians_are_for_tables(kind: str, what: str) -> None:
    with pytest.raises(DataError, match=rf"{what} need a table, but a row has shape \[1, 8, 8\]"):
        _applied(kind, np.zeros((5, 1, 8, 8)))


def test_by_the_first_rule_fewer_names_are_those_of_identifiers() -> None:
    raw = RawColumn("rowid", np.arange(0, 30000, 1000))
    decided = [
        encode_column(raw, np.arange(30), "here", Wishes(rule=rule)).column for rule in (1, 2)
    ]
    assert [each.decision for each in decided] == ["kept", "dropped"]
    index = RawColumn("Unnamed: 0", np.arange(5))
    decided = [
        encode_column(index, np.arange(5), "here", Wishes(rule=rule)).column for rule in (1, 2)
    ]
    assert [each.decision for each in decided] == ["kept", "dropped"]
