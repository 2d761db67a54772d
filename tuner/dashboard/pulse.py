"""Checks at intervals whether the database answers, and counts the seconds when it does not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from sqlalchemy import text

from tuner.dashboard.security import (
    SAFE,
    TEXT,
    Application,
    Environ,
    Headers,
    Refusal,
    answer,
    path_of,
    refuse,
)
from tuner.errors import StorageError
from tuner.storage.database import Database

FRESH_SECONDS = 1.0
_AWAY = Refusal(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "the database does not answer; reload this page later",
    (("Retry-After", "5"),),
)


class Pulse:
    """Checks whether the database answers, for many threads at once.

    Attributes:
        away_seconds: how long it did not answer, as far as it was checked.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._checked = float("-inf")
        self._away: float | None = None
        self.away_seconds = 0.0

    def answers(self, fresh: float | None = None) -> bool:
        """Whether it answers, or did at most `fresh` seconds ago (by default FRESH_SECONDS)."""
        since = time.monotonic() - (FRESH_SECONDS if fresh is None else fresh)
        with self._lock:
            # Another thread may have checked while this one waited for the lock.
            if self._checked < since:
                self._check()
            return self._away is None

    def _check(self) -> None:
        # A connection may have died with an earlier server: the second try opens a new one.
        there = self._reached() or (self._away is None and self._reached())
        self._checked = now = time.monotonic()
        if self._away is not None:
            self.away_seconds += now - self._away
        self._away = None if there else now

    def _reached(self) -> bool:
        try:
            with self._database.read() as connection:
                connection.execute(text("SELECT 1"))
        except StorageError:
            return False
        return True


def healthz(pulse: Pulse, application: Application) -> Application:
    """Answers ``/healthz``: 200 if the database answers, else 503."""

    def health(environ: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
        if path_of(environ) != "/healthz":
            return application(environ, start)
        if pulse.answers():
            headers = (("Content-Type", TEXT), ("Cache-Control", "no-store"))
            return answer(environ, start, HTTPStatus.OK, "ok\n", headers)
        return refuse(environ, start, _AWAY)

    return health


def retrying(pulse: Pulse, application: Application) -> Application:
    """An application whose failures are 503 while the database does not answer.

    A connection may have died with an earlier server, so a request that only reads is tried again.
    """

    def handle(environ: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
        held: list[Any] = []

        def hold(status: str, headers: Headers, *error: Any) -> None:
            held[:] = [status, headers, *error]

        for last in (False, True):
            body = application(environ, hold)
            if not held or not held[0].startswith("500"):
                break
            if not pulse.answers(fresh=0.0):
                _close(body)
                return refuse(environ, start, _AWAY)
            if last or environ["REQUEST_METHOD"] not in SAFE:
                break
            _close(body)
        start(*held)
        return body

    return handle


def _close(body: Iterable[bytes]) -> None:
    close = getattr(body, "close", None)
    if close is not None:
        close()
