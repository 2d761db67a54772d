from __future__ import annotations

import json

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from tuner.optuna_private import ParzenEstimator
from tuner.search.propose import propose
from tuner.search.pruners import build_pruner
from tuner.search.samplers import build_sampler
from tuner.search.tpe import CachedTPESampler, ConditionalEstimator, JointTPESampler, Past


@pytest.mark.parametrize("pruner", ["hyperband", "none"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"multivariate": False},
        {"group": True},
        {"constant_liar": False},
        {"n_startup_trials": 0, "n_ei_candidates": 8},
    ],
)
def test_proposes_what_tpe_of_optuna_proposes(options, pruner, twins, define):
    """60 trials with branches, pruned, failed and running ones, and a leaf that comes late."""
    pair = twins(build_pruner(pruner, {}, epochs=9))
    past = Past()
    for number in range(60):

        def wide(trial, number=number):
            define(trial)
            if number > 40:
                trial.suggest_float("late", 0.0, 1.0)

        sampler = build_sampler("tpe", options, seed=5, number=number, past=past)
        assert isinstance(sampler, CachedTPESampler)
        template = propose(pair.storage, "twins", sampler, pair.pruner, number, wide)
        pair.plain.sampler = build_sampler("tpe", options, seed=5, number=number)
        trial = pair.plain.ask()
        wide(trial)
        assert template.params == trial.params
        asked = pair.plain.get_trials(deepcopy=False)[number]
        assert template.system_attrs == asked.system_attrs
        if number % 9 == 8:
            ours = pair.storage.create_new_trial(pair.study_id, template_trial=template)
            if number % 2:
                pair.plain.tell(trial, state=TrialState.FAIL)
                pair.storage.set_trial_state_values(ours, TrialState.FAIL)
        else:
            pair.finish(trial, template)
    states = {trial.state for trial in pair.plain.get_trials(deepcopy=False)}
    assert {TrialState.RUNNING, TrialState.FAIL, TrialState.COMPLETE} <= states
    assert (TrialState.PRUNED in states) == (pruner == "hyperband")


def test_trials_that_finish_out_of_order_count_once_they_have(twins, define):
    pair = twins(build_pruner("none", {}, epochs=9))
    past = Past()
    running = []
    for number in range(40):
        sampler = build_sampler("tpe", {}, seed=5, number=number, past=past)
        template = propose(pair.storage, "twins", sampler, pair.pruner, number, define)
        pair.plain.sampler = build_sampler("tpe", {}, seed=5, number=number)
        trial = pair.plain.ask()
        define(trial)
        assert template.params == trial.params
        ours = pair.storage.create_new_trial(pair.study_id, template_trial=template)
        running.append((trial, ours))
        if len(running) > 5:
            done, ours = running.pop(number % 5)
            pair.plain.tell(done, float(done.number % 11))
            pair.storage.set_trial_state_values(
                ours, TrialState.COMPLETE, [float(done.number % 11)]
            )


PARAMETERS = optuna.samplers.TPESampler()._parzen_estimator_parameters
KINDS = {
    "kind": CategoricalDistribution(("a", "b")),
    "x": FloatDistribution(0.0, 1.0),
    "rate": FloatDistribution(1e-4, 1.0, log=True),
    "n": IntDistribution(1, 9),
}
SEEN = {
    "kind": np.array([0.0, 0.0, 1.0, 1.0]),
    "x": np.array([0.1, 0.2, np.nan, np.nan]),
    "rate": np.array([0.1, np.nan, 0.001, 0.002]),
    "n": np.array([np.nan, np.nan, np.nan, 3.0]),
}


def density(seen):
    return ConditionalEstimator(seen, {name: KINDS[name] for name in seen}, PARAMETERS)


def test_a_kernel_is_uniform_in_what_its_trial_does_not_have():
    alone = density({"x": np.full(3, np.nan)})
    places = {"x": np.linspace(0.05, 0.95, 7)}
    assert alone.log_pdf(places).tolist() == pytest.approx(
        optuna_density({"x": np.array([])}).log_pdf(places).tolist()
    )
    whole = {"kind": np.array([0.0, 1.0]), "x": np.array([0.1, 0.9])}
    at = {"kind": np.array([0.0, 1.0]), "x": np.array([0.2, 0.3])}
    assert density(whole).log_pdf(at).tolist() == optuna_density(whole).log_pdf(at).tolist()


def optuna_density(seen):
    return ParzenEstimator(seen, {name: KINDS[name] for name in seen}, PARAMETERS)


def test_the_density_given_a_value_is_the_joint_one_over_the_marginal():
    joint = density(SEEN)
    at = {name: np.array([value]) for name, value in (("x", 0.3), ("rate", 0.01), ("n", 4.0))}
    for kind in (0.0, 1.0):
        given = joint.given({"kind": kind}).over(at)
        part = joint.over(["kind"]).log_pdf({"kind": np.array([kind])})
        whole = joint.log_pdf({**at, "kind": np.array([kind])})
        assert given.log_pdf(at) == pytest.approx(whole - part)
    near, far = (joint.given({"rate": rate}).over(["kind"]) for rate in (0.1, 0.001))
    first = {"kind": np.array([0.0])}
    assert near.log_pdf(first) > far.log_pdf(first)


def test_jointly_a_trial_gets_all_that_it_asks_for_and_no_more(twins, define):
    pair = twins(build_pruner("none", {}, epochs=9))
    nested = []
    for number in range(24):
        pair.plain.sampler = build_sampler("tpe", {}, seed=5, number=number)
        assert isinstance(pair.plain.sampler, JointTPESampler)
        trial = pair.plain.ask()
        define(trial)
        asked = pair.plain.get_trials(deepcopy=False)[number]
        if number > 10:
            assert json.loads(asked.system_attrs["tpe:relative_params:0"]) == trial.params
            nested.append("momentum" in trial.params)
        pair.plain.tell(trial, float(number % 7))
    assert len(set(nested)) == 2


@pytest.mark.parametrize("options", [{"group": True}, {"multivariate": False}])
def test_options_may_ask_for_another_space_than_the_joint_one(options):
    with pytest.raises(ValueError, match="joint goes with"):
        JointTPESampler(Past(), **{"multivariate": True, **options})
    sampler = build_sampler("tpe", options, seed=0, number=0)
    assert not isinstance(sampler, JointTPESampler)
