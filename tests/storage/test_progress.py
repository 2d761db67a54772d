"""What status shows: counts of a study and the workers with what they hold."""

from __future__ import annotations

import pytest
from optuna.trial import TrialState

from tuner.storage import Progress, Propose, Storage, Update


def test_counts_by_state(storage: Storage, study_id: int, propose: Propose) -> None:
    leases = [storage.claim(study_id, "me", propose) for _ in range(3)]
    states = (TrialState.COMPLETE, TrialState.PRUNED)
    for lease, state in zip(leases, states, strict=False):
        assert lease is not None
        storage.write([Update(lease, state=state, value=1.0)])
    progress = storage.progress(study_id)
    assert progress == Progress(3, 1, 1, failed=0, running=1, waiting=0, state="open")
    assert (progress.finished, progress.met) == (2, False)
    with pytest.raises(KeyError):
        storage.progress(study_id + 1)


def test_workers_and_open_studies(storage: Storage, study_id: int, propose: Propose) -> None:
    storage.register_worker("me", "host", 12, "cuda:0")
    storage.claim(study_id, "me", propose)
    (worker,) = storage.workers()
    assert (worker.host, worker.pid, worker.device, worker.trials) == ("host", 12, "cuda:0", 1)
    assert 0 <= worker.age < 60
    assert storage.open_studies() == {"study": study_id}
    storage.set_study_state(study_id, "stopped")
    assert storage.open_studies() == {}
    storage.unregister_worker("me")
    assert storage.workers() == []
