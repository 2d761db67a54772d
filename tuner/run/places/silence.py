"""A word when an engine runs no worker, for whatever reason of its own."""

from __future__ import annotations

import time
from collections.abc import Callable

from tuner.run.places.base import Say

SILENT_SECONDS, LOOK_SECONDS = 60.0, 5.0


class Silence:
    """Says once that no worker was heard of for a minute; again if one was in between.

    Args:
        alive: whether a worker is alive, by what the database knows.
        say: called with a line for people.
        hint: where to look for the reason.
        now: seconds that pass.
    """

    def __init__(
        self,
        alive: Callable[[], bool],
        say: Say,
        hint: str,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._alive, self._say, self._hint, self._now = alive, say, hint, now
        self._since = self._looked = now()
        self._said = False

    def look(self) -> None:
        """To be called often: it looks every few seconds."""
        now = self._now()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        if self._alive():
            self._since, self._said = now, False
        elif now - self._since >= SILENT_SECONDS and not self._said:
            self._say(f"no worker has been heard of for {now - self._since:.0f} s; {self._hint}")
            self._said = True
