"""What a study's sampler and pruner do, in words."""

from __future__ import annotations

from typing import Any

import pytest

from tuner.search.pruners import PRUNERS
from tuner.search.samplers import SAMPLERS
from tuner.show.search import search_words
from tuner.study.parse import parse

SPACE: dict[str, Any] = {
    "data": {"source": "a:b"},
    "regularization": {"dropout": {"off": 0.0, "low": 0.1, "high": 0.5}},
    "training": {
        "epochs": 30,
        "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
        "optimizer": {"choices": ["adam", {"name": "sgd", "momentum": {"low": 0.0, "high": 0.9}}]},
    },
}
OWN = {"objective": "a.b:c", "direction": "maximize"}


def words(document: dict[str, Any] = SPACE, **search: Any) -> dict[str, str]:
    return search_words(parse("words", {**document, "search": search}))


@pytest.mark.parametrize(
    ("sampler", "text"),
    [
        (
            "auto",
            "auto: 5 trials of a design, then a Gaussian process over all 5 parameters, switches "
            "and nested ones included: ",
        ),
        (
            {"name": "tpe", "joint": False},
            "tpe: 10 trials at random, then a tree-structured Parzen estimator over the 3 "
            "parameters that every trial has, the other 2 each alone: ",
        ),
        (
            "tpe",
            "estimator over all 5 parameters, switches and nested ones included: ",
        ),
        ({"name": "tpe", "group": True}, "estimator over each branch of the space jointly: "),
        ({"name": "tpe", "multivariate": False}, "estimator over each parameter alone: "),
        ("gp", "process over all 5 parameters, switches and nested ones included: "),
        (
            {"name": "gp", "joint": False},
            "over the 3 parameters that every trial has, the other 2 at random: ",
        ),
        ("cmaes", "over the 1 number that every trial has, the other 4 at random: "),
        ("random", "random: at random, whatever the results: "),
        ({"name": "qmc", "qmc_type": "halton"}, "a Halton sequence, more even than random"),
    ],
)
def test_what_a_sampler_does(sampler: Any, text: str) -> None:
    assert text in words(sampler=sampler)["sampler"]


def test_a_grid_tries_everything_once() -> None:
    space = {**SPACE, "regularization": {}, "training": {"optimizer": {"choices": ["adam", "sgd"]}}}
    assert "every configuration once" in words(space, sampler="grid")["sampler"]


def test_a_budget_that_ends_before_the_model_begins() -> None:
    assert words(trials=4, sampler="auto")["sampler"].endswith(
        "; the budget of 4 trials ends before that"
    )
    assert "ends before" not in words(trials=4, sampler="random")["sampler"]
    assert "ends before" not in words(trials=6, sampler="auto")["sampler"]


def test_defaults_are_named() -> None:
    found = words()
    assert found["sampler"].startswith("auto (the default): ")
    assert found["pruner"].startswith("promote (the default): ")
    assert words(pruner="none") == {**found, "pruner": "none: every trial comes to its end"}


def test_a_study_that_searches_nothing() -> None:
    space = {"data": {"source": "a:b"}, "model": {"depth": 1, "width": 16}}
    found = words({**space, "regularization": {}, "training": {"epochs": 3}})
    assert "nothing is searched" in found["sampler"]


@pytest.mark.parametrize(
    ("pruner", "text"),
    [
        (
            "hyperband",
            "hyperband: after epoch 1, 3, 9, 27 one trial in 3 goes on, by the values there; of 4 "
            "groups of trials each begins one later than the one before",
        ),
        (
            {"name": "asha", "min_resource": 4, "reduction_factor": 2},
            "asha: after epoch 4, 8, 16 one trial in 2 goes on, by the values there",
        ),
        (
            "promote",
            "promote: after epoch 1, 3, 9 a trial pauses with its checkpoint; of the best one in 3 "
            "goes on from the first, one in 2 later, and the others end with the budget",
        ),
        ({"name": "asha", "min_resource": 30}, "asha: never prunes: by its first rung"),
        (
            "median",
            "median: from epoch 6 on it ends a trial that is worse than the median of all at the "
            "same epoch, once 5 trials came to the end",
        ),
        (
            {"name": "percentile", "interval_steps": 2, "n_startup_trials": 0},
            "percentile: from epoch 6 on, every 2, it ends a trial that is not among the best 25% "
            "of all at the same epoch",
        ),
        (
            {"name": "patient", "pruner": "none"},
            "patient: once a trial has not improved for 5 epochs, it is pruned",
        ),
        ("patient", "5 epochs, median decides: from epoch 6 on"),
    ],
)
def test_when_a_pruner_acts(pruner: Any, text: str) -> None:
    assert text in words(pruner=pruner)["pruner"]


def test_of_an_own_objective_no_parameter_is_known() -> None:
    found = words(OWN, sampler="auto")
    assert "over all parameters, nested ones included: " in found["sampler"]
    assert found["pruner"].startswith("median (the default): from step 0 on")
    assert "others at random: " in words(OWN, sampler="cmaes")["sampler"]
    assert "after step 1, 3, 9, 27, … one" in words(OWN, pruner="asha")["pruner"]


def test_every_sampler_and_every_pruner_has_words() -> None:
    whole = {**SPACE, "regularization": {}, "training": {"optimizer": {"choices": ["adam", "sgd"]}}}
    for name in SAMPLERS:
        assert len(words(whole, sampler=name)["sampler"]) > len(name) + 20
    for name in PRUNERS:
        assert len(words(pruner=name)["pruner"]) > len(name) + 10


def test_of_an_own_objective_pauses_are_counted_in_reports() -> None:
    pruner = {"name": "promote", "max_resource": 27}
    found = search_words(parse("own", {**OWN, "search": {"pruner": pruner}}))
    words = "promote: after 1, 3, 9 reports a trial pauses with its checkpoint, if it has one of"
    assert found["pruner"].startswith(words)
