"""tuner.Sampler: Optuna's own tests of samplers, determinism, odd histories, and that it learns."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    RelativeSamplerTestCase,
    SingleOnlySamplerTestCase,
)
from optuna.trial import TrialState, create_trial

from tuner.search.joint import joint_of_nodes
from tuner.search.propose import ORIGIN
from tuner.search.sampler import (
    DESIGN,
    ERROR,
    MODEL,
    START,
    Sampler,
    history,
    propose,
)
from tuner.search.samplers import build_sampler
from tuner.space import sample
from tuner.study import load_study


class TestAsOptuna(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: Sampler(seed=0)


def objective(trial: Any) -> float:
    lr = math.log10(trial.suggest_float("lr", 1e-4, 1.0, log=True))
    loss = (lr + 2) ** 2
    if trial.suggest_categorical("dropout.on", (False, True)):
        loss += 2 * (trial.suggest_float("dropout", 0.0, 0.8) - 0.3) ** 2 - 0.5
    if trial.suggest_categorical("optimizer", ("sgd", "adam")) == "sgd":
        loss += 1 + (trial.suggest_float("momentum", 0.0, 1.0) - 0.9) ** 2
    return loss + 0.1 * trial.suggest_int("depth", 1, 4)


def run(sampler: BaseSampler, trials: int, direction: str = "minimize") -> optuna.Study:
    study = optuna.create_study(sampler=sampler, direction=direction)
    sign = 1 if direction == "minimize" else -1
    study.optimize(lambda trial: sign * objective(trial), n_trials=trials)
    return study


def test_it_finds_what_a_random_search_does_not() -> None:
    optimum = -0.5 + 0.1
    found = [run(Sampler(seed=seed), 30).best_value - optimum for seed in range(3)]
    drawn = [
        run(optuna.samplers.RandomSampler(seed=seed), 30).best_value - optimum for seed in range(3)
    ]
    assert max(found) < min(drawn)
    assert np.mean(found) < 0.1 * np.mean(drawn)


def test_the_larger_is_better_where_the_study_says_so() -> None:
    small, large = run(Sampler(seed=1), 12), run(Sampler(seed=1), 12, "maximize")
    assert [t.params for t in small.trials] == [t.params for t in large.trials]


def test_the_same_history_gives_the_same_proposal() -> None:
    study = run(Sampler(seed=1), 12)
    again = optuna.create_study()
    again.add_trials(study.trials)
    for sampler in (Sampler(seed=1), Sampler(seed=2)):
        proposals = []
        for each in (study, again):
            each.sampler = sampler
            trial = each.ask()
            objective(trial)
            proposals.append(trial.params)
            each.tell(trial, state=TrialState.FAIL)
        assert proposals[0] == proposals[1]


def test_running_trials_are_kept_away_from() -> None:
    study = run(Sampler(seed=0), 20)
    asked = []
    for _ in range(16):
        trial = study.ask()
        objective(trial)
        asked.append(tuple(sorted(trial.params.items())))
    assert len(set(asked)) == 16
    rates = sorted(math.log10(dict(each)["lr"]) for each in asked)
    assert rates[-1] - rates[0] > 0.3


def test_each_configuration_of_a_small_space_is_tried_before_one_comes_again() -> None:
    study = optuna.create_study(sampler=Sampler(seed=0))

    def small(trial: optuna.Trial) -> float:
        if trial.suggest_categorical("a", ("x", "y")) == "x":
            return float(trial.suggest_int("b", 1, 3))
        return 2.5

    study.optimize(small, n_trials=4 + START)
    seen = {tuple(t.params.items()) for t in study.trials}
    assert len(seen) == 4
    with pytest.warns(UserWarning, match="every configuration was tried"):
        study.optimize(small, n_trials=2)
    assert len(study.trials) == 6 + START


def test_the_last_of_many_configurations_is_found() -> None:
    study = optuna.create_study(sampler=Sampler(seed=0))
    names = {"a": 40, "b": 40}

    def count(trial: Any) -> float:
        return float(sum(trial.suggest_int(name, 1, most) for name, most in names.items()))

    kinds = {name: IntDistribution(1, most) for name, most in names.items()}
    for place in range(40 * 40 - 1):
        params = {"a": place // 40 + 1, "b": place % 40 + 1}
        value = float(sum(params.values()))
        study.add_trial(create_trial(params=params, distributions=kinds, value=value))
    study.optimize(count, n_trials=1)
    assert study.trials[-1].params == names


def test_a_trial_says_what_proposed_it() -> None:
    study = run(Sampler(seed=0), START + 4)
    origins = [trial.system_attrs.get(ORIGIN) for trial in study.trials]
    assert origins == [None, *[DESIGN] * (START - 1), *[MODEL] * 4]


def test_the_rest_of_a_queued_trial_goes_with_what_is_queued() -> None:
    study = run(Sampler(seed=0), 25)
    best = study.best_params["lr"]
    study.enqueue_trial({"optimizer": "sgd", "dropout.on": True})
    study.optimize(objective, n_trials=1)
    params = study.trials[-1].params
    assert (params["optimizer"], params["dropout.on"]) == ("sgd", True)
    assert abs(math.log10(params["lr"] / best)) < 1
    assert abs(params["momentum"] - 0.9) < 0.4


def test_a_declared_space_without_a_design_is_searched_from_the_first_trial_on() -> None:
    space = joint_of_nodes(load_study("digits").nodes)
    past = history([], 1.0, np.random.default_rng(0), space)
    params, origin = propose(past, number=0, seed=0, start=0)
    assert "learning_rate" in params
    assert origin == DESIGN


def test_a_declared_space_is_searched_from_the_first_trial_on() -> None:
    nodes = load_study("digits").nodes
    study = optuna.create_study()
    design = []
    for number in range(START):
        study.sampler = build_sampler("auto", {}, seed=0, number=number, nodes=nodes)
        trial = study.ask()
        sample(nodes, trial)
        design.append(trial.params)
        study.tell(trial, float(number))
    assert {trial.system_attrs[ORIGIN] for trial in study.trials} == {DESIGN}
    rates = sorted(math.log10(params["learning_rate"]) for params in design)
    assert np.diff(rates).max() < 1.5


def test_the_error_of_a_value_is_stated_or_like_the_others_or_seen_over_seeds() -> None:
    x = {"x": FloatDistribution(0, 1)}

    def trial(number: int, at: float, value: float, error: Any = None) -> Any:
        attrs = {} if error is None else {ERROR: error}
        made = create_trial(params={"x": at}, distributions=x, value=value, user_attrs=attrs)
        made.number = number
        return made

    def errors(*trials: Any) -> list[float]:
        return history(trials, 1.0, np.random.default_rng(0)).errors.tolist()

    stated = [trial(0, 0.1, 1.0, 0.2), trial(1, 0.2, 1.0, 0.4)]
    assert errors(trial(0, 0.1, 1.0)) == [0.0]
    assert errors(*stated, trial(2, 0.3, 1.0)) == pytest.approx([0.2, 0.4, 0.3])
    assert errors(*stated, trial(2, 0.3, 1.0, "odd"))[2] == pytest.approx(0.3)
    assert errors(*stated, trial(2, 0.3, 1.0, float("nan")))[2] == pytest.approx(0.3)
    again = [trial(2, 0.3, 1.0, 0.3), trial(3, 0.3, 2.0, 0.9)]
    assert errors(*stated, *again) == pytest.approx([0.5**0.5] * 3 + [0.9])


def test_choices_may_be_lists_and_none() -> None:
    def listed(trial: optuna.Trial) -> float:
        layers = trial.suggest_categorical("layers", ([64], [64, 32], [32]))
        gate = trial.suggest_categorical("gate", (None, "soft"))
        rate = trial.suggest_float("rate", 0.0, 1.0) if gate is None else 0.5
        return len(layers) + rate

    study = optuna.create_study(sampler=Sampler(seed=0))
    study.optimize(listed, n_trials=15)
    assert study.best_value < 1.1
    assert study.best_params["gate"] is None
    assert len({repr(trial.params) for trial in study.trials}) > 12


ODD: dict[str, dict[str, Any]] = {
    "infinite": {"value": float("inf"), "state": TrialState.COMPLETE},
    "infinitely good": {"value": float("-inf"), "state": TrialState.COMPLETE},
    "huge": {"value": 1.7e308, "state": TrialState.COMPLETE},
    "hugely good": {"value": -1.7e308, "state": TrialState.COMPLETE},
    "failed": {"state": TrialState.FAIL},
    "pruned at once": {"state": TrialState.PRUNED},
    "pruned": {"state": TrialState.PRUNED, "intermediate_values": {1: 3.0}},
    "pruned with nan": {"state": TrialState.PRUNED, "intermediate_values": {1: float("nan")}},
}


@pytest.mark.parametrize("odd", ODD)
def test_odd_trials_do_no_harm(odd: str) -> None:
    study = run(Sampler(seed=0), 8)
    given = {"params": study.trials[3].params, "distributions": study.trials[3].distributions}
    study.add_trial(create_trial(**given, **ODD[odd]))
    foreign = {"other": FloatDistribution(0, 1)}
    study.add_trial(create_trial(params={"other": 0.5}, distributions=foreign, value=9.0))
    study.enqueue_trial({"lr": 0.01, "optimizer": "adam"})
    study.optimize(objective, n_trials=4)
    assert study.trials[-4].params["lr"] == 0.01
    assert all(np.isfinite(t.value) for t in study.trials[-4:])
    assert "other" not in study.trials[-1].params


def test_several_objectives_are_refused() -> None:
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=Sampler(seed=0))
    with pytest.raises(ValueError, match="one objective"):
        study.optimize(lambda trial: (trial.suggest_float("x", 0, 1), 0.0), n_trials=1)


def test_a_stopped_trial_counts_for_the_design_by_its_part_of_a_full_training() -> None:
    def curve(epochs: int, state: TrialState) -> Any:
        value = 0.5 if state == TrialState.COMPLETE else None
        steps = dict.fromkeys(range(1, epochs + 1), 0.5)
        kinds = {"x": FloatDistribution(0, 1)}
        return create_trial(
            params={"x": 0.5},
            distributions=kinds,
            state=state,
            value=value,
            intermediate_values=steps,
        )

    def trained(*trials: Any) -> float:
        return history(trials, 1.0, np.random.default_rng(0)).trained

    stopped = [curve(1, TrialState.PRUNED)] * 4
    assert trained(*stopped) == 0  # nothing says yet what a full training is
    assert trained(*stopped, curve(8, TrialState.COMPLETE)) == 1.5
    assert trained(curve(9, TrialState.PRUNED), curve(8, TrialState.COMPLETE)) == 2
    assert trained(curve(0, TrialState.COMPLETE), curve(0, TrialState.PRUNED)) == 1
