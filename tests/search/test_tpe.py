from __future__ import annotations

import pytest
from optuna.trial import TrialState

from tuner.search.propose import propose
from tuner.search.pruners import build_pruner
from tuner.search.samplers import build_sampler
from tuner.search.tpe import CachedTPESampler, Past


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
