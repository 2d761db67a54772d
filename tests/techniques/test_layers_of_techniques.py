"""Batch norm and dropout: which layer they put where."""

from __future__ import annotations

import pytest

from tuner.layers import BatchNorm, Dropout
from tuner.techniques.norm_dropout import BATCH_NORM, DROPOUT


@pytest.mark.parametrize("shape", [(7,), (7, 4, 5)])
def test_batch_norm(shape: tuple[int, ...]) -> None:
    assert BATCH_NORM.layer
    layer = BATCH_NORM.layer(shape, True)
    assert isinstance(layer, BatchNorm)
    assert layer.weight.shape == (7,)
    assert BATCH_NORM.before_activation
    assert BATCH_NORM.centres
    assert BATCH_NORM.leaf.static


@pytest.mark.parametrize("shape", [(7,), (7, 4, 5)])
def test_dropout(shape: tuple[int, ...]) -> None:
    assert DROPOUT.layer
    layer = DROPOUT.layer(shape, 0.3)
    assert isinstance(layer, Dropout)
    assert layer.rate == 0.3
    assert not DROPOUT.before_activation
    assert not DROPOUT.centres
    assert not DROPOUT.leaf.static
