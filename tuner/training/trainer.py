"""The course of a trial's training, and its plain case: one network, one flat vector."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tuner import optimizers, schedules
from tuner.data import DataSet, Split
from tuner.data.rows import Following, Ordered, Padded, epoch_of
from tuner.devices import deterministic, upload
from tuner.errors import StudyFileError, TrainingError
from tuner.imports import is_reference
from tuner.losses import LOSS
from tuner.metrics import Metric, precision, sign_of
from tuner.models.factory import factory, is_factory
from tuner.models.inputs import learn
from tuner.models.mlp import average_as
from tuner.models.text import Embedding
from tuner.optimizers import Numbers
from tuner.output import toml
from tuner.schedules import learning_rates
from tuner.seeds import derive
from tuner.space import Choice, Config, baseline_value, label, params_of, walk
from tuner.study import NetworkStudy
from tuner.techniques import TECHNIQUES, Technique
from tuner.techniques.batches import SAMPLING
from tuner.techniques.batches import try_out as try_rows
from tuner.training.evaluate import evaluate
from tuner.training.network import (
    KINDS,
    build_network,
    flatten,
    gradient,
    optimizer_of,
    plan,
    schedule_of,
    trained,
    untrained,
)
from tuner.training.noise import (
    Batch,
    Streams,
    batches,
    drawing_layers,
    order_of,
    rows_of_epoch,
    seeded_torch,
    steps_of,
)
from tuner.training.recorded import Recorder, hooked, switched_off
from tuner.training.step import (
    Hyperparameters,
    StepRecipe,
    batch_loss,
    move,
    next_numbers,
    start,
    training_loss,
)


@dataclass(frozen=True)
class Epoch:
    """The results of an epoch.

    Args:
        number: epochs trained so far, from 1.
        value: the metric on the validation split, in its own unit and direction.
        train_loss: mean over the epoch's steps, penalties not included.
        validation_loss: the same on the validation split, without what techniques change.
    """

    number: int
    value: float
    train_loss: float
    validation_loss: float

    @property
    def finite(self) -> bool:
        return math.isfinite(self.value) and math.isfinite(self.train_loss)


# The course of a training: its epochs so far, when it ends, and which of them counts.


class Course(ABC):
    """The training of one configuration: of one network, or of one on each fold at once.

    Args:
        config: the value of every leaf.
        metric: of ``Epoch.value``.
        seed: the trial's.
        keep: techniques that take part in the steps even where they are off.

    Attributes:
        past: the results of every epoch so far.
        between_epochs: no epoch is half trained, so that a checkpoint may be written.
    """

    def __init__(
        self, config: Config, metric: Metric, seed: int, keep: Collection[str] = ()
    ) -> None:
        self.config, self.plan = dict(config), plan(config, keep)
        self.metric, self.seed = metric, seed
        self.past: list[Epoch] = []
        self.between_epochs = True

    @property
    @abstractmethod
    def parts(self) -> tuple[Trainer, ...]:
        """The trainer of each network; a trainer is a course of one part, itself."""

    @abstractmethod
    def _next_epoch(self) -> Epoch:
        """Trains and evaluates an epoch of every part."""

    @abstractmethod
    def weights(self) -> dict[str, Tensor]:
        """A copy of the parameters and buffers as ``result`` was measured with them."""

    def epochs(self) -> Iterator[Epoch]:
        """Trains an epoch for each item, until the configuration or a technique ends the trial."""
        while not self.done:
            self.between_epochs = False
            self.past.append(self._next_epoch())
            if self.keeps_best and self.result is self.past[-1]:
                for part in self.parts:
                    part.best = None  # so that `weights` copies those of this epoch
                    part.best = part.weights()
            self.between_epochs = True
            yield self.past[-1]

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
        sign = sign_of(self.metric.direction)
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
        """The epoch that counts: the last, or with early stopping the last of the best (Prechelt
        1998).

        Raises:
            TrainingError: no epoch is trained.
        """
        if not self.past:
            raise TrainingError("there is no result before the first epoch")
        if not self.keeps_best:
            return self.past[-1]
        scores = self.scores
        return self.past[max(range(self.epoch), key=lambda i: (scores[i], i))]


# A data set as a trainer needs it.


BLOCK = 2**21
"""How many numbers of targets are held at a time. No result depends on it."""


def in_precision(data: DataSet, dtype: torch.dtype) -> DataSet:
    """The data set with features and regression targets in that precision, words as whole numbers;
    tensors that have the precision are not copied."""

    def split(rows: Split) -> Split:
        y = rows.y.to(dtype) if rows.y.is_floating_point() else rows.y
        x = rows.x.to(dtype) if rows.x.is_floating_point() else rows.x
        weight = None if rows.weight is None else rows.weight.to(dtype)
        return replace(rows, x=x, y=y, weight=weight)

    return replace(data, train=split(data.train), validation=split(data.validation))


def training_targets(data: DataSet, rows: Tensor, dtype: torch.dtype) -> Tensor:
    """Targets ``[B, O]`` of those training rows: probabilities, or standardized numbers."""
    return data.target.rows(data.train.y[rows], dtype)


def batches_of_targets(
    data: DataSet, batches: Sequence[Tensor], dtype: torch.dtype
) -> Iterator[Tensor]:
    """``training_targets`` of each batch of rows, made for several batches at once but not for all:
    probabilities take a number for each class of each row."""
    size = max(1, BLOCK // max(1, len(batches[0]) * data.outputs))
    for first in range(0, len(batches), size):
        some = batches[first : first + size]
        parts = [len(rows) for rows in some]
        yield from torch.split(training_targets(data, torch.cat(tuple(some)), dtype), parts)


def with_lengths(data: DataSet) -> DataSet:
    """The data set of texts or sequences, with the length of each row that is in memory."""

    def split(rows: Split) -> Split:
        return rows if isinstance(rows.x, Ordered) else replace(rows, x=Padded.of(rows.x))

    return replace(data, train=split(data.train), validation=split(data.validation))


# How many threads torch uses.


@contextmanager
def one_thread() -> Iterator[None]:
    """Limits torch to one thread: their number changes the order of sums, and so results."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# The plain trainer: one trial, one network, one flat vector.


