"""A study that is being worked on: its data, its row in the database, its seeds."""

from __future__ import annotations

from dataclasses import dataclass

from tuner.data import DataSet
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

    def seed(self, number: int) -> int:
        """A trial's seed, 32 bits so that every dashboard shows it exactly."""
        return derive(self.study.search.seed, number) % 2**32
