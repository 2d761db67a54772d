"""The laws of a training hold for sequences of numbers, with every technique on."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch

from tuner.data.dataset import DataSet, Split
from tuner.data.prepare import Unchanged
from tuner.data.recipe import OfArray
from tuner.models import FAMILIES
from tuner.models.text import Padded, known_steps
from tuner.space import Config
from tuner.techniques import TECHNIQUES
from tuner.training import noise
from tuner.training import trainer as trainer_module
from tuner.training.checkpoint import restore, to_bytes
from tuner.training.trainer import Trainer

FITTING = [t for t in TECHNIQUES if not t.images]
FORMS = {"channels": (7, 2), "one channel": (7,), "lengths": (7, 2), "one channel, lengths": (7,)}


@pytest.fixture(params=FORMS)
def sequences(request: pytest.FixtureRequest, rows: DataSet) -> DataSet:
    """Rows ``[L, C]`` or ``[L]`` in three classes, some of one length, others of several."""
    shape, generator = FORMS[request.param], torch.Generator().manual_seed(6)
    count = len(rows.train) + len(rows.validation)
    x = torch.randn(count, *shape, generator=generator, dtype=torch.float64).cumsum(1)
    y = x.flatten(1)[:, :3].argmax(1)
    padded = "lengths" in request.param
    if padded:
        x[torch.arange(7) >= torch.randint(1, 8, (count, 1), generator=generator)] = torch.nan
    train, held = Split(x[:29], y[:29]), Split(x[29:], y[29:])
    recipe = OfArray(shape, (), Unchanged(), padded=padded)
    return DataSet(train, held, shape, rows.target, recipe=recipe)


@pytest.fixture(params=[name for name, family in FAMILIES.items() if family.sequences])
def of(request: pytest.FixtureRequest, config: Any, values: Any) -> Config:
    """A configuration with everything on."""
    on = {t.name: values(t.leaf)[0] for t in FITTING}
    made: Config = config(family=request.param, **on)
    return made


def same(a: Trainer, b: Trainer) -> bool:
    """Whether not a bit differs."""
    one, other = a.weights(), b.weights()
    alike = one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)
    return a.past == b.past and alike


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_interruption_after_each_epoch_changes_no_bit(
    of: Config, dtype: torch.dtype, sequences: DataSet, train: Any, trainer: Any
) -> None:
    whole, current = train(of, sequences, dtype=dtype), trainer(of, sequences, dtype=dtype)
    while not current.done:
        stored = to_bytes(current)
        current = trainer(of, sequences, dtype=dtype)
        restore(current, stored)
        next(current.epochs())
    assert same(current, whole)


def test_neither_blocks_of_noise_nor_other_trainings_matter(
    of: Config, sequences: DataSet, train: Any, trainer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = train(of, sequences)
    monkeypatch.setattr(noise, "BLOCK", 100)
    one, two = trainer(of, sequences), trainer(of | {"dropout": 0.5}, sequences, 6)
    for _ in zip(one.epochs(), two.epochs(), strict=False):
        torch.rand(3)
    assert same(one, expected)


def test_stacked_is_as_each_alone(
    of: Config, sequences: DataSet, train: Any, stack: Any, values: Any
) -> None:
    stepped = [t for t in FITTING if not t.leaf.static and not t.stop]
    many = []
    for k in range(3):
        own = {t.name: [t.leaf.off, *values(t.leaf)][(k + i) % 2] for i, t in enumerate(stepped)}
        many.append(of | own | {"learning_rate": 0.01 * (k + 1), "early_stopping": 0})
    together = stack(many, sequences, [1, 2, 3])
    together.train()
    for k, own in enumerate(many):
        alone = train(own, sequences, k + 1)
        torch.testing.assert_close(together.state.params[k], alone.params, rtol=1e-9, atol=1e-9)


def test_a_pretend_gpu_gives_the_same_and_no_step_waits(
    config: Any, of: Config, sequences: DataSet, train: Any, trainer: Any, pretend: ModuleType
) -> None:
    plain = config(family=of["family"], cell="lstm", dropout=0.2, ema=0.5, epochs=2)
    alone = train(plain, sequences, dtype=torch.float32)
    with pretend.pretend_gpu() as gpu:
        there = trainer(plain, sequences, device=pretend.DEVICE, dtype=torch.float32)
        gpu.phase = "epoch"
        for _ in there.epochs():
            pass
        assert sum(gpu.waits_of("epoch").values()) == 2  # each epoch's numbers are read at once
    for mine, theirs in zip(alone.past, there.past, strict=True):
        assert mine.value == pytest.approx(theirs.value, rel=1e-5)


def test_padding_changes_no_training(
    of: Config, sequences: DataSet, train: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither further padding of all rows, nor whether a batch is cut to its longest row."""
    expected = train(of, sequences)

    def longer(split: Split) -> Split:
        return Split(torch.cat((split.x[:], torch.full_like(split.x[:], torch.nan)), 1), split.y)

    train_rows, held = longer(sequences.train), longer(sequences.validation)
    shape = tuple(train_rows.x.shape[1:])
    recipe = OfArray(shape, (), Unchanged(), padded=True)
    further = DataSet(train_rows, held, shape, sequences.target, recipe=recipe)
    found = [train(of, further)]
    monkeypatch.setattr(trainer_module, "with_lengths", lambda data: data)
    monkeypatch.setattr(Padded, "cut", lambda self, x: (x, known_steps(x)))
    found += [train(of, further), train(of, sequences)]
    for each in found:
        torch.testing.assert_close(each.params, expected.params, rtol=1e-9, atol=1e-9)
        assert each.result.value == pytest.approx(expected.result.value, rel=1e-9)


def test_a_row_alone_is_as_in_a_batch(of: Config, sequences: DataSet, train: Any) -> None:
    network = train(of, sequences).network.eval()
    x = sequences.validation.x[:]
    together = network(x)
    for row, expected in zip(x, together, strict=True):
        known = known_steps(row[None])[0]
        torch.testing.assert_close(network(row[known][None])[0], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("family", [name for name, family in FAMILIES.items() if family.sequences])
def test_one_channel_needs_no_axis(family: str, rows: DataSet, train: Any, config: Any) -> None:
    def wide(split: Split) -> Split:
        return Split(split.x[..., None], split.y)

    of = config(family=family, dropout=0.2)
    channel = DataSet(wide(rows.train), wide(rows.validation), (5, 1), rows.target)
    assert same(train(of, rows), train(of, channel))
