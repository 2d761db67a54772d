"""The joint space: values to numbers and back, and which parameters stand below which choices."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from tuner.search.joint import OFF, Dimension, Joint, joint_of, joint_of_nodes
from tuner.space import Choice, Leaf, Node, Option, Range, sample
from tuner.study import load_study

KINDS = {
    "float": FloatDistribution(-2.0, 3.0),
    "log": FloatDistribution(1e-5, 10.0, log=True),
    "step": FloatDistribution(0.0, 1.0, step=0.3),
    "integer": IntDistribution(3, 9),
    "integer in steps": IntDistribution(3, 10, step=2),
    "integer in the logarithm": IntDistribution(1, 300, log=True),
    "many integers": IntDistribution(0, 10**9),
    "choices": CategoricalDistribution(("a", "b", "c")),
    "ordered choices": CategoricalDistribution((32, 64, 256)),
    "lists as choices": CategoricalDistribution(([64], [64, 32], None)),
    "switch": CategoricalDistribution((False, True)),
    "one value": FloatDistribution(2.0, 2.0),
}


@pytest.fixture(params=KINDS)
def dimension(request: pytest.FixtureRequest) -> Dimension:
    return Dimension("x", KINDS[request.param])


def test_a_number_stands_for_a_value_of_the_distribution(dimension: Dimension) -> None:
    joint = Joint((dimension,))
    rows = joint.draw(200, np.random.default_rng(0))
    values = [joint.decode(row)["x"] for row in rows]
    given = dimension.distribution
    assert all(given._contains(given.to_internal_repr(value)) for value in values)
    np.testing.assert_allclose(joint.encode({"x": value} for value in values), rows, atol=1e-9)


def test_a_changed_number_stands_for_a_value_too(dimension: Dimension) -> None:
    joint, rng = Joint((dimension,)), np.random.default_rng(0)
    rows = joint.moved(joint.draw(20, rng), 10, 0.1, rng)
    back = joint.encode(joint.decode(row) for row in rows)
    np.testing.assert_allclose(back, rows, atol=1e-9)


def test_every_value_of_a_discrete_parameter_is_drawn(dimension: Dimension) -> None:
    if not 0 < dimension.levels < 20:
        assert dimension.levels in (0, 300)
        return
    joint = Joint((dimension,))
    rows = joint.draw(2000, np.random.default_rng(0))
    assert len({repr(joint.decode(row)["x"]) for row in rows}) == dimension.levels


def nested(trial: Any) -> float:
    trial.suggest_float("lr", 1e-4, 1.0, log=True)
    name = trial.suggest_categorical("optimizer", ("sgd", "adam", "rms"))
    if name == "sgd":
        trial.suggest_categorical("nesterov", (False, True))
        if trial.suggest_categorical("momentum.on", (False, True)):
            trial.suggest_float("momentum", 0.0, 1.0)
    if name != "sgd":
        trial.suggest_float("beta", 0.0, 1.0)
    for layer in range(trial.suggest_int("depth", 1, 3)):
        trial.suggest_int(f"width{layer}", 1, 8)
    return 0.0


@pytest.fixture
def trials() -> list[optuna.trial.FrozenTrial]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(nested, n_trials=40)
    return study.trials


def test_the_tree_is_found_in_the_trials(trials: list[optuna.trial.FrozenTrial]) -> None:
    joint = joint_of(trials)
    names = [d.name for d in joint.dimensions]
    below = {d.name: (names[d.parent], sorted(d.when)) for d in joint.dimensions if d.parent >= 0}
    assert below == {
        "nesterov": ("optimizer", [0]),
        "momentum.on": ("optimizer", [0]),
        "momentum": ("momentum.on", [1]),
        "beta": ("optimizer", [1, 2]),
        "width1": ("depth", [1, 2]),
        "width2": ("depth", [2]),
    }


def test_the_order_of_parameters_in_a_trial_does_not_matter(
    trials: list[optuna.trial.FrozenTrial],
) -> None:
    turned = [copy.copy(trial) for trial in trials]
    for trial in turned:
        trial.distributions = dict(reversed(trial.distributions.items()))
    assert joint_of(turned) == joint_of(trials)


def test_a_drawn_configuration_is_one_that_the_objective_asks_for(
    trials: list[optuna.trial.FrozenTrial],
) -> None:
    joint = joint_of(trials)
    for row in joint.draw(100, np.random.default_rng(0)):
        params = joint.decode(row)
        asked = optuna.trial.FixedTrial(params)
        nested(asked)
        assert asked.params == params


def test_what_is_missing_takes_the_middle_and_what_is_not_asked_for_is_off(
    trials: list[optuna.trial.FrozenTrial],
) -> None:
    joint = joint_of(trials)
    (row,) = joint.encode([{"optimizer": "sgd", "momentum.on": True, "beta": 0.1, "depth": 7}])
    numbers = dict(zip([d.name for d in joint.dimensions], row.tolist(), strict=True))
    assert (numbers["lr"], numbers["momentum"], numbers["beta"]) == (0.5, 0.5, OFF)
    assert joint.decode(row)["depth"] == 3


def test_given_parameters_stay_as_they_are(trials: list[optuna.trial.FrozenTrial]) -> None:
    joint, rng = joint_of(trials), np.random.default_rng(0)
    rows = joint.fixed(joint.draw(50, rng), {"lr": 0.01, "optimizer": "sgd", "depth": "many"})
    drawn = [joint.decode(row) for row in rows]
    assert {each["optimizer"] for each in drawn} == {"sgd"}
    assert {round(each["lr"], 9) for each in drawn} == {0.01}
    assert {each["depth"] for each in drawn} == {1, 2, 3}
    assert all("nesterov" in each and "beta" not in each for each in drawn)


def test_a_finite_space_is_listed(trials: list[optuna.trial.FrozenTrial]) -> None:
    joint = joint_of(trials)
    assert joint.listed(10**6) is None  # lr is continuous
    finite = Joint(
        (
            Dimension("kind", KINDS["choices"]),
            Dimension("size", KINDS["ordered choices"], parent=0, when=frozenset({0, 2})),
            Dimension("n", IntDistribution(1, 4, log=True), parent=1, when=frozenset({1})),
        )
    )
    assert finite.listed(12) is None
    rows = finite.listed(13)
    assert rows is not None
    configurations = {repr(finite.decode(row)) for row in rows}
    assert len(rows) == len(configurations) == 2 * (2 + 4) + 1
    assert configurations >= {
        repr(finite.decode(row)) for row in finite.draw(500, np.random.default_rng(0))
    }


def test_each_level_has_a_number_of_its_own(dimension: Dimension) -> None:
    if not 0 < dimension.levels < 400:
        assert dimension.levels == 0
        return
    joint = Joint((dimension,))
    rows = joint.listed(dimension.levels)
    assert rows is not None
    assert len({repr(joint.decode(row)) for row in rows}) == dimension.levels
    assert [dimension.level_of(row[0]) for row in rows] == list(range(dimension.levels))


def test_the_number_of_layers_asks_for_their_widths_in_a_logarithm_too() -> None:
    study = optuna.create_study()

    def objective(trial: optuna.Trial) -> float:
        depth = trial.suggest_int("depth", 1, 8, log=True)
        return sum(trial.suggest_float(f"width {i}", 0, 1) for i in range(depth))

    for depth in range(1, 9):
        study.enqueue_trial({"depth": depth})
    study.optimize(objective, n_trials=8)
    of = {d.name: d for d in joint_of(study.trials).dimensions}
    assert of["width 4"].when == {4, 5, 6, 7}
    assert of["width 7"].when == {7}


def test_a_declared_space_is_what_sampling_asks_for() -> None:
    nodes = load_study("sentiment").nodes
    joint = joint_of_nodes(nodes)
    for row in joint.draw(200, np.random.default_rng(0)):
        asked = optuna.trial.FixedTrial(joint.decode(row))
        sample(nodes, asked)
        assert asked.params == joint.decode(row)
        known = {d.name: d.distribution for d in joint.dimensions}
        assert asked.distributions.items() <= known.items()


def test_a_declared_tree_is_the_one_that_trials_show() -> None:
    nodes = load_study("sentiment").nodes
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(lambda trial: len(sample(nodes, trial)), n_trials=150)

    def tree(joint: Joint) -> dict[str, Any]:
        names = [d.name for d in joint.dimensions]
        return {
            d.name: (d.distribution, d.parent >= 0 and names[d.parent], d.when)
            for d in joint.dimensions
        }

    assert tree(joint_of_nodes(nodes)) == tree(joint_of(study.trials))


def test_leaves_of_one_name_are_one_parameter_only_if_their_values_are_the_same() -> None:
    leaf = Leaf("rate", float, 0.1)

    def option(name: str, high: float) -> Option:
        return Option(name, (Node("rate", leaf, Range(0.0, high)),))

    kinds = Choice((option("a", 1.0), option("b", 1.0), option("c", 2.0)))
    joint = joint_of_nodes((Node("kind", Leaf("kind", str, "a"), kinds),))
    assert [(d.name, sorted(d.when)) for d in joint.dimensions] == [
        ("kind", []),
        ("rate", [0, 1]),
        ("rate", [2]),
    ]
    (row,) = joint.encode([{"kind": "c", "rate": 1.5}])
    assert joint.decode(row) == {"kind": "c", "rate": 1.5}


def test_a_value_that_the_distribution_lacks_is_not_there() -> None:
    assert Dimension("x", KINDS["choices"]).encode("d") == OFF
    assert Dimension("x", KINDS["float"]).encode(float("nan")) == OFF
    assert Dimension("x", KINDS["float"]).encode(99.0) == 1.0
