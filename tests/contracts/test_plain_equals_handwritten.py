"""The plain trainer gives the numbers of a loop written with torch alone, in float64."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence
from torch.optim import lr_scheduler
from torch.optim.swa_utils import AveragedModel

from tuner.data.dataset import DataSet
from tuner.losses import LOSSES
from tuner.models.base import ACTIVATIONS
from tuner.optimizers import OPTIMIZERS
from tuner.schedules import SCHEDULES
from tuner.space import Config, Leaf
from tuner.training.noise import Batch, Streams, batches
from tuner.training.trainer import Trainer

LONG = 5  # epochs of 4 steps: 20 steps, which the schedules' parts and cycles divide


class Lion(torch.optim.Optimizer):
    """Algorithm 2 of Chen et al. 2023 as it stands there."""

    def __init__(self, params: Any, lr: float, beta1: float, beta2: float) -> None:
        super().__init__(params, {"lr": lr, "beta1": beta1, "beta2": beta2, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            beta1, beta2, lr = group["beta1"], group["beta2"], group["lr"]
            for p in group["params"]:
                g = p.grad + group["weight_decay"] * p
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                p -= lr * torch.sign(beta1 * m + (1 - beta1) * g)
                m.copy_(beta2 * m + (1 - beta2) * g)


CLASSES: dict[str, Any] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
    "adadelta": torch.optim.Adadelta,
    "nadam": torch.optim.NAdam,
    "lion": Lion,
}
SCHEDULERS: dict[str, Callable[..., Any]] = {
    "constant": lambda o, n, lr: lr_scheduler.ConstantLR(o, 1.0, n),
    "exponential": lambda o, n, lr, final: lr_scheduler.ExponentialLR(o, final ** (1 / n)),
    "polynomial": lambda o, n, lr, power: lr_scheduler.PolynomialLR(o, n, power),
    "cosine": lambda o, n, lr, final: lr_scheduler.CosineAnnealingLR(o, n, final * lr),
    "cosine_restarts": lambda o, n, lr, cycles, final: lr_scheduler.CosineAnnealingWarmRestarts(
        o, n // cycles, eta_min=final * lr
    ),
    "step": lambda o, n, lr, gamma, parts: lr_scheduler.StepLR(o, n // parts, gamma),
    "one_cycle": lambda o, n, lr, peak_at, initial, final: lr_scheduler.OneCycleLR(
        o,
        lr,
        total_steps=n + 1,
        pct_start=(peak_at * n + 1) / (n + 1),
        div_factor=1 / initial,
        final_div_factor=initial / final,
        cycle_momentum=False,
    ),
    "flat-cosine": lambda o, n, lr, flat, final: lr_scheduler.LambdaLR(
        o, lambda step: np.cos(np.pi / 2 * max(0, step / n - flat) / (1 - flat)) ** 2
    ),
}
EVEN = {"cosine_restarts.cycles": 4, "step.parts": 4}
"""torch's schedulers count whole steps, so their parts must divide 20, or 16 after a warm-up."""


class GivenDropout(nn.Dropout):
    """Dropout that is told what to drop."""

    mask: Tensor

    def forward(self, input: Tensor) -> Tensor:
        return input * self.mask if self.training else input


class Skip(nn.Module):
    """A residual block, whose branch some rows leave out."""

    def __init__(self, config: Config, depth: float, *block: nn.Module) -> None:
        super().__init__()
        self.block = nn.Sequential(*block)
        rate = config["stochastic_depth"] * depth
        self.drop = nn.Sequential(*[GivenDropout(rate)] * bool(rate))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.drop(self.block(x))  # type: ignore[no-any-return]


