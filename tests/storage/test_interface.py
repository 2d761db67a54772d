"""What a storage keeps of studies in memory, and what it makes none of."""

from __future__ import annotations

from typing import Any

import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState

from tuner.errors import StorageError
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


def test_a_name_that_is_too_long_is_refused_by_every_database(storage: Storage, join: Any) -> None:
    for make in (
        lambda: join(storage, "x" * 513),
        lambda: storage.create_new_study([StudyDirection.MINIMIZE], "x" * 513),
    ):
        with pytest.raises(StorageError, match="at most 512 letters, and this one 513") as caught:
            make()
        assert len(str(caught.value)) < 200
    assert storage.get_all_studies() == []
    assert storage.get_study_name_from_id(join(storage, "x" * 512)) == "x" * 512
