"""Studies in a database whose trials were made up, and what a report says about them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState

from tuner.reports.facts import Answers, Facts, read_facts
from tuner.results.ablate import VIEWS, Ablation, Effect
from tuner.results.confirm import Confirmation, Measured
from tuner.results.estimate import Estimate, over_seeds
from tuner.storage import open_storage
from tuner.study import Study
from tuner.study.parse import parse

EVIL = "<script>alert('x')</script> & | `b`"
SEARCHED = {
    "description": EVIL,
    "metric": "accuracy",
    "data": {"source": "sklearn.datasets:load_wine"},
    "regularization": {
        "dropout": {"off": 0.0, "low": 0.05, "high": 0.6},
        "batch_norm": {"choices": [True, False]},
    },
    "training": {
        "epochs": 5,
        "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
        "optimizer": {
            "choices": ["adam", {"name": "sgd", "momentum": {"low": 0.0, "high": 0.9}}],
        },
    },
}
FIXED = {"description": "", "metric": "rmse", "data": {"source": "sklearn.datasets:load_diabetes"}}
FIXED |= {"model": {"depth": 1, "width": 16}, "regularization": {}, "training": {"epochs": 3}}
BEGUN = datetime(2026, 1, 1)


def guess(*values: float, half: float = 0.01) -> Estimate:
    mean = sum(values) / len(values)
    return Estimate(mean, half, mean - half, mean + half, values)


def answers(best: float = 0.95, tested: bool = True) -> Answers:
    """Trial 3 against a baseline of 0.90, over three seeds; dropout is worth 0.02."""
    base = guess(0.89, 0.90, 0.91)
    mine = guess(best - 0.01, best, best + 0.01)
    first = Measured("baseline", 0, {}, base, base if tested else None)
    winner = Measured("trial 3", 3, {}, mine, mine if tested else None)
    gain = guess(0.01, 0.02, 0.03, half=0.005)
    effects = tuple(Effect("dropout", view, gain, f"dropout: {view}") for view in VIEWS)
    found = ("made", "accuracy")
    pairs = over_seeds([a - b for a, b in zip(mine.values, base.values, strict=True)])
    rows = (winner, first)
    confirmation = Confirmation(*found, "maximize", rows, winner, first, 3, gain=pairs)
    return Answers(confirmation, Ablation(*found, "maximize", "test", 3, True, 3, effects))


def params_of(number: int) -> dict[str, Any]:
    """A configuration of the searched study; every second has dropout."""
    found: dict[str, Any] = {"dropout.on": number % 2 == 1, "batch_norm": number % 3 == 0}
    found |= {"learning_rate": 10 ** -(1.5 + number % 20 / 10), "optimizer": "adam"}
    if number % 2:
        found["dropout"] = 0.05 + number % 11 * 0.05
    if number % 4 == 1:
        found |= {"optimizer": "sgd", "sgd.momentum": number % 9 / 10}
    return found


DISTRIBUTIONS = {
    "dropout.on": CategoricalDistribution([False, True]),
    "dropout": FloatDistribution(0.05, 0.6),
    "batch_norm": CategoricalDistribution([True, False]),
    "learning_rate": FloatDistribution(1e-4, 1e-1, log=True),
    "optimizer": CategoricalDistribution(["adam", "sgd"]),
    "sgd.momentum": FloatDistribution(0.0, 0.9),
}


def trial(
    number: int, state: str = "COMPLETE", value: float | None = 0.0, **more: Any
) -> FrozenTrial:
    """A trial of five epochs; pruned ones have two, and those with dropout are better by 0.05."""
    params = more.pop("params", params_of(number))
    if value == 0.0:
        value = 0.8 + (0.05 if params.get("dropout.on") else 0.0) + number * 7 % 10 / 1000
    epochs = {"COMPLETE": 5, "PRUNED": 2}.get(state, 1)
    known = value if value is not None else 0.5
    over = state in ("COMPLETE", "PRUNED", "FAIL")
    start = BEGUN + timedelta(seconds=number)
    return FrozenTrial(
        number=number,
        trial_id=number,
        state=TrialState[state],
        value=value if state in ("COMPLETE", "PRUNED") else None,
        values=None,
        datetime_start=start,
        datetime_complete=start + timedelta(seconds=2) if over else None,
        params=params,
        distributions={name: DISTRIBUTIONS[name] for name in params},
        user_attrs={"seconds": 1.5, "epochs": epochs, "seed": number, "device": "cpu", **more},
        system_attrs={},
        intermediate_values={e: known - 0.3 / e for e in range(1, epochs + 1)},
    )


class Place:
    """A database with studies whose trials were made up."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.storage = open_storage(url)

    def study(
        self, *trials: FrozenTrial, name: str = "made", document: dict[str, Any] | None = None
    ) -> tuple[Study, int]:
        from tuner.study.record import canonical

        document = document or SEARCHED
        direction = "minimize" if document["metric"] == "rmse" else "maximize"
        found = parse(name, document)
        study_id = self.storage.join(
            name,
            direction=direction,
            metric=document["metric"],
            spec=canonical(found.document),
            fingerprint="",
            budget=max(1, len(trials)),
        )
        optuna.load_study(study_name=name, storage=self.storage).add_trials(trials)
        return found, study_id

    def facts(self, *trials: FrozenTrial, **more: Any) -> Facts:
        return read_facts(self.storage, *self.study(*trials, **more))


@pytest.fixture
def place(sqlite_url: str) -> Place:
    return Place(sqlite_url)


@pytest.fixture
def make_trial() -> Callable[..., FrozenTrial]:
    return trial


@pytest.fixture
def make_answers() -> Callable[..., Answers]:
    return answers


@pytest.fixture
def searched(place: Place) -> Facts:
    """Forty trials: every fifth is pruned, one failed, one is in training."""
    trials = [trial(n, "PRUNED" if n % 5 == 4 else "COMPLETE") for n in range(38)]
    trials.append(trial(38, "FAIL", None, error=f"ValueError: {EVIL}"))
    return place.facts(*trials, trial(39, "RUNNING", None))


@pytest.fixture
def fixed() -> dict[str, Any]:
    """A study that searches nothing, for which less is better."""
    return FIXED


@pytest.fixture
def evil() -> str:
    return EVIL