def _norm(config: Config, width: int, batch: type[nn.Module]) -> list[nn.Module]:
    """Of features, over the batch or each row of them."""
    if config["batch_norm"] or config["normalization"] == "batch":
        return [batch(width)]
    if config["normalization"] == "none":
        return []
    maps = batch is nn.BatchNorm2d
    return [nn.GroupNorm(max(1, width // 8), width) if maps else nn.LayerNorm(width)]


def _has_bias(config: Config) -> bool:
    return not config["batch_norm"] and config["normalization"] != "batch"


def _dropout(config: Config) -> list[nn.Module]:
    return [GivenDropout(config["dropout"])] if config["dropout"] else []


class Curve(nn.Module):
    """An activation by its formula."""

    FORMULAS: ClassVar[dict[str, Callable[[Tensor], Tensor]]] = {
        "relu": lambda x: x.clamp(min=0),
        "gelu": lambda x: x * (1 + torch.erf(x / 2**0.5)) / 2,
        "silu": lambda x: x / (1 + torch.exp(-x)),
        "mish": lambda x: x * torch.tanh(torch.log(1 + torch.exp(x))),
        "selu": lambda x: (
            1.0507009873554805 * torch.where(x > 0, x, 1.6732632423543772 * x.expm1())
        ),
        "leaky_relu": lambda x: torch.where(x > 0, x, x / 100),
        "tanh": lambda x: 1 - 2 / (1 + torch.exp(2 * x)),
    }

    def __init__(self, name: str) -> None:
        super().__init__()
        self.formula = self.FORMULAS[name]

    def forward(self, x: Tensor) -> Tensor:
        return self.formula(x)


def mlp(config: Config, data: DataSet) -> nn.Sequential:
    layers: list[nn.Module] = []
    entering = data.shape[0]
    for number in range(config["depth"]):
        block: list[nn.Module] = [nn.Linear(entering, config["width"], bias=_has_bias(config))]
        block += _norm(config, config["width"], nn.BatchNorm1d)
        block += [Curve(config.get("activation", "relu")), *_dropout(config)]
        if config.get("residual", False) and entering == config["width"]:
            block = [Skip(config, (number + 1) / config["depth"], *block)]
        layers += block
        entering = config["width"]
    return nn.Sequential(*layers, nn.Linear(entering, data.outputs))


class Ensemble(nn.Module):
    """Members of one network, one after the other, in loops over what each has of its own."""

    def __init__(self, config: Config, data: DataSet) -> None:
        super().__init__()
        self.config, self.members = config, config["members"]
        sizes = [data.shape[0], *[config["width"]] * config["depth"], data.outputs]
        self.layers = nn.ModuleList()
        for entering, leaving in pairwise(sizes):
            layer = nn.Module()
            layer.weight = nn.Parameter(torch.empty(leaving, entering))
            layer.r = nn.Parameter(torch.empty(self.members * entering))
            layer.s = nn.Parameter(torch.empty(self.members * leaving))
            if len(self.layers) == config["depth"] or not config["batch_norm"]:
                layer.bias = nn.Parameter(torch.empty(self.members * leaving))
            self.layers.append(layer)
            if len(self.layers) <= config["depth"]:
                between = [nn.BatchNorm1d(self.members * leaving)] if config["batch_norm"] else []
                layer.then = nn.Sequential(*between, nn.ReLU(), *_dropout(config))

    def forward(self, x: Tensor) -> Tensor:
        each = [x] * self.members
        for layer in self.layers:
            r, s = layer.r.chunk(self.members), layer.s.chunk(self.members)
            each = [(m * r[k]) @ layer.weight.T * s[k] for k, m in enumerate(each)]
            if hasattr(layer, "bias"):
                bias = layer.bias.chunk(self.members)
                each = [m + bias[k] for k, m in enumerate(each)]
            if hasattr(layer, "then"):
                each = [*layer.then(torch.cat(each, 1)).chunk(self.members, 1)]
        if self.training:
            return torch.stack(each)
        if each[0].shape[1] == 1:
            return torch.stack(each).mean(0)
        return torch.stack([m.softmax(1) for m in each]).mean(0).log()


def cnn(config: Config, data: DataSet) -> nn.Sequential:
    """Two blocks; images of 6x5 are pooled once, to 3x2, and the channels double."""
    layers: list[nn.Module] = []
    for entering, leaving in ((2, 4), (4, 8)):
        layers.append(nn.Conv2d(entering, leaving, 3, padding=1, bias=_has_bias(config)))
        layers += _norm(config, leaving, nn.BatchNorm2d)
        layers += [nn.ReLU(), *_dropout(config)]
        layers += [nn.MaxPool2d(2)] if entering == 2 else []
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))


class Reading(nn.Module):
    """What the networks of text have in common: texts of their own length, nothing filled up."""

    wide: int

    def __init__(self, config: Config, data: DataSet) -> None:
        super().__init__()
        assert data.vocabulary is not None
        self.words = nn.Embedding(data.vocabulary.size, 64, padding_idx=0)
        self.build(config)
        self.norm = nn.Sequential(*_norm(config, self.wide, nn.BatchNorm1d))
        self.dropout = nn.Sequential(*_dropout(config))
        self.head = nn.Linear(self.wide, data.outputs)

    def build(self, config: Config) -> None: ...

    def read(self, texts: list[Tensor]) -> Tensor: ...  # type: ignore[empty-body]

    def forward(self, x: Tensor) -> Tensor:
        found = self.read([self.words(row[row > 0]) for row in x])
        return self.head(self.dropout(found))  # type: ignore[no-any-return]


class Convolutions(Reading):
    wide = 9

    def build(self, config: Config) -> None:
        bias = _has_bias(config)
        self.windows = nn.ModuleList(nn.Conv1d(64, 3, width, bias=bias) for width in (3, 4, 5))

    def read(self, texts: list[Tensor]) -> Tensor:
        found = []
        for text in texts:
            ended = [functional.pad(text.T, (0, w.kernel_size[0] - 1)) for w in self.windows]
            largest = [w(x).amax(1) for w, x in zip(self.windows, ended, strict=True)]
            found.append(torch.cat(largest))
        return self.norm(torch.stack(found)).relu()  # type: ignore[no-any-return]


class Recurrent(Reading):
    wide = 12

    def build(self, config: Config) -> None:
        both: Any = {"batch_first": True, "bidirectional": True}
        self.layers = nn.ModuleList(nn.GRU(size, config["width"], **both) for size in (64, 12))
        self.before = nn.ModuleList(nn.Sequential(*_dropout(config)) for _ in self.layers)

    def read(self, texts: list[Tensor]) -> Tensor:
        lengths = torch.tensor([len(text) for text in texts])
        x = pad_sequence(texts, batch_first=True)
        for before, layer in zip(self.before, self.layers, strict=True):
            x = before(x.mT).mT
            packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            x = pad_packed_sequence(layer(packed)[0], batch_first=True)[0]
        found = [text[:count].amax(0) for text, count in zip(x, lengths, strict=True)]
        return self.norm(torch.stack(found))  # type: ignore[no-any-return]


class EachStep(nn.Module):
    """A layer for ``[B, C, L]`` on ``[B, L, C]``."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.mT).mT  # type: ignore[no-any-return]


class Attending(Reading):
    """torch's own encoder layers; to each place the sines and cosines of its number."""

    wide = 6

    def __init__(self, config: Config, data: DataSet) -> None:
        super().__init__(config, data)
        assert data.vocabulary is not None
        self.words = nn.Embedding(data.vocabulary.size, 6, padding_idx=0)

    def build(self, config: Config) -> None:
        self.layers = nn.ModuleList()
        for number in range(config["depth"]):
            layer = nn.TransformerEncoderLayer(
                6, 2, 12, 0.0, activation=functional.relu, norm_first=True, batch_first=True
            )
            layer.self_attn.in_proj_bias = None
            layer.dropout = nn.Sequential(*map(EachStep, _dropout(config)))
            rate = config["stochastic_depth"] * (number + 1) / config["depth"]
            ends = [[GivenDropout(rate)] * bool(rate) for _ in range(2)]
            layer.dropout1 = nn.Sequential(*map(EachStep, _dropout(config)), *ends[0])
            layer.dropout2 = nn.Sequential(*ends[1])
            self.layers.append(layer)
        self.last = nn.LayerNorm(6, bias=_has_bias(config))

    def read(self, texts: list[Tensor]) -> Tensor:
        lengths = torch.tensor([len(text) for text in texts])
        x = pad_sequence(texts, batch_first=True) * 6**0.5
        for t in range(x.shape[1]):
            waves = [(np.sin, np.cos)[i % 2](t / 10_000 ** (i // 2 * 2 / 6)) for i in range(6)]
            x[:, t] += torch.tensor(waves).float()
        beyond = torch.arange(x.shape[1]) >= lengths[:, None]
        for layer in self.layers:
            x = layer(x, src_key_padding_mask=beyond)
        means = [text[:count].mean(0) for text, count in zip(self.last(x), lengths, strict=True)]
        return self.norm(torch.stack(means))  # type: ignore[no-any-return]


class Bins(nn.Module):
    """How far two numbers are through bins between quantiles, one number and one bin at a time."""

    def __init__(self, config: Config, data: DataSet) -> None:
        super().__init__()
        self.bins, self.size = config["piecewise-linear.bins"], config["piecewise-linear.size"]
        levels = np.linspace(0, 1, self.bins + 1)
        self.ends = [np.quantile(data.train.x[:, place], levels).tolist() for place in (0, 5)]
        self.weight = nn.Parameter(torch.empty(2, self.bins, self.size))
        self.bias = nn.Parameter(torch.empty(2 * self.size))

    def forward(self, x: Tensor, j: int) -> Tensor:
        ends, through = self.ends[j], []
        for t in range(self.bins):
            entry = (x - ends[t]) / (ends[t + 1] - ends[t])
            entry = entry.clamp(min=0) if t > 0 else entry
            through.append(entry.clamp(max=1) if t < self.bins - 1 else entry)
        bias = self.bias[j * self.size : (j + 1) * self.size]
        return functional.relu(torch.stack(through, 1) @ self.weight[j] + bias)


class Waves(nn.Module):
    """Waves of two numbers, one at a time."""

    def __init__(self, config: Config, data: DataSet) -> None:
        super().__init__()
        self.count, self.size = config["periodic.frequencies"], config["periodic.size"]
        self.dense = config["periodic.form"] == "pbld"
        leaving = self.size - 1 if self.dense else self.size
        self.frequencies = nn.Parameter(torch.empty(2 * self.count))
        if self.dense:
            self.phases = nn.Parameter(torch.empty(2 * self.count))
        self.weight = nn.Parameter(torch.empty(2, self.count * (1 if self.dense else 2), leaving))
        self.bias = nn.Parameter(torch.empty(2 * leaving))

    def forward(self, x: Tensor, j: int) -> Tensor:
        mine = slice(j * self.count, (j + 1) * self.count)
        angles = 2 * np.pi * x[:, None] * self.frequencies[mine]
        weight, bias = self.weight[j], self.bias.chunk(2)[j]
        if self.dense:
            return torch.cat((x[:, None], (angles + self.phases[mine]).cos() @ weight + bias), 1)
        return functional.relu(torch.cat((angles.sin(), angles.cos()), 1) @ weight + bias)


class Entrance(nn.Module):
    """What becomes of a row of the table before the family's network.

    Vectors of categories are looked up by number; embeddings of the numbers stand before them.
    """

    def __init__(self, config: Config, data: DataSet) -> None:
        super().__init__()
        kinds = {"piecewise-linear": Bins, "periodic": Waves}
        name = config["numbers"]
        self.numbers = kinds[name](config, data) if name in kinds else None
        few, last, own = 4, 3, self.numbers.size if self.numbers else 1
        self.lookup = config["categories"] == "embedding"
        if self.lookup:
            few = last = min(config["embedding.size"], 2)  # of 4 and of 3 numbers at most 2
            self.vectors = nn.ParameterList([torch.empty(few, 4), torch.empty(last, 3)])
        width = 2 * own + few + last
        self.scale = nn.ParameterList([torch.empty(width)] if config["input_scale"] else [])
        of_rest = replace(data, shape=(width,), recipe=None)
        self.rest = NETWORKS[config["family"]](config, of_rest)

    def forward(self, x: Tensor) -> Tensor:
        first, few, second, last = x[:, :1], x[:, 1:5], x[:, 5:6], x[:, 6:9]
        if self.lookup:
            few = functional.embedding(few.argmax(1), self.vectors[0].T)
            last = functional.embedding(last.argmax(1), self.vectors[1].T)
        parts = (first, few, second, last)
        if self.numbers:
            parts = (self.numbers(x[:, 0], 0), self.numbers(x[:, 5], 1), few, last)
        x = torch.cat(parts, 1)
        return self.rest(x * self.scale[0] if len(self.scale) else x)  # type: ignore[no-any-return]


def network(config: Config, data: DataSet) -> nn.Module:
    changes = config["categories"] != "one-hot" or config["numbers"] != "plain"
    if changes or config["input_scale"]:
        return Entrance(config, data)
    return NETWORKS[config["family"]](config, data)


NETWORKS: dict[str, Callable[[Config, DataSet], nn.Module]] = {
    "mlp": lambda config, data: (Ensemble if config.get("members", 1) > 1 else mlp)(config, data),
    "cnn": cnn,
    "linear": lambda config, data: nn.Sequential(nn.Linear(data.shape[0], data.outputs)),
    "rnn": Recurrent,
    "text-cnn": Convolutions,
    "transformer": Attending,
}


def _brier(outputs: Tensor, y: Tensor) -> Tensor:
    hot = functional.one_hot(y, outputs.shape[1])
    return ((functional.softmax(outputs, 1) - hot) ** 2).sum() / len(y)


def _pinball(outputs: Tensor, y: Tensor) -> Tensor:
    below = y - outputs
    return torch.where(below > 0, 0.9 * below, -0.1 * below).mean()


ERRORS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "auto": nn.MSELoss(),
    "mse": nn.MSELoss(),
    "mae": nn.L1Loss(),
    "mape": lambda outputs, y: ((outputs - y).abs() / y.abs().clamp(0.01)).mean(),
    "pinball": _pinball,
}


@dataclass
class HandWritten:
    """The loop, step by step as a tutorial would have it.

    Args:
        fresh: an untrained trainer: its initial weights, and its draws by seed and epoch.
        penalty: L2 as a term of the loss, or as the optimizer's own ``weight_decay``.
    """

    config: Config
    data: DataSet
    fresh: Trainer
    penalty: str = "loss"

    def __post_init__(self) -> None:
        config = self.config
        self.network = network(config, self.data).double()
        ours = self.fresh.network.parameters()
        for mine, theirs in zip(self.network.parameters(), ours, strict=True):
            mine.data.copy_(theirs.detach())
        self.weights = [p for p in self.network.parameters() if p.dim() > 1]
        self.optimizer = self._optimizer()
        self.scheduler = self._scheduler()
        self.dropouts = [m for m in self.network.modules() if isinstance(m, GivenDropout)]
        self.average = AveragedModel(self.network, avg_fn=self._averaged)
        self.average.update_parameters(self.network)

    def _averaged(self, average: Tensor, params: Tensor, number: Any) -> Tensor:
        steps = int(number) - 1
        decay = min(self.config["ema"], (1 + steps) / (10 + steps))
        return decay * average + (1 - decay) * params

    def _optimizer(self) -> torch.optim.Optimizer:
        name = self.config["optimizer"]
        leaves = OPTIMIZERS[name].leaves
        hp = {x.name: self.config.get(f"{name}.{x.name}", x.default) for x in leaves}
        if name in ("adam", "nadam"):
            hp["betas"] = (hp.pop("beta1"), hp.pop("beta2"))
        l2 = self.config["l2_lambda"] if self.penalty == "optimizer" else 0.0
        kind, decay = CLASSES[name], l2
        if self.config["weight_decay"] and name == "adam":
            kind, decay = torch.optim.AdamW, self.config["weight_decay"]
        groups: dict[tuple[bool, float], list[Tensor]] = {}
        for place, p in self.network.named_parameters():
            groups.setdefault((p.dim() > 1, self._factor(place)), []).append(p)
        rate = self.config["learning_rate"]
        listed = [
            {"params": some, "weight_decay": decay if weights else 0.0, "lr": rate * factor}
            for (weights, factor), some in groups.items()
        ]
        return kind(listed, lr=rate, **hp)  # type: ignore[no-any-return]

    def _factor(self, name: str) -> float:
        """Of a parameter's learning rate."""
        factor: float = self.config["bias_rate"] if "bias" in name else 1.0
        if name.startswith(("0.", "layers.0.", "rest.0.", "rest.layers.0.", "words.")):
            factor *= self.config["first_layer_rate"]
        return factor * (self.config["scale_rate"] if name.startswith("scale.") else 1.0)

    def _scheduler(self) -> Any:
        name, rate = self.config["lr_scheduler"], self.config["learning_rate"]
        total = self.config["epochs"] * 4
        rising = round(self.config["warmup"] * total)
        leaves = {
            x.name: self.config.get(f"{name}.{x.name}", x.default) for x in SCHEDULES[name].leaves
        }
        if name == "coslog4":  # it begins at 0, and so there is nothing to rise to
            places = [max(0, step - rising) / (total - rising) for step in range(total + 1)]
            waves = np.sin(np.pi * np.log2(1 + 15 * np.array(places))) ** 2
            return lr_scheduler.LambdaLR(self.optimizer, lambda step: float(waves[step]))
        main = SCHEDULERS[name](self.optimizer, total - rising, rate, **leaves)
        if not rising:
            return main
        up = lr_scheduler.LinearLR(self.optimizer, 1 / rising, 1.0, total_iters=rising - 1)
        return lr_scheduler.SequentialLR(self.optimizer, [up, main], milestones=[rising])

    def train(self) -> list[float]:
        """The validation loss after each epoch."""
        values = []
        for epoch in range(self.config["epochs"]):
            self.network.train()
            for batch in self._batches(epoch):
                self._step(batch)
            evaluated = self.average.module if self.config["ema"] else self.network
            evaluated.eval()
            with torch.no_grad():
                outputs, y = evaluated(self.data.validation.x), self.data.validation.y
                values.append(float(self._measured(outputs, y)))
        return values

    def _measured(self, outputs: Tensor, y: Tensor) -> Tensor:
        target = self.data.target
        if target.task == "classification":
            return functional.cross_entropy(outputs, y)
        if target.task == "multilabel":
            return functional.binary_cross_entropy(outputs.sigmoid(), y)
        return ((outputs.reshape(y.shape) - y) * torch.tensor(target.scale)).square().mean()

    def _batches(self, epoch: int) -> Iterable[Batch]:
        plan, streams = self.fresh.plan, Streams(self.fresh.seed, epoch, torch.device("cpu"))
        drawing = [(t, plan.values[t.name]) for t in plan.techniques]
        rows, layers = len(self.data.train), self.fresh.layers
        shape, y = self.data.shape, self.data.train.y
        classes = y if self.data.target.classes else None
        for block in batches(rows, plan.batch_size, shape, drawing, layers, streams, classes):
            yield from block

    def _step(self, batch: Batch) -> None:
        config = self.config
        for layer, mask in zip(self.dropouts, batch.masks, strict=True):
            layer.mask = mask
        x, y = self.data.train.x[batch.rows], self.data.train.y[batch.rows]
        self.optimizer.zero_grad()
        if "cutmix" in batch.noise:
            loss = self._loss_of_cutmix(x, y, *batch.noise["cutmix"])
        else:
            loss = self._loss(x, y, *batch.noise.get("mixup", ()))
        if config["l1_lambda"]:
            loss = loss + config["l1_lambda"] * sum(w.abs().sum() for w in self.weights)
        if config["l2_lambda"] and self.penalty == "loss":
            loss = loss + config["l2_lambda"] / 2 * sum(w.square().sum() for w in self.weights)
        loss.backward()
        if config["gradient_clipping"]:
            clip_grad_norm_(self.network.parameters(), config["gradient_clipping"])
        if config["weight_decay"] and config["optimizer"] != "adam":
            with torch.no_grad():
                for group in self.optimizer.param_groups:
                    for w in group["params"]:
                        if w.dim() > 1:
                            w.mul_(1 - group["lr"] * config["weight_decay"])
        self.optimizer.step()
        self.scheduler.step()
        self.average.update_parameters(self.network)

    def _criterion(self) -> Callable[[Tensor, Tensor], Tensor]:
        """torch's, summed and divided by the rows: its own mean divides by the rows' weights."""
        if self.config["loss"] == "brier":
            return _brier
        if self.data.target.task == "multilabel":
            half = self.config["label_smoothing"] / 2
            bce = nn.BCEWithLogitsLoss()
            return lambda outputs, targets: bce(outputs, targets * (1 - 2 * half) + half)
        smoothing, y = self.config["label_smoothing"], self.data.train.y.numpy()
        if self.config["class_weights"] == "none":
            return nn.CrossEntropyLoss(label_smoothing=smoothing)
        weight = torch.from_numpy(compute_class_weight("balanced", classes=np.unique(y), y=y))
        summed = nn.CrossEntropyLoss(weight, label_smoothing=smoothing, reduction="sum")
        return lambda outputs, targets: summed(outputs, targets) / len(targets)

    def _loss(self, x: Tensor, y: Tensor, share: Tensor | None = None) -> Tensor:
        if self.config.get("members", 1) > 1:
            classes = self.data.target.task == "classification"
            loss = self._criterion() if classes else functional.mse_loss
            losses = [loss(outputs if classes else outputs[:, 0], y) for outputs in self.network(x)]
            return torch.stack(losses).mean()
        if self.data.target.task == "regression":
            criterion = ERRORS[self.config["loss"]]
            return criterion(self.network(x).reshape(y.shape), y)
        criterion = self._criterion()
        if share is None:
            return criterion(self.network(x), y)
        partner = torch.arange(len(x)) - 1  # the row before, the last row's for the first
        outputs = self.network(share * x + (1 - share) * x[partner])
        return share * criterion(outputs, y) + (1 - share) * criterion(outputs, y[partner])

    def _loss_of_cutmix(self, x: Tensor, y: Tensor, share: Tensor, centre: Tensor) -> Tensor:
        """The authors' own code, but for the order of the images, which is random already."""
        height, width = x.shape[2:]
        partner = torch.arange(len(x)) - 1
        cut = np.sqrt(1.0 - float(share))
        middle = int(centre[0] * height), int(centre[1] * width)
        half = int(height * cut) // 2, int(width * cut) // 2
        top, left = (max(0, m - h) for m, h in zip(middle, half, strict=True))
        bottom, right = (
            min(n, m + h) for m, h, n in zip(middle, half, (height, width), strict=True)
        )
        x = x.clone()
        x[:, :, top:bottom, left:right] = x[partner, :, top:bottom, left:right]
        own = 1 - (bottom - top) * (right - left) / (height * width)
        outputs, criterion = self.network(x), self._criterion()
        return own * criterion(outputs, y) + (1 - own) * criterion(outputs, y[partner])


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        # SequentialLR passes a step on in a way that torch itself deprecates
        warnings.filterwarnings("ignore", message="The epoch parameter", category=UserWarning)
        yield


def _by_hand(
    config: Config, data: DataSet, fresh: Trainer, penalty: str
) -> tuple[HandWritten, list[float]]:
    torch.set_default_dtype(torch.float64)  # torch.optim.NAdam's own numbers have the default one
    try:
        hand = HandWritten(config, data, fresh, penalty)
        return hand, hand.train()
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.fixture
def check(config: Any, trainer: Any) -> Callable[..., None]:
    def run(data: DataSet, *, penalty: str = "loss", **changes: Any) -> None:
        small = {"epochs": 2, "batch_size": 8, "learning_rate": 0.02}
        of = config(**(small | EVEN | changes))
        hand, values = _by_hand(of, data, trainer(of, data), penalty)
        tuned: Trainer = trainer(of, data)
        epochs = list(tuned.epochs())
        assert [e.value for e in epochs] == pytest.approx(values, rel=1e-9, abs=1e-9)
        flat = torch.cat([p.detach().reshape(-1) for p in hand.network.parameters()])
        torch.testing.assert_close(tuned.params, flat, rtol=1e-9, atol=1e-9)
        theirs = {n: b for n, b in hand.network.named_buffers() if "running" in n}
        ours = {n: b for n, b in tuned.buffers().items() if "running" in n}
        for a, b in zip(ours.values(), theirs.values(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)

    return run


def _rate(optimizer: str) -> float:
    return OPTIMIZERS[optimizer].learning_rate


PENALTIES: dict[str, dict[str, float]] = {
    "none": {},
    "l1": {"l1_lambda": 1e-2},
    "l2": {"l2_lambda": 5e-2},
    "weight_decay": {"weight_decay": 0.1},
    "clipping": {"gradient_clipping": 0.3},
    "all": {
        "l1_lambda": 1e-2,
        "l2_lambda": 5e-2,
        "weight_decay": 0.1,
        "gradient_clipping": 0.3,
    },
}


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_with_every_penalty(
    optimizer: str, penalty: str, check: Any, rows: DataSet
) -> None:
    rate = _rate(optimizer)
    check(rows, optimizer=optimizer, learning_rate=rate, **PENALTIES[penalty])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_l2_is_the_optimizers_weight_decay(optimizer: str, check: Any, rows: DataSet) -> None:
    rate = _rate(optimizer)
    check(rows, penalty="optimizer", optimizer=optimizer, learning_rate=rate, l2_lambda=0.05)


def _end(leaf: Leaf, last: bool) -> Any:
    if isinstance(leaf.search, tuple):
        return leaf.search[-1 if last else 0]
    assert leaf.search is not None
    return leaf.search.high if last else leaf.search.low


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_at_the_ends_of_its_leaves(
    optimizer: str, last: bool, check: Any, rows: DataSet
) -> None:
    leaves = {f"{optimizer}.{x.name}": _end(x, last) for x in OPTIMIZERS[optimizer].leaves}
    check(rows, optimizer=optimizer, learning_rate=_rate(optimizer), **leaves)


@pytest.mark.parametrize("penalties", ["none", "all"])
@pytest.mark.parametrize("warmup", [0.0, 0.2])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule(
    schedule: str, warmup: float, penalties: str, check: Any, rows: DataSet
) -> None:
    check(rows, epochs=LONG, lr_scheduler=schedule, warmup=warmup, **PENALTIES[penalties])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("family", ["mlp", "cnn", "rnn", "text-cnn", "transformer"])
def test_batch_norm_and_dropout(optimizer: str, family: str, check: Any, data_for: Any) -> None:
    on = {"batch_norm": True, "dropout": 0.3, "lr_scheduler": "cosine", **PENALTIES["all"]}
    rate = _rate(optimizer)
    check(data_for(family), family=family, optimizer=optimizer, learning_rate=rate, **on)


@pytest.mark.parametrize("family", NETWORKS)
@pytest.mark.parametrize(
    "on",
    [
        {"batch_norm": True},
        {"dropout": 0.5},
        {"ema": 0.5},
        {"ema": 0.9, "batch_norm": True},
        {"label_smoothing": 0.1},
        {"mixup": 0.4},
        {"mixup": 0.4, "label_smoothing": 0.2, "dropout": 0.1},
        {"class_weights": "balanced"},
        {"class_weights": "balanced", "mixup": 0.4, "label_smoothing": 0.2},
        {"sampling": "balanced", "dropout": 0.2},
        {"normalization": "layer"},
        {"normalization": "group", "dropout": 0.2},
        {"normalization": "batch", "ema": 0.5},
    ],
    ids=str,
)
def test_techniques(on: dict[str, Any], family: str, check: Any, data_for: Any) -> None:
    within = ("batch_norm", "normalization", "dropout")
    without = {"linear": within}
    without |= dict.fromkeys(("rnn", "text-cnn", "transformer"), ("mixup",))
    on = {name: value for name, value in on.items() if name not in without.get(family, ())}
    check(data_for(family), family=family, **on)


@pytest.mark.parametrize("within", [{}, {"batch_norm": True, "dropout": 0.3}], ids=str)
def test_stochastic_depth(within: dict[str, Any], check: Any, rows: DataSet) -> None:
    check(rows, depth=3, residual=True, stochastic_depth=0.6, **within, **PENALTIES["all"])


def test_stochastic_depth_of_a_transformer(check: Any, data_for: Any) -> None:
    check(data_for("transformer"), family="transformer", stochastic_depth=0.6, dropout=0.3)


def test_cutmix(check: Any, images: DataSet) -> None:
    check(images, family="cnn", cutmix=1.0, label_smoothing=0.1)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation(activation: str, check: Any, rows: DataSet) -> None:
    check(rows, activation=activation, dropout=0.3, **PENALTIES["all"])


@pytest.mark.parametrize("family", ["mlp", "linear"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_regression(optimizer: str, family: str, check: Any, numbers: DataSet) -> None:
    check(numbers, family=family, optimizer=optimizer, learning_rate=_rate(optimizer))
    check(numbers, family=family, optimizer=optimizer, **PENALTIES["all"])


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss(loss: str, check: Any, data_of: Any) -> None:
    data = data_of(LOSSES[loss].task)
    check(data, loss=loss, pinball__quantile=0.9, lr_scheduler="cosine", **PENALTIES["all"])


def test_labels_that_are_mixed_and_smoothed(check: Any, labels: DataSet) -> None:
    check(labels, mixup=0.4, label_smoothing=0.1)


def test_several_quantities(check: Any, quantities: DataSet) -> None:
    for loss in ("mse", "mae"):
        check(quantities, loss=loss, **PENALTIES["all"])


@pytest.mark.parametrize("size", [1, 8])
@pytest.mark.parametrize("family", ["mlp", "linear"])
def test_vectors_of_categories(family: str, size: int, check: Any, table: DataSet) -> None:
    within = {"batch_norm": True, "dropout": 0.3} if family == "mlp" else {}
    chosen = {"categories": "embedding", "embedding.size": size}
    check(table, family=family, ema=0.5, **within, **chosen, **PENALTIES["all"])


@pytest.mark.parametrize("categories", ["one-hot", "embedding"])
@pytest.mark.parametrize("family", ["mlp", "linear"])
def test_embeddings_of_numbers_and_a_scale(
    family: str, embedded: dict[str, Any], categories: str, check: Any, table: DataSet
) -> None:
    within = {"batch_norm": True, "dropout": 0.3} if family == "mlp" else {}
    chosen = {"categories": categories, "embedding.size": 2, **embedded}
    check(table, family=family, ema=0.5, **within, **chosen, **PENALTIES["all"])


@pytest.mark.parametrize("within", [{}, {"batch_norm": True, "dropout": 0.3}], ids=str)
@pytest.mark.parametrize("kind", ["classes", "quantity", "table"])
def test_members(
    kind: str, within: dict[str, Any], check: Any, rows: DataSet, numbers: DataSet, table: DataSet
) -> None:
    data = {"classes": rows, "quantity": numbers, "table": table}[kind]
    smooth = {} if kind == "quantity" else {"label_smoothing": 0.1, "class_weights": "balanced"}
    check(data, members=3, ema=0.5, **within, **smooth, **PENALTIES["all"])


RATES = {"scale_rate": 6.0, "bias_rate": 0.1, "first_layer_rate": 0.7}


@pytest.mark.parametrize("penalty", ["none", "weight_decay", "all"])
@pytest.mark.parametrize("schedule", ["exponential", "coslog4", "flat-cosine"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_rates_of_kinds_of_parameters(
    optimizer: str, schedule: str, penalty: str, check: Any, table: DataSet, embedded: Any
) -> None:
    chosen = {**embedded, **RATES, **PENALTIES[penalty], "lr_scheduler": schedule}
    check(table, optimizer=optimizer, categories="embedding", **{"embedding.size": 2}, **chosen)


@pytest.mark.parametrize(
    "changes", [{"family": "linear"}, {"members": 3}, {"family": "cnn"}], ids=str
)
def test_rates_of_other_networks(changes: dict[str, Any], check: Any, data_for: Any) -> None:
    data = data_for(changes.get("family", "mlp"))
    check(data, optimizer="lion", learning_rate=1e-3, **RATES, **PENALTIES["all"], **changes)
