"""Waiting for a database that does not answer."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from tuner.errors import StorageError
from tuner.storage import OutageError
from tuner.worker import signals
from tuner.worker.signals import Leaving, Overdue, Patience, StopRequested


def test_it_calls_until_there_is_an_answer() -> None:
    said: list[str] = []
    fails = [OutageError(what, where="here") for what in ("broke", "broke", "cannot be reached")]

    def call() -> int:
        if fails:
            raise fails.pop(0)
        return 7

    assert Patience(lambda: False, said.append)(call) == 7
    assert said == [
        "waiting for the database: here: cannot be reached",
        "the database answers again",
    ]


def test_a_connection_that_broke_is_no_news() -> None:
    said: list[str] = []
    fails = [OutageError("broke")]

    def call() -> int:
        if fails:
            raise fails.pop(0)
        return 7

    assert Patience(lambda: False, said.append)(call) == 7
    assert said == []


def test_what_is_no_outage_is_not_waited_for() -> None:
    def call() -> None:
        raise StorageError("the disk is full")

    with pytest.raises(StorageError, match="the disk is full"):
        Patience(lambda: False, lambda _: None)(call)


def test_it_ends_when_it_is_time_to_leave() -> None:
    until = time.monotonic() + 0.3

    def call() -> None:
        raise OutageError("cannot be reached")

    with pytest.raises(StopRequested):
        Patience(lambda: time.monotonic() > until, lambda _: None)(call)


# When to leave, and what may be interrupted for it.


@pytest.fixture
def leaving(monkeypatch: pytest.MonkeyPatch) -> Iterator[Leaving]:
    """Installed in this process, with little patience."""
    monkeypatch.setattr(signals, "PATIENCE", 0.1)
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
    before = [signal.getsignal(number) for number in numbers]
    made = Leaving()
    made.install()
    yield made
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def test_nobody_asked(leaving: Leaving) -> None:
    assert not leaving()
    with leaving.interruptible():
        pass


def asked_within(leaving: Leaving) -> None:
    with leaving.interruptible():
        os.kill(os.getpid(), signal.SIGTERM)
        assert leaving()
        time.sleep(5)


def test_a_signal_asks_and_soon_interrupts(leaving: Leaving) -> None:
    with pytest.raises(StopRequested):
        asked_within(leaving)
    assert leaving.asked == signal.SIGTERM
    with pytest.raises(StopRequested), leaving.interruptible():
        raise AssertionError("it was time to leave already")


def test_what_is_not_interruptible_is_not_interrupted(leaving: Leaving) -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.3)
    assert leaving.asked == signal.SIGINT


def test_a_deadline_is_a_reason_to_leave(leaving: Leaving) -> None:
    leaving.by(time.monotonic() + 0.1)
    assert not leaving()
    with pytest.raises(StopRequested), leaving.interruptible():
        time.sleep(5)
    assert leaving()
    assert leaving.asked is None


def busy(leaving: Leaving, seconds: float) -> None:
    with leaving.within(seconds), leaving.interruptible():
        time.sleep(5)


def test_a_trial_that_lasts_too_long_is_interrupted_and_the_next_is_not(leaving: Leaving) -> None:
    with pytest.raises(Overdue):
        busy(leaving, 0.1)
    assert not leaving()
    with leaving.interruptible():
        time.sleep(0.3)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_limit_that_comes_at_a_bad_moment_comes_again(leaving: Leaving) -> None:
    done = []

    def work() -> None:
        with leaving.within(0.0), leaving.interruptible():
            with leaving.uninterrupted():
                time.sleep(0.3)
                done.append("whole")
            time.sleep(5)

    with pytest.raises(Overdue):
        work()
    assert done == ["whole"]


def test_a_signal_and_a_deadline_are_heard_within_a_limit(leaving: Leaving) -> None:
    leaving.by(time.monotonic() + 0.1)
    with pytest.raises(StopRequested):
        busy(leaving, 60.0)


def test_signals_are_not_another_threads_to_hear() -> None:
    before = signal.getsignal(signal.SIGTERM)
    found: list[Leaving] = []

    def work() -> None:
        made = Leaving()
        made.install()
        with made.within(0.0), made.interruptible():
            found.append(made)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not found[0]()
    assert signal.getsignal(signal.SIGTERM) is before


def test_without_its_parent_a_worker_leaves() -> None:
    assert not Leaving(parent=os.getppid())()
    assert Leaving(parent=os.getpid())()


def test_ctrl_c_may_be_left_to_the_parent() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    try:
        leaving = Leaving()
        leaving.install(ctrl_c=False)
        os.kill(os.getpid(), signal.SIGINT)
        assert not leaving()
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])


def test_no_alarm_comes_once_nothing_is_left_to_interrupt(leaving: Leaving) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
    leaving.disarm()
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_what_is_to_be_done_whole_is_done_and_then_left(leaving: Leaving) -> None:
    done = []

    def work() -> None:
        with leaving.interruptible():
            with leaving.uninterrupted():
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(0.3)
                done.append("whole")
            done.append("after it")

    with pytest.raises(StopRequested):
        work()
    assert done == ["whole"]
