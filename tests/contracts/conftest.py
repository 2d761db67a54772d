"""Small data sets, configurations, and K trials stepped together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad_and_value, vmap
from torch.nn import functional

from tuner.data.dataset import DataSet, Split, Target
from tuner.data.encoders import Number, OneHot
from tuner.data.recipe import Feature, OfColumns
from tuner.data.text import Vocabulary
from tuner.metrics import METRICS
from tuner.models import FAMILIES
from tuner.schedules import learning_rates
from tuner.space import Config, Leaf, Range
from tuner.study.catalogue import SECTIONS
from tuner.training.noise import Batch, Streams, batches
from tuner.training.step import Hyperparameters, batch_loss, start, update
from tuner.training.trainer import Trainer, training_targets

TRAIN, VALIDATION = 29, 12  # batches of 12, 12 and 5


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _data(shape: tuple[int, ...], classes: int) -> DataSet:
    generator = torch.Generator().manual_seed(7)
    rows = TRAIN + VALIDATION
    x = torch.randn(rows, *shape, generator=generator, dtype=torch.float64)
    mean = x.flatten(1) @ torch.randn(x[0].numel(), max(classes, 1), generator=generator).double()
    y = mean.argmax(1) if classes else mean[:, 0] / mean.std()
    names = tuple("abcdefgh"[:classes])
    target = Target("classification" if classes else "regression", names)
    return DataSet(Split(x[:TRAIN], y[:TRAIN]), Split(x[TRAIN:], y[TRAIN:]), shape, target)


def _text() -> DataSet:
    """Texts of one to six of five words; the class is that of the largest."""
    generator = torch.Generator().manual_seed(8)
    rows = TRAIN + VALIDATION
    x = torch.randint(1, 7, (rows, 6), generator=generator, dtype=torch.int32)
    x[torch.arange(6) >= torch.randint(1, 7, (rows, 1), generator=generator)] = 0
    y = x.amax(1).long() % 3
    words = Vocabulary(tuple("abcde"), 6)
    parts = Split(x[:TRAIN], y[:TRAIN]), Split(x[TRAIN:], y[TRAIN:])
    return DataSet(*parts, (6,), Target("classification", tuple("xyz")), vocabulary=words)


def _table() -> DataSet:
    """Two numbers, a column of four categories between them, and one of three at the end."""
    generator = torch.Generator().manual_seed(9)
    rows = TRAIN + VALIDATION
    x = torch.randn(rows, 9, generator=generator, dtype=torch.float64)
    for column in (range(1, 5), range(6, 9)):
        drawn = torch.randint(len(column), (rows,), generator=generator)
        x[:, column.start : column.stop] = functional.one_hot(drawn, len(column)).double()
    y = x[:, 1:4].argmax(1) * x[:, 6].long()
    hot = [("few", OneHot(tuple("abcd"))), ("last", OneHot(tuple("ab"), missing=True))]
    few, last = (
        Feature(name, "categorical", tuple("xyzw"[: len(e.categories) + e.missing]), e, None)
        for name, e in hot
    )
    number = Feature("number", "numeric", ("number",), Number(), None)
    made = OfColumns((9,), (number, few, number, last))
    parts = Split(x[:TRAIN], y[:TRAIN]), Split(x[TRAIN:], y[TRAIN:])
    return DataSet(*parts, (9,), Target("classification", tuple("xyz")), recipe=made)


EMBEDDINGS: list[dict[str, Any]] = [
    {"numbers": "plain"},
    {"numbers": "piecewise-linear", "piecewise-linear.bins": 4, "piecewise-linear.size": 3},
    *(
        {
            "numbers": "periodic",
            "periodic.frequencies": 3,
            "periodic.scale": 0.3,
            "periodic.size": 4,
            "periodic.form": form,
        }
        for form in ("plr", "pbld")
    ),
]
"""Each way in which a network may take a quantity."""


def _weighted(data: DataSet) -> DataSet:
    """The data set with a weight for each row."""
    drawn = torch.rand(TRAIN + VALIDATION, generator=torch.Generator().manual_seed(6)).double()
    splits = {"train": drawn[:TRAIN] + 0.2, "validation": drawn[TRAIN:] + 0.2}
    rows = {n: replace(getattr(data, n), weight=w / w.mean()) for n, w in splits.items()}
    return replace(data, **rows)


def _several(task: Any) -> DataSet:
    """Rows with three labels, or three quantities."""
    x = ROWS.train.x, ROWS.validation.x
    generator = torch.Generator().manual_seed(4)
    values = torch.cat(x) @ torch.randn(5, 3, generator=generator).double()
    y = (values > 0).double() if task == "multilabel" else values / values.std(0)
    units = {} if task == "multilabel" else {"mean": (1.0, 2.0, 3.0), "scale": (0.5, 2.0, 9.0)}
    target = Target(task, names=tuple("abc"), **units)
    return DataSet(Split(x[0], y[:TRAIN]), Split(x[1], y[TRAIN:]), (5,), target)


ROWS, IMAGES, NUMBERS = _data((5,), 3), _data((2, 6, 5), 3), _data((5,), 0)
LABELS, QUANTITIES = _several("multilabel"), _several("regression")
METRIC = {"classification": "cross_entropy", "multilabel": "label_log_loss", "regression": "mse"}
TEXT, TABLE = _text(), _table()


@pytest.fixture(params=EMBEDDINGS, ids=lambda each: each.get("periodic.form", each["numbers"]))
def embedded(request: pytest.FixtureRequest) -> dict[str, Any]:
    """A way in which a network takes a quantity, with a scale of each input."""
    return {**request.param, "input_scale": True}


@pytest.fixture
def rows() -> DataSet:
    return ROWS


@pytest.fixture(params=["classes", "numbers", "labels", "quantities"])
def weighted(request: pytest.FixtureRequest) -> DataSet:
    """Rows that have weights."""
    kinds = {"classes": ROWS, "numbers": NUMBERS, "labels": LABELS, "quantities": QUANTITIES}
    return _weighted(kinds[request.param])


@pytest.fixture
def labels() -> DataSet:
    return LABELS


@pytest.fixture
def quantities() -> DataSet:
    return QUANTITIES


@pytest.fixture
def data_of() -> Callable[[str], DataSet]:
    """Data of a task."""
    return {"classification": ROWS, "multilabel": LABELS, "regression": NUMBERS}.__getitem__


@pytest.fixture
def table() -> DataSet:
    return TABLE


@pytest.fixture
def images() -> DataSet:
    return IMAGES


@pytest.fixture
def numbers() -> DataSet:
    return NUMBERS


def _values(leaf: Leaf) -> list[Any]:
    """Values of a leaf that are not off: the ends and the middle of what is suggested."""
    span = leaf.search
    if isinstance(span, Range):
        middle = (span.low * span.high) ** 0.5 if span.log else (span.low + span.high) / 2
        return [span.low, round(middle) if span.integer else middle, span.high]
    return [value for value in span or (leaf.default,) if value != leaf.off]


def _config(**changes: Any) -> Config:
    """Every leaf at its default, small and short, but for the changes (``__`` stands for a dot)."""
    defaults = {leaf.name: leaf.default for leaves in SECTIONS.values() for leaf in leaves}
    small = {"epochs": 3, "batch_size": 12, "depth": 2, "width": 6, "channels": 4, "filters": 3}
    small |= {"heads": 2, "head_width": 3, "expansion": 2}
    return defaults | small | {name.replace("__", "."): value for name, value in changes.items()}


def _train(config: Config, data: DataSet, seed: int = 5, **options: Any) -> Trainer:
    """A trainer that has run to its end, in float64 unless told otherwise."""
    trainer = _trainer(config, data, seed, **options)
    for _ in trainer.epochs():
        pass
    return trainer


def _trainer(config: Config, data: DataSet, seed: int = 5, **options: Any) -> Trainer:
    metric = METRICS[METRIC[data.target.task]]
    return Trainer(config, data, metric, seed, **{"dtype": torch.float64, **options})


@pytest.fixture
def values() -> Callable[[Leaf], list[Any]]:
    return _values


@pytest.fixture
def config() -> Callable[..., Config]:
    return _config


@pytest.fixture
def train() -> Callable[..., Trainer]:
    return _train


@pytest.fixture
def trainer() -> Callable[..., Trainer]:
    return _trainer


@pytest.fixture
def data_for() -> Callable[[str], DataSet]:
    """Data that fits a family."""
    others = [("images", IMAGES), ("text", TEXT)]
    return lambda family: next((d for n, d in others if getattr(FAMILIES[family], n)), ROWS)


def _column(numbers: Sequence[Any], device: torch.device | str) -> Any:
    """``[K, 1]`` of K numbers; what is no number must be the same for all."""
    if isinstance(numbers[0], bool) or not isinstance(numbers[0], int | float):
        assert all(each == numbers[0] for each in numbers)
        return numbers[0]
    return torch.tensor(numbers, dtype=torch.float64, device=device).unsqueeze(1)


class Stack:
    """K trials that share their static leaves, stepped together.

    Each trial's network, initial weights and noise are those of a trainer of its own, which is
    never trained; techniques that are on in any trial take part in all.
    """

    def __init__(
        self,
        configs: Sequence[Config],
        data: DataSet,
        seeds: Sequence[int],
        device: torch.device | str = "cpu",
    ) -> None:
        names = {t.name for c in configs for t in _trainer(c, data).plan.techniques}
        pairs = zip(configs, seeds, strict=True)
        self.trials = [_trainer(c, data, seed, keep=names, device=device) for c, seed in pairs]
        self.data, self.device, self.first = data, device, self.trials[0]
        self.network, self.recipe = self.first.network.train(), self.first.recipe
        self.state = start(self.recipe, torch.stack([t.params for t in self.trials]))
        self.state.count = torch.zeros(len(self.trials), 1, dtype=torch.float64, device=device)
        self.hp = Hyperparameters(
            self._columns([t.plan.values for t in self.trials]),
            self._columns([t.plan.optimizer_values for t in self.trials]),
        )
        self.buffers = {
            name: torch.stack([t.buffers()[name] for t in self.trials])
            for name in self.first.buffers()
        }
        for module in self.network.modules():
            if hasattr(module, "mapped"):
                module.mapped = True
        modules = self.network.named_modules()
        self.masks = [f"{name}.mask" for name, module in modules if hasattr(module, "draw")]

    def _columns(self, hp: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return {name: _column([values[name] for values in hp], self.device) for name in hp[0]}

    def train(self) -> list[Tensor]:
        """Trains all epochs; the mean loss of each epoch, ``[epochs, K]``."""
        every = [self._rates(t) for t in self.trials]
        rates = torch.tensor(every, dtype=torch.float64, device=self.device)
        losses: list[Tensor] = []
        means = []
        for epoch in range(self.first.plan.epochs):
            for step in zip(*(self._batches(t, epoch) for t in self.trials), strict=True):
                losses.append(self._step(step, rates[:, len(losses), None]))
            means.append(torch.stack(losses[-self.first.steps :]).mean(0))
        return means

    def _rates(self, trial: Trainer) -> list[float]:
        of, total = trial.plan, trial.steps * trial.plan.epochs
        multipliers = learning_rates(
            of.schedule, total, 0, total, warmup=of.warmup, **of.schedule_values
        )
        return [of.learning_rate * multiplier for multiplier in multipliers]

    def _batches(self, trial: Trainer, epoch: int) -> list[Batch]:
        techniques = [(t, trial.plan.values[t.name]) for t in trial.plan.techniques]
        streams = Streams(trial.seed, epoch, trial.device)
        rows, size, shape = trial.rows, trial.plan.batch_size, self.data.shape
        blocks = batches(rows, size, shape, techniques, trial.layers, streams, trial.targets)
        return [batch for block in blocks for batch in block]

    def _targets(self, batch: Batch) -> Tensor:
        return training_targets(self.first.data, batch.rows, torch.float64)

    def _step(self, step: Sequence[Batch], rate: Tensor) -> Tensor:
        """One step of all trials; their losses ``[K]``."""
        x = torch.stack([self.first.data.train.x[batch.rows] for batch in step])
        y = torch.stack([self._targets(batch) for batch in step])
        noise = {
            name: tuple(torch.stack(parts) for parts in zip(*each, strict=True))
            for name, each in ((name, [b.noise[name] for b in step]) for name in step[0].noise)
        }
        masks = [torch.stack(parts) for parts in zip(*(b.masks for b in step), strict=True)]
        known = self.first.data.train.weight
        each = [] if known is None else [torch.stack([known[batch.rows] for batch in step])]
        named = dict(zip(self.masks, masks, strict=True))
        single = {n: v[:, 0] for n, v in self.hp.techniques.items() if isinstance(v, Tensor)}

        def loss(vector: Tensor, buffers: dict[str, Tensor], *rest: Any) -> Tensor:
            x, y, noise, masks, single, weights = rest  # a list of one, or none
            tensors = self.first.layout.views(vector) | buffers | masks
            hp = Hyperparameters({**self.hp.techniques, **single}, {})

            def forward(x: Tensor) -> Tensor:
                return functional_call(self.network, tensors, x)  # type: ignore[no-any-return]

            return batch_loss(self.recipe, forward, x, y, noise, hp, *weights)

        stacked = (self.state.params, self.buffers, x, y, noise, named, single, each)
        gradient, losses = vmap(grad_and_value(loss))(*stacked)
        update(self.recipe, self.state, gradient, self.hp, rate)
        return losses


@pytest.fixture
def stack() -> type[Stack]:
    return Stack
