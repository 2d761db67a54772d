"""The database goes away and comes back: 503 in between, and nothing has to be restarted."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from optuna.study import StudyDirection
from optuna.trial import create_trial

from tuner.dashboard.pulse import Pulse
from tuner.storage import Storage, open_storage


@pytest.fixture
def storage(postgres_url: str) -> Iterator[Storage]:
    opened = open_storage(postgres_url)
    opened.create_new_study([StudyDirection.MAXIMIZE], "small")
    yield opened
    opened.close()


def test_an_outage_is_told_and_ridden_out(
    storage: Storage, guard: Any, postgres: Any, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuner.dashboard.pulse.FRESH_SECONDS", 0.0)
    monkeypatch.setattr("tuner.dashboard.metrics.INTERVAL", 0.0)
    served = guard()
    pages = ("/api/studies", "/api/studies/1", "/healthz")
    assert [served.ask(path).status for path in pages] == [200] * 3
    postgres.kill()
    for path in pages:
        reply = served.ask(path)
        assert (reply.status, reply["Retry-After"]) == (503, "5"), path
        assert b"the database does not answer" in reply.body
        assert b"tuner@" not in reply.body
    assert served.ask("/api/studies/1/note", "PUT", {"body": "x", "version": 1}).status == 503
    assert served.ask("/dashboard").status == 200  # the page stays, and asks again by itself
    during = served.ask("/metrics").body.decode()
    assert "tuner_database_up 0.0" in during
    assert "tuner_trials{" not in during
    postgres.start()
    assert [served.ask(path).status for path in pages] == [200] * 3
    after = served.ask("/metrics").body.decode()
    assert "tuner_database_up 1.0" in after
    assert "tuner_dashboard_outage_seconds_total 0.0" not in after
    # Connections that died while nobody asked cost no request either.
    postgres.restart()
    assert [served.ask(path).status for path in pages] == [200] * 3


def test_what_others_write_is_seen(storage: Storage, guard: Any, postgres_url: str) -> None:
    served = guard()
    assert served.ask("/api/studies/1").json["trials"] == []
    other = open_storage(postgres_url)
    for i in range(3):
        other.create_new_trial(1, create_trial(value=float(i)))
    other.create_new_study([StudyDirection.MAXIMIZE], "another")
    other.close()
    assert len(served.ask("/api/studies").json["study_summaries"]) == 2
    until = time.monotonic() + 30  # optuna-dashboard itself looks every two seconds
    while len(found := served.ask("/api/studies/1").json["trials"]) < 3:
        assert time.monotonic() < until
        time.sleep(0.2)
    assert [trial["values"] for trial in found] == [[0.0], [1.0], [2.0]]


def test_a_failure_that_is_not_the_database_s_stays_one(guard: Any) -> None:
    refused = guard().ask("/api/studies/1/note", "PUT", None)
    assert refused.status == 500


class Counting:
    """A lock that knows how many came to it."""

    def __init__(self) -> None:
        self.came, self._lock = threading.Semaphore(0), threading.Lock()

    def __enter__(self) -> None:
        self.came.release()
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()


def test_who_waits_for_an_answer_does_not_ask_again(sqlite_url: str) -> None:
    """In an outage each question lasts as long as a connection is tried for."""
    storage, asked = open_storage(sqlite_url), []

    class Away(Pulse):
        def _reached(self) -> bool:
            asked.append(1)
            if len(asked) == 1:
                for _ in range(8):
                    assert self._lock.came.acquire(timeout=30)
            return False

    pulse, found = Away(storage.database), []
    pulse._lock = Counting()  # type: ignore[assignment]  # what a thread waits at
    threads = [
        threading.Thread(target=lambda: found.append(pulse.answers(fresh=0.0))) for _ in range(8)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert found == [False] * 8
    assert len(asked) == 2  # the second connection is tried where there was a server before
    assert not pulse.answers(fresh=0.0)
    assert len(asked) == 3
    storage.close()
