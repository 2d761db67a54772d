"""A training that is interrupted and goes on in a new trainer gives the same epochs, bit by bit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from tuner.data.dataset import DataSet
from tuner.models import FAMILIES
from tuner.optimizers import OPTIMIZERS
from tuner.schedules import SCHEDULES
from tuner.techniques import TECHNIQUES
from tuner.training.checkpoint import restore, to_bytes
from tuner.training.trainer import Trainer


@pytest.fixture
def check(trainer: Any, train: Any) -> Any:
    def run(of: dict[str, Any], data: DataSet, dtype: torch.dtype = torch.float32) -> None:
        """Interrupts after every epoch, each time a trainer that was interrupted before."""
        whole = train(of, data, dtype=dtype)
        current: Trainer = trainer(of, data, dtype=dtype)
        while not current.done:
            stored = to_bytes(current)
            current = trainer(of, data, dtype=dtype)
            restore(current, stored)
            assert to_bytes(current) == stored
            next(current.epochs())
        assert current.past == whole.past
        assert current.result == whole.result
        assert torch.equal(current.params, whole.params)
        for name, weights in whole.weights().items():
            assert torch.equal(current.weights()[name], weights)

    return run


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer(
    optimizer: str, family: str, check: Any, config: Any, data_for: Any
) -> None:
    of = config(family=family, optimizer=optimizer, batch_norm=True, dropout=0.2)
    check(of, data_for(family))


def test_vectors_of_categories(check: Any, config: Any, table: DataSet) -> None:
    check(config(categories="embedding", embedding__size=2, ema=0.5), table)


def test_members(check: Any, config: Any, table: DataSet) -> None:
    check(config(members=3, batch_norm=True, dropout=0.2, ema=0.5), table)


def test_embeddings_of_numbers(
    embedded: dict[str, Any], check: Any, config: Any, table: DataSet
) -> None:
    check(config(ema=0.5, **embedded), table)


@pytest.mark.parametrize("technique", TECHNIQUES, ids=lambda t: t.name)
def test_every_technique(
    technique: Any, check: Any, config: Any, images: DataSet, values: Any
) -> None:
    on = {technique.name: values(technique.leaf)[0]}
    check(config(family="cnn", epochs=6, **on), images)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule(schedule: str, check: Any, config: Any, rows: DataSet) -> None:
    check(config(lr_scheduler=schedule, warmup=0.3), rows, torch.float64)


@pytest.mark.parametrize("family", FAMILIES)
def test_all_at_once(family: str, check: Any, config: Any, data_for: Any, values: Any) -> None:
    kind = FAMILIES[family]
    fitting = [t for t in TECHNIQUES if kind.images or not (t.images or (kind.text and t.numbers))]
    on = {t.name: values(t.leaf)[0] for t in fitting}
    check(config(family=family, epochs=5, learning_rate=0.1, **on), data_for(family))


@pytest.mark.parametrize("family", [f.name for f in FAMILIES.values() if f.text])
@pytest.mark.parametrize("frozen", [True, False])
def test_pretrained_vectors(
    family: str, frozen: bool, check: Any, config: Any, data_for: Any, train: Any
) -> None:
    data: DataSet = data_for(family)
    assert data.vocabulary is not None
    vectors = torch.randn(data.vocabulary.size, 3, generator=torch.Generator().manual_seed(1))
    vectors[0] = 0.0
    data = replace(data, vocabulary=replace(data.vocabulary, vectors=vectors))
    of = config(family=family, freeze_embeddings=frozen, weight_decay=0.1, learning_rate=0.1)
    check(of, data)
    trained = train(of, data, dtype=torch.float32).weights()["0.weight"]
    assert torch.equal(trained, vectors) == frozen
    assert float(trained[0].abs().sum()) == 0  # padding


def test_weights_of_rows(check: Any, config: Any, weighted: DataSet) -> None:
    smoothing = 0.1 if weighted.target.task in ("classification", "multilabel") else 0.0
    check(config(mixup=0.4, dropout=0.2, ema=0.5, label_smoothing=smoothing), weighted)


def test_regression(check: Any, config: Any, numbers: DataSet) -> None:
    check(config(early_stopping=1, epochs=9, learning_rate=0.1), numbers)
