"""A driver does not wait without a word for workers that never run."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from tuner.errors import TrainingError
from tuner.logs import Say
from tuner.run import places
from tuner.run.optimize import optimize
from tuner.run.options import RunOptions
from tuner.run.pool import Order, Place
from tuner.run.ray import SILENT_SECONDS, Silence
from tuner.storage import open_storage


def test_a_word_after_a_minute_and_another_after_a_worker_was_there() -> None:
    said: list[str] = []
    clock, alive = 0.0, False
    silence = Silence(lambda: alive, said.append, "why", lambda: clock)
    heard = {}
    for second in range(400):
        clock, alive = float(second), 200 <= second < 210
        silence.look()
        heard[second] = len(said)
    assert [second for second in heard if heard[second] > heard.get(second - 1, 0)] == [60, 265]
    assert said == ["no worker has reported for 60 s; why"] * 2
    assert SILENT_SECONDS == 60


def test_a_run_knows_whether_there_are_workers(
    monkeypatch: pytest.MonkeyPatch, sqlite_url: str
) -> None:
    found: list[bool] = []

    class Nowhere:
        def start(self, order: Order) -> Place:
            storage = open_storage(sqlite_url)
            found.append(order.alive())
            storage.claims.register("there:1:ab", "there", 1, "cpu")
            found.append(order.alive())
            raise TrainingError("there is no such place")

    @contextmanager
    def nowhere(options: RunOptions, address: str, say: Say) -> Iterator[Nowhere]:
        yield Nowhere()

    monkeypatch.setattr(places, "PLACES", {"nowhere": nowhere})
    with pytest.raises(TrainingError, match="no such place"):
        optimize("wine", RunOptions(sqlite_url, on="nowhere"))
    assert found == [False, True]


class Impatient:
    """Workers that run until Ctrl-C is pressed twice."""

    def wait(self, seconds: float) -> bool:
        raise KeyboardInterrupt

    def leave(self) -> None:
        raise KeyboardInterrupt("again")


def test_whoever_cannot_wait_leaves_signals_as_they_were(
    monkeypatch: pytest.MonkeyPatch, sqlite_url: str
) -> None:
    @contextmanager
    def nowhere(options: RunOptions, address: str, say: Say) -> Iterator[Any]:
        yield SimpleNamespace(start=lambda order: Impatient())

    monkeypatch.setattr(places, "PLACES", {"nowhere": nowhere})
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt, match="again"):
        optimize("wine", RunOptions(sqlite_url, on="nowhere"))
    assert signal.getsignal(signal.SIGTERM) is before


class Deaf:
    """Workers that end by themselves; SIGTERM comes where Python ignores exceptions."""

    left, waits = False, 0

    def wait(self, seconds: float) -> bool:
        class Finalized:
            def __del__(self) -> None:
                os.kill(os.getpid(), signal.SIGTERM)

        self.waits += 1
        if self.waits == 1:
            Finalized()
        return self.waits < 4

    def leave(self) -> None:
        self.left = True


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_sigterm_is_not_lost_where_exceptions_are_ignored(
    monkeypatch: pytest.MonkeyPatch, sqlite_url: str
) -> None:
    crew = Deaf()

    @contextmanager
    def nowhere(options: RunOptions, address: str, say: Say) -> Iterator[Any]:
        yield SimpleNamespace(start=lambda order: crew)

    monkeypatch.setattr(places, "PLACES", {"nowhere": nowhere})
    with pytest.raises(KeyboardInterrupt):
        optimize("wine", RunOptions(sqlite_url, on="nowhere"))
    assert crew.left
