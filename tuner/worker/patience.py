"""Waiting for a database that does not answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from tuner.storage import OutageError
from tuner.worker.signals import StopRequested

T = TypeVar("T")
FIRST_WAIT, LONGEST_WAIT = 0.1, 5.0
NEWS = 4 * FIRST_WAIT
"""An outage is worth a word when this wait comes; a broken connection is not."""


class Patience:
    """Calls again what the database did not answer: after 0.1 s, then later and later, up to 5 s.

    Args:
        leaving: whether to give up.
        say: called with a line when an outage begins, and when it is over.
    """

    def __init__(self, leaving: Callable[[], bool], say: Callable[[str], None]) -> None:
        self._leaving, self._say = leaving, say

    def __call__(self, call: Callable[[], T]) -> T:
        """What the call gives.

        Raises:
            StopRequested: it is time to leave, and the database did not answer yet.
        """
        wait = FIRST_WAIT
        while True:
            try:
                result = call()
            except OutageError as error:
                if wait == NEWS:
                    self._say(f"waiting for the database: {error.where}: {error.what}")
                self._sleep(wait)
                wait = min(2 * wait, LONGEST_WAIT)
            else:
                if wait > NEWS:
                    self._say("the database answers again")
                return result

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self._leaving():
                raise StopRequested
            time.sleep(FIRST_WAIT)
