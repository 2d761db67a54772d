"""The course of a training: its epochs so far, when it ends, and which of them counts."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator

from torch import Tensor

from tuner.errors import TrainingError
from tuner.metrics import Metric
from tuner.space import Config
from tuner.training.epoch import Epoch
from tuner.training.plan import Plan


class Course(ABC):
    """What a trial's training is for those who do not ask how it trains.

    Attributes:
        config: the value of every leaf.
        past: what is known of every epoch so far.
        between_epochs: no epoch is half trained, so that a checkpoint may be written.
    """

    config: Config
    plan: Plan
    metric: Metric
    seed: int
    past: list[Epoch]
    between_epochs: bool
    params: Tensor

    @abstractmethod
    def epochs(self) -> Iterator[Epoch]:
        """Trains an epoch each time it is asked, until the configuration or a technique ends it."""

    @property
    def history(self) -> list[float]:
        """The value of every epoch so far."""
        return [epoch.value for epoch in self.past]

    @property
    def epoch(self) -> int:
        """Epochs trained so far."""
        return len(self.past)

    @property
    def scores(self) -> list[float]:
        """The value of every epoch so far, turned so that higher is better."""
        sign = 1 if self.metric.direction == "maximize" else -1
        return [-math.inf if math.isnan(v) else sign * v for v in self.history]

    @property
    def done(self) -> bool:
        """Whether all epochs are trained, or a technique ends the trial."""
        values = self.plan.values
        ended = (t.stop(self.scores, values[t.name]) for t in self.plan.techniques if t.stop)
        return self.epoch >= self.plan.epochs or any(ended)

    @property
    def keeps_best(self) -> bool:
        """Whether the best epoch counts and not the last: where a technique may end the trial."""
        return any(t.stop and self.plan.values[t.name] != t.leaf.off for t in self.plan.techniques)

    @property
    def result(self) -> Epoch:
        """The epoch that counts: the last, or with early stopping the best (Prechelt 1998).

        Raises:
            TrainingError: no epoch is trained.
        """
        if not self.past:
            raise TrainingError("there is no result before the first epoch")
        if not self.keeps_best:
            return self.past[-1]
        scores = self.scores
        return self.past[scores.index(max(scores))]
