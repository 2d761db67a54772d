"""How often to look at the database."""

from __future__ import annotations

import time


class Look:
    """When something was read the last time, and how long that took; at first it is due."""

    def __init__(self) -> None:
        self._at, self._took = float("-inf"), 0.0

    def took(self, seconds: float) -> None:
        """It was read just now."""
        self._at, self._took = time.monotonic(), seconds

    def due(self, interval: float) -> bool:
        """Whether to read again: so often, but not for more than a twentieth of the time.

        At the latest after ten intervals.
        """
        wait = min(max(interval, 20 * self._took), 10 * interval)
        return self._at + wait <= time.monotonic()
