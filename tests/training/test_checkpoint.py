from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from safetensors.torch import load

from tuner.data.dataset import DataSet, Split
from tuner.errors import TrainingError
from tuner.metrics import METRICS
from tuner.training.checkpoint import restore, to_bytes
from tuner.training.trainer import Trainer


def trainer_of(config: Any, data: DataSet, seed: int = 0, metric: str = "accuracy") -> Trainer:
    return Trainer(config, data, METRICS[metric], seed)


@pytest.fixture
def stored(config: Any, blobs: DataSet) -> bytes:
    trainer = trainer_of(config(ema=0.9, batch_norm=True, early_stopping=3), blobs)
    next(trainer.epochs())
    return to_bytes(trainer)


def test_it_is_numbers_and_json(stored: bytes) -> None:
    names = set(load(stored))
    assert {"params", "optimizer/0", "optimizer/1", "technique/ema/0", "epochs"} <= names
    assert {"buffer/1.running_mean", "best/1.running_mean", "best/0.weight"} <= names
    header = json.loads(stored[8 : 8 + int.from_bytes(stored[:8], "little")])
    words = json.loads(header["__metadata__"]["tuner"])
    assert words["steps"] == 4
    assert words["trial"]["ema"] == 0.9


def test_writing_changes_nothing(config: Any, blobs: DataSet) -> None:
    trainer = trainer_of(config(), blobs)
    next(trainer.epochs())
    before = trainer.params.clone()
    assert to_bytes(trainer) == to_bytes(trainer)
    assert torch.equal(trainer.params, before)


def test_before_the_first_epoch(config: Any, blobs: DataSet) -> None:
    new = trainer_of(config(), blobs)
    restore(new, to_bytes(trainer_of(config(), blobs)))
    assert new.epoch == 0
    assert new.state.count == 0


def test_a_finished_trainer(config: Any, blobs: DataSet) -> None:
    of = config(epochs=2, early_stopping=1)
    whole, new = trainer_of(of, blobs), trainer_of(of, blobs)
    list(whole.epochs())
    restore(new, to_bytes(whole))
    assert new.done
    assert new.result == whole.result
    assert new.weights().keys() == whole.weights().keys()
    assert all(torch.equal(new.weights()[n], w) for n, w in whole.weights().items())


def test_a_checkpoint_of_an_earlier_tuner_goes_on(config: Any, blobs: DataSet) -> None:
    """It knows nothing of leaves that came later, and trained with their defaults."""
    now = config(epochs=2)
    then = {k: v for k, v in now.items() if k not in ("numbers", "input_scale")}
    old, new = trainer_of(then, blobs), trainer_of(now, blobs)
    next(old.epochs())
    restore(new, to_bytes(old))
    assert new.past == old.past
    assert len(list(new.epochs())) == 1
    scaled = trainer_of({**now, "input_scale": True}, blobs)
    with pytest.raises(TrainingError, match="input_scale is False there and True here"):
        restore(scaled, to_bytes(old))


def test_not_in_the_middle_of_an_epoch(config: Any, blobs: DataSet) -> None:
    trainer = trainer_of(config(), blobs)

    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    trainer.recipe = type(trainer.recipe)(
        (), trainer.recipe.optimizer, trainer.recipe.masks, interrupted
    )
    with pytest.raises(KeyboardInterrupt):
        next(trainer.epochs())
    assert not trainer.between_epochs
    with pytest.raises(TrainingError, match="between two epochs"):
        to_bytes(trainer)


def test_what_differs_is_named(config: Any, blobs: DataSet, stored: bytes) -> None:
    of = config(ema=0.9, batch_norm=True, early_stopping=3)
    cases: list[tuple[Trainer, str]] = [
        (trainer_of(of | {"width": 9}, blobs), "width is 8 there and 9 here"),
        (trainer_of(of | {"dropout": 0.2}, blobs), "dropout is 0.0 there and 0.2 here"),
        (trainer_of(of, blobs, seed=4), "seed is 0 there and 4 here"),
        (trainer_of(of, blobs, metric="f1_macro"), "metric is accuracy there and f1_macro here"),
        (trainer_of(of | {"new": 1}, blobs), "new is absent there and 1 here"),
        (trainer_of(of, _rows(blobs, 64)), "training rows is 65 there and 64 here"),
        (trainer_of(of, _narrow(blobs)), r"tensor params is \[139\] of torch.float32 there and"),
        (
            Trainer(of, blobs, METRICS["accuracy"], 0, dtype=torch.float64),
            "of torch.float32 there and .* of torch.float64 here",
        ),
    ]
    for trainer, message in cases:
        before = trainer.params.clone()
        with pytest.raises(TrainingError, match=message):
            restore(trainer, stored)
        assert torch.equal(trainer.params, before)
        assert trainer.epoch == 0


def _rows(data: DataSet, rows: int) -> DataSet:
    train = Split(data.train.x[:rows], data.train.y[:rows])
    return DataSet(train, data.validation, data.shape, data.target)


def _narrow(data: DataSet) -> DataSet:
    train, validation = (Split(s.x[:, :1], s.y) for s in (data.train, data.validation))
    return DataSet(train, validation, (1,), data.target)


@pytest.mark.parametrize("cut", [0, 5, 100, -1])
def test_broken_bytes(cut: int, config: Any, blobs: DataSet, stored: bytes) -> None:
    trainer = trainer_of(config(ema=0.9, batch_norm=True, early_stopping=3), blobs)
    with pytest.raises(TrainingError, match="no checkpoint"):
        restore(trainer, stored[:cut])


def test_other_bytes_of_the_same_format(config: Any, blobs: DataSet) -> None:
    from safetensors.torch import save

    trainer = trainer_of(config(), blobs)
    for words in (None, {}, {"tuner": "{}"}, {"tuner": "nonsense"}):
        with pytest.raises(TrainingError, match="no checkpoint"):
            restore(trainer, save({"params": torch.zeros(3)}, words))
    newer = {"tuner": json.dumps({"format": 2})}
    with pytest.raises(TrainingError, match="format 2"):
        restore(trainer, save({"epochs": torch.zeros(3)}, newer))
