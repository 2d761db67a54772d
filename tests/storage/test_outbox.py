"""The outbox: what is put is written, whatever happens to the database in between."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState
from sqlalchemy import text

from tuner.errors import StorageError
from tuner.storage import Lease, Outbox, Propose, Storage, Update, open_storage
from tuner.storage.outbox import MergedUpdate, Spool, UpdateQueue, key
from tuner.storage.rows import blank

DONE = TrialState.COMPLETE


class Server(Protocol):
    def kill(self) -> None: ...
    def start(self) -> None: ...


def _until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


def _claim(storage: Storage, study_id: int, propose: Propose) -> Lease:
    lease = storage.claims.claim(study_id, "me", propose)
    assert lease is not None
    return lease


def test_put_shows_at_once_and_is_written_soon(
    storage: Storage, study_id: int, propose: Propose, database_url: str
) -> None:
    lease = _claim(storage, study_id, propose)
    outbox = Outbox(storage, flush_seconds=60)
    outbox.put(Update(lease, reports={0: 0.5}))
    outbox.put(Update(lease, reports={1: 0.6}, user_attrs={"epochs": 2}))
    outbox.put(Update(lease, state=DONE, value=0.6))
    other = open_storage(database_url)
    assert storage.get_trial(lease.trial_id).value == 0.6
    assert storage.get_all_trials(study_id)[0].state == DONE
    assert other.get_trial(lease.trial_id).state == TrialState.RUNNING
    outbox.flush()
    seen = other.get_trial(lease.trial_id)
    assert (seen.value, seen.intermediate_values) == (0.6, {0: 0.5, 1: 0.6})
    assert seen.user_attrs == {"seed": 0, "epochs": 2}
    assert seen == storage.get_trial(lease.trial_id)
    assert outbox.pending() == 0
    outbox.close()


def test_a_trial_that_ended_is_whole_in_memory_whatever_was_written_of_it(
    storage: Storage, study_id: int, propose: Propose, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.mirrors.refresh_interval = 60.0
    lease = _claim(storage, study_id, propose)
    outbox = Outbox(storage, flush_seconds=60)
    outbox.put(Update(lease, reports={0: 0.5}))
    assert storage.get_trial(lease.trial_id).intermediate_values == {}  # its run holds it
    outbox.flush()
    assert storage.get_trial(lease.trial_id).intermediate_values == {0: 0.5}
    outbox.put(Update(lease, reports={1: 0.6}))
    write = storage.writer.write

    def slow(updates: list[Update], *, durable: bool = True) -> list[Lease]:
        """The trial ends while what came before is on its way."""
        outbox.put(Update(lease, reports={2: 0.7}, state=DONE, value=0.7))
        seen = storage.get_trial(lease.trial_id)
        assert (seen.state, seen.intermediate_values) == (DONE, {0: 0.5, 1: 0.6, 2: 0.7})
        return write(updates, durable=durable)

    with monkeypatch.context() as patched:
        patched.setattr(storage.writer, "write", slow)
        outbox.flush()
    seen = storage.get_trial(lease.trial_id)
    assert (seen.state, seen.intermediate_values) == (DONE, {0: 0.5, 1: 0.6, 2: 0.7})
    outbox.close()
    assert storage.get_trial(lease.trial_id) == open_storage(str(storage.database.url)).get_trial(
        lease.trial_id
    )


def test_the_thread_writes_and_renews(
    database_url: str, join: Callable[[Storage], int], propose: Propose
) -> None:
    storage = open_storage(database_url, lease_seconds=2.0)
    study_id = join(storage)
    lease = _claim(storage, study_id, propose)
    outbox = Outbox(storage, flush_seconds=0.05, holder="me")
    until = time.monotonic() + 2.5  # longer than a lease
    while time.monotonic() < until:
        other = open_storage(database_url).claims.claim(study_id, "other", propose)
        assert other is None or other.number != lease.number
        time.sleep(0.1)
    outbox.put(Update(lease, state=DONE, value=1.0))
    _until(lambda: open_storage(database_url).progress(study_id).complete == 1)
    outbox.close()


def test_a_lost_lease_is_noticed_and_its_work_dropped(
    storage: Storage, study_id: int, propose: Propose, database_url: str
) -> None:
    lease = _claim(storage, study_id, propose)
    outbox = Outbox(storage, flush_seconds=60)
    with storage.database.write() as connection:
        connection.execute(text("UPDATE tuner_leases SET expires = 1"))
    other = open_storage(database_url)
    theirs = other.claims.claim(study_id, "other", propose)
    assert theirs is not None
    outbox.put(Update(lease, reports={0: 9.0}, state=DONE, value=9.0))
    assert not outbox.lost(lease)
    outbox.flush()
    assert outbox.lost(lease)
    assert not outbox.lost(theirs)
    assert storage.get_all_trials(study_id)[0].state == TrialState.RUNNING
    outbox.put(Update(lease, reports={1: 9.0}))
    assert outbox.pending() == 0
    outbox.close()


def test_an_outage_loses_nothing(
    postgres: Server,
    postgres_url: str,
    join: Callable[[Storage], int],
    propose: Propose,
) -> None:
    storage = open_storage(postgres_url)
    storage.mirrors.refresh_interval = 0.1
    study_id = join(storage)
    leases = [_claim(storage, study_id, propose) for _ in range(2)]
    outbox = Outbox(storage, flush_seconds=0.05)
    postgres.kill()
    for step in range(20):
        for lease in leases:
            outbox.put(Update(lease, reports={step: float(step)}))
        time.sleep(0.05)
    outbox.put(Update(leases[0], state=DONE, value=19.0))
    ended = storage.get_all_trials(study_id, deepcopy=False)[0]  # from memory
    assert (ended.state, ended.intermediate_values) == (DONE, {i: float(i) for i in range(20)})
    outbox.check()  # an outage is not an error
    assert outbox.pending() == 2
    postgres.start()
    _until(lambda: outbox.pending() == 0)
    outbox.close()
    trials = open_storage(postgres_url).get_all_trials(study_id)
    steps = {step: float(step) for step in range(20)}
    assert [trial.intermediate_values for trial in trials] == [steps, steps]
    assert [trial.state for trial in trials] == [DONE, TrialState.RUNNING]
    assert trials[0].value == 19.0


def test_reports_that_a_crash_took_back_are_told_with_the_result(
    postgres_url: str, join: Callable[[Storage], int], propose: Propose
) -> None:
    storage = open_storage(postgres_url)
    study_id = join(storage)
    lease = _claim(storage, study_id, propose)
    outbox = Outbox(storage, flush_seconds=60)
    for step in range(3):
        outbox.put(Update(lease, reports={step: float(step)}))
        outbox.flush()
    with storage.database.write() as connection:  # as if the server had not got to its disk
        connection.execute(text("DELETE FROM trial_intermediate_values WHERE step > 0"))
    outbox.put(Update(lease, state=DONE, value=2.0))
    outbox.close()
    trial = open_storage(postgres_url).get_trial(lease.trial_id)
    assert trial.intermediate_values == {0: 0.0, 1: 1.0, 2: 2.0}


def test_what_could_not_be_written_waits_on_disk_for_the_next_process(
    postgres: Server,
    postgres_url: str,
    tmp_path: Path,
    join: Callable[[Storage], int],
    propose: Propose,
) -> None:
    storage = open_storage(postgres_url)
    study_id = join(storage)
    lease = _claim(storage, study_id, propose)
    outbox = Outbox(storage, spool=tmp_path, flush_seconds=60)
    postgres.kill()
    outbox.put(Update(lease, reports={0: float("nan"), 1: 0.5}, state=DONE, value=float("inf")))
    with pytest.raises(StorageError, match="1 results were not written") as caught:
        outbox.close(timeout=0.2)
    assert str(tmp_path) in str(caught.value)
    files = list(tmp_path.rglob("*.json"))
    assert [json.loads(path.read_text())["state"] for path in files] == ["COMPLETE"]
    postgres.start()
    after = Outbox(open_storage(postgres_url), spool=tmp_path, flush_seconds=0.05)
    _until(lambda: after.pending() == 0)
    after.close()
    trial = open_storage(postgres_url).get_trial(lease.trial_id)
    assert (trial.state, trial.value) == (DONE, float("inf"))
    assert trial.intermediate_values[1] == 0.5
    assert list(tmp_path.rglob("*.json")) == []


def test_a_locked_database_is_an_error_and_keeps_what_is_not_written(
    sqlite_url: str, tmp_path: Path, join: Callable[[Storage], int], propose: Propose
) -> None:
    storage = open_storage(sqlite_url, engine_kwargs={"connect_args": {"timeout": 0.1}})
    study_id = join(storage)
    lease = _claim(storage, study_id, propose)
    outbox = Outbox(storage, spool=tmp_path / "spool", flush_seconds=0.05)
    other = sqlite3.connect(str(storage.database.url.database), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    outbox.put(Update(lease, state=DONE, value=1.0))

    def failing() -> bool:
        try:
            outbox.check()
        except StorageError as error:
            return "locked by another program" in str(error)
        return False

    _until(failing)
    _until(lambda: len(list(tmp_path.rglob("*.json"))) == 1)
    other.execute("ROLLBACK")
    _until(lambda: outbox.pending() == 0)
    outbox.check()
    outbox.close()
    assert storage.progress(study_id).complete == 1


def test_a_full_disk_is_an_error_and_keeps_what_is_not_written(
    sqlite_url: str, join: Callable[[Storage], int], propose: Propose
) -> None:
    storage = open_storage(sqlite_url)
    study_id = join(storage)
    lease = _claim(storage, study_id, propose)
    outbox = Outbox(storage, flush_seconds=60)
    with storage.database.read() as connection:  # the one pooled connection: no page more
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    outbox.put(Update(lease, user_attrs={"long": "x" * 100_000}, state=DONE, value=1.0))
    with pytest.raises(StorageError, match="the disk is full"):
        outbox.flush()
    with pytest.raises(StorageError, match="the disk is full"):
        outbox.check()
    assert outbox.pending() == 1
    with storage.database.read() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    outbox.close()
    assert storage.progress(study_id).complete == 1


# Merging updates of one trial.


LEASE = Lease(1, 7, 6, "me", 2, blank(6, 7))


def test_the_later_wins_and_nothing_else_is_lost() -> None:
    queued = MergedUpdate(
        Update(LEASE, {0: 1.0, 1: 2.0}, {"a": 1, "b": 1}, checkpoint=b"old"), 10.0
    )
    queued.add(Update(LEASE, {1: 3.0, 2: 4.0}, {"b": 2}, {"s": 0}, checkpoint=b"new"), 11.0)
    queued.add(Update(LEASE, {3: 5.0}), 12.0)
    merged = queued.update(20.0)
    assert merged.reports == {0: 1.0, 1: 3.0, 2: 4.0, 3: 5.0}
    assert (merged.user_attrs, merged.system_attrs) == ({"a": 1, "b": 2}, {"s": 0})
    assert (merged.checkpoint, merged.state, merged.age) == (b"new", None, 0.0)


def test_a_result_gets_older_while_it_waits() -> None:
    queued = MergedUpdate(Update(LEASE, {0: 1.0}), 10.0)
    assert not queued.lasting
    queued.add(Update(LEASE, state=TrialState.COMPLETE, value=0.5, age=3.0), 12.0)
    assert queued.lasting
    merged = queued.update(20.0)
    assert (merged.state, merged.value) == (TrialState.COMPLETE, 0.5)
    assert merged.age == pytest.approx(11.0)


def test_the_update_that_was_given_is_not_changed() -> None:
    first = Update(LEASE, {0: 1.0})
    MergedUpdate(first, 0.0).add(Update(LEASE, {1: 2.0}), 0.0)
    assert first.reports == {0: 1.0}


# The spool: results on disk, whole or not at all.


@pytest.fixture
def update() -> Update:
    lease = Lease(1, 7, 6, "me", 2, blank(6, 7))
    nan = float("nan")
    return Update(lease, reports={1: 0.5, 2: nan}, state=TrialState.COMPLETE, value=0.5, age=3.0)


def test_what_is_kept_is_loaded_and_what_is_told_is_gone(tmp_path: Path, update: Update) -> None:
    spool = Spool(tmp_path, "sqlite:///a.db")
    spool.keep([update, replace(update, lease=replace(update.lease, trial_id=8), state=None)])
    (loaded,) = spool.load()
    assert (loaded.lease.trial_id, loaded.lease.token, loaded.value) == (7, 2, 0.5)
    assert loaded.reports[1] == 0.5
    assert loaded.age >= 3.0
    assert list(Spool(tmp_path, "sqlite:///b.db").load()) == []
    spool.remove(update.lease)
    assert list(spool.load()) == []


def test_a_damaged_file_is_set_aside(tmp_path: Path, update: Update) -> None:
    spool = Spool(tmp_path, "sqlite:///a.db")
    spool.save(update)
    (path,) = tmp_path.rglob("*.json")
    path.write_text(path.read_text()[:40])
    assert list(spool.load()) == []
    assert [each.suffix for each in path.parent.iterdir()] == [".damaged"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, update: Update) -> None:
    spool = Spool(tmp_path, "sqlite:///a.db")
    (folder,) = tmp_path.iterdir()
    folder.rmdir()
    with pytest.raises(StorageError, match="cannot store a pending result") as e:
        spool.save(update)
    assert str(folder) in str(e.value)
    assert "TUNER_SPOOL" in str(e.value)


def test_parameters_and_artifacts_come_back_as_they_were(tmp_path: Path, update: Update) -> None:
    spool = Spool(tmp_path, "sqlite:///a.db")
    drawn = {"x": (0.5, FloatDistribution(0.0, 1.0)), "k": (1.0, CategoricalDistribution("ab"))}
    spool.save(replace(update, params=drawn, artifacts={"a-1": bytes(range(256))}))
    (loaded,) = spool.load()
    assert loaded.artifacts == {"a-1": bytes(range(256))}
    assert loaded.params == drawn


# What waits to be written: nothing is lost when writing fails, or when the server crashes.


ONE, TWO = (Lease(1, i, i, "me", 1, blank(i, i)) for i in (1, 2))


def test_what_could_not_be_written_comes_before_what_came_later() -> None:
    waiting = UpdateQueue(unsure=False)
    waiting.put(Update(ONE, {0: 1.0, 1: 1.0}), 0.0)
    assert [u.reports for u in waiting.take(0.0)] == [{0: 1.0, 1: 1.0}]
    waiting.put(Update(ONE, {1: 2.0}), 1.0)
    waiting.put(Update(TWO, {0: 9.0}), 1.0)
    assert len(waiting) == 2
    waiting.requeue(2.0)
    assert [u.reports for u in waiting.take(2.0)] == [{0: 1.0, 1: 2.0}, {0: 9.0}]


def test_only_what_nothing_follows_is_settled_and_a_lost_trial_is_dropped() -> None:
    waiting = UpdateQueue(unsure=False)
    waiting.put(Update(ONE, {0: 1.0}), 0.0)
    waiting.put(Update(TWO, {0: 1.0}), 0.0)
    waiting.take(0.0)
    waiting.put(Update(ONE, {1: 1.0}), 0.0)
    waiting.put(Update(TWO, {1: 1.0}), 0.0)
    assert waiting.written({key(TWO)}, 0.0) == [TWO]
    assert [u.lease for u in waiting.take(0.0)] == [ONE]


def test_what_a_crash_may_take_back_is_written_again_with_what_lasts() -> None:
    waiting = UpdateQueue(unsure=True)
    for step in range(3):
        waiting.put(Update(ONE, {step: 1.0}), 0.0)
        assert [u.reports for u in waiting.take(0.0)] == [{step: 1.0}]
        assert waiting.written((), 0.0) == [ONE]
        assert len(waiting) == 0
    waiting.put(Update(ONE, {3: 1.0}, checkpoint=b"state"), 0.0)
    (update,) = waiting.take(0.0)
    assert (sorted(update.reports), update.checkpoint) == ([0, 1, 2, 3], b"state")
    waiting.requeue(0.0)  # that failed: all of it waits
    waiting.put(Update(ONE, {4: 1.0}, state=DONE, value=1.0), 0.0)
    (update,) = waiting.take(0.0)
    assert (sorted(update.reports), waiting.ended()) == ([0, 1, 2, 3, 4], 0)
    waiting.written((), 0.0)
    waiting.put(Update(TWO, {0: 1.0}, state=DONE), 0.0)
    assert [sorted(u.reports) for u in waiting.take(0.0)] == [[0]]
