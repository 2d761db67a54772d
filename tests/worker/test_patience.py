"""Waiting for a database that does not answer."""

from __future__ import annotations

import time

import pytest

from tuner.errors import StorageError
from tuner.storage import OutageError
from tuner.worker.patience import Patience
from tuner.worker.signals import StopRequested


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
