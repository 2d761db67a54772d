"""SIGTERM, Ctrl-C, SIGSTOP: a trial is given back, or is another's, and nothing is corrupted."""

from __future__ import annotations

import datetime
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from optuna.trial import TrialState

from tuner.run.serve import serve

LONG = {"epochs": 100_000, "trials": 1}
"""An epoch takes some milliseconds, the trial for ever."""


@pytest.fixture
def busy(make: Any, until: Any, database_url: str) -> tuple[Any, Any]:
    """A study, and a worker in the middle of its long trial, with a checkpoint."""
    shared = make(database_url).submit(**LONG)
    worker = shared.worker()
    until(lambda: saved(shared))
    return shared, worker


def saved(shared: Any) -> list[bytes]:
    with shared.storage.database.read() as connection:
        found = connection.exec_driver_sql("SELECT data FROM tuner_checkpoints")
        return [bytes(row[0]) for row in found]


def test_sigterm_gives_the_lease_back_within_two_seconds(
    busy: tuple[Any, Any], until: Callable[..., None]
) -> None:
    shared, worker = busy
    ((_, holder, token),) = shared.tokens()
    asked = time.monotonic()
    worker.terminate()
    until(lambda: shared.tokens()[0][1] == "", seconds=2)
    worker.join(2 - (time.monotonic() - asked) + 1)
    assert worker.exitcode == 143
    assert shared.storage.workers() == []
    reports = shared.trials()[0].intermediate_values
    assert shared.trials()[0].state == TrialState.RUNNING
    shared.worker(TUNER_LEASE="30")  # at once: it need not wait for the lease to run out
    until(lambda: len(shared.trials()[0].intermediate_values) > len(reports))
    ((_, another, later),) = shared.tokens()
    assert (another != holder, later) == (True, token + 1)
    after = shared.trials()[0].intermediate_values
    assert {step: after[step] for step in reports} == reports
    assert list(after) == list(range(1, len(after) + 1))


def slow(seconds: float) -> None:
    """An epoch takes this long from the third on."""
    from tuner.training.trainer import Trainer

    train = Trainer._train_epoch

    def train_slowly(self: Trainer) -> Any:
        until = time.monotonic() + seconds * (self.epoch >= 2)
        while time.monotonic() < until:
            sum(range(10_000))
        return train(self)

    Trainer._train_epoch = train_slowly  # type: ignore[method-assign]


def test_sigterm_in_the_middle_of_a_long_epoch(
    make: Any, until: Callable[..., None], database_url: str
) -> None:
    shared = make(database_url).submit(epochs=4, trials=1)

    def work() -> None:
        slow(60)
        serve(shared.url, device="cpu")

    worker = shared.fork(work)
    until(lambda: shared.trials() and len(shared.trials()[0].intermediate_values) == 2)
    worker.terminate()
    until(lambda: shared.tokens()[0][1] == "", seconds=2)
    worker.join(3)
    assert worker.exitcode == 0
    shared.finish()
    (trial,) = shared.trials()
    assert trial.state == TrialState.COMPLETE
    assert list(trial.intermediate_values) == [1, 2, 3, 4]


def test_a_second_signal_leaves_at_once(
    make: Any, until: Callable[..., None], sqlite_url: str
) -> None:
    shared = make(sqlite_url).submit(epochs=4, trials=1)

    def work() -> None:
        from tuner.worker import signals

        signals.PATIENCE = 60
        slow(60)
        serve(shared.url, device="cpu")

    worker = shared.fork(work)
    until(lambda: shared.trials() and len(shared.trials()[0].intermediate_values) == 2)
    worker.terminate()
    time.sleep(0.3)
    assert worker.is_alive()
    os.kill(worker.pid, signal.SIGINT)
    worker.join(20)  # the epoch takes a minute
    assert worker.exitcode == 130
    shared.finish()  # its lease ran out
    assert shared.trials()[0].state == TrialState.COMPLETE


