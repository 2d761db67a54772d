"""A trial over folds is the mean of single trainings."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from safetensors.torch import load

from tuner.data import DataSet, Split
from tuner.errors import TrainingError
from tuner.metrics import METRICS
from tuner.seeds import derive
from tuner.training.checkpoint import restore, to_bytes
from tuner.training.folds import training
from tuner.training.outcome import left_out
from tuner.training.trainer import Course, Trainer


@pytest.fixture
def folded(blobs: DataSet) -> DataSet:
    """Three folds; the first of them has a feature more."""
    x, y = torch.cat((blobs.train.x, blobs.validation.x)), blobs.train.y
    y = torch.cat((y, blobs.validation.y))
    made = []
    for i in range(3):
        held = torch.arange(len(y)) // 3 % 3 == i
        wide = torch.cat((x, x[:, :1] ** 2), 1) if i == 0 else x
        parts = Split(wide[~held], y[~held]), Split(wide[held], y[held])
        made.append(DataSet(*parts, (wide.shape[1],), blobs.target))
    return replace(made[-1], rest=tuple(made[:-1]))


def folds_of(of: Any, data: DataSet, seed: int = 7) -> Course:
    return training(of, data, METRICS["accuracy"], seed)


def by_hand(of: Any, data: DataSet, seed: int = 7) -> list[list[float]]:
    """Values of every epoch, of each fold."""
    trainers = [
        Trainer(of, fold, METRICS["accuracy"], derive(seed, "fold", i))
        for i, fold in enumerate(data.folds)
    ]
    return [[epoch.value for epoch in trainer.epochs()] for trainer in trainers]


def test_every_epoch_is_the_mean_of_single_trainings(config: Any, folded: DataSet) -> None:
    of = config(dropout=0.2, mixup=0.2, ema=0.9)
    found = [epoch.value for epoch in folds_of(of, folded).epochs()]
    values = by_hand(of, folded)
    assert len({tuple(each) for each in values}) > 1
    assert found == [sum(each) / 3 for each in zip(*values, strict=True)]


def test_a_course_has_a_trainer_for_each_fold(config: Any, blobs: DataSet, folded: DataSet) -> None:
    whole = training(config(), blobs, METRICS["accuracy"], 0)
    assert isinstance(whole, Trainer)
    assert whole.parts == (whole,)
    parts = training(config(), folded, METRICS["accuracy"], 0).parts
    assert [len(part.data.train) for part in parts] == [len(f.train) for f in folded.folds]


def test_the_weights_of_each_fold_are_under_its_number(config: Any, folded: DataSet) -> None:
    whole = folds_of(config(epochs=1), folded)
    list(whole.epochs())
    found = whole.weights()
    assert len(found) == sum(len(part.weights()) for part in whole.parts)
    for i, part in enumerate(whole.parts):
        for name, weights in part.weights().items():
            assert torch.equal(found[f"fold{i}.{name}"], weights)


def test_early_stopping_acts_on_the_mean(config: Any, folded: DataSet) -> None:
    of = config(epochs=40, learning_rate=0.05)
    means = [sum(each) / 3 for each in zip(*by_hand(of, folded), strict=True)]
    whole = folds_of({**of, "early_stopping": 3}, folded)
    found = [epoch.value for epoch in whole.epochs()]
    best = max(range(len(found)), key=found.__getitem__)
    assert len(found) < 40
    assert found == means[: len(found)]
    assert len(found) - 1 - best == 3
    assert whole.result == whole.past[best]
    for i, part in enumerate(whole.parts):  # the weights of that epoch, not of the last
        alone = Trainer(of, folded.folds[i], METRICS["accuracy"], derive(7, "fold", i))
        for epoch in alone.epochs():
            if epoch.number == best + 1:
                break
        for name, weights in alone.weights().items():
            assert torch.equal(part.weights()[name], weights)


def test_it_goes_on_from_a_checkpoint_bit_by_bit(config: Any, folded: DataSet) -> None:
    of = config(epochs=6, early_stopping=2, batch_norm=True, optimizer="adam")
    whole = folds_of(of, folded)
    list(whole.epochs())
    current = folds_of(of, folded)
    while not current.done:
        stored = to_bytes(current)
        current = folds_of(of, folded)
        restore(current, stored)
        assert to_bytes(current) == stored
        next(current.epochs())
    assert current.past == whole.past
    assert to_bytes(current) == to_bytes(whole)


def test_a_checkpoint_has_that_of_each_fold(config: Any, folded: DataSet) -> None:
    whole = folds_of(config(), folded)
    next(whole.epochs())
    stored = to_bytes(whole)
    tensors = load(stored)
    assert set(tensors) == {"epochs", "fold/0", "fold/1", "fold/2"}
    for i, part in enumerate(whole.parts):
        assert tensors[f"fold/{i}"].numpy().tobytes() == to_bytes(part)
    header = json.loads(stored[8 : 8 + int.from_bytes(stored[:8], "little")])
    words = json.loads(header["__metadata__"]["tuner"])
    assert words.keys() == {"format", "trial", "device"}
    assert words["device"] == "cpu"
    assert words["trial"] == {**config(), "seed": 7, "metric": "accuracy", "folds": 3}


def test_a_checkpoint_of_something_else_changes_nothing(config: Any, folded: DataSet) -> None:
    of = config()
    whole = folds_of(of, folded)
    next(whole.epochs())
    stored = to_bytes(whole)
    other = folds_of(of, folded, seed=8)
    fewer = folds_of(of, replace(folded, rest=folded.rest[:1]))
    last = replace(folded, train=Split(folded.train.x[:50], folded.train.y[:50]))
    shorter = folds_of(of, last)
    for trainer, message in (
        (other, "seed is 7 there and 8 here"),
        (fewer, "folds is 3 there and 2 here"),
        (shorter, "training rows is .* there and 50 here"),
        (Trainer(of, folded, METRICS["accuracy"], 7), "folds is 3 there and absent here"),
    ):
        before = to_bytes(trainer)
        with pytest.raises(TrainingError, match=message):
            restore(trainer, stored)
        assert to_bytes(trainer) == before


def test_a_fold_that_diverges_makes_the_trial_diverge(config: Any, folded: DataSet) -> None:
    broken = replace(folded.rest[0], train=replace(folded.rest[0].train))
    broken.train.x[:] = math.nan
    whole = folds_of(config(), replace(folded, rest=(broken, *folded.rest[1:])))
    assert not next(whole.epochs()).finite


def test_left_out_is_the_mean_of_the_folds(config: Any, folded: DataSet) -> None:
    small = folds_of(config(epochs=1), folded)
    list(small.epochs())
    assert left_out(small) == []

    def larger(fold: DataSet) -> DataSet:
        rows = fold.validation
        return replace(fold, validation=Split(rows.x.repeat(2, 1), rows.y.repeat(2)))

    data = replace(larger(folded), rest=tuple(map(larger, folded.rest)))
    whole = folds_of(config(epochs=1), data)
    list(whole.epochs())
    each = [left_out(part) for part in whole.parts]
    assert left_out(whole) == [sum(values) / 3 for values in zip(*each, strict=True)]
    assert len(left_out(whole)) == 20
