from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from sklearn.datasets import load_diabetes

from tuner.data.dataset import DataSet, Split, Target
from tuner.space import Config
from tuner.study.catalogue import SECTIONS


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def config() -> Callable[..., Config]:
    def make(**changes: Any) -> Config:
        """Every leaf at its default, small and short, but for the changes."""
        defaults = {leaf.name: leaf.default for leaves in SECTIONS.values() for leaf in leaves}
        small = {"epochs": 4, "batch_size": 16, "width": 8, "learning_rate": 0.01}
        return defaults | small | changes

    return make


@pytest.fixture(scope="session")
def blobs() -> DataSet:
    """Three classes in the plane; 65 training rows, so that a batch of 16 leaves one over."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.tensor([[0.0, 2.0], [2.0, -1.0], [-2.0, -1.0]])
    y = torch.arange(95) % 3
    x = centres[y] + torch.randn(95, 2, generator=generator)
    target = Target("classification", ("a", "b", "c"))
    return DataSet(Split(x[:65], y[:65]), Split(x[65:], y[65:]), (2,), target)


@pytest.fixture(scope="session")
def diabetes() -> DataSet:
    """Regression, standardized as a study would have it."""
    x, y = (torch.tensor(a, dtype=torch.float32) for a in load_diabetes(return_X_y=True))
    x = (x - x[:342].mean(0)) / x[:342].std(0)
    mean, scale = float(y[:342].mean()), float(y[:342].std())
    y = (y - mean) / scale
    target = Target("regression", (), mean, scale)
    return DataSet(Split(x[:342], y[:342]), Split(x[342:], y[342:]), (10,), target)
