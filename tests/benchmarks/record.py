"""Trains every configuration of a lattice on three small data sets and keeps the curves.

For digits and wine (scikit-learn) and `fair` (statsmodels: whether there was an affair) 2,592
networks are trained for 27 epochs each: two optimizers (sgd with three momenta below it, adam), six
learning rates, three widths, two schedules, batch normalization, dropout and weight decay with two
sizes each below their switch. After each epoch the accuracy and the cross entropy of the validation
rows are kept, in `recorded/NAME.npz`, which `search.py` reads. All is small, so that it takes some
minutes of one core: a few hundred rows to learn from, two hidden layers of 64 units at most.

    pip install statsmodels
    python tests/benchmarks/record.py [--tables digits wine fair]
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits, load_wine

from tuner.data.dataset import DataSet, Split, Target
from tuner.metrics import METRICS
from tuner.study.catalogue import SECTIONS
from tuner.training.trainer import Trainer, one_thread

FOLDER = Path(__file__).parent / "recorded"
EPOCHS = 27
LEVELS: dict[str, tuple[Any, ...]] = {
    "optimizer": ("sgd 0.0", "sgd 0.5", "sgd 0.9", "adam"),
    "learning_rate": (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1),
    "width": (8, 24, 64),
    "lr_scheduler": ("constant", "cosine"),
    "batch_norm": (False, True),
    "dropout": (0.0, 0.2, 0.5),
    "weight_decay": (0.0, 1e-2, 1e-1),
}
"""The lattice; of an optimizer's two words the second is its momentum."""
HIGHEST = 60000.0
"""What is larger has no number of 16 bits."""
SHAPE = tuple(len(levels) for levels in LEVELS.values())

Rows = tuple[NDArray[np.float64], NDArray[np.int64]]


def scikit(load: Callable[..., Rows]) -> Rows:
    x, y = load(return_X_y=True)
    return x, y


def fair() -> Rows:
    import statsmodels.api as sm

    frame = sm.datasets.fair.load_pandas().data
    return frame.drop(columns="affairs").to_numpy(float), (frame["affairs"] > 0).to_numpy(int)


TABLES: dict[str, tuple[Callable[[], Rows], int, int, int]] = {
    "digits": (lambda: scikit(load_digits), 600, 1197, 64),
    "wine": (lambda: scikit(load_wine), 80, 98, 16),
    "fair": (fair, 1000, 3000, 64),
}
"""The rows, how many to train on and to validate on, and the size of a batch."""


def data_set(name: str) -> tuple[DataSet, int]:
    rows, train, validation, size = TABLES[name]
    x, y = rows()
    order = np.random.default_rng(0).permutation(len(x))[: train + validation]
    x, y = x[order], y[order]
    x = (x - x[:train].mean(0)) / np.maximum(x[:train].std(0), 0.1)
    parts = [
        Split(torch.tensor(x[part], dtype=torch.float32), torch.tensor(y[part]))
        for part in (slice(train), slice(train, None))
    ]
    classes = tuple(str(label) for label in np.unique(y))
    return DataSet(*parts, (x.shape[1],), Target("classification", classes)), size


def curves(levels: dict[str, Any], data: DataSet, size: int) -> NDArray[np.float64]:
    """Accuracy and cross entropy [2, EPOCHS]; NaN from the epoch on in which it diverges."""
    defaults = {leaf.name: leaf.default for leaves in SECTIONS.values() for leaf in leaves}
    optimizer, *momentum = levels["optimizer"].split()
    nested = {"sgd.momentum": float(momentum[0])} if momentum else {}
    fixed = {"depth": 2, "batch_size": size, "epochs": EPOCHS}
    config = {**defaults, **fixed, **levels, "optimizer": optimizer, **nested}
    values = np.full((2, EPOCHS), np.nan)
    for epoch in Trainer(config, data, METRICS["accuracy"], seed=0).epochs():
        if not epoch.finite:
            break
        values[:, epoch.number - 1] = epoch.value, epoch.validation_loss
    return values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", nargs="*", choices=list(TABLES), default=list(TABLES))
    FOLDER.mkdir(exist_ok=True)
    for name in parser.parse_args().tables:
        begun = time.process_time()
        data, size = data_set(name)
        lattice = itertools.product(*LEVELS.values())
        with one_thread():
            measured = [
                curves(dict(zip(LEVELS, levels, strict=True)), data, size) for levels in lattice
            ]
        each = np.minimum(measured, HIGHEST)  # NaN stays
        accuracy, loss = np.moveaxis(each.astype(np.float16).reshape(*SHAPE, 2, EPOCHS), -2, 0)
        np.savez_compressed(FOLDER / f"{name}.npz", accuracy=accuracy, loss=loss)
        print(json.dumps({"table": name, "cpu_s": round(time.process_time() - begun)}), flush=True)


if __name__ == "__main__":
    main()
