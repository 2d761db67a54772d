"""A small study that is searched once, for all that asks about it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch

from tuner.run.optimize import optimize
from tuner.run.options import RunOptions
from tuner.study import load_study

STUDY = """\
metric = "accuracy"
[data]
path = "{table}"
target = "label"
split = "part"
[model]
family = "mlp"
depth = 1
width = 8
[regularization]
dropout = {{ off = 0.0, low = 0.1, high = 0.5 }}
weight_decay = {{ off = 0.0, low = 1e-3, high = 1e-1, log = true }}
[training]
epochs = 4
batch_size = 16
learning_rate = {{ low = 1e-3, high = 1e-1, log = true }}
[search]
trials = 8
sampler = "random"
pruner = "none"
seed = 3
"""


class Searched(NamedTuple):
    folder: Path
    url: str
    name: str

    @property
    def options(self) -> RunOptions:
        return RunOptions(self.url, workers=1, device="cpu")


def table(folder: Path, test_noise: float | None = None) -> Path:
    """Two classes of 300 rows; with noise in place of the test rows' features."""
    random = np.random.default_rng(0)
    label = random.integers(0, 2, 300)
    x = random.normal(size=(300, 4)) + label[:, None] * 0.7
    part = np.array(["train"] * 180 + ["validation"] * 60 + ["test"] * 60)
    if test_noise is not None:
        x[part == "test"] = np.random.default_rng(9).normal(0, test_noise, size=(60, 4))
    frame = pd.DataFrame(x, columns=list("abcd")).assign(label=label, part=part)
    path = folder / "table.csv"
    frame.to_csv(path, index=False)
    return path


def search(folder: Path, test_noise: float | None = None) -> Searched:
    path = folder / "small.toml"
    path.write_text(STUDY.format(table=table(folder, test_noise)))
    found = Searched(folder, f"sqlite:///{folder}/tuner.db", "small")
    before = torch.get_num_threads()
    optimize(load_study(str(path)), found.options)
    torch.set_num_threads(before)
    return found


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Searched:
    return search(tmp_path_factory.mktemp("searched"))


@pytest.fixture
def searched(once: Searched, tmp_path: Path) -> Searched:
    """A copy of the database, to be written to."""
    files = (sqlite3.connect(folder / "tuner.db") for folder in (once.folder, tmp_path))
    with closing(next(files)) as source, closing(next(files)) as target:
        source.backup(target)
    return Searched(once.folder, f"sqlite:///{tmp_path}/tuner.db", once.name)


@pytest.fixture
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Searched:
    """The same search over a table whose test rows are noise."""
    return search(tmp_path_factory.mktemp("noisy"), test_noise=50.0)