def test_ctrl_c_on_a_run_leaves_what_the_next_run_continues(
    make: Any, until: Callable[..., None], postgres_url: str
) -> None:
    shared = make(postgres_url).write(epochs=400, trials=6)
    words = ["optimize", "--study", str(shared.path), "--workers", "2", "--device", "cpu"]
    run = shared.command(*words)
    until(lambda: shared.path.exists() and started(shared), seconds=60)
    os.killpg(run.pid, signal.SIGINT)
    _, said = run.communicate(timeout=20)
    assert run.returncode == 130
    assert "no result is lost; to continue: " in said
    assert "Traceback" not in said
    assert [holder for _, holder, _ in shared.tokens()] == [""] * len(shared.progress.interrupted)
    assert shared.storage.workers() == []
    again = shared.warm(*words)
    assert (again.communicate(timeout=60), again.returncode)[1] == 0
    progress = shared.progress
    assert (progress.finished, progress.running, len(shared.trials())) == (6, 0, 6)
    for trial in shared.trials():
        assert sorted(trial.intermediate_values) == list(range(1, 401))


def started(shared: Any) -> bool:
    try:
        return any(trial.intermediate_values for trial in shared.trials())
    except Exception:  # no tables yet
        return False


def test_workers_of_a_run_that_is_killed_leave_too(
    make: Any, until: Callable[..., None], sqlite_url: str
) -> None:
    shared = make(sqlite_url).write(**LONG)
    words = ["optimize", "--study", str(shared.path), "--workers", "1", "--device", "cpu"]
    run = shared.warm(*words)
    until(lambda: shared.path.exists() and started(shared), seconds=60)
    run.kill()
    until(lambda: [holder for _, holder, _ in shared.tokens()] == [""])
    until(lambda: shared.storage.workers() == [])


def test_a_worker_that_was_stopped_past_its_lease_drops_its_work(
    busy: tuple[Any, Any], until: Callable[..., None]
) -> None:
    shared, late = busy
    os.kill(late.pid, signal.SIGSTOP)
    ((_, holder, token),) = shared.tokens()
    taker = shared.worker(TUNER_LEASE="30")
    until(lambda: shared.tokens()[0][2] == token + 1)
    os.kill(late.pid, signal.SIGCONT)
    ((_, another, later),) = shared.tokens()
    count = len(shared.trials()[0].intermediate_values)
    until(lambda: len(shared.trials()[0].intermediate_values) > count + 300)
    assert shared.tokens() == [(shared.trials()[0]._trial_id, another, later)]
    assert (another != holder, later) == (True, token + 1)
    taker.terminate()  # the late one has dropped its work, so it can take the trial now
    until(lambda: shared.tokens()[0][1:] == (holder, later + 1), seconds=5)
    steps = list(shared.trials()[0].intermediate_values)
    assert steps == list(range(1, len(steps) + 1))
    assert len(shared.trials()) == 1


def test_a_clock_that_is_off_does_no_harm(make: Any, database_url: str) -> None:
    shared = make(database_url).submit(epochs=20, trials=9, search="duplicates = true")

    def work(off: float) -> None:
        real, now, real_datetime = time.time, datetime.datetime.now, datetime.datetime

        class AnyTime(type):
            def __instancecheck__(cls, value: object) -> bool:
                return isinstance(value, real_datetime)

        class Late(datetime.datetime, metaclass=AnyTime):
            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return now(tz) + datetime.timedelta(seconds=off)

        time.time = lambda: real() + off
        datetime.datetime = Late  # type: ignore[misc]
        serve(shared.url, device="cpu", idle_exit=True)

    workers = [shared.fork(work, off) for off in (600.0, -600.0, 0.0)]
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    progress = shared.progress
    assert (progress.complete, progress.running, progress.failed) == (9, 0, 0)
    now = datetime.datetime.now()
    for trial in shared.trials():
        assert list(trial.intermediate_values) == list(range(1, 21))
        assert abs((now - trial.datetime_start).total_seconds()) < 300
        assert abs((now - trial.datetime_complete).total_seconds()) < 300
        assert trial.duration.total_seconds() >= 0
    assert shared.tokens() == []
