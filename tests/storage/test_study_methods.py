"""What a storage keeps of studies in memory."""

from __future__ import annotations

from optuna.trial import TrialState

from tuner.storage import Propose, Storage, Update


def test_a_forgotten_study_is_read_again(storage: Storage, study_id: int, propose: Propose) -> None:
    lease = storage.claim(study_id, "me", propose)
    assert lease is not None
    storage.write([Update(lease, reports={1: 0.5}, state=TrialState.COMPLETE, value=0.5)])
    before = storage.get_all_trials(study_id)
    storage.forget(study_id)
    assert (storage._mirrors, storage._study_of) == ({}, {})
    assert storage.get_all_trials(study_id) == before
    assert storage.get_trial(lease.trial_id) == before[0]
    storage.forget(study_id)
    assert storage.get_trial(lease.trial_id) == before[0]
