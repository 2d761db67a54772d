"""A trial's result depends on its configuration, data and seed; on nothing else."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch

from tuner.data.dataset import DataSet
from tuner.models import FAMILIES
from tuner.optimizers import OPTIMIZERS
from tuner.techniques import TECHNIQUES
from tuner.training import noise
from tuner.training.trainer import Trainer

RANDOM = [t for t in TECHNIQUES if t.draw or t.layer or t.rows]


@pytest.fixture
def busy(config: Any, values: Any, data_for: Any) -> Any:
    """A configuration with everything on, and its data."""

    def make(family: str, **changes: Any) -> tuple[dict[str, Any], DataSet]:
        kind = FAMILIES[family]
        fitting = [
            t for t in TECHNIQUES if kind.images or not (t.images or (kind.text and t.numbers))
        ]
        on = {t.name: values(t.leaf)[0] for t in fitting}
        return config(family=family, **(on | changes)), data_for(family)

    return make


def same(a: Trainer, b: Trainer) -> bool:
    """Whether not a bit differs."""
    tensors = zip(a.weights().values(), b.weights().values(), strict=True)
    return (
        a.past == b.past
        and torch.equal(a.params, b.params)
        and all(map(torch.equal, *zip(*tensors, strict=True)))
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("family", FAMILIES)
def test_twice(family: str, dtype: torch.dtype, busy: Any, train: Any) -> None:
    of, data = busy(family)
    assert same(train(of, data, dtype=dtype), train(of, data, dtype=dtype))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_twice_with_every_optimizer(optimizer: str, busy: Any, train: Any) -> None:
    of, data = busy("mlp", optimizer=optimizer)
    assert same(train(of, data), train(of, data))


def test_twice_with_embeddings_of_numbers(
    embedded: dict[str, Any], config: Any, train: Any, table: DataSet
) -> None:
    assert same(train(config(**embedded), table), train(config(**embedded), table))


@pytest.mark.parametrize("family", FAMILIES)
def test_global_generators_neither_matter_nor_move(
    family: str, busy: Any, train: Any, trainer: Any
) -> None:
    of, data = busy(family)
    expected = train(of, data)
    torch.manual_seed(1)
    random.seed(1)
    np.random.seed(1)
    disturbed = trainer(of, data)
    for number, _ in enumerate(disturbed.epochs()):
        torch.manual_seed(number)
        torch.rand(number + 1)
    assert same(disturbed, expected)
    torch.manual_seed(99)
    random.seed(99)
    np.random.seed(99)
    state = torch.get_rng_state(), random.getstate(), str(np.random.get_state())
    train(of, data)
    assert torch.equal(state[0], torch.get_rng_state())
    assert state[1:] == (random.getstate(), str(np.random.get_state()))


@pytest.mark.parametrize("family", FAMILIES)
def test_interleaved(family: str, busy: Any, train: Any, trainer: Any) -> None:
    of, data = busy(family)
    other = dict(of, learning_rate=0.1, dropout=0.5)
    one, two = trainer(of, data, 5), trainer(other, data, 6)
    for _ in zip(one.epochs(), two.epochs(), strict=True):
        one.evaluate()  # looking changes nothing either
    assert same(one, train(of, data, 5))
    assert same(two, train(other, data, 6))


def test_data_is_not_changed(busy: Any, train: Any) -> None:
    of, data = busy("cnn")
    before = [data.train.x.clone(), data.train.y.clone(), data.validation.x.clone()]
    train(of, data)
    after = [data.train.x, data.train.y, data.validation.x]
    assert all(map(torch.equal, before, after))


@pytest.mark.parametrize("technique", RANDOM, ids=lambda t: t.name)
def test_seeds_differ(
    technique: Any, config: Any, images: DataSet, trainer: Any, values: Any
) -> None:
    on = {technique.name: values(technique.leaf)[-1]}
    one, two = (trainer(config(family="cnn", **on), images, seed) for seed in (1, 2))
    assert not torch.equal(one.params, two.params)
    two.params.copy_(one.params)
    for _ in zip(one.epochs(), two.epochs(), strict=True):
        pass
    assert not torch.equal(one.params, two.params)


@pytest.mark.parametrize("block", [1, 100, 1000, 2**30])
@pytest.mark.parametrize("family", FAMILIES)
def test_blocks_of_noise_do_not_matter(
    family: str, block: int, busy: Any, train: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    of, data = busy(family)
    expected = train(of, data)
    monkeypatch.setattr(noise, "BLOCK", block)
    assert same(train(of, data), expected)


def test_a_technique_changes_no_others_noise(config: Any, images: DataSet, values: Any) -> None:
    """The draws of each use are the same whatever else is drawn."""
    streams = noise.Streams(3, 2, torch.device("cpu"))
    drawing = [(t, values(t.leaf)[-1]) for t in TECHNIQUES if t.draw]
    shape = images.shape

    def first(techniques: Any) -> noise.Batch:
        return next(noise.batches(20, 8, shape, techniques, [], streams))[0]

    together = first(drawing)
    for technique, value in drawing:
        alone = first([(technique, value)])
        assert torch.equal(alone.rows, together.rows)
        name = technique.name
        assert all(map(torch.equal, alone.noise[name], together.noise[name]))
