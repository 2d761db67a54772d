"""Intervals: Student's over seeds, and with the rows' share by a jackknife."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from tuner.metrics import limits
from tuner.results.estimate import of_differences, over_seeds, over_seeds_and_rows


def test_over_seeds_is_students_interval() -> None:
    values = [0.91, 0.93, 0.92, 0.95, 0.9]
    found = over_seeds(values)
    low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert found.mean == pytest.approx(np.mean(values))
    assert found.sd == pytest.approx(np.std(values, ddof=1))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.values == tuple(values)


def test_one_seed_has_no_interval() -> None:
    found = over_seeds([0.5])
    assert found.mean == 0.5
    assert all(math.isnan(x) for x in (found.sd, found.low, found.high))
    assert not found.clear


def test_equal_values_leave_no_doubt() -> None:
    found = over_seeds([0.5, 0.5, 0.5])
    assert (found.low, found.high) == (0.5, 0.5)
    assert found.clear


def test_rows_that_only_some_seeds_know_are_left_out_of_account() -> None:
    assert over_seeds_and_rows([0.5, 0.7], [[0.4, 0.6], []]) == over_seeds([0.5, 0.7])


def test_the_jackknife_of_a_mean_is_its_variance_over_rows() -> None:
    rows = np.random.default_rng(0).normal(1.0, 2.0, size=2000)
    groups = np.arange(len(rows)) % 20
    without = [rows[groups != g].mean() for g in range(20)]
    found = over_seeds_and_rows([rows.mean()] * 3, [without] * 3)
    error = (found.high - found.mean) / stats.t.ppf(0.975, 19)
    assert error == pytest.approx(rows.std() / math.sqrt(len(rows)), rel=0.3)


def test_without_the_groups_it_is_over_seeds_alone() -> None:
    assert over_seeds_and_rows([1.0, 2.0], [[], []]) == over_seeds([1.0, 2.0])
    assert over_seeds_and_rows([1.0, 2.0]) == over_seeds([1.0, 2.0])


def test_the_interval_covers_a_difference_that_is_zero() -> None:
    """Seeds and rows both matter: what is the same for all seeds is due to the rows alone."""
    random = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        rows = random.normal(size=200)
        each = [rows + random.normal(size=200) for _ in range(5)]
        groups = np.arange(200) % 20
        parted = [[scores[groups != g].mean() for g in range(20)] for scores in each]
        found = over_seeds_and_rows([float(scores.mean()) for scores in each], parted)
        covered += found.low <= 0 <= found.high
    assert covered >= 0.92 * 200


def test_its_negative_is_the_mirror_image() -> None:
    found = -over_seeds([1.0, 2.0, 4.0])
    assert found.low < found.mean < found.high
    assert found.values == (-1.0, -2.0, -4.0)


def test_an_interval_ends_where_the_metric_does() -> None:
    values = [0.99, 1.0, 0.95]
    free, found = over_seeds(values), over_seeds(values, limits("accuracy"))
    assert free.high > 1
    assert (found.low, found.high, found.mean) == (free.low, 1.0, free.mean)
    assert over_seeds([-3.0, 1.0], limits("r2")).high == 1.0
    assert over_seeds([54.0, 55.0], limits("rmse")) == over_seeds([54.0, 55.0])
    assert over_seeds([0.001, 0.2], limits("cross_entropy")).low == 0.0
    assert over_seeds([90.0, 99.0], limits("of my own")).high > 100


def test_a_difference_of_shares_is_at_most_one() -> None:
    found = over_seeds_and_rows([0.9, -0.5], (), of_differences(limits("accuracy")))
    assert (found.low, found.high) == (-1.0, 1.0)
    assert math.isnan(over_seeds([0.9], limits("accuracy")).high)
    assert of_differences(limits("rmse")) == (-math.inf, math.inf)
