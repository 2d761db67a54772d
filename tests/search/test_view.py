from __future__ import annotations

import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.trial import FrozenTrial, TrialState

from tuner.errors import StorageError
from tuner.search.read_only import ReadOnlyView
from tuner.search.view import DRAFT_ID, DraftView, MarkedView


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
