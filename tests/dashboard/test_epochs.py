"""Epochs are counted once, and none twice."""

from __future__ import annotations

from typing import Any

import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial
from sqlalchemy import delete

from tuner.dashboard.metrics import Epochs, Trials, unfinished
from tuner.storage import Storage, open_storage, rows


@pytest.fixture
def storage(sqlite_url: str) -> Storage:
    return open_storage(sqlite_url)


def made(storage: Storage, name: str = "one") -> int:
    return storage.create_new_study([StudyDirection.MINIMIZE], name)


def add(storage: Storage, study_id: int, *steps: int, **changes: Any) -> int:
    """A trial with reports at these steps; complete, unless it is said otherwise."""
    values = dict.fromkeys(steps, 0.5)
    trial = create_trial(**{"value": 1.0, "intermediate_values": values, **changes})
    return int(storage.create_new_trial(study_id, trial))


def running(storage: Storage, study_id: int, *steps: int) -> int:
    return add(storage, study_id, *steps, state=TrialState.RUNNING, value=None)


def count(storage: Storage, epochs: Epochs) -> dict[int, int]:
    with storage.database.read() as connection:
        open_trials = unfinished(connection)
        return epochs(connection, known(storage), open_trials)


def known(storage: Storage) -> dict[int, Trials]:
    found = {}
    for study in storage.get_all_studies():
        trials = storage.get_all_trials(study._study_id)
        over = sum(trial.state.is_finished() for trial in trials)
        begun = min((t.datetime_start for t in trials if t.datetime_start), default=None)
        found[study._study_id] = Trials(over, begun)
    return found


def test_trials_that_ended_and_those_in_training(storage: Storage) -> None:
    one, two, epochs = made(storage), made(storage, "two"), Epochs()
    assert count(storage, epochs) == {one: 0, two: 0}
    add(storage, one, 1, 2, 3)
    add(storage, one, state=TrialState.FAIL, value=None)
    trial_id = running(storage, two, 1)
    assert count(storage, epochs) == {one: 3, two: 1}
    storage.set_trial_intermediate_value(trial_id, 2, 0.5)
    assert count(storage, epochs) == {one: 3, two: 2}
    storage.set_trial_intermediate_value(trial_id, 2, 0.4)  # said again
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [0.4])
    add(storage, one, 1)
    assert count(storage, epochs) == {one: 4, two: 2}


def test_the_reports_of_a_trial_that_ended_are_read_once(storage: Storage) -> None:
    study_id, epochs = made(storage), Epochs()
    add(storage, study_id, *range(50))
    assert count(storage, epochs) == {study_id: 50}
    with storage.database.write() as connection:
        connection.execute(delete(rows.REPORTS))  # as nothing does: whoever reads them sees it
    add(storage, study_id, 1)
    assert count(storage, epochs) == {study_id: 51}


def test_what_ends_while_it_is_counted_is_counted_once(storage: Storage) -> None:
    study_id, epochs = made(storage), Epochs()
    trial_id = running(storage, study_id, 1, 2)
    with storage.database.read() as connection:
        open_trials = unfinished(connection)
        before = known(storage)
        storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [0.4])
        assert epochs(connection, before, open_trials) == {study_id: 2}
        assert epochs(connection, known(storage), open_trials) == {study_id: 2}
        assert epochs(connection, known(storage), {}) == {study_id: 2}


def test_a_study_with_the_number_of_a_deleted_one(storage: Storage) -> None:
    study_id, epochs = made(storage), Epochs()
    add(storage, study_id, 1, 2, 3)
    assert count(storage, epochs) == {study_id: 3}
    storage.delete_study(study_id)
    assert made(storage) == study_id
    add(storage, study_id, 1)
    assert count(storage, epochs) == {study_id: 1}
