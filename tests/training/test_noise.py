from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from tuner.errors import StudyFileError, TrainingError
from tuner.techniques import Technique
from tuner.techniques.batches import MIXUP, SAMPLING, OwnRows, try_out
from tuner.techniques.images import SHIFT
from tuner.techniques.norm_dropout import Dropout
from tuner.training import noise
from tuner.training.noise import (
    Batch,
    Streams,
    batches,
    drawing_layers,
    rows_of_epoch,
    steps_of,
)

STREAMS = Streams(1, 0, torch.device("cpu"))


def all_of(rows: int, size: int, *, streams: Streams = STREAMS, **more: Any) -> list[Batch]:
    options = {"shape": (4,), "techniques": [], "layers": []} | more
    blocks = batches(rows, size, streams=streams, **options)
    return [batch for block in blocks for batch in block]


@pytest.mark.parametrize(
    ("rows", "size", "parts"),
    [
        (10, 5, [5, 5]),
        (12, 5, [5, 5, 2]),
        (11, 5, [5, 5]),  # of a last single row batch normalization could learn nothing
        (3, 5, [3]),
        (1, 5, [1]),
        (1, 1, [1]),
        (3, 1, [1, 1, 1]),
        (2, 2, [2]),
    ],
)
def test_sizes(rows: int, size: int, parts: list[int]) -> None:
    found = all_of(rows, size)
    assert [len(batch.rows) for batch in found] == parts
    assert steps_of(rows, size) == len(parts)
    seen = torch.cat([batch.rows for batch in found]).tolist()
    assert len(set(seen)) == len(seen) == sum(parts)
    assert set(seen) <= set(range(rows))


def test_no_row_is_left_out_for_ever() -> None:
    """Another row is the single last one in another epoch."""
    left = set()
    for epoch in range(200):
        streams = Streams(1, epoch, torch.device("cpu"))
        seen = torch.cat([batch.rows for batch in all_of(6, 5, streams=streams)])
        left |= set(range(6)) - set(seen.tolist())
    assert left == set(range(6))


def test_an_order_for_each_seed_and_epoch() -> None:
    cpu = torch.device("cpu")
    streams = [Streams(seed, epoch, cpu) for seed in range(3) for epoch in range(3)]
    orders = {tuple(all_of(30, 30, streams=s)[0].rows.tolist()) for s in streams}
    assert len(orders) == 9


def test_one_stream_for_each_use() -> None:
    firsts = [
        int(torch.randint(2**60, (), generator=STREAMS.generator(*use)))
        for use in (("rows",), ("layer", 0), ("layer", 1), ("technique", "mixup"))
    ]
    assert len(set(firsts)) == 4


def test_layers_and_techniques_are_given_their_noise() -> None:
    layers: Any = [Dropout((7,), 0.5), Dropout((3, 2, 2), 0.5)]
    found = all_of(12, 5, layers=layers, techniques=[(MIXUP, 0.3), (SHIFT, 0.1)])
    for batch in found:
        rows = len(batch.rows)
        assert [mask.shape for mask in batch.masks] == [(rows, 7), (rows, 3, 1, 1)]
        assert batch.noise["mixup"][0].shape == ()
        assert batch.noise["shift"][0].shape == (5, 2)
    first, second = found[0].masks[0], found[1].masks[0]
    assert not torch.equal(first, second)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noise, "BLOCK", 2 * 5 * 8)
    layers: Any = [Dropout((8,), 0.5)]
    blocks = list(batches(23, 5, (4,), [], layers, STREAMS))
    assert [len(block) for block in blocks] == [2, 2, 1]
    monkeypatch.setattr(noise, "BLOCK", 1)
    assert [len(block) for block in batches(23, 5, (4,), [], layers, STREAMS)] == [1] * 5


def test_drawing_layers_in_the_networks_order() -> None:
    one, two = Dropout((2,), 0.1), Dropout((3,), 0.1)
    module = nn.Sequential(nn.Linear(2, 2), one, nn.Sequential(nn.ReLU(), two))
    assert drawing_layers(module) == [one, two]


def choosing(count: int) -> tuple[Technique, OwnRows]:
    """A technique with a function of the user's, which chooses so many rows."""
    rows = OwnRows("mine:rows")
    rows.__dict__["call"] = lambda targets, generator: torch.arange(count)  # as if imported
    return SAMPLING, rows


def test_a_choice_of_rows_decides_the_steps() -> None:
    targets, technique = torch.zeros(10), choosing(7)
    assert rows_of_epoch(10, [technique], STREAMS, targets) == 7
    assert rows_of_epoch(10, [], STREAMS, targets) == 10
    found = all_of(7, 4, techniques=[technique], targets=targets)
    assert [batch.rows.tolist() for batch in found] == [[0, 1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (8, "the sampler chose 8 rows for epoch 3, and for the first epoch 7"),
        (11, "epoch 3: the sampler returned position 10, and there are 10 training rows"),
    ],
)
def test_a_choice_that_cannot_be_names_the_epoch(count: int, words: str) -> None:
    streams = Streams(1, 2, torch.device("cpu"))
    with pytest.raises(TrainingError) as caught:
        all_of(7, 4, streams=streams, techniques=[choosing(count)], targets=torch.zeros(10))
    assert caught.value.message == words
    assert caught.value.where == "mine:rows"
    assert caught.value.hint


def test_a_sampler_that_chooses_other_counts_is_refused_before_any_trial() -> None:
    rows = OwnRows("mine:rows")
    rows.__dict__["call"] = lambda targets, generator: torch.arange(
        5 + int(torch.randint(90, (), generator=generator))
    )
    with pytest.raises(
        StudyFileError, match=r"mine:rows: the sampler chose \d+ rows for one epoch"
    ):
        try_out(rows, torch.zeros(100))
