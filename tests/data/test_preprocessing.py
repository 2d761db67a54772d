from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats

from tuner.data import preprocessing
from tuner.data.preprocessing import STATISTICS, lookup
from tuner.errors import DataError

Array = np.ndarray[Any, Any]


def _applied(kind: str, train: Array, rows: Array | None = None) -> Array:
    """Learned from all rows of train, applied to them or to others."""
    learned = STATISTICS[kind](train, np.arange(len(train)))
    rows = train if rows is None else rows
    return preprocessing.apply(learned, rows, np.arange(len(rows)))


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
    if kind in ("quantile", "uniform") and len(shape) > 2:
        return
    x = np.random.default_rng(0).gamma(2, 3, size=shape).astype(np.float32)
    whole = _applied(kind, x)
    monkeypatch.setattr(preprocessing, "CHUNK", 64)
    np.testing.assert_allclose(_applied(kind, x), whole, rtol=1e-5, atol=1e-6)


def test_only_the_given_rows_count() -> None:
    x = np.array([[0.0], [2.0], [1e9]])
    learned = STATISTICS["standard"](x, np.array([0, 1]))
    assert preprocessing.apply(learned, x, np.array([1, 0])).tolist() == [[1.0], [-1.0]]


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


def test_ranks_are_for_tables() -> None:
    with pytest.raises(DataError, match=r"a row has shape \[1, 8, 8\]"):
        _applied("quantile", np.zeros((5, 1, 8, 8)))
