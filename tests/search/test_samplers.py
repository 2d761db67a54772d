from __future__ import annotations

import subprocess
import sys
import warnings

import optuna
import pytest
from optuna.trial import TrialState

from tuner.errors import StudyFileError
from tuner.search.overlay import Overlay
from tuner.search.propose import propose
from tuner.search.pruners import build_pruner
from tuner.search.samplers import SAMPLERS, build_sampler, check_sampler, derived_seed

NOT_DEFAULT = {int: 5, float: 0.5}


def values(option):
    """Every value that a test may give an option: its default, and another."""
    if option.options:
        return tuple(option.options)
    if option.kind is bool:
        return (True, False)
    return (NOT_DEFAULT[option.kind],) + ((option.default,) if option.default is not None else ())


EVERY_OPTION = [
    (name, option.name, value)
    for name, entry in SAMPLERS.items()
    for option in entry.options
    for value in values(option)
]


@pytest.fixture
def asked(twins, define):
    """Parameters that trial ``number`` gets after ``history`` finished random trials."""
    storages = {}

    def history_of(size):
        if size not in storages:
            pair = storages[size] = twins(build_pruner("none", {}, epochs=9))
            for number in range(size):
                pair.plain.sampler = build_sampler("random", {}, seed=9, number=number)
                trial = pair.plain.ask()
                define(trial)
                pair.finish(trial, pair.plain.get_trials(deepcopy=False)[number])
        return storages[size]

    def ask(name, number, *, seed=0, options=None, history=0):
        pair = history_of(history)
        sampler = build_sampler(name, options or {}, seed=seed, number=number)
        return propose(pair.storage, "twins", sampler, pair.pruner, number, define).params

    return ask


def valid(params):
    assert params["depth"] in range(1, 5)
    assert 1e-4 <= params["lr"] <= 1e-1
    assert params["dropout"] in [pytest.approx(k / 10, abs=1e-9) for k in range(7)]
    assert params["width"] in (32, 64)
    assert ("momentum" in params) == (params["optimizer"] == "sgd")
    assert 0 <= params.get("momentum", 0) <= 0.99


@pytest.mark.parametrize("name", sorted(SAMPLERS.keys() - {"grid"}))
def test_every_sampler_proposes_valid_parameters_that_seed_and_number_decide(name, asked):
    drawn = [asked(name, number, history=12) for number in range(12, 18)]
    for params in drawn:
        valid(params)
    apart = 2 if name == "gp" else len(drawn)  # the optimum of its model may be in a corner
    assert len({str(params) for params in drawn}) >= apart
    assert drawn == [asked(name, number, history=12) for number in range(12, 18)]
    assert (drawn != [asked(name, number) for number in range(12, 18)]) == SAMPLERS[name].learns
    assert drawn != [asked(name, number, seed=1, history=12) for number in range(12, 18)]


@pytest.mark.parametrize(("name", "option", "value"), EVERY_OPTION)
def test_every_option_is_accepted_without_a_warning(name, option, value, asked):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        valid(asked(name, 12, options={option: value}, history=12))


@pytest.mark.parametrize("name", SAMPLERS)
def test_nothing_needs_to_be_done_after_a_trial(name, twins, define, grid):
    """No sampler of the catalogue writes when a trial ends, and none asks to stop."""
    pair = twins(build_pruner("none", {}, epochs=9))
    point = {name: values[0] for name, values in grid.items()}
    sampler = build_sampler(name, {}, seed=0, number=0, point=point)
    trial = propose(pair.storage, "twins", sampler, pair.pruner, 0, define)
    study = optuna.Study("twins", Overlay(pair.storage), sampler=sampler)
    sampler.after_trial(study, trial, TrialState.COMPLETE, [0.0])
    assert not study._stop_flag


@pytest.mark.parametrize(
    ("name", "options", "where", "words"),
    [
        ("tpee", {}, "search.sampler", "did you mean 'tpe'"),
        ("tpe", {"n_startup": 3}, "search.sampler.n_startup", "n_startup_trials"),
        ("random", {"x": 3}, "search.sampler.x", "random has no options"),
        ("tpe", {"n_startup_trials": "3"}, "search.sampler.n_startup_trials", "a whole number"),
        ("tpe", {"n_startup_trials": True}, "search.sampler.n_startup_trials", "a whole number"),
        ("tpe", {"n_startup_trials": -1}, "search.sampler.n_startup_trials", "at least 0"),
        ("tpe", {"multivariate": 1}, "search.sampler.multivariate", "true or false"),
        ("qmc", {"qmc_type": "sobel"}, "search.sampler.qmc_type", "did you mean 'sobol'"),
        ("cmaes", {"lr_adapt": True, "with_margin": True}, "search.sampler", "with_margin"),
    ],
)
def test_a_mistake_is_named(name, options, where, words):
    with pytest.raises(StudyFileError) as caught:
        build_sampler(name, options, seed=0, number=0)
    assert caught.value.where == where
    assert words in str(caught.value)


def test_options_are_checked_and_completed_without_building():
    options = check_sampler("qmc", {"scramble": False})
    assert options == {"qmc_type": "sobol", "scramble": False}


def test_seeds_differ_and_stay_the_same_for_ever():
    seeds = {derived_seed(seed, number) for seed in range(20) for number in range(100)}
    assert len(seeds) == 2000
    assert derived_seed(0, 0) == 1022026219
    assert derived_seed(-1, None) in range(2**32)


def test_the_catalogue_imports_neither_optuna_nor_what_its_samplers_need():
    code = (
        "import sys, tuner.search.samplers, tuner.search.pruners;"
        "print([m for m in ('optuna', 'numpy', 'scipy', 'torch', 'cmaes') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
