"""Rows that are read as they are needed give the numbers of rows in memory; random ones are a
function of the trial's seed, the epoch and the row. Neither depends on who reads them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import Dataset

from tuner.data import DataSet, DataSpec, dataset
from tuner.data.file_rows import FileRows
from tuner.data.streamed import Readers
from tuner.models import FAMILIES
from tuner.techniques import TECHNIQUES
from tuner.training.checkpoint import restore, to_bytes
from tuner.training.trainer import Trainer


class Pictures(Dataset[Any]):
    """Pictures of three classes, perhaps with noise from each generator that tuner seeds."""

    def __init__(self, shape: tuple[int, ...], noise: float) -> None:
        generator = torch.Generator().manual_seed(3)
        self.y = torch.arange(60) % 3
        self.x = torch.randn(60, *shape, generator=generator)
        self.x += self.y.reshape(60, *[1] * len(shape))
        self.noise = noise

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: int) -> Any:
        x = self.x[index]
        if self.noise:
            drawn = torch.randn(x.shape) + random.random() + float(np.random.rand())
            x = x + self.noise * drawn
        return x, self.y[index]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNER_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., DataSet]]:
    """Reads a study's data from ``Pictures`` that a function of its own returns."""

    def read(shape: tuple[int, ...] = (2, 6, 5), noise: float = 0.0, **keys: Any) -> DataSet:
        source = partial(Pictures, shape, noise)
        monkeypatch.setattr(dataset.sources, "function", lambda *args, **kwargs: source)
        return dataset.load(DataSpec(source="mine:load", **keys))

    yield read
    if Readers.open is not None:
        Readers.open.close()


def same(a: Trainer, b: Trainer) -> bool:
    """Whether not a bit differs."""
    return a.past == b.past and torch.equal(a.params, b.params)


def all_on(config: Any, values: Any, family: str) -> dict[str, Any]:
    kind = FAMILIES[family]
    fitting = [t for t in TECHNIQUES if kind.images or not (t.images or (kind.text and t.numbers))]
    on = {t.name: values(t.leaf)[0] for t in fitting}
    made: dict[str, Any] = config(family=family, **on)
    return made


@pytest.mark.parametrize("readers", [0, 2])
@pytest.mark.parametrize("family", ["linear", "mlp", "cnn"])
def test_the_same_as_in_memory(
    family: str, readers: int, read: Any, config: Any, values: Any, train: Any
) -> None:
    of = all_on(config, values, family)
    shape = (2, 6, 5) if FAMILIES[family].images else (7,)
    held, streamed = read(shape), read(shape, in_memory=0, readers=readers)
    assert isinstance(held.train.x, torch.Tensor)
    assert not isinstance(streamed.train.x, torch.Tensor)
    for dtype in (torch.float32, torch.float64):
        assert same(train(of, streamed, dtype=dtype), train(of, held, dtype=dtype))


