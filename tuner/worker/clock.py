"""Where a worker's time goes."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Adds up seconds by name; within a nested measurement the outer one stands still."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._outer: list[float] = []

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        self._outer.append(0.0)
        try:
            yield
        finally:
            whole = time.perf_counter() - started
            self.spent[name] += whole - self._outer.pop()
            if self._outer:
                self._outer[-1] += whole
