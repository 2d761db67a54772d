from __future__ import annotations

import warnings

import optuna
import pytest

from tuner.errors import StudyFileError
from tuner.search.pruners import PRUNERS, build_pruner, check_pruner, idle

SOME = {int: 3, float: 0.5, object: {"name": "hyperband", "reduction_factor": 2}}
EVERY_OPTION = [
    (name, option.name, value)
    for name, entry in PRUNERS.items()
    for option in entry.options
    for value in {str(v): v for v in (SOME[option.kind], option.default)}.values()
    if value is not None
]


def pruned_at(pruner, *, bad_from=8, epochs=20, first=1):
    """The step at which each of 12 trials is pruned; those from ``bad_from`` on are bad."""
    study = optuna.create_study(pruner=pruner, study_name="s")
    ends = []
    for number in range(12):
        trial = study.ask()
        for step in range(first, epochs + first):
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
    assert (set(ends) == {None}) == (name in ("none", "promote"))


@pytest.mark.parametrize(("name", "option", "value"), EVERY_OPTION)
def test_every_option_is_accepted_without_a_warning(name, option, value):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pruned_at(build_pruner(name, {option: value}, epochs=20))


def test_median_and_percentile_wait_for_a_sixth_of_the_epochs():
    assert {end for end in pruned_at(build_pruner("median", {}, epochs=30)) if end} == {6}
    ends = pruned_at(build_pruner("percentile", {"n_warmup_steps": 2}, epochs=30))
    assert {end for end in ends if end} == {3}


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("warmup", [0, 1, 4])
@pytest.mark.parametrize("name", ["median", "percentile", "patient"])
def test_a_warm_up_protects_exactly_the_first_epochs(name, warmup, first):
    options = {"n_warmup_steps": warmup}
    if name == "patient":  # which forgives none, and would end a bad trial after its second
        options = {"patience": 0, "pruner": {"name": "median", **options}}
    ends = pruned_at(build_pruner(name, options, epochs=20, first=first), first=first)
    reports = {end - first + 1 for end in ends[8:]}
    assert reports == {max(warmup + 1, 2 if name == "patient" else 1)}


@pytest.mark.parametrize("every", [1, 2, 3])
def test_checks_are_as_many_epochs_apart_as_was_said(every):
    options = {"n_warmup_steps": 2, "interval_steps": every}
    pruner = build_pruner("median", options, epochs=20)
    study = optuna.create_study(pruner=pruner)
    for _ in range(6):
        done = study.ask()
        for step in range(1, 21):
            done.report(0.0, step)
        study.tell(done, 0.0)
    trial, asked = study.ask(), []
    for step in range(1, 21):
        trial.report(1.0, step)
        asked += [step] if trial.should_prune() else []
    assert asked == list(range(3, 21, every))


@pytest.mark.parametrize("name", ["asha", "hyperband"])
@pytest.mark.parametrize("least", [1, 4])
def test_a_rung_comes_after_exactly_so_many_epochs(name, least):
    ends = pruned_at(build_pruner(name, {"min_resource": least}, epochs=20), bad_from=0)
    assert min(end for end in ends if end) == least


@pytest.mark.parametrize("patience", [0, 1, 3])
def test_patience_forgives_so_many_epochs_without_improvement(patience):
    options = {"pruner": "none", "patience": patience}
    ends = pruned_at(build_pruner("patient", options, epochs=20))
    assert set(ends[8:]) == {1 + patience + 1}  # the first is the best


IDLE = [
    ("median", {"n_warmup_steps": 29}, 30, 60, "after epoch 30 at the earliest"),
    ("median", {"n_warmup_steps": 28}, 30, 60, ""),
    ("percentile", {"n_warmup_steps": 99}, 30, 60, "n_warmup_steps"),
    ("median", {"n_startup_trials": 60}, 30, 60, "n_startup_trials is 60, of 60 trials"),
    ("median", {"n_startup_trials": 59}, 30, 60, ""),
    ("percentile", {"n_min_trials": 60}, 30, 60, "n_min_trials is 60"),
    ("asha", {"min_resource": 30}, 30, 60, "first rung"),
    ("asha", {"min_resource": 29}, 30, 60, ""),
    ("asha", {"min_early_stopping_rate": 4}, 30, 60, "after epoch 81"),
    ("hyperband", {"min_resource": 30}, 30, 60, "first rung"),
    ("hyperband", {"min_resource": 40, "max_resource": 90}, 30, 60, "first rung"),
    ("hyperband", {}, 2, 60, ""),
    ("hyperband", {}, 1, 60, "first rung"),
    ("asha", {"bootstrap_count": 60}, 30, 60, "prunes every trial"),
    ("patient", {"patience": 28}, 30, 60, "patience"),
    ("patient", {"patience": 27}, 30, 60, ""),
    ("patient", {"pruner": {"name": "median", "n_warmup_steps": 30}}, 30, 60, "n_warmup_steps"),
    ("patient", {"pruner": "none", "patience": 3}, 30, 1, ""),
    ("none", {}, 1, 1, ""),
    ("median", {"n_warmup_steps": 29}, None, 60, ""),
    ("median", {}, None, 5, "n_startup_trials is 5"),
]


@pytest.mark.parametrize(("name", "options", "epochs", "trials", "words"), IDLE)
def test_a_pruner_that_can_never_act_is_named(name, options, epochs, trials, words):
    said = idle(name, options, epochs=epochs, trials=trials)
    assert words in said
    assert bool(words) == bool(said)


def test_hyperband_takes_the_epochs_as_its_resource():
    ends = pruned_at(build_pruner("hyperband", {}, epochs=20))
    explicit = pruned_at(build_pruner("hyperband", {"max_resource": 20}, epochs=3))
    assert ends == explicit


def test_patient_asks_the_pruner_that_it_wraps_or_none():
    alone = pruned_at(build_pruner("patient", {"pruner": "none", "patience": 3}, epochs=20))
    assert alone[:8] == [None] * 8
    assert set(alone[8:]) == {5}
    median = {"name": "median", "n_warmup_steps": 9}
    wrapped = pruned_at(build_pruner("patient", {"pruner": median, "patience": 3}, epochs=20))
    assert set(wrapped[8:]) == {10}


@pytest.mark.parametrize(
    ("name", "options", "where", "words"),
    [
        ("hyperbant", {}, "search.pruner", "did you mean 'hyperband'"),
        ("median", {"warmup": 3}, "search.pruner.warmup", "known:"),
        ("percentile", {"percentile": 101.0}, "search.pruner.percentile", "between 0 and 100"),
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
