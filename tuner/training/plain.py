"""The plain trainer: one trial, one network, one flat vector."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import torch
from torch import Tensor

from tuner.data import DataSet
from tuner.metrics import Metric
from tuner.schedules import learning_rates
from tuner.seeds import derive
from tuner.space import Config
from tuner.training.course import Course
from tuner.training.epoch import Epoch
from tuner.training.evaluate import evaluate
from tuner.training.flat import flatten, give_gradients, kept
from tuner.training.noise import Batch, Streams, batches, drawing, drawing_layers, steps_of
from tuner.training.plan import build_network, plan
from tuner.training.step import LOSSES, Hyperparameters, Recipe, batch_loss, start, update
from tuner.training.tensors import batches_of_targets, in_precision

__all__ = ["Epoch", "Trainer"]


class Trainer(Course):
    """Trains one configuration; its result is a function of configuration, data and seed alone.

    Args:
        config: the value of every leaf.
        data: its tensors are moved to the device.
        metric: what ``Epoch.value`` is.
        seed: the trial's.
        device: where to train.
        dtype: of parameters and features.
        keep: techniques that take part in the steps even where they are off.

    Attributes:
        past: what is known of every epoch so far.
        between_epochs: no epoch is half trained, so that a checkpoint may be written.
        best: the weights of the best epoch so far, where a technique keeps the best.
    """

    def __init__(
        self,
        config: Config,
        data: DataSet,
        metric: Metric,
        seed: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        keep: Collection[str] = (),
    ) -> None:
        self.plan, self.metric, self.seed = plan(config, keep), metric, seed
        self.config = dict(config)
        self.device = torch.device(device)
        self.data = in_precision(data.to(self.device), dtype)
        seeded = derive(seed, "network")
        told = data.vocabulary, data.categories
        network = build_network(self.plan, data.shape, data.outputs, seeded, *told)
        self.network = network.to(self.device, dtype)
        self.layout, self.params = flatten(self.network)
        self.gradient = torch.zeros_like(self.params)
        give_gradients(self.network, self.layout.views(self.gradient))
        mask, loss = self.layout.mask(self.params), LOSSES[data.target.task]
        self.recipe = Recipe(self.plan.techniques, self.plan.optimizer, mask, loss)
        self.hp = Hyperparameters(self.plan.values, self.plan.optimizer_values)
        self.state = start(self.recipe, self.params)
        self.layers = drawing_layers(self.network)
        self.past: list[Epoch] = []
        self.between_epochs = True
        self.best: dict[str, Tensor] | None = None

    @property
    def steps(self) -> int:
        """Steps of one epoch."""
        return steps_of(len(self.data.train), self.plan.batch_size)

    def weights(self) -> dict[str, Tensor]:
        """A copy of the network's parameters and buffers as ``result`` was measured with them."""
        now = self.layout.views(self._evaluated()) | self.buffers()
        return {name: tensor.clone() for name, tensor in (self.best or now).items()}

    def buffers(self) -> dict[str, Tensor]:
        """What the network remembers besides what is trained, such as running averages."""
        return kept(self.network)

    def epochs(self) -> Iterator[Epoch]:
        """Trains an epoch each time it is asked, until the configuration or a technique ends it."""
        while not self.done:
            self.between_epochs = False
            with drawing(self.plan.family.own, self.seed, self.epoch, self.device):
                train_loss = self._train_epoch()
                value, validation_loss = self.evaluate()
            self.past.append(Epoch(self.epoch + 1, value, train_loss, validation_loss))
            if self.keeps_best and self.result is self.past[-1]:
                self.best = None  # the weights of now are the best
                self.best = self.weights()
            self.between_epochs = True
            yield self.past[-1]

    def _train_epoch(self) -> float:
        techniques = [(t, self.plan.values[t.name]) for t in self.plan.techniques]
        streams = Streams(self.seed, self.epoch, self.device)
        size, shape = self.plan.batch_size, self.data.shape
        x, rates = self.data.train.x, self.rates()
        losses: list[Tensor] = []
        self.network.train()
        y = self.data.train.y if self.data.target.task == "classification" else None
        for block in batches(len(x), size, shape, techniques, self.layers, streams, y):
            rows = [batch.rows for batch in block]
            xs = torch.split(x[torch.cat(rows)], [len(each) for each in rows])
            ys = batches_of_targets(self.data, rows, self.params.dtype)
            for batch, batch_x, batch_y in zip(block, xs, ys, strict=True):
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

    def rates(self) -> tuple[Tensor, ...]:
        """The learning rate of each step of the coming epoch."""
        multipliers = learning_rates(
            self.plan.schedule,
            self.steps * self.plan.epochs,
            self.steps * self.epoch,
            self.steps * (self.epoch + 1),
            warmup=self.plan.warmup,
            **self.plan.schedule_values,
        )
        rates = torch.tensor(multipliers, dtype=torch.float64) * self.plan.learning_rate
        return rates.to(self.device, self.params.dtype).unbind()

    def _evaluated(self) -> Tensor:
        """The parameters to evaluate with: an average of them, where a technique keeps one."""
        params = self.params
        for t in self.plan.techniques:
            if t.evaluate:
                params = t.evaluate(params, self.state.techniques[t.name])
        return params

    def evaluate(self) -> tuple[float, float]:
        """Metric and loss on the validation split."""
        trained = self.params.clone()
        self.params.copy_(self._evaluated())
        result = evaluate(self.network, self.data.validation, self.data, self.metric)
        self.params.copy_(trained)
        return result
