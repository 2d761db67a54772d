"""Networks learn from an order: of words, and of the steps of sequences of numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tuner.data.dataset import DataSet, Split, Target
from tuner.data.text import Vocabulary
from tuner.metrics import METRICS
from tuner.training.trainer import Trainer

LENGTH, HELD = 8, 200
WORDS = Vocabulary(tuple("abcdef"), LENGTH)


def split(x: torch.Tensor, y: torch.Tensor, **more: Any) -> DataSet:
    parts = Split(x[HELD:], y[HELD:]), Split(x[:HELD], y[:HELD])
    target = Target("classification", ("no", "yes"))
    return DataSet(*parts, tuple(x.shape[1:]), target, **more)


def texts(rows: int = 1200) -> DataSet:
    """Each text holds one a and one b among other words; the class is whether the a comes first."""
    generator = torch.Generator().manual_seed(4)
    x = torch.randint(4, WORDS.size, (rows, LENGTH), generator=generator, dtype=torch.int32)
    places = torch.rand(rows, LENGTH - 2, generator=generator).argsort(1)[:, :2]
    x.scatter_(1, places, torch.tensor([[2, 3]], dtype=torch.int32).expand(rows, 2))
    x[:, LENGTH - 2 :] = 0  # padding
    return split(x, (places[:, 0] < places[:, 1]).long(), vocabulary=WORDS)


def waves(rows: int = 1200) -> DataSet:
    """Two channels that lead or follow each other by a step; each alone is the same wave."""
    generator = torch.Generator().manual_seed(5)
    steps = torch.arange(LENGTH) + LENGTH * torch.rand(rows, 1, generator=generator)
    y = torch.randint(2, (rows,), generator=generator)
    shifts = (2.0 * y - 1)[:, None]
    x = torch.stack((steps.sin(), (steps + shifts).sin()), 2)
    return split(x + 0.1 * torch.randn(x.shape, generator=generator), y)


def accuracy(config: Any, data: DataSet, **changes: Any) -> float:
    of = config(epochs=5, batch_size=32, learning_rate=0.01, heads=2, head_width=8, **changes)
    trainer = Trainer(of, data, METRICS["accuracy"], 1)
    return max(epoch.value for epoch in trainer.epochs())


@pytest.mark.parametrize(
    ("family", "summary"), [("transformer", "mean"), ("transformer", "token"), ("rnn", "")]
)
def test_the_order_of_words(family: str, summary: str, config: Any) -> None:
    more = {"summary": summary} if summary else {}
    assert accuracy(config, texts(), family=family, **more) > 0.95


def test_a_bag_of_words_knows_no_order(config: Any) -> None:
    assert accuracy(config, texts(), family="text-cnn", window=1, windows=1) < 0.65


@pytest.mark.parametrize("family", ["rnn", "transformer"])
def test_sequences_of_numbers(family: str, config: Any) -> None:
    assert accuracy(config, waves(), family=family) > 0.95
