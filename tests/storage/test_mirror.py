"""Trials in memory: counts, lists, what this process has to tell, and what is forgotten."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from tuner.storage import Lease, Propose, Storage, Update, open_storage
from tuner.storage.mirror import Mirror, read_changed
from tuner.storage.rows import Head, StoredTrial

RUNNING, DONE, NOW = TrialState.RUNNING, TrialState.COMPLETE, datetime(2026, 1, 2)


def _trial(trial_id: int, state: TrialState = DONE, **reports: float) -> FrozenTrial:
    steps = {int(step[1:]): value for step, value in reports.items()}
    value = 1.0 if state == DONE else None
    trial = create_trial(state=state, value=value, intermediate_values=steps)
    trial._trial_id, trial.number = trial_id, trial_id - 1
    return trial


def _mirror(*trials: FrozenTrial) -> Mirror:
    mirror = Mirror(1)
    mirror.see(Head(t._trial_id, t.number, t.state, NOW, None) for t in trials)
    mirror.load(StoredTrial(trial, 0) for trial in trials)
    return mirror


def _lease(trial: FrozenTrial) -> Lease:
    return Lease(1, trial._trial_id, trial.number, "me", 1, trial)


def test_counts_follow_the_rows() -> None:
    mirror = _mirror(_trial(1), _trial(2, RUNNING))
    assert (mirror.counts[DONE], mirror.counts[RUNNING], mirror.unfinished) == (1, 1, {2})
    mirror.see([Head(2, 1, TrialState.PRUNED, NOW, NOW), Head(3, 2, RUNNING, NOW, None)])
    assert (mirror.counts[TrialState.PRUNED], mirror.counts[RUNNING]) == (1, 1)
    assert (mirror.unfinished, mirror.stale, mirror.last) == ({3}, {2, 3}, 3)


def test_rows_of_a_study_made_anew_do_not_fit() -> None:
    mirror = _mirror(_trial(1), _trial(2))
    same = Head(2, 1, DONE, NOW, None)
    assert mirror.fits([same])
    assert not mirror.fits([])
    assert not mirror.fits([same._replace(number=0)])
    assert not mirror.fits([same._replace(start=datetime(2027, 1, 1))])


def test_what_waits_to_be_told_is_shown_and_no_row_hides_it() -> None:
    running = _trial(1, RUNNING)
    mirror = _mirror(running)
    mirror.anticipate(Update(_lease(running), {0: 0.5}, state=DONE, value=0.5))
    assert [t.value for t in mirror.listed((DONE,))] == [0.5]
    mirror.load([StoredTrial(_trial(1, RUNNING), 0)])
    assert mirror.trials[1].state == DONE
    assert mirror.counts[RUNNING] == 1  # the database does not know it yet
    mirror.pending.discard(1)
    mirror.confirm(Update(_lease(running), {0: 0.5}, state=DONE, value=0.5), (DONE, NOW))
    assert (mirror.counts[RUNNING], mirror.counts[DONE], mirror.unfinished) == (0, 1, set())
    assert running.state == RUNNING  # replaced, not changed


def test_a_trial_that_was_lost_is_read_anew() -> None:
    running = _trial(1, RUNNING)
    mirror = _mirror(running)
    mirror.anticipate(Update(_lease(running), state=DONE, value=9.0))
    mirror.forget(1)
    assert (mirror.stale, mirror.pending) == ({1}, set())
    mirror.load([StoredTrial(_trial(1, RUNNING), 0)])
    assert mirror.listed((DONE,)) == []


def test_reports_of_others_are_added_only_to_running_trials() -> None:
    mirror = _mirror(_trial(1, RUNNING, s0=0.1), _trial(2))
    mirror.extend({1: ({1: 0.2}, 5), 2: ({1: 0.2}, 6)})
    assert mirror.trials[1].intermediate_values == {0: 0.1, 1: 0.2}
    assert mirror.trials[2].intermediate_values == {}
    assert mirror.floors == {1: 5}


@pytest.mark.parametrize("states", [None, (DONE,), (DONE, RUNNING)])
def test_lists_are_by_number(states: tuple[TrialState, ...] | None) -> None:
    mirror = _mirror(_trial(3), _trial(1, RUNNING), _trial(2))
    numbers = [trial.number for trial in mirror.listed(states)]
    assert numbers == ([1, 2] if states == (DONE,) else [0, 1, 2])


def test_a_forgotten_study_is_read_again(storage: Storage, study_id: int, propose: Propose) -> None:
    lease = storage.claims.claim(study_id, "me", propose)
    assert lease is not None
    storage.writer.write([Update(lease, reports={1: 0.5}, state=TrialState.COMPLETE, value=0.5)])
    before = storage.get_all_trials(study_id)
    storage.mirrors.forget(study_id)
    assert (storage.mirrors._mirrors, storage.mirrors._study_of) == ({}, {})
    assert storage.get_all_trials(study_id) == before
    assert storage.get_trial(lease.trial_id) == before[0]
    storage.mirrors.forget(study_id)
    assert storage.get_trial(lease.trial_id) == before[0]


def test_within_a_transaction_memory_answers_alone(
    storage: Storage, database_url: str, study_id: int, propose: Propose
) -> None:
    other = open_storage(database_url)
    assert storage.get_all_trials(study_id) == []
    assert other.claims.claim(study_id, "other", propose) is not None
    with storage.mirrors.of(study_id), storage.mirrors.unread():
        assert storage.get_all_trials(study_id) == []
    assert len(storage.get_all_trials(study_id)) == 1
    other.close()


def test_an_outdated_trial_is_read_at_the_next_look_however_soon(
    storage: Storage, database_url: str, study_id: int
) -> None:
    other = open_storage(database_url)
    trial_id = storage.create_new_trial(study_id)
    storage.mirrors.refresh_interval = 1e6
    assert storage.get_all_trials(study_id)[0].user_attrs == {}
    other.set_trial_user_attr(trial_id, "by", "other")
    assert storage.get_trial(trial_id).user_attrs == {}
    storage.set_trial_user_attr(trial_id, "mine", 1)
    assert storage.get_trial(trial_id).user_attrs == {"by": "other", "mine": 1}
    other.close()


def test_what_a_parameter_is_drawn_from_is_known_while_another_thread_claims(
    storage: Storage, study_id: int, propose: Propose
) -> None:
    lease = storage.claims.claim(study_id, "me", propose)
    assert lease is not None
    with ThreadPoolExecutor(1) as pool, storage.mirrors.of(study_id):
        known = pool.submit(storage.mirrors.distribution, study_id, "rate").result(30)
    assert known == lease.trial.distributions["rate"]
    assert storage.mirrors.distribution(study_id, "no such") is None


# Reading what changed, and nothing else.


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