class Trainer(Course):
    """Trains one configuration; its result is a function of configuration, data and seed alone.

    Args:
        config: as for a ``Course``, like metric, seed and keep.
        data: its tensors are moved to the device.
        device: where to train.
        dtype: of parameters and features.

    Attributes:
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
        super().__init__(config, metric, seed, keep)
        self.device = torch.device(device)
        self.data = in_precision(data.to(self.device), dtype)
        if (data.vocabulary is not None or data.padded) and not self.plan.family.own:
            self.data = with_lengths(self.data)
        seeded = derive(seed, "network")
        network = build_network(
            *(self.plan, data.shape, data.outputs, seeded),
            *(data.vocabulary, data.categories, data.numbers),
        )
        self.network = network.to(self.device, dtype)
        average_as(self.network, data.target.task)
        learn(self.network, self.data.train.x)
        self.layout, self.params = flatten(self.network)
        self.parameters = [parameter for _, parameter in trained(self.network)]
        marked = {t.marks: KINDS[t.marks](self.network) for t in self.plan.techniques}
        masks = {kind: self.layout.mask(names, self.params) for kind, names in marked.items()}
        loss = training_loss(config, metric, data.target)
        labels = data.target.task == "multilabel"
        taking = tuple(t.for_labels() if labels else t for t in self.plan.techniques)
        self.recipe = StepRecipe(taking, self.plan.optimizer, masks, loss)
        self.hp = Hyperparameters(self.plan.values, self.plan.optimizer_values)
        self.state = start(self.recipe, self.params)
        self.layers = drawing_layers(self.network)
        by_target = any(t.rows or t.draw for t in self.plan.techniques)
        self.targets = self.data.train.y.cpu() if by_target else None
        streams = Streams(seed, 0, self.device)
        self.rows = rows_of_epoch(len(self.data.train), self._values, streams, self.targets)
        self.best: dict[str, Tensor] | None = None
        self.recorder = None if self.unrecorded else Recorder()
        for module in self.network.modules():
            if isinstance(module, Embedding) and isinstance(self.data.train.x, Padded):
                module.mapped = True  # for the batches are cut already

    @property
    def parts(self) -> tuple[Trainer, ...]:
        return (self,)

    @property
    def unrecorded(self) -> str:
        """Why no step is recorded; empty where steps may be."""
        reasons = {
            switched_off(): True,
            f"on {self.device.type} they are not": self.device.type != "cpu",
            "the network is a factory of yours": self.plan.family.own,
            "the optimizer is a function of yours": self.plan.optimizer.own,
            "the loss is a function of yours": is_reference(self.config[LOSS.name]),
            "the network has hooks": hooked(self.network),
        }
        return next((reason for reason, holds in reasons.items() if reason and holds), "")

    @property
    def _values(self) -> list[tuple[Technique, Any]]:
        """The techniques that take part, each with its value."""
        return [(t, self.plan.values[t.name]) for t in self.plan.techniques]

    @property
    def steps(self) -> int:
        """Steps of one epoch."""
        return steps_of(self.rows, self.plan.batch_size)

    def weights(self) -> dict[str, Tensor]:
        now = self.layout.views(self._evaluated()) | self.buffers()
        return {name: tensor.clone() for name, tensor in (self.best or now).items()}

    def buffers(self) -> dict[str, Tensor]:
        """The tensors of the network that are not trained, such as running averages."""
        return untrained(self.network)

    def _next_epoch(self) -> Epoch:
        return Epoch(self.epoch + 1, *self.measured_epoch().tolist())

    def measured_epoch(self) -> Tensor:
        """Trains and evaluates an epoch.

        Returns:
            value, training loss and validation loss, ``[3]`` on the device: reading them is the one
            moment of an epoch at which the host waits for it.
        """
        own = seeded_torch(self.plan.family.own, self.seed, self.epoch, self.device)
        with own, deterministic(self.plan.deterministic, self.device):
            train_loss = self._train_epoch()
            value, validation_loss = self.evaluate()
        read = [each.to(train_loss) for each in (value, train_loss, validation_loss)]
        return torch.stack(read)

    def _train_epoch(self) -> Tensor:
        """Takes the steps of an epoch; the mean of their losses."""
        streams = Streams(self.seed, self.epoch, self.device)
        size, shape = self.plan.batch_size, self.data.shape
        x, weights, rates = self.data.train.x, self.data.train.weight, self.rates()
        last = self.epoch + 1 >= self.plan.epochs
        following = None if last else self._order(self.epoch + 1)
        taking = epoch_of(x, *self._order(self.epoch), following)
        losses: list[Tensor] = []
        self.network.train()
        given = size, shape, self._values, self.layers, streams, self.targets
        for block in batches(self.rows, *given):
            places = [batch.rows for batch in block]
            rows = upload(torch.cat(places), self.device)
            xs = taking(places, rows)
            sizes = [len(each) for each in places]
            ys = batches_of_targets(self.data, torch.split(rows, sizes), self.params.dtype)
            ws = [None] * len(sizes) if weights is None else torch.split(weights[rows], sizes)
            for batch, batch_x, batch_y, weight in zip(block, xs, ys, ws, strict=True):
                losses.append(self._step(batch, batch_x, batch_y, rates[len(losses)], weight))
        mean = torch.stack(losses).mean()
        return mean.to(precision(mean))

    def _order(self, epoch: int) -> Following:
        """The order of the rows of an epoch, and the seed of those that are random."""
        streams = Streams(self.seed, epoch, self.device)
        given = self.rows, self.plan.batch_size, self._values, streams, self.targets
        return partial(order_of, *given), derive(self.seed, epoch, "items")

    def _step(
        self, batch: Batch, x: Tensor, y: Tensor, rate: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        numbers = next_numbers(self.recipe, self.state, self.hp)
        if self.recorder is None:
            return self._by_autograd(batch, x, y, rate, weights, numbers)
        dtype = self.params.dtype
        counted = [torch.tensor(each, dtype=dtype) for each in numbers]

        def call() -> list[Tensor]:
            loss = self._by_autograd(batch, x, y, rate, weights, tuple(counted))
            return [loss, *self.state.made]

        drawn = (part for noise in batch.noise.values() for part in noise)
        known = [] if weights is None else [weights]
        given = [x, y, rate, *known, *counted, *batch.masks, *drawn, *self.state.made]
        left = self.steps * self.plan.epochs - self.state.count
        loss, *made = self.recorder.take(call, given, left)
        self.state.replace(made)
        return loss

    def try_recording(self) -> str:
        """Takes a step, before any epoch; why those of this training are not recorded, if so."""
        if self.recorder is None:
            return self.unrecorded
        streams = Streams(self.seed, 0, self.device)
        given = self.plan.batch_size, self.data.shape, self._values, self.layers, streams
        batch = next(batches(self.rows, *given, self.targets))[0]
        x, weights = self.data.train.x[batch.rows], self.data.train.weight
        if isinstance(self.data.train.x, Padded):
            x = self.data.train.x.cut(x, batch.rows)
        y = training_targets(self.data, batch.rows, self.params.dtype)
        known = None if weights is None else weights[batch.rows]
        self.network.train()
        self._step(batch, x, y, self.rates()[0], known)
        few = "" if self.recorder.functions else "a training has too few of them to pay"
        return self.recorder.reason or few

    def _by_autograd(
        self,
        batch: Batch,
        x: Tensor,
        y: Tensor,
        rate: Tensor,
        weights: Tensor | None,
        numbers: Numbers,
    ) -> Tensor:
        for layer, mask in zip(self.layers, batch.masks, strict=True):
            layer.mask = mask
        loss = batch_loss(self.recipe, self.network, x, y, batch.noise, self.hp, weights)
        change = gradient(loss, self.parameters)
        move(self.recipe, self.state, change, self.hp, rate, numbers)
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
        return upload(rates.to(self.params.dtype), self.device).unbind()

    def _evaluated(self) -> Tensor:
        """The parameters to evaluate: an average of them, where a technique keeps one."""
        params = self.params
        for t in self.plan.techniques:
            if t.evaluate:
                params = t.evaluate(params, self.state.techniques[t.name])
        return params

    def evaluate(self) -> tuple[Tensor, Tensor]:
        """Metric and loss on the validation split, as ``tuner.training.evaluate.evaluate``."""
        trained = self.params.clone()
        self.params.copy_(self._evaluated())
        rows, loss = self.data.validation, self.recipe.loss
        result = evaluate(self.network, rows, self.data, self.metric, loss)
        self.params.copy_(trained)
        return result


# Checks before any trial: of a user's functions, and of networks that may get one row.


def families(study: NetworkStudy) -> list[str]:
    """The factories that a study names."""
    return [name for name in _labels(study, "family") if is_factory(name)]


def _labels(study: NetworkStudy, leaf: str) -> list[str]:
    return _names(next(node.value for node in study.nodes if node.name == leaf))


def _names(value: Any) -> list[str]:
    names = value.labels if isinstance(value, Choice) else (label(value),)
    return [str(name) for name in names]


def check_factories(study: NetworkStudy, data: DataSet, metric: Metric) -> None:
    """Makes each network of the baseline and tries two rows, before any trial.

    Raises:
        StudyFileError: it cannot be made, its output does not fit, or a technique that the study
            names would have no effect.
    """
    names = families(study)
    _check_inside(study, names)
    for name in names:
        wanted = {**study.search.baseline, "family": name}
        config = study.config(params_of(study.nodes, wanted, baseline_value))
        trainer = Trainer(config, data, metric, 0)
        made = factory(name)
        made.try_out(trainer.network.train(), trainer.data.train.x[:2], data.outputs)


def check_losses(study: NetworkStudy, data: DataSet, metric: Metric) -> None:
    """Tries each loss that is a function of the user's on a few rows, before any trial.

    Raises:
        StudyFileError: it cannot be imported here, raises, or its value or gradient is not finite.
    """
    for name in filter(is_reference, _labels(study, LOSS.name)):
        wanted = {**study.search.baseline, LOSS.name: name}
        config = study.config(params_of(study.nodes, wanted, baseline_value))
        rows = torch.arange(min(8, len(data.train)))
        y, weights = training_targets(data, rows, torch.float32), data.train.weight
        drawn = torch.Generator().manual_seed(0)
        outputs = torch.randn(y.shape, generator=drawn).to(y.device).requires_grad_()
        try:
            known = None if weights is None else weights[rows]
            loss = training_loss(config, metric, data.target)(outputs, y, known)
        except TrainingError as error:
            raise StudyFileError(error.message, where=error.where, hint=error.hint) from error
        if not loss.requires_grad:
            what, hint = "the loss has no gradient", "compute it from the outputs with torch alone"
            raise StudyFileError(what, where=name, hint=hint)
        (gradient,) = torch.autograd.grad(loss, outputs)
        if not (loss.isfinite() and gradient.isfinite().all()):
            what = f"the loss of random outputs is {loss.item():g}, or its gradient is not finite"
            raise StudyFileError(what, where=name)


def check_functions(study: NetworkStudy, data: DataSet) -> None:
    """Tries each optimizer, schedule and sampler of rows that is a function of the user's, before
    any trial.

    Raises:
        StudyFileError: it cannot be imported here, fails, or gives something else a second time.
    """

    def sample(config: Config) -> None:
        try_rows(plan(config).values[SAMPLING.name], data.train.y.cpu())

    tries: dict[str, Callable[[Config], None]] = {
        "optimizer": lambda config: optimizers.try_out(*optimizer_of(config)),
        "lr_scheduler": lambda config: schedules.try_out(*schedule_of(config)),
        SAMPLING.name: sample,
    }
    for key, try_out in tries.items():
        for name in filter(is_reference, _labels(study, key)):
            wanted = {**study.search.baseline, key: name}
            try_out(study.config(params_of(study.nodes, wanted, baseline_value)))


def recording(study: NetworkStudy, data: DataSet, metric: Metric) -> dict[str, str]:
    """By family why the steps of the baseline are not recorded; empty where they are."""
    reasons = {}
    for name in _labels(study, "family"):
        wanted = {**study.search.baseline, "family": name}
        config = study.config(params_of(study.nodes, wanted, baseline_value))
        with one_thread():
            reasons[name] = Trainer(config, data, metric, 0).try_recording()
    return reasons


def check_batches(study: NetworkStudy, data: DataSet, metric: Metric) -> None:
    """Tries a single row with each network of the baseline, where a batch may be of one.

    Only with ``batch_size`` 1 does a step get a single row: see ``noise.steps_of``.

    Raises:
        StudyFileError: batch normalization would have nothing but that row to learn from.
    """
    nodes = {node.name: node for node in study.nodes}
    size = nodes["batch_size"].value
    if 1 not in _labels_of(size):
        return
    by_batch = [(nodes[each.name], on) for each in TECHNIQUES for on in each.centres]
    norm, on = next((n for n in by_batch if n[1] in _labels_of(n[0].value)), by_batch[0])
    for name in _names(nodes["family"].value):
        chosen = {norm.name: on} if norm.searched else {}
        wanted = {**study.search.baseline, **chosen, "family": name}
        config = study.config(params_of(study.nodes, wanted, baseline_value))
        trainer = Trainer(config, data, metric, 0)
        if not _takes_one(trainer):
            some = nodes["batch_size"].searched or norm.searched
            own = is_factory(name) and config[norm.name] != on
            by = "its own layers" if own else f"regularization.{norm.name}"
            raise StudyFileError(
                f"{'may be' if some else 'is'} 1, and {name} with {by} normalizes over a batch: "
                "of one row there is nothing to learn",
                where=f"{study.name}: training.batch_size",
                hint="set batch_size to at least 2"
                + ("" if own else f", or regularization.{norm.name} = {toml(norm.leaf.off)}"),
            )


def _labels_of(value: Any) -> tuple[Any, ...]:
    """The values of a leaf that may be chosen; of a range the least."""
    return value.labels if isinstance(value, Choice) else (label(getattr(value, "low", value)),)


@torch.no_grad()
def _takes_one(trainer: Trainer) -> bool:
    try:
        trainer.network.train()(trainer.data.train.x[:1])
    except ValueError as error:
        if ONE_ROW not in str(error):
            raise
        return False
    return True


ONE_ROW = "Expected more than 1 value per channel"
"""torch's error where batch normalization is given a single number of each feature."""


def _check_inside(study: NetworkStudy, names: list[str]) -> None:
    value = next(node.value for node in study.nodes if node.name == "family")
    every = len(value.options) if isinstance(value, Choice) else 1
    if len(names) < every or any(factory(name).inside for name in names):
        return
    for node in walk(study.nodes):
        layer = next((t for t in TECHNIQUES if t.name == node.name and t.layer), None)
        if layer is not None and not node.off:
            raise StudyFileError(
                f"has no effect on {', '.join(names)}, which takes no `inside`",
                where=f"{study.name}: {node.path}",
                hint="remove it, or give the factory a parameter `inside` and place its layers",
            )
