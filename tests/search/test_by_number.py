from __future__ import annotations

import itertools
import math
import tomllib
from collections import Counter

import pytest
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from tuner.search.by_number import (
    DIMENSIONS,
    Point,
    QuasiRandomSampler,
    SearchGrid,
    from_unit,
    narrowed,
    params_at,
    place_of,
    shuffled,
)
from tuner.space import Recorded, config_of, size
from tuner.study.parse import parse


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


SPACE = """
[data]
source = "a:b"
[regularization]
early_stopping = { off = 0, low = 3, high = 5 }
[training]
batch_size = { choices = [8, 16] }
[[training.optimizer.choices]]
name = "adam"
[[training.optimizer.choices]]
name = "sgd"
momentum = { low = 0.0, high = 0.9, step = 0.3 }
"""


def grid(seed=3, text=SPACE):
    study = parse("g", tomllib.loads(text))
    return study, SearchGrid(study.nodes, seed)


def test_the_grid_gives_every_configuration_once():
    study, found = grid()
    tried, given = Counter(), []
    while (params := found.next(tried)) is not None:
        tried[found.place(params)] += 1
        given.append(params)
    assert len(given) == found.size == 4 * 2 * 5
    assert len({str(study.config(params)) for params in given}) == 40
    _, again = grid()
    assert again.next({}) == given[0]
    assert grid(seed=4)[1].next({}) != given[0]


def test_the_grid_leaves_out_what_was_tried_and_begins_again_where_that_is_wanted():
    study, found = grid()
    tried = Counter({found.place(study.baseline()): 1})
    for _ in range(39):
        params = found.next(tried, again=True)
        assert params != study.baseline()
        tried[found.place(params)] += 1
    assert found.next(tried) is None
    second = [found.next(tried, again=True)]
    tried[found.place(second[0])] += 1
    second.append(found.next(tried, again=True))
    assert second[0] != second[1]


def test_the_grid_completes_what_is_known_with_what_nobody_tried():
    _, found = grid()
    tried = Counter()
    for _ in range(8):
        params = found.fitting(tried, {"optimizer": "sgd", "sgd.momentum": 0.3})
        assert (params["optimizer"], params["sgd.momentum"]) == ("sgd", 0.3)
        assert not tried[found.place(params)]
        tried[found.place(params)] += 1
    assert tried[found.place(found.fitting(tried, {"optimizer": "sgd", "sgd.momentum": 0.3}))]


def test_a_grid_too_large_to_list_is_no_trouble():
    lines = "".join(f'"{name}" = {{ low = 0.0, high = 0.5, step = 1e-4 }}\n' for name in SHARES)
    study, found = grid(text=f'[data]\nsource = "a:b"\n[regularization]\n{lines}')
    assert found.size == 5001 ** len(SHARES)
    tried = Counter()
    for _ in range(50):
        tried[found.place(found.next(tried))] += 1
    assert set(tried.values()) == {1}
    assert found.fitting(tried, {"dropout": 0.5})["dropout"] == 0.5
    assert study.config(found.next(tried))


SHARES = ("dropout", "label_smoothing", "ema", "cutout", "shift")


def test_a_point_gives_what_was_chosen():
    assert draw(Point({"x": 3, "y": "a"}), "y") == "a"


DISCRETE = """
[model]
family = { choices = ["linear", { name = "mlp", depth = { low = 1, high = 3 } }] }
[regularization]
early_stopping = { off = 0, low = 3, high = 9, step = 3 }
[training]
learning_rate = { low = 0.1, high = 0.3, step = 0.1 }
"""
LISTED = """
[model]
width = { low = 16, high = 64, step = 16 }
[model.family]
choices = [
    "linear",
    { name = "mlp", depth = { low = 1, high = 2 }, activation = { choices = ["relu", "tanh"] } },
]

[regularization]
batch_norm = { choices = [true, false] }
early_stopping = { off = 0, low = 3, high = 5 }
ema = 0.99

[training]
epochs = { low = 2, high = 3, log = true }
learning_rate = { low = 0.1, high = 0.5, step = 0.1 }
lr_scheduler = { name = "polynomial", power = { low = 0.5, high = 3.0, step = 0.5 } }
[[training.optimizer.choices]]
name = "adam"
[[training.optimizer.choices]]
name = "sgd"
momentum = { low = 0.0, high = 0.9, step = 0.3 }
learning_rate = { choices = [0.01, 1.0] }
"""


@pytest.mark.parametrize("text", [DISCRETE, LISTED])
def test_every_configuration_has_one_place(text):
    study = parse("x", tomllib.loads(f'[data]\nsource = "a:b"\n{text}'))
    count = size(study.nodes)
    places = range(0, count, max(1, count // 500))
    configs = set()
    for place in places:
        params = params_at(study.nodes, place)
        assert place_of(study.nodes, params) == place
        recorded = Recorded(params)
        configs.add(tuple(config_of(study.nodes, params, recorded).items()))
        assert recorded.asked == params  # and none that it does not need
    assert len(configs) == len(places)
    assert params_at(study.nodes, place_of(study.nodes, study.baseline())) == study.baseline()


@pytest.mark.parametrize(
    ("known", "left"),
    [
        ({}, 48),
        ({"family": "linear"}, 12),
        ({"mlp.depth": 2}, 24),
        ({"family": "mlp", "mlp.depth": 2}, 12),
        ({"early_stopping.on": False}, 12),
        ({"early_stopping.on": True}, 36),
        ({"early_stopping.on": True, "early_stopping": 6}, 12),
        ({"learning_rate": 0.2, "family": "linear", "early_stopping.on": False}, 1),
        ({"learning_rate": 7, "family": "cnn", "early_stopping": "x", "foo": 1}, 48),
    ],
)
def test_what_is_left_of_a_space_where_some_parameters_are_known(known, left):
    study = parse("x", tomllib.loads(f'[data]\nsource = "a:b"\n{DISCRETE}'))
    nodes = narrowed(study.nodes, known)
    assert size(nodes) == left
    fitting = {k: v for k, v in known.items() if left < 48}
    found = [{**fitting, **params_at(nodes, place)} for place in range(left)]
    assert len({place_of(study.nodes, params) for params in found}) == left
