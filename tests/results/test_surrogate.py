"""What a model of the trials believes: of configurations, of parameters, of the best one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from tuner.results.surrogate import FEWEST, Surrogate, explained, results, surrogate
from tuner.search.joint import Dimension, Joint
from tuner.search.sampler import History
from tuner.study.parse import parse
from tuner.worker.job import REPLICA

SPACE: dict[str, Any] = {
    "rate": FloatDistribution(1e-4, 1.0, log=True),
    "depth": IntDistribution(1, 4),
    "idle": FloatDistribution(0.0, 1.0),
    "drop.on": CategoricalDistribution([False, True]),
    "drop": FloatDistribution(0.0, 1.0),
}
OWN = parse("own", {"objective": "a.b:c", "direction": "maximize", "metric": "value"})


def value(params: dict[str, Any]) -> float:
    """A sum of effects; the switch has one of its own, and its parameter another."""
    found = math.log10(params["rate"]) / 4 + 0.1 * params["depth"]
    return found + (0.1 + 0.2 * params["drop"] if params["drop.on"] else 0.0)


def trials(count: int, **more: Any) -> list[FrozenTrial]:
    """Random configurations with their values."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(count):
        params: dict[str, Any] = {
            "rate": 10 ** rng.uniform(-4, 0),
            "depth": int(rng.integers(1, 5)),
            "idle": rng.random(),
            "drop.on": bool(rng.random() < 0.5),
        }
        if params["drop.on"]:
            params["drop"] = rng.random()
        kinds = {name: SPACE[name] for name in params}
        each = {"value": value(params), **more}
        found.append(create_trial(params=params, distributions=kinds, **each))
    for number, trial in enumerate(found):
        trial.number = number
    return found


def model_of(given: list[FrozenTrial], metric: str = "value", towards: str = "maximize") -> Any:
    return surrogate(OWN, given, metric, towards)


@pytest.fixture(scope="module")
def model() -> Surrogate:
    found = model_of(trials(120))
    assert isinstance(found, Surrogate)
    return found


def test_it_knows_the_values_of_configurations_that_nobody_tried(model: Surrogate) -> None:
    others = [trial.params for trial in trials(160)[120:]]
    beliefs = model(others)
    truth = [value(params) for params in others]
    errors = [abs(b.mean - v) for b, v in zip(beliefs, truth, strict=True)]
    assert max(errors) < 0.1 * (max(truth) - min(truth))
    inside = [b.low <= v <= b.high for b, v in zip(beliefs, truth, strict=True)]
    assert sum(inside) >= 0.75 * len(inside)
    assert all(b.low <= b.mean <= b.high and b.sd > 0 for b in beliefs)


def test_importances_are_shares_of_the_variance(model: Surrogate) -> None:
    shares = model.importances
    assert list(shares)[:3] == ["rate", "depth", "drop.on"]
    assert shares["idle"] < 0.01
    parts = {"rate": 1 / 12, "depth": 0.0125, "drop.on": 0.25 * 0.2**2, "drop": 0.5 * 0.04 / 12}
    total = sum(parts.values())
    for name, part in parts.items():
        assert shares[name] == pytest.approx(part / total, abs=0.06)
    assert sum(shares.values()) <= 1.02
    assert sorted(shares.values(), reverse=True) == list(shares.values())


def test_groups_of_chance_explain_nothing() -> None:
    rng = np.random.default_rng(1)
    groups, values = rng.integers(0, 16, 4000).astype(float), rng.normal(size=4000)
    assert explained(groups, values) < 0.01 * 4000
    assert explained(groups, groups) == pytest.approx(4000 * groups.var())
    assert explained(groups[:1], values[:1]) == 0.0
    assert explained(np.arange(5.0), values[:5]) == 0.0  # each alone in its group


def test_the_predicted_best_is_better_than_every_trial(model: Surrogate) -> None:
    best = model.best
    assert (best["depth"], best["drop.on"]) == (4, True)
    assert best["rate"] > 0.3
    [belief] = model([best])
    assert belief.mean > max(value(trial.params) for trial in trials(120)) - 0.02
    assert value(best) > 0.55


def test_where_less_is_better_it_is_the_other_way_round() -> None:
    found = model_of(trials(60), towards="minimize")
    assert (found.best["depth"], found.best["drop.on"]) == (1, False)
    assert "drop" not in found.best


def test_a_slice_holds_the_others(model: Surrogate) -> None:
    rates = model.slice("rate")
    means = [belief.mean for belief in rates.beliefs]
    assert means[-1] - means[0] == pytest.approx(1.0, abs=0.15)
    assert (rates.values[0], rates.values[-1]) == (pytest.approx(1e-4), pytest.approx(1.0))
    assert "rate" not in rates.held
    assert model.slice("depth").values == (1, 2, 3, 4)
    switch = model.slice("drop.on")
    assert switch.values == (False, True)
    assert switch.beliefs[0].mean < switch.beliefs[1].mean


