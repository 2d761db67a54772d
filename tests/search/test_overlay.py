"""An overlay shows a storage's trials with that of a run in place, and changes nothing beneath."""

from __future__ import annotations

import copy

import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.trial import FrozenTrial, TrialState

from tuner.errors import StorageError, UsageError
from tuner.search.overlay import Overlay, changed
from tuner.search.propose import DRAFT_ID, Draft


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
    return Draft(
        FrozenTrial(
            number=number, state=TrialState.RUNNING, value=None, datetime_start=None,
            datetime_complete=None, params={}, distributions={}, user_attrs={}, system_attrs={},
            intermediate_values={}, trial_id=DRAFT_ID,
        )
    )  # fmt: skip


@pytest.mark.parametrize("name", ["s", None])
def test_reads_pass_through(study, name):
    overlay = Overlay(study._storage, name)
    seen = optuna.load_study(study_name="s", storage=overlay)
    assert seen.best_value == 1.0
    assert seen.user_attrs == {"who": "me"}
    assert seen.trials == study.trials
    assert overlay.get_trial(study.trials[0]._trial_id) == study.trials[0]
    assert overlay.get_study_name_from_id(study._study_id) == "s"
    assert optuna.get_all_study_names(overlay) == ["s"]


WRITES = [
    lambda overlay: overlay.create_new_study([optuna.study.StudyDirection.MINIMIZE]),
    lambda overlay: overlay.set_study_user_attr(0, "a", 1),
    lambda overlay: overlay.set_study_system_attr(0, "a", 1),
    lambda overlay: overlay.create_new_trial(0),
    lambda overlay: overlay.set_trial_param(3, "x", 1, IntDistribution(1, 9)),
    lambda overlay: overlay.set_trial_intermediate_value(3, 0, 1.0),
    lambda overlay: overlay.set_trial_user_attr(3, "a", 1),
    lambda overlay: overlay.set_trial_system_attr(3, "a", 1),
    lambda overlay: overlay.set_trial_state_values(3, TrialState.FAIL),
    lambda overlay: overlay.delete_study(0),
]


@pytest.mark.parametrize("write", WRITES)
def test_writes_are_refused(study, write):
    study.ask()
    before = study.trials
    for overlay in (Overlay(study._storage), Overlay(study._storage, "s", run=draft(4))):
        with pytest.raises(StorageError, match="a sampler or pruner tried to"):
            write(overlay)
    own = Overlay(study._storage, refusal=lambda what: UsageError(f"you tried to {what}"))
    with pytest.raises(UsageError, match="you tried to"):
        write(own)
    assert study.trials == before
    assert study.user_attrs == {"who": "me"}


def test_writes_reach_a_storage_that_may_be_written(study):
    plain = copy.deepcopy(study._storage)
    overlay = Overlay(study._storage, writable=True)
    for storage in (plain, overlay):
        storage.create_new_trial(0)
        for write in WRITES[:-1]:
            write(storage)
    assert next(s.study_name for s in overlay.get_all_studies()) == "s"
    assert len(study._storage.get_all_studies()) == 2
    written, expected = study._storage.get_trial(3), plain.get_trial(3)
    for key in ("state", "params", "intermediate_values", "user_attrs", "system_attrs"):
        assert getattr(written, key) == getattr(expected, key) != getattr(draft().trial, key)
    assert overlay.get_study_user_attrs(0) == {"who": "me", "a": 1}
    assert overlay.get_study_system_attrs(0) == {"a": 1}
    WRITES[-1](overlay)
    assert [s.study_name for s in study._storage.get_all_studies()] != ["s"]
    assert len(study._storage.get_all_studies()) == 1


