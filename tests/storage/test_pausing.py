"""Trials that pause: what is handed out then, what stays, and how the budget ends them."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import func, select

from tuner.operation.copy import copy
from tuner.operation.remove import collect
from tuner.search.promote import CONTINUES, PAUSED_AT, last_epoch
from tuner.storage import Lease, Propose, Storage, Update, open_storage, pausing, schema
from tuner.storage.attached import checkpoint_file, file_size, reference
from tuner.storage.lease import ExhaustedError

WHOLE = 9


@dataclass
class Rule:
    """Trials pause after 1 and 3 of 9 epochs; `wanted` are the numbers that go on, in order."""

    wanted: list[int] = field(default_factory=list)
    pauses: bool = True

    def target(self, trial: FrozenTrial) -> int:
        epoch = last_epoch(trial)
        return next((rung for rung in (1, 3) if rung > epoch), WHOLE) if self.pauses else WHOLE

    def choice(
        self, trials: Sequence[FrozenTrial], paused: Container[int], new: bool
    ) -> int | None:
        return next((number for number in self.wanted if number in paused), None)

    def continued(self, trial: FrozenTrial, number: int) -> FrozenTrial:
        new = create_trial(
            state=TrialState.RUNNING,
            params=trial.params,
            distributions=trial.distributions,
            intermediate_values=trial.intermediate_values,
            user_attrs={"seed": trial.user_attrs["seed"], CONTINUES: trial.number},
        )
        new.number = number
        return new


@dataclass
class Proposer:
    """Proposes as the other tests do, so many trials at most, and has a rule."""

    propose: Propose
    rule: Rule = field(default_factory=Rule)
    most: int = 1000

    def __call__(self, number: int, fixed: Mapping[str, Any] | None) -> FrozenTrial:
        if number >= self.most:
            raise ExhaustedError
        return self.propose(number, fixed)


@pytest.fixture
def proposer(propose: Propose) -> Proposer:
    return Proposer(propose)


def claimed(storage: Storage, study_id: int, proposer: Proposer, holder: str = "me") -> Lease:
    lease = storage.claims.claim(study_id, holder, proposer)
    assert lease is not None
    return lease


def train(
    storage: Storage, lease: Lease, to: int | None = None, checkpoint: bytes | None = None
) -> int:
    """Reports epochs to the target, or to another one; returns the last."""
    end = to or lease.target or WHOLE
    steps = range(last_epoch(lease.trial) + 1, end + 1)
    reports = {step: lease.number + step / 100 for step in steps}
    data = b"%d" % end if checkpoint is None else checkpoint
    storage.writer.write([Update(lease, reports=reports, checkpoint=data)])
    return end


def pause(storage: Storage, lease: Lease, checkpoint: bytes | None = None) -> None:
    """Trains a trial to its target, and pauses it there."""
    end = train(storage, lease, checkpoint=checkpoint)
    storage.writer.write([Update(lease, user_attrs={PAUSED_AT: end})])
    storage.claims.release([lease], paused=True)


def complete(storage: Storage, lease: Lease) -> None:
    end = train(storage, lease, WHOLE)
    value = lease.number + end / 100
    storage.writer.write([Update(lease, state=TrialState.COMPLETE, value=value)])


def states(storage: Storage, study_id: int) -> list[str]:
    return [trial.state.name for trial in storage.get_all_trials(study_id)]


def checkpoints(storage: Storage) -> int:
    with storage.database.read() as connection:
        query = select(func.count()).select_from(schema.checkpoints)
        return int(connection.execute(query).scalar_one())


def test_a_paused_trial_stays_running_and_is_not_handed_out(
    storage: Storage, study_id: int, proposer: Proposer
) -> None:
    first = claimed(storage, study_id, proposer)
    assert first.target == 1
    pause(storage, first)
    assert claimed(storage, study_id, proposer).number == 1
    progress = storage.progress(study_id)
    assert (progress.running, progress.paused, progress.interrupted) == (1, 1, ())
    url = storage.database.url.render_as_string(hide_password=False)
    plain = optuna.storages.RDBStorage(url).get_trial(first.trial_id)
    assert plain.state == TrialState.RUNNING
    assert plain.intermediate_values == {1: 0.01}
    [event] = [e for e in storage.events(study_id, 0) if e.kind == "trial paused"]
    assert event.worker == "me"


def test_the_trial_that_the_rule_chooses_goes_on_from_its_checkpoint(
    storage: Storage, study_id: int, proposer: Proposer
) -> None:
    for _ in range(2):
        pause(storage, claimed(storage, study_id, proposer))
    proposer.rule.wanted = [1]
    lease = claimed(storage, study_id, proposer, "you")
    assert (lease.number, lease.token, lease.target) == (1, 2, 3)
    assert (lease.resumed, lease.checkpoint, lease.holder) == (True, b"1", "you")
    assert lease.trial.intermediate_values == {1: 1.01}
    pause(storage, lease)
    last = claimed(storage, study_id, proposer)
    assert (last.number, last.target) == (1, WHOLE)
    complete(storage, last)
    assert states(storage, study_id) == ["RUNNING", "COMPLETE"]


def test_paused_trials_end_with_the_budget_and_keep_their_checkpoints(
    storage: Storage, study_id: int, proposer: Proposer
) -> None:
    leases = [claimed(storage, study_id, proposer) for _ in range(3)]
    for lease in leases[:2]:
        pause(storage, lease)
    assert storage.claims.claim(study_id, "you", proposer) is None
    assert states(storage, study_id) == ["RUNNING"] * 3  # a worker still holds one
    complete(storage, leases[2])
    assert storage.claims.claim(study_id, "you", proposer) is None
    assert states(storage, study_id) == ["PRUNED", "PRUNED", "COMPLETE"]
    trials = storage.get_all_trials(study_id)
    assert [trial.value for trial in trials] == [0.01, 1.01, 2.09]
    assert [trial.user_attrs.get("ended") for trial in trials] == ["pruned", "pruned", None]
    progress = storage.progress(study_id)
    assert (progress.state, progress.paused, progress.running) == ("finished", 0, 0)
    assert checkpoints(storage) == 2
    assert [e.kind for e in storage.events(study_id, 0)][-1] == "ended"


def test_a_larger_budget_goes_on_where_a_trial_ended(
    storage: Storage, study_id: int, proposer: Proposer
) -> None:
    for _ in range(3):
        pause(storage, claimed(storage, study_id, proposer))
    assert storage.claims.claim(study_id, "me", proposer) is None
    storage.set_budget(study_id, 5)
    proposer.rule.wanted = [1]
    lease = claimed(storage, study_id, proposer)
    assert (lease.number, lease.token, lease.target) == (3, 1, 3)
    assert (lease.resumed, lease.checkpoint) == (True, b"1")
    ended = storage.get_all_trials(study_id)[1]
    assert lease.trial.user_attrs[CONTINUES] == 1
    assert lease.trial.params == ended.params
    assert lease.trial.intermediate_values == ended.intermediate_values
    assert ended.state == TrialState.PRUNED
    complete(storage, lease)
    new = claimed(storage, study_id, proposer)  # the checkpoint of trial 1 is trial 3's by now
    assert (new.number, new.resumed) == (4, False)


def test_a_budget_in_epochs_is_exact(
    storage: Storage, proposer: Proposer, join: Callable[..., int]
) -> None:
    study_id = join(storage, "work", budget=1000)
    storage.set_budget(study_id, 1000, 8)
    held = [claimed(storage, study_id, proposer, f"worker {i}") for i in range(3)]
    for lease in held:
        pause(storage, lease)  # 3 epochs
    proposer.rule.wanted = [0, 1]
    first, second = (claimed(storage, study_id, proposer) for _ in range(2))
    assert (first.target, second.target) == (3, 3)  # 4 more
    proposer.rule.wanted = [2]
    third = claimed(storage, study_id, proposer)
    assert (third.number, third.target) == (2, 2)  # the last one
    assert storage.claims.claim(study_id, "you", proposer) is None
    for lease in (first, second, third):
        pause(storage, lease)
    assert storage.claims.claim(study_id, "you", proposer) is None
    trials = storage.get_all_trials(study_id)
    assert [last_epoch(trial) for trial in trials] == [3, 3, 2]
    assert {trial.state for trial in trials} == {TrialState.PRUNED}
    progress = storage.progress(study_id)
    assert (progress.state, progress.limit, progress.epochs) == ("finished", None, 8)
    assert storage.open_studies() == {}


def test_epochs_that_a_trial_did_not_need_go_to_others(
    storage: Storage, proposer: Proposer, join: Callable[..., int]
) -> None:
    study_id = join(storage, "work")
    proposer.rule.pauses = False
    storage.set_budget(study_id, 1000, 10)
    first = claimed(storage, study_id, proposer)
    second = claimed(storage, study_id, proposer)
    assert (first.target, second.target) == (9, 1)
    train(storage, first, 2)
    storage.writer.write([Update(first, state=TrialState.PRUNED, value=0.02)])
    pause(storage, second)
    proposer.rule.wanted = [1]
    again = claimed(storage, study_id, proposer)
    assert (again.number, again.target) == (1, 8)  # 10 less the 2 of the first


def test_a_trial_that_ends_during_a_claim_counts_in_full(
    postgres_url: str,
    proposer: Proposer,
    join: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, theirs = open_storage(postgres_url), open_storage(postgres_url)
    study_id = join(ours, "work")
    ours.set_budget(study_id, 1000, WHOLE + 3)
    proposer.rule.pauses = False
    held = claimed(theirs, study_id, proposer, "they")
    train(theirs, held, 2)
    read, reads = ours.mirrors.read, iter(range(10))

    def read_before_it_ends(connection: Any, mirror: Any) -> None:
        read(connection, mirror)
        if next(reads) == 1:  # the first is before the study is locked
            complete(theirs, held)

    monkeypatch.setattr(ours.mirrors, "read", read_before_it_ends)
    assert claimed(ours, study_id, proposer, "us").target == 3
    assert states(ours, study_id) == ["COMPLETE", "RUNNING"]


def test_the_target_of_a_lost_worker_stays(
    storage: Storage, proposer: Proposer, join: Callable[..., int]
) -> None:
    study_id = join(storage, "work")
    storage.set_budget(study_id, 1000, 1)
    lease = claimed(storage, study_id, proposer)
    train(storage, lease)
    storage.claims.release([lease])
    again = claimed(storage, study_id, proposer, "you")
    assert (again.number, again.token, again.target) == (0, 2, 1)


def test_where_nothing_is_left_to_propose_paused_trials_go_on_or_end(
    storage: Storage, study_id: int, proposer: Proposer
) -> None:
    proposer.most = 2
    for _ in range(2):
        pause(storage, claimed(storage, study_id, proposer))
    proposer.rule.wanted = [0]
    complete(storage, claimed(storage, study_id, proposer))
    assert storage.claims.claim(study_id, "me", proposer) is None
    assert states(storage, study_id) == ["COMPLETE", "PRUNED"]
    assert storage.claims.held(study_id) == 0


def test_nothing_goes_on_or_ends_while_the_study_is_paused(
    storage: Storage, study_id: int, proposer: Proposer
) -> None:
    proposer.rule.wanted = [0]
    pause(storage, claimed(storage, study_id, proposer))
    storage.set_study_state(study_id, "paused")
    assert storage.claims.claim(study_id, "me", proposer) is None
    assert states(storage, study_id) == ["RUNNING"]
    storage.set_study_state(study_id, "open")
    assert claimed(storage, study_id, proposer).number == 0


def test_enqueued_trials_come_before_paused_ones(
    storage: Storage, study_id: int, proposer: Proposer
) -> None:
    proposer.rule.wanted = [0]
    pause(storage, claimed(storage, study_id, proposer))
    storage.create_new_trial(study_id, create_trial(state=TrialState.WAITING))
    assert claimed(storage, study_id, proposer).number == 1
    assert claimed(storage, study_id, proposer).number == 0


def test_two_workers_do_not_get_the_same_paused_trial(
    database_url: str, proposer: Proposer, join: Callable[..., int]
) -> None:
    with_first, with_second = open_storage(database_url), open_storage(database_url)
    study_id = join(with_first)
    pause(with_first, claimed(with_first, study_id, proposer))
    proposer.rule.wanted = [0]
    first = claimed(with_first, study_id, proposer, "first")
    second = claimed(with_second, study_id, proposer, "second")
    assert (first.number, second.number) == (0, 1)


def test_checkpoints_of_ended_trials_are_bounded(
    storage: Storage, study_id: int, monkeypatch: pytest.MonkeyPatch, proposer: Proposer
) -> None:
    monkeypatch.setattr(pausing, "KEPT", 1)
    for _ in range(3):
        pause(storage, claimed(storage, study_id, proposer))
    assert storage.claims.claim(study_id, "me", proposer) is None
    assert checkpoints(storage) == 1


def test_checkpoints_of_ended_trials_are_bounded_by_their_bytes(
    storage: Storage, study_id: int, monkeypatch: pytest.MonkeyPatch, proposer: Proposer
) -> None:
    monkeypatch.setattr(pausing, "BYTES", 1000)
    for data in (b"x" * 300, reference(checkpoint_file(900)), b"y" * 90):
        pause(storage, claimed(storage, study_id, proposer), data)
    assert storage.claims.claim(study_id, "me", proposer) is None
    assert checkpoints(storage) == 2  # with the first there would be 1,290 bytes


def test_the_size_of_a_checkpoint_that_is_a_file() -> None:
    assert file_size(checkpoint_file(12345)) == 12345
    assert file_size("checkpoint-6fa459ea-ee8a-3ca4-894e-000000000000") == 0


def test_garbage_is_what_ended_and_not_what_is_paused(
    storage: Storage, study_id: int, tmp_path: Path, proposer: Proposer
) -> None:
    pause(storage, claimed(storage, study_id, proposer))
    assert collect(storage, tmp_path, 0.0).checkpoints == 0
    for _ in range(2):
        pause(storage, claimed(storage, study_id, proposer))
    assert storage.claims.claim(study_id, "me", proposer) is None
    assert collect(storage, tmp_path, 0.0).checkpoints == 3
    storage.set_budget(study_id, 5)
    proposer.rule.wanted = [1]
    assert claimed(storage, study_id, proposer).resumed is False  # it begins anew


def test_a_copy_keeps_trials_paused(
    storage: Storage, study_id: int, tmp_path: Path, proposer: Proposer
) -> None:
    pause(storage, claimed(storage, study_id, proposer))
    storage.set_study_user_attr(study_id, "tuner:spec", "{}")
    target = open_storage(f"sqlite:///{tmp_path}/copy.db")
    [copied] = copy(storage, target, "study")
    assert copied.trials == 1
    copy_id = target.get_study_id_from_name("study")
    assert target.progress(copy_id).paused == 1
    assert claimed(target, copy_id, proposer).number == 1
    proposer.rule.wanted = [0]
    lease = claimed(target, copy_id, proposer)
    assert (lease.number, lease.checkpoint) == (0, b"1")
    storage.delete_study(study_id)
    assert checkpoints(storage) == 0