def test_a_slice_of_what_the_predicted_best_lacks_has_it() -> None:
    found = model_of(trials(60), towards="minimize").slice("drop")
    assert found.held["drop.on"] is True
    assert len(found.values) == len(found.beliefs) > 4


def test_it_is_a_function_of_the_trials(model: Surrogate) -> None:
    again = model_of(trials(120))
    assert again.importances == model.importances
    assert again.best == model.best
    assert again([model.best]) == model([model.best])


def test_beliefs_stay_within_the_metrics_limits() -> None:
    given = trials(40)
    for trial in given:
        trial.values = [min(1.0, 1.2 + value(trial.params))]
    found = model_of(given, "accuracy")
    assert all(0 <= b.low <= b.mean <= b.high <= 1 for b in found([t.params for t in given]))


def test_a_percentage_may_have_the_name_of_a_share() -> None:
    given = trials(40)
    for trial in given:
        trial.values = [90 + 3 * value(trial.params)]
    found = model_of(given, "accuracy")
    errors = [
        abs(belief.mean - trial.values[0])
        for belief, trial in zip(found([t.params for t in given]), given, strict=True)
    ]
    assert max(errors) < 0.5


def bare(count: int) -> list[FrozenTrial]:
    return [create_trial(value=float(n)) for n in range(count)]


def running(count: int) -> list[FrozenTrial]:
    return trials(count, state=TrialState.RUNNING, value=None)


def replicas(count: int) -> list[FrozenTrial]:
    return trials(count, user_attrs={REPLICA: {"label": "a"}})


def pruned(count: int) -> list[FrozenTrial]:
    return trials(count, state=TrialState.PRUNED, value=0.5)


@pytest.mark.parametrize("make", [bare, running, replicas, pruned])
def test_there_is_no_model_of_nothing(make: Callable[[int], list[FrozenTrial]]) -> None:
    assert model_of(make(20)) is None


def test_it_needs_some_results() -> None:
    assert model_of(trials(FEWEST - 1)) is None
    assert model_of(trials(FEWEST)) is not None


@pytest.mark.parametrize("odd", [math.inf, -math.inf, 1e300, -1e300])
def test_values_of_any_size(odd: float) -> None:
    given = trials(30)
    for trial in given[::5]:
        trial.values = [odd]
    found = model_of(given)
    assert all(math.isfinite(b.mean) for b in found([t.params for t in given]))
    assert found.best
    assert all(0 <= share <= 1 for share in found.importances.values())


def test_equal_values_tell_nothing() -> None:
    given = trials(20)
    for trial in given:
        trial.values = [0.5]
    found = model_of(given)
    assert found.importances == {}
    [belief] = found([given[0].params])
    assert (belief.mean, belief.low, belief.high) == (0.5, 0.5, 0.5)


def test_what_failed_or_is_no_number_is_no_result() -> None:
    given = trials(12)
    given[0].values = [math.nan]
    given[1].state, given[1].values = TrialState.FAIL, None
    assert len(results(OWN, given)) == 10
    assert model_of(given) is not None


def test_thousands_of_trials() -> None:
    given = trials(3000)
    found = model_of(given)
    assert len(results(OWN, given)) == 3000
    assert next(iter(found.importances)) == "rate"


def test_it_takes_the_trials_of_any_sampler() -> None:
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(lambda trial: trial.suggest_float("x", -1, 1) ** 2, n_trials=30)
    found = model_of(study.trials, towards="minimize")
    assert abs(found.best["x"]) < 0.2


def test_a_name_below_two_choices_is_one_parameter() -> None:
    small, large = FloatDistribution(0.0, 1.0), FloatDistribution(0.0, 10.0)
    kind = Dimension("kind", CategoricalDistribution(["a", "b"]))
    below = [Dimension("width", d, 0, frozenset((i,))) for i, d in enumerate((small, large))]
    joint = Joint((kind, *below))
    rows = joint.draw(60, np.random.default_rng(0))
    values = np.where(rows[:, 0] == 0, rows[:, 1], 0.1 + 2 * rows[:, 2] ** 2)
    past = History(joint, rows, values, np.zeros(60), rows[:0], [], 60.0)
    found = Surrogate(past, 1.0, (-math.inf, math.inf))
    assert set(found.importances) == {"kind", "width"}
    assert found.importances["width"] > 0.5
    assert found.best["kind"] == "a"
    assert found.slice("width").distribution == small
