"""What the workers of a run said, and how many of them died."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from tuner.errors import TrainingError, TunerError

DEATHS = 5
"""So many deaths per worker, and no trial that ended in between, end the run."""


class Toll:
    """Counts deaths, adds up times, and keeps the first error.

    Args:
        workers: how many there are.

    Attributes:
        spent: seconds of the workers that ended, by what they went into.
        error: what a worker could not deal with.
    """

    def __init__(self, workers: int) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self.error: TunerError | None = None
        self._deaths, self._most = 0, DEATHS * workers

    def hear(self, said: TunerError | Mapping[str, float]) -> None:
        """An error, or where a worker's time went."""
        if isinstance(said, TunerError):
            self.error = self.error or said
            return
        for name, seconds in said.items():
            self.spent[name] += seconds

    def died(self, how: str) -> None:
        """A worker is to be replaced.

        Raises:
            TrainingError: too many died.
        """
        self._deaths += 1
        if self._deaths > self._most:
            raise TrainingError(
                f"workers died {self._deaths} times and no trial ended, the last with {how}",
                hint="is there enough memory? try fewer --workers",
            )

    def forgive(self) -> None:
        """A trial ended: whatever kills workers, the study gets on."""
        self._deaths = 0

    def check(self) -> None:
        """Raises the first error, if there is one."""
        if self.error is not None:
            raise self.error
