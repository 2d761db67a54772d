"""test_batches"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional

from tuner.errors import StudyFileError
from tuner.imports import Allowed, allowing
from tuner.techniques import Draw
from tuner.techniques.batches import (
    CLASS_WEIGHTS,
    LABEL_SMOOTHING,
    MIXUP,
    SAMPLING,
    OwnRows,
    try_out,
    weights,
)

CLASSES = torch.tensor([2, 0, 0, 0, 0, 1, 0, 0, 2, 0]).repeat(300)


def drawn(classes: torch.Tensor, seed: int = 1) -> torch.Tensor:
    assert SAMPLING.rows
    return SAMPLING.rows("balanced", classes, torch.Generator().manual_seed(seed))


def test_each_class_is_drawn_as_often() -> None:
    counts = torch.bincount(CLASSES[drawn(CLASSES)])
    assert int(counts.sum()) == len(CLASSES)
    assert all(abs(count - 1000) < 5 * 1000**0.5 for count in counts.tolist())


def test_each_row_of_a_class_is_drawn_as_often() -> None:
    rows = drawn(torch.tensor([0, 1, 1, 0, 1]).repeat(2000))
    counts = torch.bincount(rows % 5, minlength=5)  # two places of class 0, three of class 1
    expected = torch.tensor([2500, 5000 / 3, 5000 / 3, 2500, 5000 / 3])
    assert bool(((counts - expected).abs() < 5 * expected**0.5).all())


def test_a_function_of_the_generator() -> None:
    assert torch.equal(drawn(CLASSES), drawn(CLASSES))
    assert not torch.equal(drawn(CLASSES), drawn(CLASSES, seed=2))


def test_a_class_without_rows_is_never_drawn() -> None:
    classes = torch.tensor([0, 3, 3, 3])
    assert set(drawn(classes).tolist()) <= {0, 1, 2, 3}


Y = np.array([0] * 50 + [1] * 30 + [2] * 3)
SHARES = torch.bincount(torch.from_numpy(Y)).double() / len(Y)


def test_balanced_is_that_of_scikit_learn() -> None:
    expected = compute_class_weight("balanced", classes=np.unique(Y), y=Y)
    assert weights(SHARES, 1.0).tolist() == pytest.approx(expected.tolist(), rel=1e-12)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_the_mean_over_the_training_rows_is_one(power: float) -> None:
    found = weights(SHARES, power)
    assert float(found[torch.from_numpy(Y)].mean()) == pytest.approx(1.0)
    assert power == 0 or found[2] > found[1] > found[0]


def test_sqrt_lies_between_none_and_balanced() -> None:
    ratio = [float(w[2] / w[0]) for w in (weights(SHARES, p) for p in (0.0, 0.5, 1.0))]
    assert ratio == pytest.approx([1.0, (50 / 3) ** 0.5, 50 / 3])


def test_weights_are_the_same_in_every_step() -> None:
    assert CLASS_WEIGHTS.draw
    generator = torch.Generator().manual_seed(0)
    (drawn,) = CLASS_WEIGHTS.draw("balanced", Draw(4, 8, (2,), generator, SHARES))
    assert drawn.shape == (4, 3)
    assert torch.equal(drawn, weights(SHARES, 1.0).expand(4, 3))


def test_numbers() -> None:
    x, y = torch.zeros(2, 3), torch.tensor([[0.0, 1, 0, 0], [1, 0, 0, 0]])
    assert LABEL_SMOOTHING.batch
    same, smooth = LABEL_SMOOTHING.batch(x, y, 0.2)
    assert same is x
    assert torch.allclose(
        smooth, torch.tensor([[0.05, 0.85, 0.05, 0.05], [0.85, 0.05, 0.05, 0.05]])
    )


def test_the_loss_is_torchs() -> None:
    logits = torch.randn(6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    classes = torch.tensor([0, 1, 2, 3, 4, 0])
    assert LABEL_SMOOTHING.batch
    _, y = LABEL_SMOOTHING.batch(logits, functional.one_hot(classes, 5).double(), 0.13)
    theirs = functional.cross_entropy(logits, classes, label_smoothing=0.13)
    torch.testing.assert_close(functional.cross_entropy(logits, y), theirs, rtol=1e-12, atol=0)


def test_needs_classes() -> None:
    assert LABEL_SMOOTHING.classes


@pytest.mark.parametrize("alpha", [0.2, 0.4, 1.0, 4.0, 10.0])
def test_shares_are_beta_distributed(alpha: float, draw: Draw) -> None:
    assert MIXUP.draw
    (shares,) = MIXUP.draw(alpha, draw)
    assert shares.shape == (4000,)
    assert stats.kstest(shares.numpy(), stats.beta(alpha, alpha).cdf).pvalue > 0.01


def test_with_a_small_alpha_one_of_the_two_rows_prevails(draw: Draw) -> None:
    assert MIXUP.draw
    (shares,) = MIXUP.draw(0.01, draw)
    assert bool(shares.isfinite().all())
    assert float(((shares < 0.01) | (shares > 0.99)).double().mean()) > 0.9
    assert abs(float(shares.mean()) - 0.5) < 0.03


def test_steps_do_not_depend_on_how_many_are_drawn_at_once() -> None:
    assert MIXUP.draw
    one, two = (torch.Generator().manual_seed(6) for _ in range(2))
    together = MIXUP.draw(0.3, Draw(7, 2, (3,), one))[0]
    parts = [MIXUP.draw(0.3, Draw(n, 2, (3,), two))[0] for n in (1, 2, 4)]
    assert torch.equal(together, torch.cat(parts))


def test_each_row_is_mixed_with_the_one_before() -> None:
    x = torch.tensor([[0.0, 0], [1, 10], [4, 40]])
    y = torch.eye(3)
    assert MIXUP.batch
    mixed_x, mixed_y = MIXUP.batch(x, y, 0.4, torch.tensor(0.75))
    assert torch.equal(mixed_x, torch.tensor([[1.0, 10], [0.75, 7.5], [3.25, 32.5]]))
    expected = torch.tensor([[0.75, 0, 0.25], [0.25, 0.75, 0], [0, 0.25, 0.75]])
    assert torch.equal(mixed_y, expected)


def test_images_and_numbers() -> None:
    x = torch.randn(4, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([[1.0], [2], [3], [4]])
    assert MIXUP.batch
    mixed_x, mixed_y = MIXUP.batch(x, y, 0.4, torch.tensor(0.25, dtype=torch.float64))
    assert mixed_x.dtype == mixed_y.dtype == torch.float32
    assert torch.allclose(mixed_x[1], 0.25 * x[1] + 0.75 * x[0])
    assert torch.equal(mixed_y, torch.tensor([[3.25], [1.25], [2.25], [3.25]]))


# Functions of the user's.


MINE = """
import torch

