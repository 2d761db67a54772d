from __future__ import annotations

import itertools
import math

import pytest
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from tuner.errors import StudyFileError
from tuner.search.by_number import (
    DIMENSIONS,
    GridByNumber,
    QuasiRandomSampler,
    from_unit,
    grid_size,
    shuffled,
)


def draw(sampler, name="x", distribution=None):
    wanted = distribution or FloatDistribution(0.0, 1.0)
    return sampler.sample_independent(None, None, name, wanted)


@pytest.mark.parametrize("scramble", [True, False])
def test_sobol_fills_every_stratum_of_every_parameter_once(scramble):
    points = [
        [draw(sampler) for _ in range(6)]
        for sampler in (QuasiRandomSampler(1, n, "sobol", scramble) for n in range(32))
    ]
    for column in zip(*points, strict=True):
        assert sorted(int(u * 32) for u in column) == list(range(32))


def test_halton_fills_every_half_of_the_first_and_third_of_the_second():
    points = [
        [draw(sampler) for _ in range(2)]
        for sampler in (QuasiRandomSampler(1, n, "halton", True) for n in range(36))
    ]
    cells = [(int(a * 4), int(b * 9)) for a, b in points]
    assert sorted(cells) == sorted(itertools.product(range(4), range(9)))


def test_more_parameters_than_coordinates_are_drawn_at_random():
    draws = [[draw(s) for _ in range(DIMENSIONS + 3)] for s in twice(5)]
    assert draws[0] == draws[1]
    assert len(set(draws[0])) == DIMENSIONS + 3


def twice(number):
    return [QuasiRandomSampler(0, number, "sobol", True) for _ in range(2)]


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        (CategoricalDistribution(["a", "b"]), {"a", "b"}),
        (IntDistribution(1, 4), {1, 2, 3, 4}),
        (IntDistribution(2, 8, step=3), {2, 5, 8}),
        (FloatDistribution(0.0, 1.0, step=0.25), {0.0, 0.25, 0.5, 0.75, 1.0}),
        (IntDistribution(1, 3, log=True), {1, 2, 3}),
    ],
)
def test_a_unit_becomes_every_discrete_value(distribution, expected):
    drawn = [from_unit(k / 1000, distribution) for k in range(1000)]
    assert set(drawn) == expected
    if not getattr(distribution, "log", False):
        counts = [drawn.count(value) for value in expected]
        assert max(counts) - min(counts) <= 1


def test_a_unit_becomes_a_value_in_a_continuous_range():
    assert from_unit(0.25, FloatDistribution(-1.0, 1.0)) == -0.5
    middle = from_unit(0.5, FloatDistribution(1e-4, 1.0, log=True))
    assert math.isclose(middle, 1e-2)
    wide = FloatDistribution(1e-7, 1e-3, log=True)
    assert all(wide._contains(from_unit(u, wide)) for u in (0.0, 0.5, 1 - 2**-53))


@pytest.mark.parametrize("size", [1, 2, 3, 10, 64, 1000])
def test_shuffling_is_a_permutation_that_the_seed_decides(size):
    places = [shuffled(n, size, 7) for n in range(size)]
    assert sorted(places) == list(range(size))
    assert [shuffled(n + size, size, 7) for n in range(size)] == places
    if size > 3:
        assert places != list(range(size))
        assert places != [shuffled(n, size, 8) for n in range(size)]


def test_the_grid_gives_every_combination_once_and_begins_again():
    grid = {"a": [1, 2, 3], "b": ["x", "y"], "c": [True, False]}
    assert grid_size(grid) == 12
    points = [
        tuple(draw(sampler, name) for name in grid)
        for sampler in (GridByNumber(grid, 3, number) for number in range(24))
    ]
    assert sorted(points[:12]) == sorted(itertools.product(*grid.values()))
    assert points[12:] == points[:12]


def test_a_grid_too_large_to_list_is_no_trouble():
    grid = {f"p{k}": list(range(10)) for k in range(30)}
    points = {tuple(draw(GridByNumber(grid, 0, n), name) for name in grid) for n in range(50)}
    assert len(points) == 50


def test_a_parameter_that_the_grid_lacks_is_named():
    with pytest.raises(StudyFileError, match="'y'"):
        draw(GridByNumber({"x": [1]}, 0, 0), "y")
