"""A worker's look at others' running trials: only what is new is read."""

from __future__ import annotations

from tuner.storage import Propose, Storage, Update, open_storage


def test_new_reports_of_a_running_trial_are_added(
    storage: Storage, database_url: str, study_id: int, propose: Propose
) -> None:
    lease = storage.claim(study_id, "other", propose)
    assert lease is not None
    mine = open_storage(database_url)
    mine.refresh_interval = 1e-9  # read at every look, but only what is new
    for step, value in enumerate((0.5, float("inf"), 0.7)):
        storage.write([Update(lease, reports={step: value})])
        seen = mine.get_all_trials(study_id, deepcopy=False)[0]
        assert seen.intermediate_values[step] == value
        assert len(seen.intermediate_values) == step + 1


def test_a_trial_that_was_given_back_is_read_again(
    storage: Storage, database_url: str, study_id: int, propose: Propose
) -> None:
    mine = open_storage(database_url)
    mine.refresh_interval = 1e-9
    lease = mine.claim(study_id, "me", propose)
    assert lease is not None
    mine.write([Update(lease, reports={0: 0.5})])
    mine.release([lease])
    theirs = storage.claim(study_id, "other", propose)
    assert theirs is not None
    storage.write([Update(theirs, reports={1: 0.6})])
    seen = mine.get_all_trials(study_id, deepcopy=False)[0]
    assert seen.intermediate_values == {0: 0.5, 1: 0.6}
