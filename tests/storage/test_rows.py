"""Reading what changed, and nothing else."""

from __future__ import annotations

from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from tuner.storage import Propose, Storage, Update, open_storage, rows
from tuner.storage.rows import Head, read_changed


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


# A worker's look at others' running trials: only what is new is read.


def test_new_reports_of_a_running_trial_are_added(
    storage: Storage, database_url: str, study_id: int, propose: Propose
) -> None:
    lease = storage.claims.claim(study_id, "other", propose)
    assert lease is not None
    mine = open_storage(database_url)
    mine.mirrors.refresh_interval = 1e-9  # read at every look, but only what is new
    for step, value in enumerate((0.5, float("inf"), 0.7)):
        storage.writer.write([Update(lease, reports={step: value})])
        seen = mine.get_all_trials(study_id, deepcopy=False)[0]
        assert seen.intermediate_values[step] == value
        assert len(seen.intermediate_values) == step + 1


def test_a_trial_that_was_given_back_is_read_again(
    storage: Storage, database_url: str, study_id: int, propose: Propose
) -> None:
    mine = open_storage(database_url)
    mine.mirrors.refresh_interval = 1e-9
    lease = mine.claims.claim(study_id, "me", propose)
    assert lease is not None
    mine.writer.write([Update(lease, reports={0: 0.5})])
    mine.claims.release([lease])
    theirs = storage.claims.claim(study_id, "other", propose)
    assert theirs is not None
    storage.writer.write([Update(theirs, reports={1: 0.6})])
    seen = mine.get_all_trials(study_id, deepcopy=False)[0]
    assert seen.intermediate_values == {0: 0.5, 1: 0.6}


# Reading rows in bulk: only what changed, and whole trials.


def test_whole_trials_come_in_the_order_of_their_rows(
    storage: Storage, study_id: int, propose: Propose
) -> None:
    leases = [storage.claims.claim(study_id, "me", propose) for _ in range(3)]
    for lease in leases:
        assert lease is not None
        storage.writer.write([Update(lease, {1: float(lease.number), 0: 0.5})])
    with storage.database.read() as connection:
        heads = read_changed(connection, study_id, 0, ())
        found = rows.read_trials(connection, heads[::-1])
        assert rows.read_trials(connection, []) == []
        assert rows.read_trial(connection, 10**6) is None
    assert [read.trial.number for read in found] == [2, 1, 0]
    assert [read.trial.intermediate_values for read in found] == [
        {0: 0.5, 1: float(number)} for number in (2, 1, 0)
    ]
    assert all(list(read.trial.params) == ["rate", "depth", "norm"] for read in found)
    assert {read.trial.state for read in found} == {TrialState.RUNNING}


def test_what_a_parameter_was_drawn_from(storage: Storage, study_id: int, propose: Propose) -> None:
    storage.claims.claim(study_id, "me", propose)
    with storage.database.read() as connection:
        found = rows.read_distribution(connection, study_id, "rate")
        assert found == FloatDistribution(1e-5, 1.0, log=True)
        assert rows.read_distribution(connection, study_id, "no such") is None
