from __future__ import annotations

import pytest
import torch

from tuner.data import DataSet, Split, Target


@pytest.mark.parametrize(
    ("target", "outputs"),
    [(Target("classification", ("a", "b", "c")), 3), (Target("regression", (), 5.0, 2.0), 1)],
)
def test_outputs(target: Target, outputs: int) -> None:
    split = Split(torch.zeros(4, 2), torch.zeros(4))
    assert DataSet(split, split, (2,), target).outputs == outputs


def test_to_moves_every_tensor_and_copies_nothing_in_place() -> None:
    train = Split(torch.zeros(4, 2), torch.zeros(4))
    validation = Split(torch.zeros(2, 2), torch.zeros(2))
    data = DataSet(train, validation, (2,), Target("regression"))
    moved = data.to("meta")
    tensors = [moved.train.x, moved.train.y, moved.validation.x, moved.validation.y]
    assert {t.device.type for t in tensors} == {"meta"}
    assert (len(moved.train), len(moved.validation)) == (4, 2)
    assert data.to("cpu").train.x is train.x