def test_the_trial_of_a_run_is_one_of_the_trials_and_takes_what_is_written(study):
    run = draft()
    overlay = Overlay(study._storage, "s", run=run)
    handed_out = overlay.get_trial(DRAFT_ID)
    overlay.set_trial_param(DRAFT_ID, "x", 2.0, IntDistribution(1, 9))
    overlay.set_trial_intermediate_value(DRAFT_ID, 1, 0.5)
    overlay.set_trial_user_attr(DRAFT_ID, "who", "you")
    overlay.set_trial_system_attr(DRAFT_ID, "key", "value")
    trials = overlay.get_all_trials(study._study_id)
    assert [trial.number for trial in trials] == [0, 1, 2, 3]
    assert trials[3] == run.trial
    assert trials[3].params == {"x": 2}
    assert type(trials[3].params["x"]) is int
    assert trials[3].distributions == {"x": IntDistribution(1, 9)}
    assert trials[3].intermediate_values == {1: 0.5}
    assert (trials[3].user_attrs, trials[3].system_attrs) == ({"who": "you"}, {"key": "value"})
    assert overlay.get_all_trials(study._study_id, states=(TrialState.RUNNING,)) == trials[3:]
    assert (handed_out.params, handed_out.system_attrs) == ({}, {})
    assert overlay.get_trial(study.trials[0]._trial_id) == study.trials[0]
    assert overlay.everything(study._study_id) == study.trials


def test_the_trial_of_a_run_takes_its_place_by_number(study):
    overlay = Overlay(study._storage, "s", run=draft(number=1))
    trials = overlay.get_all_trials(study._study_id, deepcopy=False)
    assert [(t.number, t.state.name) for t in trials] == [
        (0, "COMPLETE"), (1, "RUNNING"), (2, "COMPLETE"),
    ]  # fmt: skip
    complete = overlay.get_all_trials(study._study_id, states=(TrialState.COMPLETE,))
    assert [t.number for t in complete] == [0, 2]
    other = study._storage.create_new_study([optuna.study.StudyDirection.MINIMIZE])
    assert overlay.get_all_trials(other) == []


def test_what_a_run_does_not_take_changes_nothing(study):
    class Refusing(Draft):
        def write(self, **change):
            raise ValueError("no")

    run = Refusing(draft().trial)
    overlay = Overlay(study._storage, "s", run=run)
    with pytest.raises(ValueError, match="no"):
        overlay.set_trial_intermediate_value(DRAFT_ID, 1, 0.5)
    assert overlay.get_trial(DRAFT_ID) == draft().trial


def test_the_trials_that_are_selected_are_the_same_list_until_one_changes(study, sqlite_url):
    from tuner.storage import open_storage

    storage = open_storage(sqlite_url)
    made = optuna.create_study(storage=storage, study_name="s")
    made.add_trials(study.trials)
    overlay = Overlay(storage, "s", select=lambda trials: [t for t in trials if t.value != 1.0])
    complete = (TrialState.COMPLETE,)
    seen = overlay.get_all_trials(made._study_id, deepcopy=False, states=complete)
    assert [trial.number for trial in seen] == [0, 2]
    assert overlay.get_all_trials(made._study_id, deepcopy=False, states=complete) is seen
    assert Overlay(overlay, "s", run=draft()).get_all_trials(1, False, complete) is seen
    assert overlay.get_all_trials(made._study_id, states=complete) is not seen
    made.add_trial(study.trials[2])
    again = overlay.get_all_trials(made._study_id, deepcopy=False, states=complete)
    assert [trial.number for trial in again] == [0, 2, 3]
    assert [t.number for t in overlay.everything(made._study_id)] == [0, 1, 2, 3]


def test_what_never_changes_is_read_once_and_all_else_through_the_given_way(study):
    count = 0

    def read(call):
        nonlocal count
        count += 1
        return call()

    overlay = Overlay(study._storage, "s", read=read)
    optuna.load_study(study_name="s", storage=overlay)
    assert overlay.get_study_directions(study._study_id) == study.directions
    assert count == 0
    assert overlay.get_study_user_attrs(study._study_id) == {"who": "me"}
    assert overlay.get_study_system_attrs(study._study_id) == {}
    assert len(overlay.get_all_trials(study._study_id)) == 3
    assert overlay.get_trial(study.trials[1]._trial_id).value == 1.0
    assert count == 4


def test_a_parameter_that_is_there_stays_and_the_trial_given_is_left_alone():
    kind = IntDistribution(1, 9)
    before = draft().trial
    first = changed(before, params={"x": (2.0, kind)})
    second = changed(first, params={"x": (3.0, kind), "y": (4.0, kind)}, reports={0: 1.0})
    assert (first.params, second.params) == ({"x": 2}, {"x": 2, "y": 4})
    assert before == draft().trial
    assert changed(second, reports={0: 2.0, 1: 3.0}).intermediate_values == {0: 2.0, 1: 3.0}
    assert second.intermediate_values == {0: 1.0}
