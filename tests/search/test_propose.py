"""test_propose"""

from __future__ import annotations

import optuna
import pytest
from optuna.trial import TrialState

from tuner.search.propose import propose
from tuner.search.pruners import build_pruner
from tuner.search.samplers import SAMPLERS, build_sampler

OPTIONS = {
    "tpe": {"n_startup_trials": 4},
    "gp": {"n_startup_trials": 6},
    "cmaes": {"popsize": 4},
}


@pytest.mark.parametrize("pruner", ["hyperband", "median"])
@pytest.mark.parametrize("name", SAMPLERS)
def test_proposes_what_optuna_asks(name, pruner, twins, define, grid):
    def point(number):
        return {key: values[number % len(values)] for key, values in grid.items()}

    pair = twins(build_pruner(pruner, {}, epochs=9))
    for number in range(18):
        options = OPTIONS.get(name, {})
        samplers = [
            build_sampler(name, options, seed=3, number=number, point=point(number))
            for _ in range(2)
        ]
        pair.plain.sampler = samplers[0]
        trial = pair.plain.ask()
        define(trial)
        template = propose(pair.storage, "twins", samplers[1], pair.pruner, number, define)
        asked = pair.plain.get_trials(deepcopy=False)[number]
        assert template.params == asked.params
        assert template.distributions == asked.distributions
        assert template.system_attrs == asked.system_attrs
        pair.finish(trial, template)
    states = [trial.state for trial in pair.plain.get_trials(deepcopy=False)]
    assert TrialState.PRUNED in states
    assert TrialState.COMPLETE in states
    ours = pair.storage.get_all_trials(pair.study_id)
    assert [trial.system_attrs for trial in ours] == [
        trial.system_attrs for trial in pair.plain.get_trials()
    ]


@pytest.mark.parametrize(
    "options", [{"multivariate": False}, {"group": True}, {"constant_liar": False}]
)
def test_tpe_with_options_and_running_trials_proposes_what_optuna_asks(options, twins, define):
    pair = twins(build_pruner("none", {}, epochs=9))
    waiting = []
    for number in range(24):
        samplers = [build_sampler("tpe", options, seed=1, number=number) for _ in range(2)]
        pair.plain.sampler = samplers[0]
        trial = pair.plain.ask()
        define(trial)
        template = propose(pair.storage, "twins", samplers[1], pair.pruner, number, define)
        assert template.params == trial.params
        if number % 8 == 7:  # never finished: stays running in both
            pair.storage.create_new_trial(pair.study_id, template_trial=template)
            waiting.append(trial)
        else:
            pair.finish(trial, template)
    assert len(waiting) == 3


def test_nothing_reaches_the_storage(twins, define):
    pair = twins(build_pruner("hyperband", {}, epochs=9))
    sampler = build_sampler("tpe", {"n_startup_trials": 0}, seed=0, number=0)
    propose(pair.storage, "twins", sampler, pair.pruner, 0, define)
    assert pair.storage.get_all_trials(pair.study_id) == []
    assert pair.storage.get_study_system_attrs(pair.study_id) == {}


def test_the_template_becomes_a_trial_of_any_storage(tmp_path, define):
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/t.db")
    study = optuna.create_study(storage=storage, study_name="s")
    sampler = build_sampler("random", {}, seed=0, number=0)
    template = propose(storage, "s", sampler, study.pruner, 0, define, user_attrs={"host": "here"})
    storage.create_new_trial(study._study_id, template_trial=template)
    (trial,) = study.trials
    assert trial.state == TrialState.RUNNING
    assert trial.value is None
    assert trial.params == template.params
    assert trial.user_attrs == {"host": "here"}


@pytest.mark.parametrize("name", SAMPLERS)
def test_fixed_parameters_are_kept_and_the_rest_is_sampled(name, twins, define, grid):
    pair = twins(build_pruner("hyperband", {}, epochs=9))
    fixed = {"depth": 4, "optimizer": "sgd", "momentum": 0.25}
    point = {key: values[0] for key, values in grid.items()}
    sampler = build_sampler(name, {}, seed=0, number=0, point=point)
    trial = propose(pair.storage, "twins", sampler, pair.pruner, 0, define, fixed=fixed)
    assert {key: trial.params[key] for key in fixed} == fixed
    assert set(trial.params) == {"depth", "lr", "dropout", "width", "optimizer", "momentum"}
    assert trial.system_attrs["fixed_params"] == fixed


def test_a_trial_that_waits_in_the_queue_is_replaced_by_the_draft(twins, define):
    pair = twins(build_pruner("none", {}, epochs=9))
    study = optuna.load_study(study_name="twins", storage=pair.storage)
    study.enqueue_trial({"depth": 2})
    seen = []
    sampler = build_sampler("tpe", {}, seed=0, number=0)

    def look(trial):
        seen.extend(trial.study.get_trials(deepcopy=False))
        define(trial)

    trial = propose(pair.storage, "twins", sampler, pair.pruner, 0, look, fixed={"depth": 2})
    assert trial.params["depth"] == 2
    assert [t.state for t in seen] == [TrialState.RUNNING]
    assert [t.state for t in study.get_trials()] == [TrialState.WAITING]
