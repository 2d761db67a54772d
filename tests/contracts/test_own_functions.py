"""The laws of a training hold with the user's own optimizer, schedule, loss and rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from tuner.data.dataset import DataSet
from tuner.imports import Allowed, allowing
from tuner.space import Config
from tuner.training.checkpoint import restore, to_bytes
from tuner.training.noise import Streams, batches
from tuner.training.trainer import Trainer

MODULE = "own_functions"
CASES: dict[str, Config] = {
    "optimizer": {"optimizer": f"{MODULE}:heavy_ball", f"{MODULE}:heavy_ball.momentum": 0.7},
    "in place": {"optimizer": f"{MODULE}:adam"},
    "odd state": {"optimizer": f"{MODULE}:patient"},
    "schedule": {"lr_scheduler": f"{MODULE}:waves", f"{MODULE}:waves.count": 3, "warmup": 0.2},
    "tensor": {"lr_scheduler": f"{MODULE}:triangle"},
    "fewer rows": {"sampling": f"{MODULE}:half"},
    "more rows": {"sampling": f"{MODULE}:uneven", f"{MODULE}:uneven.power": 2.0, "warmup": 0.3},
    "all": {
        "sampling": f"{MODULE}:uneven",
        "optimizer": f"{MODULE}:adam",
        f"{MODULE}:adam.beta1": 0.8,
        f"{MODULE}:adam.learning_rate": 0.02,
        "lr_scheduler": f"{MODULE}:waves",
        "loss": f"{MODULE}:focal",
        "dropout": 0.2,
        "ema": 0.5,
    },
}


@pytest.fixture(autouse=True)
def _allowed() -> Iterator[None]:
    with allowing(Allowed(folders=(Path(__file__).parent,))):
        yield


@pytest.fixture(params=CASES)
def of(request: pytest.FixtureRequest, config: Any) -> Config:
    changes: Config = CASES[request.param]
    return config() | {"epochs": 4} | changes


def same(a: Trainer, b: Trainer) -> bool:
    """Whether not a bit differs."""
    tensors = zip(a.weights().values(), b.weights().values(), strict=True)
    return a.past == b.past and all(torch.equal(*pair) for pair in tensors)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_interruption_after_each_epoch_changes_no_bit(
    of: Config, dtype: torch.dtype, rows: DataSet, train: Any, trainer: Any
) -> None:
    whole, current = train(of, rows, dtype=dtype), trainer(of, rows, dtype=dtype)
    while not current.done:
        stored = to_bytes(current)
        current = trainer(of, rows, dtype=dtype)
        restore(current, stored)
        assert to_bytes(current) == stored
        next(current.epochs())
    assert same(current, whole)
    assert to_bytes(current) == to_bytes(whole)


def test_two_at_once_are_as_each_alone(of: Config, rows: DataSet, train: Any, trainer: Any) -> None:
    one, two = trainer(of, rows, 5), trainer(of | {"learning_rate": 0.1}, rows, 6)
    for _ in zip(one.epochs(), two.epochs(), strict=True):
        torch.rand(3)
    assert same(one, train(of, rows, 5))
    assert same(two, train(of | {"learning_rate": 0.1}, rows, 6))


def test_stacked_is_as_each_alone(of: Config, rows: DataSet, train: Any, stack: Any) -> None:
    if "patient" in of["optimizer"]:  # whose count is one number, not one of each trial
        of = of | {"optimizer": "sgd"}
    many = [of | {"learning_rate": rate, "l1_lambda": rate / 10} for rate in (0.01, 0.03, 0.1)]
    together = stack(many, rows, [1, 2, 3])
    together.train()
    for k, own in enumerate(many):
        alone = train(own, rows, k + 1)
        for a, b in zip(together.state.optimizer, alone.state.optimizer, strict=True):
            torch.testing.assert_close(a[k], b, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(together.state.params[k], alone.params, rtol=1e-9, atol=1e-9)


def test_a_pretend_gpu_gives_the_same(
    of: Config, rows: DataSet, train: Any, trainer: Any, pretend: ModuleType
) -> None:
    alone = train(of, rows, dtype=torch.float32)
    with pretend.pretend_gpu():
        there = trainer(of, rows, device=pretend.DEVICE, dtype=torch.float32)
        stored = b""
        for _ in there.epochs():
            stored = to_bytes(there)
        again = trainer(of, rows, device=pretend.DEVICE, dtype=torch.float32)
        restore(again, stored)
        assert to_bytes(again) == stored
    assert there.past == alone.past == again.past


@pytest.mark.parametrize(
    ("own", "ours"),
    [
        ({"optimizer": f"{MODULE}:heavy_ball"}, {"optimizer": "sgd"}),
        ({"optimizer": f"{MODULE}:adam"}, {"optimizer": "adam"}),
        (
            {"lr_scheduler": f"{MODULE}:waves", f"{MODULE}:waves.low": 1.0},
            {"lr_scheduler": "constant"},
        ),
    ],
    ids=str,
)
def test_the_same_function_gives_the_numbers_of_ours(
    own: Config, ours: Config, rows: DataSet, train: Any, config: Any
) -> None:
    a, b = train(config() | own, rows), train(config() | ours, rows)
    torch.testing.assert_close(a.params, b.params, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("name", "steps"), [("half", 2), ("uneven", 8)])  # of 29 rows, by 8
def test_rows_are_chosen_for_any_task(
    name: str, steps: int, numbers: DataSet, train: Any, trainer: Any, config: Any
) -> None:
    of = config(sampling=f"{MODULE}:{name}", lr_scheduler="cosine", batch_size=8)
    whole, current = train(of, numbers), trainer(of, numbers)
    assert whole.steps == steps
    while not current.done:
        stored = to_bytes(current)
        current = trainer(of, numbers)
        restore(current, stored)
        next(current.epochs())
    assert same(current, whole)


def test_rows_are_those_of_the_seed_and_the_epoch(rows: DataSet, trainer: Any, config: Any) -> None:
    def drawn(seed: int, epoch: int) -> list[int]:
        made = trainer(config(sampling=f"{MODULE}:half"), rows, seed)
        streams = Streams(seed, epoch, made.device)
        techniques = [(t, made.plan.values[t.name]) for t in made.plan.techniques]
        blocks = batches(made.rows, 8, rows.shape, techniques, [], streams, made.targets)
        return [row for block in blocks for batch in block for row in batch.rows.tolist()]

    assert drawn(1, 0) == drawn(1, 0)
    assert len({tuple(drawn(seed, epoch)) for seed in (1, 2) for epoch in (0, 1)}) == 4
