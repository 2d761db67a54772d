"""One trial: the plain trainer against a hand-written PyTorch loop of the same network.

Prints one JSON line. Both train the same configuration in one thread, an mlp on scikit-learn's
digits, a cnn on random images of 28×28 pixels or an rnn on random texts of up to 32 words. They are
measured in turns, A B A B, by the process' CPU time, so that a busy machine disturbs both alike.
The loop takes its batches by index from tensors, without a DataLoader, which would be slow.

    python tests/benchmarks/one_trial.py [--family mlp] [--depth 3] [--width 128] [--epochs 10] …
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from tuner.data.dataset import DataSet, Split, Target
from tuner.data.text import Vocabulary
from tuner.metrics import METRICS
from tuner.space import Config
from tuner.study.catalogue import SECTIONS
from tuner.training.trainer import Trainer

TRAIN, VALIDATION = 1077, 360
BATCH, ROWS, WORDS, LENGTH, SIZE = 64, 1280, 5000, 32, 64
BARS = {"mlp": 0.45, "cnn": 0.9, "rnn": 0.8}
FUSED_BAR = 0.75


def digits() -> DataSet:
    features, classes = load_digits(return_X_y=True)
    order = torch.randperm(len(classes), generator=torch.Generator().manual_seed(0))
    x, y = torch.tensor(features, dtype=torch.float32)[order] / 16, torch.tensor(classes)[order]
    first, end = slice(TRAIN), slice(TRAIN, TRAIN + VALIDATION)
    target = Target("classification", tuple("0123456789"))
    return DataSet(Split(x[first], y[first]), Split(x[end], y[end]), (64,), target)


def images() -> DataSet:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(ROWS, 1, 28, 28, generator=generator)
    y = torch.randint(10, (ROWS,), generator=generator)
    target = Target("classification", tuple("0123456789"))
    return DataSet(Split(x, y), Split(x[:256], y[:256]), (1, 28, 28), target)


def texts() -> DataSet:
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(1, WORDS + 2, (ROWS, LENGTH), generator=generator, dtype=torch.int32)
    lengths = torch.randint(LENGTH // 2, LENGTH + 1, (ROWS, 1), generator=generator)
    x[torch.arange(LENGTH) >= lengths] = 0
    y = torch.randint(2, (ROWS,), generator=generator)
    words = Vocabulary(tuple(map(str, range(WORDS))), LENGTH)
    parts = Split(x, y), Split(x[:256], y[:256])
    return DataSet(*parts, (LENGTH,), Target("classification", ("a", "b")), vocabulary=words)


DATA: dict[str, Callable[[], DataSet]] = {"mlp": digits, "cnn": images, "rnn": texts}


def configuration(options: argparse.Namespace) -> Config:
    defaults = {leaf.name: leaf.default for leaves in SECTIONS.values() for leaf in leaves}
    return defaults | {
        "family": options.family,
        "depth": options.depth,
        "width": options.width,
        "channels": options.width,
        "embedding_size": SIZE,
        "batch_size": BATCH,
        "epochs": options.epochs,
        "batch_norm": options.batch_norm,
        "dropout": options.dropout,
        "l1_lambda": options.l1,
        "weight_decay": options.weight_decay,
        "learning_rate": 1e-3,
        "optimizer": "adam",
        "lr_scheduler": "cosine",
    }


def by_trainer(config: Config, data: DataSet) -> float:
    trainer = Trainer(config, data, METRICS["accuracy"], seed=0)
    return [epoch.value for epoch in trainer.epochs()][-1]


def by_hand(config: Config, data: DataSet, fused: bool | None = None) -> float:
    """The loop as many would write it, and none of its parts slower than it need be.

    Args:
        fused: whether to ask for torch's own fused AdamW, which few know of; not by default.
    """
    torch.manual_seed(0)
    network = _network(config, data)
    optimizer = torch.optim.AdamW(
        network.parameters(),
        lr=config["learning_rate"],
        weight_decay=config["weight_decay"],
        fused=fused,
    )
    rows = len(data.train)
    total = config["epochs"] * -(-rows // BATCH)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)
    weights = [p for p in network.parameters() if p.dim() > 1]
    criterion, accuracy = nn.CrossEntropyLoss(), 0.0
    for _ in range(config["epochs"]):
        network.train()
        for index in torch.split(torch.randperm(rows), BATCH):
            optimizer.zero_grad()
            loss = criterion(network(data.train.x[index]), data.train.y[index])
            if config["l1_lambda"]:
                loss = loss + config["l1_lambda"] * sum(w.abs().sum() for w in weights)
            loss.backward()
            optimizer.step()
            scheduler.step()
        network.eval()
        with torch.no_grad():
            right = network(data.validation.x).argmax(1) == data.validation.y
        accuracy = float(right.double().mean())
    return accuracy


def _network(config: Config, data: DataSet) -> nn.Module:
    return {"mlp": _mlp, "cnn": _cnn, "rnn": Recurrent}[config["family"]](config, data)


def _mlp(config: Config, data: DataSet) -> nn.Module:
    layers: list[nn.Module] = []
    entering, width = data.shape[0], config["width"]
    for _ in range(config["depth"]):
        layers.append(nn.Linear(entering, width, bias=not config["batch_norm"]))
        layers += [nn.BatchNorm1d(width)] if config["batch_norm"] else []
        layers.append(nn.ReLU())
        layers += [nn.Dropout(config["dropout"])] if config["dropout"] else []
        entering = width
    return nn.Sequential(*layers, nn.Linear(entering, data.outputs))


def _cnn(config: Config, data: DataSet) -> nn.Module:
    layers: list[nn.Module] = []
    entering, channels = data.shape[0], config["channels"]
    for _ in range(config["depth"]):
        layers.append(nn.Conv2d(entering, channels, 3, padding=1, bias=not config["batch_norm"]))
        layers += [nn.BatchNorm2d(channels)] if config["batch_norm"] else []
        layers.append(nn.ReLU())
        layers += [nn.Dropout2d(config["dropout"])] if config["dropout"] else []
        layers.append(nn.MaxPool2d(2))
        entering, channels = channels, 2 * channels
    ending = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(entering, data.outputs)
    return nn.Sequential(*layers, *ending)


class Recurrent(nn.Module):
    """A GRU in both directions over padded texts, and the largest state over the words."""

    def __init__(self, config: Config, data: DataSet) -> None:
        super().__init__()
        width, depth, rate = config["width"], config["depth"], config["dropout"]
        self.words = nn.Embedding(WORDS + 2, SIZE, padding_idx=0)
        between = rate if depth > 1 else 0.0
        both = {"batch_first": True, "bidirectional": True, "dropout": between}
        self.layers = nn.GRU(SIZE, width, depth, **both)
        norm = [nn.BatchNorm1d(2 * width)] if config["batch_norm"] else []
        self.ending = nn.Sequential(*norm, nn.Dropout(rate), nn.Linear(2 * width, data.outputs))
        self.dropout = nn.Dropout(rate)

    def forward(self, x: Tensor) -> Tensor:
        states = self.layers(self.dropout(self.words(x)))[0]
        largest = states.masked_fill((x == 0)[..., None], -torch.inf).amax(1)
        return self.ending(largest)  # type: ignore[no-any-return]


def measure(runs: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            start = time.process_time()
            run()
            if number:  # the first round warms up
                seconds[name].append(time.process_time() - start)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--family", choices=BARS, default="mlp")
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--width", type=int, default=128, help="channels of a cnn")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--l1", type=float, default=1e-5)
    parser.add_argument("--weight-decay", type=float, default=1e-2)
    parser.add_argument("--no-batch-norm", dest="batch_norm", action="store_false")
    options = parser.parse_args()
    torch.set_num_threads(1)
    config, data = configuration(options), DATA[options.family]()
    runs = {
        "trainer": lambda: by_trainer(config, data),
        "loop": lambda: by_hand(config, data),
        "loop_with_fused_optimizer": lambda: by_hand(config, data, fused=True),
    }
    seconds = measure(runs, options.rounds)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    pairs = [a / b for a, b in zip(seconds["trainer"], seconds["loop"], strict=True)]
    result = {
        "benchmark": "one_trial",
        "configuration": vars(options) | {"batch_size": BATCH},
        "median_seconds": {name: round(value, 4) for name, value in medians.items()},
        "ratio": round(medians["trainer"] / medians["loop"], 3),
        "ratio_to_fused": round(medians["trainer"] / medians["loop_with_fused_optimizer"], 3),
        "ratio_of_each_round": [round(pair, 3) for pair in sorted(pairs)],
        "bar": BARS[options.family],
        "bar_of_fused": FUSED_BAR,
        "accuracy": {name: round(run(), 4) for name, run in runs.items()},
        "torch": torch.__version__,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