def test_any_size_of_a_request(
    read: Any, config: Any, train: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    of, noisy = config(dropout=0.2), read(noise=0.5)
    expected = train(of, noisy)
    for size in (1, 2 * 8 * 60):
        monkeypatch.setattr("tuner.data.streamed.GROUP", size)
        assert same(train(of, noisy), expected)


@pytest.mark.parametrize("readers", [0, 2])
def test_random_rows_go_on_bit_by_bit(
    readers: int, read: Any, config: Any, values: Any, train: Any, trainer: Any
) -> None:
    of = all_on(config, values, "cnn")
    whole = train(of, read(noise=0.5))
    current = trainer(of, read(noise=0.5, readers=readers))
    while not current.done:
        stored = to_bytes(current)
        current = trainer(of, read(noise=0.5, readers=readers))
        restore(current, stored)
        next(current.epochs())
    assert same(current, whole)


def test_random_rows_are_others_for_each_seed_and_epoch(
    read: Any, config: Any, trainer: Any
) -> None:
    data = read(noise=0.5)
    of = config(family="linear", epochs=2, learning_rate=0.0)
    runs = [trainer(of, data, seed) for seed in (1, 1, 2)]
    for run in runs:
        assert len([*run.epochs()]) == 2
    first, again, other = runs
    assert first.past == again.past
    losses = {epoch.train_loss for run in (first, other) for epoch in run.past}
    assert len(losses) == 4  # of one network, which learns nothing, on other rows each time
    assert len({epoch.validation_loss for epoch in first.past}) == 1


@pytest.mark.parametrize("readers", [0, 1])
def test_generators_neither_matter_nor_move(
    readers: int, read: Any, config: Any, train: Any, trainer: Any
) -> None:
    of, data = config(dropout=0.2), read(noise=0.5, readers=readers)
    expected = train(of, data)
    disturbed = trainer(of, data)
    for number, _ in enumerate(disturbed.epochs()):
        torch.manual_seed(number)
        random.seed(number)
        np.random.seed(number)
    assert same(disturbed, expected)
    state = torch.get_rng_state(), random.getstate(), str(np.random.get_state())
    train(of, data)
    assert torch.equal(state[0], torch.get_rng_state())
    assert state[1:] == (random.getstate(), str(np.random.get_state()))


@pytest.mark.parametrize("readers", [0, 1])
def test_no_step_waits_for_a_gpu(
    readers: int, pretend: ModuleType, read: Any, config: Any, trainer: Any
) -> None:
    of, data = config(dropout=0.2), read(noise=0.5, readers=readers)
    alone = trainer(of, data, dtype=torch.float32)
    assert len([*alone.epochs()]) == 3
    with pretend.pretend_gpu() as gpu:
        there = trainer(of, data, dtype=torch.float32, device=pretend.DEVICE)
        gpu.phase = "epoch"
        assert len([*there.epochs()]) == 3
        assert sum(gpu.waits_of("epoch").values()) == 3  # its value and losses are read at once
    assert there.past == alone.past


@pytest.mark.parametrize("readers", [0, 1])
def test_trainings_side_by_side(
    readers: int, read: Any, config: Any, train: Any, trainer: Any
) -> None:
    data, of = read(noise=0.5, readers=readers), config(dropout=0.2)
    one, two = trainer(of, data, 5), trainer(of, data, 6)
    for _ in zip(one.epochs(), two.epochs(), strict=True):
        one.evaluate()
    assert same(one, train(of, data, 5))
    assert same(two, train(of, data, 6))


@pytest.mark.parametrize("family", ["linear", "mlp"])
def test_a_table_in_files_trains_as_in_memory(
    family: str, config: Any, values: Any, train: Any, trainer: Any, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.normal(size=80), "b": rng.choice(["x", "y", "z"], 80)})
    table.assign(y=np.arange(80) % 3).to_csv(tmp_path / "t.csv", index=False)

    def read(**keys: Any) -> DataSet:
        return dataset.load(DataSpec(path=str(tmp_path / "t.csv"), target="y", **keys))

    of, held, filed = all_on(config, values, family), read(), read(in_memory=0)
    assert isinstance(filed.train.x, FileRows)
    for dtype in (torch.float32, torch.float64):
        whole = train(of, held, dtype=dtype)
        assert same(train(of, filed, dtype=dtype), whole)
    current = trainer(of, filed)
    while not current.done:
        stored = to_bytes(current)
        current = trainer(of, filed)
        restore(current, stored)
        next(current.epochs())
    assert same(current, train(of, held))


def test_no_step_waits_for_a_gpu_for_rows_in_a_file(
    pretend: ModuleType, config: Any, trainer: Any, tmp_path: Path
) -> None:
    rows = np.random.default_rng(0).normal(size=(80, 3))
    table = pd.DataFrame(rows, columns=["a", "b", "c"]).assign(y=np.arange(80) % 3)
    table.to_csv(tmp_path / "t.csv", index=False)
    data = dataset.load(DataSpec(path=str(tmp_path / "t.csv"), target="y", in_memory=0))
    of = config(family="mlp", dropout=0.2)
    alone = trainer(of, data, dtype=torch.float32)
    assert len([*alone.epochs()]) == 3
    with pretend.pretend_gpu() as gpu:
        there = trainer(of, data, dtype=torch.float32, device=pretend.DEVICE)
        gpu.phase = "epoch"
        assert len([*there.epochs()]) == 3
        assert sum(gpu.waits_of("epoch").values()) == 3
    assert there.past == alone.past
