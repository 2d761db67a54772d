from __future__ import annotations

import warnings

import optuna
import pytest

from tuner.errors import StudyFileError
from tuner.search.pruners import PRUNERS, build_pruner, check_pruner

SOME = {int: 3, float: 0.5, dict: {"name": "hyperband", "reduction_factor": 2}}
EVERY_OPTION = [
    (name, option.name, value)
    for name, entry in PRUNERS.items()
    for option in entry.options
    for value in {str(v): v for v in (SOME[option.kind], option.default)}.values()
    if value is not None
]


def pruned_at(pruner, *, bad_from=8, epochs=20):
    """The step at which each of 12 trials is pruned; those from ``bad_from`` on are bad."""
    study = optuna.create_study(pruner=pruner, study_name="s")
    ends = []
    for number in range(12):
        trial = study.ask()
        for step in range(epochs):
            trial.report(number + (0 if number < bad_from else step), step)
            if trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                ends.append(step)
                break
        else:
            study.tell(trial, number)
            ends.append(None)
    return ends


@pytest.mark.parametrize("name", PRUNERS)
def test_every_pruner_works_with_its_defaults(name):
    ends = pruned_at(build_pruner(name, {}, epochs=20))
    assert ends[0] is None
    assert (set(ends) == {None}) == (name == "none")


@pytest.mark.parametrize(("name", "option", "value"), EVERY_OPTION)
def test_every_option_is_accepted_without_a_warning(name, option, value):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pruned_at(build_pruner(name, {option: value}, epochs=20))


def test_median_and_percentile_wait_for_a_sixth_of_the_epochs():
    assert {end for end in pruned_at(build_pruner("median", {}, epochs=30)) if end} == {5}
    ends = pruned_at(build_pruner("percentile", {"n_warmup_steps": 2}, epochs=30))
    assert {end for end in ends if end} == {2}


def test_hyperband_takes_the_epochs_as_its_resource():
    ends = pruned_at(build_pruner("hyperband", {}, epochs=20))
    explicit = pruned_at(build_pruner("hyperband", {"max_resource": 20}, epochs=3))
    assert ends == explicit


def test_patient_asks_the_pruner_that_it_wraps_or_none():
    alone = pruned_at(build_pruner("patient", {"pruner": "none", "patience": 3}, epochs=20))
    assert alone[:8] == [None] * 8
    assert set(alone[8:]) == {4}
    median = {"name": "median", "n_warmup_steps": 9}
    wrapped = pruned_at(build_pruner("patient", {"pruner": median, "patience": 3}, epochs=20))
    assert set(wrapped[8:]) == {9}


@pytest.mark.parametrize(
    ("name", "options", "where", "words"),
    [
        ("hyperbant", {}, "search.pruner", "did you mean 'hyperband'"),
        ("median", {"warmup": 3}, "search.pruner.warmup", "known:"),
        ("percentile", {"percentile": 101.0}, "search.pruner.percentile", "at most 100"),
        ("percentile", {"percentile": "a"}, "search.pruner.percentile", "a number"),
        ("asha", {"reduction_factor": 1}, "search.pruner.reduction_factor", "at least 2"),
        ("hyperband", {"min_resource": 30}, "search.pruner.min_resource", "max_resource 20"),
        ("patient", {"pruner": 3}, "search.pruner.pruner", "a name or a table"),
        ("patient", {"pruner": {"patience": 3}}, "search.pruner.pruner", "with a name"),
        ("patient", {"pruner": "medean"}, "search.pruner.pruner", "did you mean 'median'"),
        (
            "patient",
            {"pruner": {"name": "median", "x": 1}},
            "search.pruner.pruner.x",
            "no option 'x'",
        ),
    ],
)
def test_a_mistake_is_named(name, options, where, words):
    with pytest.raises(StudyFileError) as caught:
        build_pruner(name, options, epochs=20)
    assert caught.value.where == where
    assert words in str(caught.value)


def test_options_are_checked_and_completed_without_building():
    assert check_pruner("patient", {"patience": 2})["patience"] == 2
    assert check_pruner("hyperband", {})["max_resource"] is None
