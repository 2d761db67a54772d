"""Optuna's Gaussian process over the joint space: it sees the parameters that few trials have."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution

from tuner.search.gp import JointGPSampler
from tuner.search.joint import Dimension, Joint

TREE = Joint(
    (
        Dimension("kind", CategoricalDistribution(("a", "b"))),
        Dimension("x", FloatDistribution(0.0, 1.0), 0, frozenset({1})),
        Dimension("on", CategoricalDistribution((False, True)), 0, frozenset({1})),
        Dimension("y", FloatDistribution(0.0, 1.0), 2, frozenset({1})),
    )
)


def objective(trial: optuna.Trial) -> float:
    """0 at kind b, x 0.8, on, y 0.3: three of four parameters are nested."""
    if trial.suggest_categorical("kind", ["a", "b"]) == "a":
        return 2.0
    value = (trial.suggest_float("x", 0, 1) - 0.8) ** 2
    if not trial.suggest_categorical("on", [False, True]):
        return value + 1.0
    return value + (trial.suggest_float("y", 0, 1) - 0.3) ** 2


@pytest.mark.parametrize("space", [TREE, None], ids=["declared", "inferred"])
def test_nested_parameters_are_modelled_and_not_drawn(space: Joint | None) -> None:
    study = optuna.create_study()
    for number in range(20):
        options: dict[str, Any] = {"seed": number, "warn_independent_sampling": False}
        study.sampler = JointGPSampler(space, n_startup_trials=8, **options)
        study.optimize(objective, n_trials=1)
    assert study.best_value < 0.01
    last = [trial.params for trial in study.trials[-6:]]
    assert sum({"x", "y"} <= each.keys() for each in last) >= 3


def test_a_parameter_that_is_not_asked_for_stands_at_its_middle_for_the_model() -> None:
    sampler = JointGPSampler(TREE)
    sampler._tree, sampler._columns = TREE, list(TREE.dimensions)
    points = torch.tensor([[0.0, 0.9, 1.0, 0.9], [1.0, 0.9, 0.0, 0.9], [1.0, 0.9, 1.0, 0.9]])
    asked = [[True, False, False, False], [True, True, True, False], [True, True, True, True]]
    assert sampler._asked(points).tolist() == asked
    trial = optuna.trial.create_trial(
        params={"kind": "b", "x": 0.9},
        distributions={d.name: d.distribution for d in TREE.dimensions[:2]},
        value=1.0,
    )
    filled = {"kind": "b", "x": 0.9, "on": False, "y": 0.5}
    assert sampler._filled(trial).params == filled


def test_a_value_of_another_program_counts_as_missing() -> None:
    sampler = JointGPSampler(TREE)
    sampler._columns = list(TREE.dimensions)
    foreign = CategoricalDistribution(("c",))
    trial = optuna.trial.create_trial(
        params={"kind": "c"}, distributions={"kind": foreign}, value=1.0
    )
    assert sampler._filled(trial).params["kind"] == "a"
