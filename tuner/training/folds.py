"""Trains a configuration on several folds at once; its values are means over them (Stone 1974).

Each fold has a network, a seed and data of its own, prepared by its own training rows: not even the
shapes need be the same. All take an epoch before any takes the next, so that a trial is pruned, and
ends early, by the mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from tuner.data import DataSet
from tuner.metrics import Metric
from tuner.seeds import derive
from tuner.space import Config
from tuner.techniques import ENDING
from tuner.training.network import plan
from tuner.training.trainer import Course, Epoch, Trainer


class Folds(Course):
    """Trains one configuration on each fold; as a ``Trainer``, but that it has several networks.

    Args:
        config, metric, device, dtype: as for a ``Trainer``.
        data: with its other folds.
        seed: the trial's; fold i has ``derive(seed, "fold", i)``.

    Attributes:
        parts: the trainer of each fold. Their `best` is of the epoch whose mean is the best.
        params: of the last fold's network.
    """

    def __init__(
        self,
        config: Config,
        data: DataSet,
        metric: Metric,
        seed: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.config, self.plan, self.metric, self.seed = dict(config), plan(config), metric, seed
        alone = {**config, **ENDING}
        self.parts = tuple(
            Trainer(alone, fold, metric, derive(seed, "fold", i), device, dtype)
            for i, fold in enumerate(data.folds)
        )
        self.params = self.parts[-1].params
        self.past: list[Epoch] = []
        self.between_epochs = True

    def epochs(self) -> Iterator[Epoch]:
        """Trains an epoch on every fold each time it is asked, until the trial ends."""
        running = [part.epochs() for part in self.parts]
        while not self.done:
            self.between_epochs = False
            self.past.append(mean([next(epochs) for epochs in running]))
            if self.keeps_best and self.result is self.past[-1]:
                for part in self.parts:
                    part.best = None  # the weights of now are the best
                    part.best = part.weights()
            self.between_epochs = True
            yield self.past[-1]


def mean(folds: Sequence[Epoch]) -> Epoch:
    """The same epoch of every fold as one; NaN or infinite where any fold is."""
    count = len(folds)
    return Epoch(
        folds[0].number,
        sum(each.value for each in folds) / count,
        sum(each.train_loss for each in folds) / count,
        sum(each.validation_loss for each in folds) / count,
    )


def training(
    config: Config,
    data: DataSet,
    metric: Metric,
    seed: int,
    device: torch.device | str = "cpu",
) -> Trainer | Folds:
    """What trains a configuration on this data: one trainer, or one for each fold."""
    made = Folds if data.rest else Trainer
    return made(config, data, metric, seed, device)
