"""The plain trainer: one trial, one network, one flat vector."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from tuner.data import DataSet, Split
from tuner.metrics import Metric
from tuner.schedules import learning_rates
from tuner.seeds import derive
from tuner.space import Config
from tuner.training.evaluate import evaluate
from tuner.training.flat import flatten
from tuner.training.noise import Batch, batches, drawing_layers, generator_of
from tuner.training.plan import build_network, plan
from tuner.training.step import (
    LOSSES,
    Hyperparameters,
    Recipe,
    batch_loss,
    start,
    update,
)


@dataclass(frozen=True)
class Epoch:
    """What is known after an epoch.

    Args:
        number: epochs trained so far, from 1.
        value: the metric on the validation split, in its own unit and direction.
        train_loss: mean over the epoch's steps, penalties not included.
        validation_loss: cross entropy, or mse of standardized targets.
    """

    number: int
    value: float
    train_loss: float
    validation_loss: float

    @property
    def finite(self) -> bool:
        return math.isfinite(self.value) and math.isfinite(self.train_loss)


class Trainer:
    """Trains one configuration; its result is a function of configuration, data and seed alone.

    Args:
        config: the value of every leaf.
        data: its tensors are moved to the device.
        metric: what ``Epoch.value`` is.
        seed: the trial's.
        device: where to train.
        dtype: of parameters and features.
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
        self.plan, self.metric, self.seed = plan(config), metric, seed
        self.device = torch.device(device)
        self.data = _in_precision(data.to(self.device), dtype)
        network = build_network(self.plan, data.shape, data.outputs, derive(seed))
        self.network = network.to(self.device, dtype)
        self.layout, self.params = flatten(self.network)
        self.gradient = torch.zeros_like(self.params)
        views = self.layout.views(self.gradient)
        for name, parameter in self.network.named_parameters():
            parameter.grad = views[name]
        mask = self.layout.mask(self.params)
        loss = LOSSES[data.target.task]
        self.recipe = Recipe(self.plan.techniques, self.plan.optimizer, mask, loss)
        self.hp = Hyperparameters(self.plan.values, self.plan.optimizer_values)
        self.state = start(self.recipe, self.params)
        self.layers = drawing_layers(self.network)
        self.history: list[float] = []
        self.targets = _targets(self.data, dtype)

    @property
    def epoch(self) -> int:
        """Epochs trained so far."""
        return len(self.history)

    @property
    def done(self) -> bool:
        return self.epoch >= self.plan.epochs or self._stopped()

    def _stopped(self) -> bool:
        sign = 1 if self.metric.direction == "maximize" else -1
        values = [sign * value for value in self.history]
        return any(t.stop(values, self.plan.values[t.name]) for t in self.plan.techniques if t.stop)

    def epochs(self) -> Iterator[Epoch]:
        """Trains an epoch each time it is asked, until the configuration or a technique ends it."""
        while not self.done:
            train_loss = self._train_epoch()
            value, validation_loss = self.evaluate()
            self.history.append(value)
            yield Epoch(self.epoch, value, train_loss, validation_loss)

    def _train_epoch(self) -> float:
        generator = generator_of(self.seed, self.epoch, self.device)
        techniques = [(t, self.plan.values[t.name]) for t in self.plan.techniques]
        size = self.plan.batch_size
        x, shape = self.data.train.x, self.data.shape
        rates = self._rates()
        losses: list[Tensor] = []
        self.network.train()
        for block in batches(len(x), size, shape, techniques, self.layers, generator):
            rows = torch.cat([batch.rows for batch in block])
            parts = [len(batch.rows) for batch in block]
            data = zip(x[rows].split(parts), self.targets[rows].split(parts), strict=True)
            for batch, (batch_x, batch_y) in zip(block, data, strict=True):
                losses.append(self._step(batch, batch_x, batch_y, rates[len(losses)]))
        return float(torch.stack(losses).mean())

    def _step(self, batch: Batch, x: Tensor, y: Tensor, rate: Tensor) -> Tensor:
        for layer, mask in zip(self.layers, batch.masks, strict=True):
            layer.mask = mask
        self.gradient.zero_()
        loss = batch_loss(self.recipe, self.network, x, y, batch.noise, self.hp)
        loss.backward()  # type: ignore[no-untyped-call]
        update(self.recipe, self.state, self.gradient, self.hp, rate)
        return loss.detach()

    def _rates(self) -> tuple[Tensor, ...]:
        """The learning rate of each step of the coming epoch."""
        rows, size = len(self.data.train.x), self.plan.batch_size
        steps = rows // size + (rows % size > 1)
        multipliers = learning_rates(
            self.plan.schedule,
            steps * self.plan.epochs,
            steps * self.epoch,
            steps * (self.epoch + 1),
            warmup=self.plan.warmup,
            **self.plan.schedule_values,
        )
        rates = torch.tensor(multipliers, dtype=torch.float64) * self.plan.learning_rate
        return rates.to(self.device, self.params.dtype).unbind()

    def evaluate(self) -> tuple[float, float]:
        """Metric and loss on the validation split, with averaged weights if a technique does so."""
        averages = [t for t in self.plan.techniques if t.evaluate]
        trained = self.params.clone() if averages else None
        for t in averages:
            assert t.evaluate is not None
            self.params.copy_(t.evaluate(self.params, self.state.techniques[t.name]))
        result = evaluate(self.network, self.data.validation, self.data, self.metric)
        if trained is not None:
            self.params.copy_(trained)
        return result


def _in_precision(data: DataSet, dtype: torch.dtype) -> DataSet:
    def split(rows: Split) -> Split:
        y = rows.y.to(dtype) if rows.y.is_floating_point() else rows.y
        return replace(rows, x=rows.x.to(dtype), y=y)

    return replace(data, train=split(data.train), validation=split(data.validation))


def _targets(data: DataSet, dtype: torch.dtype) -> Tensor:
    """Training targets ``[N, O]``: rows of probabilities, or standardized numbers."""
    if data.target.task == "regression":
        return data.train.y.unsqueeze(1)
    return functional.one_hot(data.train.y, data.outputs).to(dtype)
