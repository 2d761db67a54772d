"""What status shows: counts of a study and the workers with what they hold."""

from __future__ import annotations

import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState

from tuner.storage import Progress, Propose, Storage, Update, schema


def test_counts_by_state(storage: Storage, study_id: int, propose: Propose) -> None:
    leases = [storage.claims.claim(study_id, "me", propose) for _ in range(3)]
    states = (TrialState.COMPLETE, TrialState.PRUNED)
    for lease, state in zip(leases, states, strict=False):
        assert lease is not None
        storage.writer.write([Update(lease, state=state, value=1.0)])
    progress = storage.progress(study_id)
    assert progress == Progress(3, 1, 1, failed=0, running=1, waiting=0, state="open")
    assert (progress.finished, progress.met) == (2, False)
    with pytest.raises(KeyError):
        storage.progress(study_id + 1)


def test_a_trial_runs_while_somebody_is_at_it(
    storage: Storage, study_id: int, propose: Propose
) -> None:
    given, lost, held = (storage.claims.claim(study_id, "me", propose) for _ in range(3))
    assert given is not None
    assert lost is not None
    assert held is not None
    storage.claims.release([given])
    with storage.database.write() as connection:
        late = schema.leases.c.trial_id == lost.trial_id
        connection.execute(schema.leases.update().where(late).values(expires=1.0))
    progress = storage.progress(study_id)
    assert (progress.running, progress.interrupted) == (1, (given.number, lost.number))
    storage.claims.claim(study_id, "other", propose)
    assert storage.progress(study_id).interrupted == (lost.number,)
    storage.create_new_trial(study_id)  # another program's: it alone knows
    assert storage.progress(study_id).running == 3


def test_what_a_study_is(storage: Storage, study_id: int, propose: Propose) -> None:
    foreign = storage.create_new_study([StudyDirection.MINIMIZE], "theirs")
    assert storage.progress(foreign).state == "foreign"
    storage.set_budget(study_id, 1)
    assert storage.progress(study_id).state == "open"
    lease = storage.claims.claim(study_id, "me", propose)
    assert lease is not None
    storage.writer.write([Update(lease, state=TrialState.COMPLETE, value=1.0)])
    states = [storage.progress(study_id).state]
    for state in ("paused", "stopped", "open"):
        storage.set_study_state(study_id, state)
        states.append(storage.progress(study_id).state)
    assert states == ["finished", "paused", "stopped", "finished"]
    storage.set_budget(study_id, 2)
    assert storage.progress(study_id).state == "open"


def test_a_worker_that_is_silent_is_lost(storage: Storage, study_id: int, propose: Propose) -> None:
    storage.claims.register("me", "host", 12, "cpu")
    lease = storage.claims.claim(study_id, "me", propose)
    assert lease is not None
    with storage.database.write() as connection:
        connection.execute(schema.workers.update().values(renewed=schema.workers.c.renewed - 31))
    (worker,) = storage.workers()
    assert (worker.trials, worker.lost) == (1, False)  # one with a longer lease
    with storage.database.write() as connection:
        connection.execute(schema.leases.update().values(expires=1.0))
    (worker,) = storage.workers()
    assert (worker.trials, worker.lost) == (0, True)
    storage.claims.renew("me")
    (worker,) = storage.workers()
    assert (worker.trials, worker.lost) == (1, False)


def test_which_studies_have_a_trial_to_hand_out(
    storage: Storage, study_id: int, propose: Propose
) -> None:
    leases = [storage.claims.claim(study_id, "me", propose) for _ in range(2)]
    (found,) = storage.served()
    assert (found.name, found.study_id, found.ready) == ("study", study_id, True)
    assert found.fingerprint == storage.get_study_user_attrs(study_id)["tuner:fingerprint"]
    leases.append(storage.claims.claim(study_id, "me", propose))
    assert storage.claims.claim(study_id, "you", propose) is None
    assert [each.ready for each in storage.served()] == [False]
    storage.claims.release([lease for lease in leases[:1] if lease is not None])
    assert [each.ready for each in storage.served()] == [True]


def test_workers_and_open_studies(storage: Storage, study_id: int, propose: Propose) -> None:
    storage.claims.register("me", "host", 12, "cuda:0")
    storage.claims.claim(study_id, "me", propose)
    (worker,) = storage.workers()
    assert (worker.host, worker.pid, worker.device, worker.trials) == ("host", 12, "cuda:0", 1)
    assert 0 <= worker.age < 60
    assert storage.open_studies() == {"study": study_id}
    storage.set_study_state(study_id, "stopped")
    assert storage.open_studies() == {}
    storage.claims.unregister("me")
    assert storage.workers() == []
