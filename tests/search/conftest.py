"""A small study with a conditional space, whose results depend on the parameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

optuna.logging.set_verbosity(optuna.logging.ERROR)

GRID = {
    "depth": [1, 2, 3, 4],
    "lr": [1e-4, 1e-3, 1e-2, 1e-1],
    "dropout": [0.0, 0.2, 0.4],
    "width": [32, 64],
    "optimizer": ["adam", "sgd"],
    "momentum": [0.0, 0.9],
}
STEPS = 9


def space(trial: Any) -> None:
    trial.suggest_int("depth", 1, 4)
    trial.suggest_float("lr", 1e-4, 1e-1, log=True)
    trial.suggest_float("dropout", 0.0, 0.6, step=0.1)
    trial.suggest_categorical("width", [32, 64])
    if trial.suggest_categorical("optimizer", ["adam", "sgd"]) == "sgd":
        trial.suggest_float("momentum", 0.0, 0.99)


def curve(params: dict[str, Any], number: int) -> list[float]:
    """Values of the epochs, to be minimised; the curves of different parameters cross."""
    final = (math.log10(params["lr"]) + 2) ** 2 + params["dropout"] + 0.1 * params["depth"]
    start = 1.0 + (number * 7919 % 13) / 13
    return [final + start * math.exp(-(1 + params["lr"] * 30) * step / 3) for step in range(STEPS)]


class Twins:
    """The same study in two storages: asked through Optuna, and through ``propose``."""

    def __init__(self, pruner: optuna.pruners.BasePruner) -> None:
        self.pruner = pruner
        self.plain = optuna.create_study(study_name="twins", pruner=pruner)
        self.storage = optuna.storages.InMemoryStorage()
        self.study_id = optuna.create_study(
            study_name="twins", storage=self.storage, pruner=pruner
        )._study_id

    def finish(self, trial: optuna.Trial, template: FrozenTrial) -> None:
        """Train, prune and tell one trial in both, as the plain study's pruner says."""
        ours = self.storage.create_new_trial(self.study_id, template_trial=template)
        state = TrialState.COMPLETE
        for step, value in enumerate(curve(trial.params, trial.number)):
            trial.report(value, step)
            self.storage.set_trial_intermediate_value(ours, step, value)
            if trial.should_prune():
                state = TrialState.PRUNED
                break
        plain = self.plain.get_trials(deepcopy=False)[trial.number]
        for key, mark in plain.system_attrs.items():
            if key.startswith("completed_rung"):
                self.storage.set_trial_system_attr(ours, key, mark)
        self.plain.tell(trial, value if state == TrialState.COMPLETE else None, state)
        self.storage.set_trial_state_values(ours, state, [value])


@pytest.fixture
def twins() -> Callable[[optuna.pruners.BasePruner], Twins]:
    return Twins


@pytest.fixture
def define() -> Callable[[Any], None]:
    return space


@pytest.fixture
def grid() -> dict[str, list[Any]]:
    return GRID
