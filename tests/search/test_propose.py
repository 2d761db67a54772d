"""test_propose"""

from __future__ import annotations

import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.trial import FrozenTrial, TrialState

from tuner.errors import StorageError
from tuner.search.propose import DRAFT_ID, DraftView, MarkedView, ReadOnlyView, propose
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


@pytest.fixture
def study():
    study = optuna.create_study(storage=optuna.storages.InMemoryStorage(), study_name="s")
    study.set_user_attr("who", "me")
    for value in (3.0, 1.0, 2.0):
        trial = study.ask()
        trial.suggest_int("x", 1, 9)
        study.tell(trial, value)
    return study


def draft(number=3):
    return FrozenTrial(
        number=number, state=TrialState.RUNNING, value=None, datetime_start=None,
        datetime_complete=None, params={}, distributions={}, user_attrs={}, system_attrs={},
        intermediate_values={}, trial_id=DRAFT_ID,
    )  # fmt: skip


def test_reads_pass_through(study):
    seen = optuna.load_study(study_name="s", storage=ReadOnlyView(study._storage))
    assert seen.best_value == 1.0
    assert seen.user_attrs == {"who": "me"}
    assert seen.trials == study.trials
    assert ReadOnlyView(study._storage).get_study_name_from_id(study._study_id) == "s"
    assert optuna.get_all_study_names(ReadOnlyView(study._storage)) == ["s"]


@pytest.mark.parametrize(
    "write",
    [
        lambda view: view.create_new_study([optuna.study.StudyDirection.MINIMIZE]),
        lambda view: view.delete_study(0),
        lambda view: view.set_study_user_attr(0, "a", 1),
        lambda view: view.set_study_system_attr(0, "a", 1),
        lambda view: view.create_new_trial(0),
        lambda view: view.set_trial_param(0, "x", 1, IntDistribution(1, 2)),
        lambda view: view.set_trial_state_values(0, TrialState.FAIL),
        lambda view: view.set_trial_intermediate_value(0, 0, 1.0),
        lambda view: view.set_trial_user_attr(0, "a", 1),
        lambda view: view.set_trial_system_attr(0, "a", 1),
    ],
)
def test_writes_are_refused(study, write):
    before = study.trials
    for view in (ReadOnlyView(study._storage), DraftView(study._storage, 0, draft())):
        with pytest.raises(StorageError, match="a sampler or pruner tried to"):
            write(view)
    assert study.trials == before


def test_the_draft_is_one_of_the_trials_and_collects_what_is_written(study):
    view = DraftView(study._storage, study._study_id, draft())
    handed_out = view.get_trial(DRAFT_ID)
    view.set_trial_param(DRAFT_ID, "x", 2.0, IntDistribution(1, 9))
    view.set_trial_system_attr(DRAFT_ID, "key", "value")
    trials = view.get_all_trials(study._study_id)
    assert [trial.number for trial in trials] == [0, 1, 2, 3]
    assert trials[3].params == {"x": 2}
    assert type(trials[3].params["x"]) is int
    assert trials[3].system_attrs == {"key": "value"}
    assert view.get_all_trials(study._study_id, states=(TrialState.RUNNING,)) == trials[3:]
    assert (handed_out.params, handed_out.system_attrs) == ({}, {})
    assert view.get_trial(study.trials[0]._trial_id) == study.trials[0]


def test_the_draft_takes_its_place_by_number(study):
    view = DraftView(study._storage, study._study_id, draft(number=1))
    trials = view.get_all_trials(study._study_id, deepcopy=False)
    assert [(t.number, t.state.name) for t in trials] == [
        (0, "COMPLETE"), (1, "RUNNING"), (2, "COMPLETE"),
    ]  # fmt: skip


def test_marks_are_seen_at_once_and_handed_on(study):
    written = []
    view = MarkedView(study._storage, lambda *mark: written.append(mark))
    trial_id = study.trials[1]._trial_id
    view.set_trial_system_attr(trial_id, "rung", 0.5)
    assert written == [(trial_id, "rung", 0.5)]
    assert view.get_trial(trial_id).system_attrs == {"rung": 0.5}
    attrs = [t.system_attrs for t in view.get_all_trials(study._study_id)]
    assert attrs == [{}, {"rung": 0.5}, {}]
    assert study.trials[1].system_attrs == {}