def first(targets, generator, count=2): return torch.arange(count)
def zeroing(targets, generator): return torch.arange(len(targets.zero_()))
def raising(targets, generator): return targets[:, 3]
def listed(targets, generator): return [0, 1]
def mask(targets, generator): return targets > 0
def weights(targets, generator): return torch.rand(len(targets), generator=generator)
def table(targets, generator): return torch.zeros(3, 2, dtype=torch.int64)
def none(targets, generator): return torch.tensor([], dtype=torch.int64)
def beyond(targets, generator): return torch.tensor([0, len(targets)])
def negative(targets, generator): return torch.tensor([-1, 0])
def random(targets, generator): return torch.randperm(len(targets))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "my_rows.py").write_text(MINE)
    monkeypatch.delitem(sys.modules, "my_rows", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_function_of_ones_own(folder: Path) -> None:
    targets = torch.tensor([0.5, 1.0, 2.0])
    assert OwnRows("my_rows:first", {"count": 3})(targets, torch.Generator()).tolist() == [0, 1, 2]
    assert len(OwnRows("my_rows:zeroing")(targets, torch.Generator())) == 3
    assert targets.tolist() == [0.5, 1.0, 2.0]
    try_out(OwnRows("my_rows:first"), targets)


@pytest.mark.parametrize(
    ("name", "words", "hint"),
    [
        ("raising", "the sampler raised IndexError", "torch.int64 targets of shape [3]"),
        ("listed", "the sampler returned [0, 1] of type list", "a tensor of positions"),
        ("mask", "the sampler returned a tensor of type torch.bool", "mask.nonzero().squeeze(1)"),
        ("weights", "the sampler returned a tensor of type torch.float32", "whole numbers"),
        ("table", "the sampler returned a tensor of shape [3, 2]", "one position for each row"),
        ("none", "the sampler returned a tensor of shape [0]", "one position for each row"),
        ("beyond", "the sampler returned position 3, and there are 3", "from 0 to 2"),
        ("negative", "the sampler returned position -1, and there are 3", "from 0 to 2"),
        ("random", "the sampler gives other rows for the same generator", "generator=generator"),
    ],
)
def test_a_function_of_ones_own_that_is_no_sampler(
    folder: Path, name: str, words: str, hint: str
) -> None:
    targets = torch.tensor([0, 1, 1] * (1 if name != "random" else 20))
    with pytest.raises(StudyFileError) as caught:
        try_out(OwnRows(f"my_rows:{name}"), targets)
    assert caught.value.where == f"my_rows:{name}"
    assert caught.value.message.startswith(words)
    assert hint in caught.value.hint


def test_a_function_that_is_not_allowed_is_not_imported(folder: Path) -> None:
    with allowing(Allowed()), pytest.raises(StudyFileError, match="my_rows"):
        try_out(OwnRows("my_rows:first"), torch.tensor([0, 1, 1]))
    assert "my_rows" not in sys.modules
