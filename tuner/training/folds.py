"""Trains a configuration on several folds at once; its values are means over them (Stone 1974).

Each fold has a network, a seed and data of its own, prepared by its own training rows: not even the
shapes need be the same. All take an epoch before any takes the next, so that a trial is pruned, and
ends early, by the mean.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tuner.data import DataSet
from tuner.metrics import Metric
from tuner.seeds import derive
from tuner.space import Config
from tuner.techniques import ENDING
from tuner.training.trainer import Course, Epoch, Trainer


class Folds(Course):
    """Trains one configuration on each fold; a technique that ends a trial looks at the means.

    Args:
        config, metric, device: as for a ``Trainer``.
        data: with its other folds.
        seed: the trial's; fold i has ``derive(seed, "fold", i)``.
    """

    def __init__(
        self,
        config: Config,
        data: DataSet,
        metric: Metric,
        seed: int,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(config, metric, seed)
        alone = {**config, **ENDING}
        self._parts = tuple(
            Trainer(alone, fold, metric, derive(seed, "fold", i), device)
            for i, fold in enumerate(data.folds)
        )

    @property
    def parts(self) -> tuple[Trainer, ...]:
        """The trainer of each fold. Their `best` is of the epoch whose mean is the best."""
        return self._parts

    def _next_epoch(self) -> Epoch:
        rows = torch.stack([part.measured_epoch() for part in self.parts]).tolist()
        epochs = [Epoch(self.epoch + 1, *row) for row in rows]
        for part, epoch in zip(self.parts, epochs, strict=True):
            part.past.append(epoch)
        return mean(epochs)

    def weights(self) -> dict[str, Tensor]:
        """Those of each fold, under its number."""
        return {
            f"fold{i}.{name}": tensor
            for i, part in enumerate(self.parts)
            for name, tensor in part.weights().items()
        }


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
) -> Course:
    """The course of a configuration on this data: one trainer, or one for each fold."""
    kind = Folds if data.rest else Trainer
    return kind(config, data, metric, seed, device)
