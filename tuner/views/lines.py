"""Plain lines for logs: one for each trial that ended."""

from __future__ import annotations

from collections.abc import Iterator

from tuner.views.format import number
from tuner.views.snapshot import Snapshot
from tuner.views.trials import Ended


class Lines:
    """Says of each ended trial once what came of it."""

    def __init__(self) -> None:
        self._told: set[int] = set()

    def new(self, snapshot: Snapshot) -> Iterator[str]:
        """A line for each trial that this did not speak of before."""
        for ended in snapshot.ended:
            if ended.number not in self._told:
                self._told.add(ended.number)
                yield line(ended)


def line(ended: Ended) -> str:
    """
    >>> line(Ended(12, "pruned", 0.91, 3, best=(7, 0.98)))
    'trial 12: pruned at epoch 3, 0.9100; best 0.9800 (trial 7)'
    """
    best = "" if ended.best is None else f"; best {number(ended.best[1])} (trial {ended.best[0]})"
    return f"trial {ended.number}: {_outcome(ended)}{best}"


def _outcome(ended: Ended) -> str:
    if ended.left_out:
        return f"left out: {ended.left_out}"
    if ended.state == "complete":
        return number(ended.value)
    if ended.state == "pruned":
        value = "" if ended.value is None else f", {number(ended.value)}"
        return f"{ended.why or 'pruned'} at {ended.step} {ended.epoch}{value}"
    why = ended.why.splitlines()
    return f"failed: {why[0]}" if why else "failed"
