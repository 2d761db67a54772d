"""A study that is being worked on: its data, its row in the database, its seeds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from tuner.data import DataSet, load
from tuner.metrics import Metric
from tuner.seeds import derive
from tuner.study import Study


@dataclass(frozen=True)
class Job:
    """What a worker needs to train a study's trials; prepared once and shared."""

    study: Study
    study_id: int
    data: DataSet
    metric: Metric

    @cached_property
    def final(self) -> DataSet:
        """All rows of the search to train on, and the test rows in place of those for validation.

        Raises:
            DataError: there are no test rows.
        """
        return load(self.study.data, folder=self.study.folder, final=True)

    def seed(self, number: int) -> int:
        """A trial's seed, 32 bits so that every dashboard shows it exactly."""
        return derive(self.study.search.seed, number) % 2**32
