from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tuner.data.narrow import Grown, fresh, narrow

NORMAL = np.random.default_rng(0).normal(size=1000)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (np.array([0, 127, -128]), np.int8),
        (np.array([0, 128]), np.int16),
        (np.array([2**40, -1]), np.int64),
        (np.array([255], dtype=np.uint64), np.uint8),
        (np.array([], dtype=np.int64), np.int8),
        (np.array([0.5, np.nan, np.inf]), np.float32),
        (np.array([np.nan, np.nan]), np.float32),
        (np.array([2.0**24, 2.0**24 + 1]), np.float64),
        (np.array([0.1, 0.1]), np.float64),
        (np.array([1e300, 0.5]), np.float64),
        (np.array([1e9 + 0.1, -1e9]), np.float64),
        (NORMAL, np.float32),
        (NORMAL + 20, np.float32),
        (NORMAL + 1000, np.float64),
        (NORMAL * 1e-40, np.float64),
        (np.array([0.1], dtype=np.float32), np.float32),
    ],
    ids=str,
)
def test_numbers_take_the_bytes_that_they_need(values: Any, dtype: type) -> None:
    found = narrow(values)
    assert found.dtype == dtype
    if dtype is np.float32 and len(values) == 1000:
        moved = np.abs(found.astype(np.float64) - values).max() / values.std()
        assert 0 < moved < 4e-6
    else:
        np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize(
    ("pieces", "dtype"),
    [
        (([1, 2], [300, 4]), np.int16),
        (([1, 2], [0.5, None]), np.float32),
        (([1, 2**20], [0.5]), np.float64),
        (([0.5], [0.1, 0.1], [3]), np.float64),
    ],
    ids=str,
)
def test_pieces_that_need_more_bytes_widen_those_before(pieces: Any, dtype: type) -> None:
    column = Grown(True)
    for piece in pieces:
        column.add(np.array([np.nan if each is None else each for each in piece]))
    expected = [np.nan if each is None else each for piece in pieces for each in piece]
    assert column.values.dtype == dtype
    np.testing.assert_array_equal(column.values, expected)


def test_numbers_that_are_to_stay_do() -> None:
    column = Grown(False)
    column.add(NORMAL)
    column.add(np.array([1, 2]))
    assert column.values.dtype == np.float64
    np.testing.assert_array_equal(column.values, [*NORMAL, 1, 2])


@pytest.mark.parametrize("count", [0, 10, 100_000])
def test_an_array_of_its_own_can_be_written(count: int) -> None:
    found = fresh(count, np.int32)
    found[:] = np.arange(count)
    assert found.tolist() == list(range(count))
