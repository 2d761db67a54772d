from __future__ import annotations

import torch

from tuner.techniques.balanced_sampling import SAMPLING

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
