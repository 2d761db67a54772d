from __future__ import annotations

import numpy as np
import pytest

from tuner.data.preprocessing import STATISTICS, apply, lookup
from tuner.errors import DataError


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint8, np.int64, np.bool_])
def test_features_get_mean_zero_and_deviation_one(dtype: type) -> None:
    train = np.random.default_rng(0).integers(0, 9, (200, 5)).astype(dtype)
    shift, scale = STATISTICS["standard"](train)
    out = apply(train, shift, scale)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out.mean(0), 0, atol=1e-6)
    if dtype is not np.bool_:
        np.testing.assert_allclose(out.std(0), 1, atol=1e-6)


def test_images_by_channel() -> None:
    images = np.random.default_rng(0).normal(size=(50, 3, 4, 4)) * [[[1]], [[5]], [[9]]] + 7
    shift, scale = STATISTICS["standard"](images)
    assert shift.shape == scale.shape == (1, 3, 1, 1)
    out = apply(images, shift, scale)
    np.testing.assert_allclose(out.mean((0, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(out.std((0, 2, 3)), 1, atol=1e-6)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e12, -3.3e-7])
def test_a_constant_feature_becomes_zero(constant: float) -> None:
    train = np.full((101, 1), constant)
    out = apply(train, *STATISTICS["standard"](train))
    np.testing.assert_allclose(out, 0, atol=1e-3)


def test_large_offsets_keep_their_digits() -> None:
    """Seconds since 1970 a minute apart are equal in float32."""
    seconds = (1_700_000_000 + np.arange(100))[:, None]
    out = apply(seconds, *STATISTICS["standard"](seconds))
    assert len(np.unique(out)) == 100
    assert out.std() == pytest.approx(1, abs=1e-6)


def test_none_leaves_the_numbers_alone() -> None:
    train = np.array([[1.5, -2.0], [3.0, 4.0]])
    assert apply(train, *STATISTICS["none"](train)).tolist() == train.tolist()


def test_unknown() -> None:
    with pytest.raises(DataError, match="did you mean 'standard'"):
        lookup("standart")
