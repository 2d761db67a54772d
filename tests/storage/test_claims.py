"""Claims: what is handed out, in which order, to whom, and how often."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import text

from tuner.storage import Propose, Storage, Update, open_storage

DONE = TrialState.COMPLETE


def _expire(storage: Storage, trial_id: int) -> None:
    """Let a lease run out without waiting for it."""
    with storage.database.write() as connection:
        statement = text("UPDATE tuner_leases SET expires = 1 WHERE trial_id = :id")
        connection.execute(statement, {"id": trial_id})


def test_a_new_trial_is_in_the_database_with_all_that_it_has(
    storage: Storage, study_id: int, propose: Propose
) -> None:
    lease = storage.claims.claim(study_id, "me", propose)
    assert lease is not None
    assert (lease.number, lease.token, lease.resumed, lease.checkpoint) == (0, 1, False, None)
    url = storage.database.url.render_as_string(hide_password=False)
    plain = optuna.storages.RDBStorage(url).get_trial(lease.trial_id)
    assert plain == lease.trial == storage.get_trial(lease.trial_id)
    assert plain.params == {"rate": 0.1, "depth": 1, "norm": None}
    assert plain.state == TrialState.RUNNING


def test_no_more_than_the_budget(storage: Storage, study_id: int, propose: Propose) -> None:
    leases = [storage.claims.claim(study_id, "me", propose) for _ in range(4)]
    assert [None if lease is None else lease.number for lease in leases] == [0, 1, 2, None]
    failed, pruned = leases[0], leases[1]
    assert failed is not None
    assert pruned is not None
    storage.writer.write([Update(failed, state=TrialState.FAIL)])
    storage.writer.write([Update(pruned, state=TrialState.PRUNED, value=0.5)])
    again = storage.claims.claim(study_id, "me", propose)
    assert again is not None  # a failed trial does not count, a pruned one does
    assert again.number == 3
    assert storage.claims.claim(study_id, "me", propose) is None
    storage.set_budget(study_id, 4)
    assert storage.claims.claim(study_id, "me", propose) is not None


def test_nothing_is_handed_out_while_paused(
    storage: Storage, study_id: int, propose: Propose
) -> None:
    storage.set_study_state(study_id, "paused")
    assert storage.claims.claim(study_id, "me", propose) is None
    storage.set_study_state(study_id, "open")
    assert storage.claims.claim(study_id, "me", propose) is not None


def test_a_lease_that_ran_out_is_taken_over_and_fenced(
    storage: Storage, database_url: str, study_id: int, propose: Propose
) -> None:
    first = storage.claims.claim(study_id, "first", propose)
    assert first is not None
    storage.writer.write([Update(first, reports={0: 0.5, 1: 0.6}, checkpoint=b"state")])
    _expire(storage, first.trial_id)
    other = open_storage(database_url)
    second = other.claims.claim(study_id, "second", propose)
    assert second is not None
    assert (second.trial_id, second.number, second.token) == (first.trial_id, 0, 2)
    assert (second.resumed, second.checkpoint) == (True, b"state")
    assert second.trial.params == first.trial.params
    assert second.trial.intermediate_values == {0: 0.5, 1: 0.6}

    late = Update(first, reports={2: 9.0}, checkpoint=b"late", state=DONE, value=9.0)
    assert storage.writer.write([late]) == [first]
    assert storage.get_trial(first.trial_id).state == TrialState.RUNNING
    assert other.writer.write([Update(second, reports={2: 0.7}, state=DONE, value=0.7)]) == []
    assert storage.writer.write([late]) == [first]
    for seen in (storage.get_trial(first.trial_id), other.get_trial(first.trial_id)):
        assert (seen.value, seen.intermediate_values) == (0.7, {0: 0.5, 1: 0.6, 2: 0.7})


def test_a_released_lease_is_free_at_once(
    storage: Storage, study_id: int, propose: Propose
) -> None:
    first = storage.claims.claim(study_id, "first", propose)
    assert first is not None
    storage.claims.release([first])
    second = storage.claims.claim(study_id, "second", propose)
    assert second is not None
    assert (second.trial_id, second.resumed) == (first.trial_id, True)


def test_a_renewed_lease_is_not_taken(storage: Storage, study_id: int, propose: Propose) -> None:
    first = storage.claims.claim(study_id, "first", propose)
    assert first is not None
    _expire(storage, first.trial_id)
    storage.claims.renew("first")
    second = storage.claims.claim(study_id, "second", propose)
    assert second is not None
    assert second.number == 1


def test_trials_of_plain_optuna_count_and_stay_theirs(
    storage: Storage, study_id: int, propose: Propose
) -> None:
    study = optuna.load_study(study_name="study", storage=storage)
    theirs = study.ask()
    lease = storage.claims.claim(study_id, "me", propose)
    assert lease is not None
    assert (theirs.number, lease.number) == (0, 1)
    study.tell(theirs, 0.5)
    assert storage.claims.claim(study_id, "me", propose) is not None
    assert storage.claims.claim(study_id, "me", propose) is None


def test_a_trial_that_a_script_left_running_does_not_keep_the_study_from_its_end(
    storage: Storage, study_id: int, propose: Propose
) -> None:
    optuna.load_study(study_name="study", storage=storage).ask()  # and the script died
    leases = [storage.claims.claim(study_id, "me", propose) for _ in range(3)]
    assert [lease.number for lease in leases if lease is not None] == [1, 2, 3]
    assert storage.claims.claim(study_id, "me", propose) is None


def test_an_enqueued_trial_comes_first(storage: Storage, study_id: int, propose: Propose) -> None:
    study = optuna.load_study(study_name="study", storage=storage)
    study.enqueue_trial({"depth": 7}, user_attrs={"why": "known good"})
    lease = storage.claims.claim(study_id, "me", propose)
    assert lease is not None
    assert lease.number == 0
    assert lease.trial.params == {"rate": 0.1, "depth": 7, "norm": None}
    assert lease.trial.user_attrs == {"why": "known good", "seed": 0}
    url = storage.database.url.render_as_string(hide_password=False)
    plain = optuna.storages.RDBStorage(url).get_trial(lease.trial_id)
    assert plain == lease.trial == storage.get_trial(lease.trial_id)


def test_a_finished_proposal_is_stored_and_the_next_one_handed_out(
    storage: Storage, study_id: int, propose: Propose
) -> None:
    def duplicate_first(number: int, fixed: Mapping[str, Any] | None) -> FrozenTrial:
        made = propose(number, fixed)
        if number > 0:
            return made
        kinds = made.distributions
        return create_trial(state=DONE, value=0.5, params=made.params, distributions=kinds)

    lease = storage.claims.claim(study_id, "me", duplicate_first)
    assert lease is not None
    assert lease.number == 1
    first = storage.get_all_trials(study_id)[0]
    assert (first.state, first.value) == (DONE, 0.5)
    assert first.datetime_complete is not None
    assert storage.progress(study_id).finished == 1


@pytest.mark.parametrize("learns", [True, False])
def test_a_number_taken_in_the_meantime(
    database_url: str, join: Callable[..., int], propose: Propose, learns: bool
) -> None:
    storage, other = open_storage(database_url), open_storage(database_url)
    study_id = join(storage)
    asked: list[int] = []

    def slow(number: int, fixed: Mapping[str, Any] | None) -> FrozenTrial:
        asked.append(number)
        if len(asked) == 1:
            assert other.claims.claim(study_id, "faster", propose) is not None
        return propose(number, fixed)

    slow.learns = learns  # type: ignore[attr-defined]  # a function may have attributes
    lease = storage.claims.claim(study_id, "me", slow)
    assert lease is not None
    assert lease.number == 1
    assert asked == ([0] if learns else [0, 1])
    assert lease.trial.user_attrs == {"seed": 0 if learns else 1}


def test_a_proposal_under_another_number_has_that_numbers_seed(
    database_url: str, join: Callable[..., int], propose: Propose
) -> None:
    storage, other = open_storage(database_url), open_storage(database_url)
    study_id = join(storage)

    class Proposer:
        learns, asked = True, 0

        def __call__(self, number: int, fixed: Mapping[str, Any] | None) -> FrozenTrial:
            if not self.asked:
                assert other.claims.claim(study_id, "faster", propose) is not None
            self.asked += 1
            return propose(number, fixed)

        def renumber(self, trial: FrozenTrial, number: int) -> FrozenTrial:
            trial.set_user_attr("seed", number)
            return trial

    proposer = Proposer()
    lease = storage.claims.claim(study_id, "me", proposer)
    assert lease is not None
    assert (lease.number, proposer.asked) == (1, 1)
    assert lease.trial.user_attrs == {"seed": 1}


def _take_over(
    url: str, study_id: int, propose: Propose, holder: str, together: Barrier, taken: Queue[int]
) -> None:
    storage = open_storage(url)
    together.wait(30)
    for _ in range(4):
        lease = storage.claims.claim(study_id, holder, propose)
        assert lease is not None
        assert (lease.resumed, lease.token) == (True, 2)
        taken.put(lease.trial_id)


def test_many_workers_take_each_trial_over_once(
    database_url: str, join: Callable[..., int], propose: Propose
) -> None:
    storage = open_storage(database_url)
    study_id = join(storage, budget=24)
    leases = [storage.claims.claim(study_id, "dead", propose) for _ in range(24)]
    ids = [lease.trial_id for lease in leases if lease is not None]
    storage.claims.release([lease for lease in leases if lease is not None])
    storage.close()
    fork = multiprocessing.get_context("fork")
    together, taken = fork.Barrier(6), fork.Queue()
    workers = [
        fork.Process(
            target=_take_over,
            args=(database_url, study_id, propose, f"worker-{i}", together, taken),
        )
        for i in range(6)
    ]
    for worker in workers:
        worker.start()
    assert sorted(taken.get(timeout=30) for _ in ids) == sorted(ids)
    for worker in workers:
        worker.join(30)
    assert [worker.exitcode for worker in workers] == [0] * 6


def _work(url: str, study_id: int, propose: Propose, holder: str) -> None:
    storage = open_storage(url)
    while not storage.progress(study_id).met:
        lease = storage.claims.claim(study_id, holder, propose)
        if lease is not None:
            state = TrialState.FAIL if lease.number % 10 == 0 else DONE
            value = None if state == TrialState.FAIL else 1.0
            assert (
                storage.writer.write([Update(lease, reports={0: 1.0}, state=state, value=value)])
                == []
            )


def test_eight_workers_meet_the_budget_exactly(
    database_url: str, join: Callable[..., int], propose: Propose
) -> None:
    storage = open_storage(database_url)
    study_id = join(storage, budget=60)
    storage.close()
    fork = multiprocessing.get_context("fork")
    arguments = [(database_url, study_id, propose, f"worker-{i}") for i in range(8)]
    workers = [fork.Process(target=_work, args=each) for each in arguments]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 8
    trials = storage.get_all_trials(study_id)
    assert [t.number for t in trials] == list(range(len(trials)))
    progress = storage.progress(study_id)
    assert (progress.complete, progress.running) == (60, 0)
    assert progress.failed == len(trials) - 60 == len(range(0, len(trials), 10))


def test_a_prescribed_trial_keeps_its_number_though_the_sampler_learns(
    database_url: str, join: Callable[..., int], propose: Propose
) -> None:
    """Two workers begin at once: the second must not train the first one's baseline again."""
    mine, other = open_storage(database_url), open_storage(database_url)
    study_id = join(mine)
    asked: list[int] = []

    def slow(number: int, fixed: Mapping[str, Any] | None) -> FrozenTrial:
        slow.learns = number > 1  # type: ignore[attr-defined]  # 0 and 1 are prescribed
        if not asked:
            assert other.claims.claim(study_id, "other", propose) is not None
        asked.append(number)
        trial = propose(number, fixed)
        trial.set_user_attr("asked for", number)
        return trial

    slow.learns = True  # type: ignore[attr-defined]
    lease = mine.claims.claim(study_id, "me", slow)
    assert lease is not None
    assert lease.number == 1
    assert asked == [0, 1]
    assert lease.trial.user_attrs["asked for"] == 1
