"""Reading what changed, and nothing else."""

from __future__ import annotations

from optuna.trial import TrialState

from tuner.storage import Storage
from tuner.storage.changed import read_changed
from tuner.storage.rows import Head


def test_only_the_last_the_new_and_those_of_another_state_are_read(
    storage: Storage, study_id: int
) -> None:
    ids = [storage.create_new_trial(study_id) for _ in range(5)]
    states = [TrialState.RUNNING, TrialState.WAITING, TrialState.PRUNED]
    known = [Head(i, 0, state, None, None) for i, state in zip(ids, states, strict=False)]
    other = storage.create_new_study([storage.get_study_directions(study_id)[0]], "other")
    foreign = storage.create_new_trial(other)
    with storage.database.read() as connection:
        known.append(known[1]._replace(trial_id=foreign))
        found = read_changed(connection, study_id, ids[3], known)
        assert [head.trial_id for head in found] == [ids[1], ids[2], ids[3], ids[4]]
        assert [head.number for head in found] == [1, 2, 3, 4]
        assert {head.state for head in found} == {TrialState.RUNNING}
        assert [h.trial_id for h in read_changed(connection, other, 0, ())] == [foreign]
