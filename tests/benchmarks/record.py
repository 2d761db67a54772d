"""Trains every configuration of a lattice on three small data sets and keeps the curves.

For digits and wine (scikit-learn) and `fair` (statsmodels: whether there was an affair) 2,592
networks are trained for 27 epochs each: two optimizers (sgd with three momenta below it, adam), six
learning rates, three widths, two schedules, batch normalization, dropout and weight decay with two
sizes each below their switch. The accuracy (digits) or cross entropy of the validation rows after
each epoch is kept, the mean over four trainings with other seeds: of one training, the best of so
many networks is mostly the luckiest. `search.py` reads it from `recorded/NAME.npz`. All is small,
so that a table takes some minutes of one core: a few hundred rows to learn from, two hidden layers
of 64 units at most.

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
SEEDS = range(4)
HIGHEST = 1e4
"""Larger values count as this one."""
SHAPE = tuple(len(levels) for levels in LEVELS.values())

Rows = tuple[NDArray[np.float64], NDArray[np.int64]]


def scikit(load: Callable[..., Rows]) -> Rows:
    x, y = load(return_X_y=True)
    return x, y


def fair() -> Rows:
    import statsmodels.api as sm

    frame = sm.datasets.fair.load_pandas().data
    return frame.drop(columns="affairs").to_numpy(float), (frame["affairs"] > 0).to_numpy(int)


TABLES: dict[str, tuple[Callable[[], Rows], int, int, int, str]] = {
    "digits": (lambda: scikit(load_digits), 600, 1197, 64, "accuracy"),
    "wine": (lambda: scikit(load_wine), 80, 98, 16, "loss"),
    "fair": (fair, 1000, 3000, 64, "loss"),
}
"""The rows, how many to train on and to validate on, the size of a batch, and what is kept."""


def data_set(name: str) -> tuple[DataSet, int]:
    rows, train, validation, size, _ = TABLES[name]
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


def curve(levels: dict[str, Any], data: DataSet, size: int, kept: str) -> NDArray[np.float64]:
    """The mean [EPOCHS] of what is kept over the seeds; NaN from the epoch on in which one
    diverges."""
    defaults = {leaf.name: leaf.default for leaves in SECTIONS.values() for leaf in leaves}
    optimizer, *momentum = levels["optimizer"].split()
    nested = {"sgd.momentum": float(momentum[0])} if momentum else {}
    fixed = {"depth": 2, "batch_size": size, "epochs": EPOCHS}
    config = {**defaults, **fixed, **levels, "optimizer": optimizer, **nested}
    values = np.full((len(SEEDS), EPOCHS), np.nan)
    for of_seed, seed in zip(values, SEEDS, strict=True):
        for epoch in Trainer(config, data, METRICS["accuracy"], seed).epochs():
            if not epoch.finite:
                break
            value = epoch.value if kept == "accuracy" else epoch.validation_loss
            of_seed[epoch.number - 1] = min(value, HIGHEST)
    return values.mean(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", nargs="*", choices=list(TABLES), default=list(TABLES))
    FOLDER.mkdir(exist_ok=True)
    for name in parser.parse_args().tables:
        begun = time.process_time()
        data, size = data_set(name)
        lattice = itertools.product(*LEVELS.values())
        kept = TABLES[name][-1]
        with one_thread():
            measured = [
                curve(dict(zip(LEVELS, levels, strict=True)), data, size, kept)
                for levels in lattice
            ]
        values = np.round(measured, 5).astype(np.float32).reshape(*SHAPE, EPOCHS)
        np.savez_compressed(FOLDER / f"{name}.npz", **{kept: values})
        print(json.dumps({"table": name, "cpu_s": round(time.process_time() - begun)}), flush=True)


if __name__ == "__main__":
    main()
