"""Do `confirm` and `ablate` say what is true? Three experiments, one JSON line.

- A planted truth: weight decay matters (few rows, many features of noise) and dropout hurts (a
  network so narrow that no unit can be spared).
- Nothing matters: labels that have nothing to do with the features, made anew in each repetition;
  how many of the 95% intervals of each view cover zero.
- `confirm` on digits: how many of 20 intervals from five seeds each cover the mean of 30 others.

    python tests/benchmarks/answers.py [planted] [nothing] [digits] [--repetitions 40] [--workers 2]

Each of the three by itself or, if none is named, all.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tuner import RunOptions, ablate, confirm, load_study, optimize
from tuner.results.estimate import over_seeds

STUDY = """\
metric = "{metric}"
[data]
path = "{path}"
target = "label"
split = "part"
preprocessing = "none"
[model]
family = "mlp"
depth = 1
width = {width}
[regularization]
dropout = {{ off = 0.0, low = 0.1, high = 0.6 }}
weight_decay = {{ off = 0.0, low = 1e-3, high = 10.0, log = true }}
[training]
epochs = {epochs}
batch_size = 32
learning_rate = 0.01
[search]
trials = 2
pruner = "none"
enqueue = [{{ dropout = {dropout}, weight_decay = {decay} }}]
"""


def planted(random: np.random.Generator) -> pd.DataFrame:
    """An exclusive or of two features among 30 of noise; 400 rows to learn from, 2,000 to test."""
    x = random.normal(size=(2600, 32))
    label = (x[:, 0] * x[:, 1] > 0).astype(int)
    x[:, :2] *= 2
    return table(x, label, (300, 300, 2000))


def nothing(random: np.random.Generator) -> pd.DataFrame:
    return table(random.normal(size=(600, 6)), random.integers(0, 2, 600), (150, 150, 300))


def table(x: Any, label: Any, sizes: tuple[int, int, int]) -> pd.DataFrame:
    names = [f"x{i}" for i in range(x.shape[1])]
    part = np.repeat(["train", "validation", "test"], sizes)
    return pd.DataFrame(x, columns=names).assign(label=label, part=part)


def taken_apart(folder: Path, frame: pd.DataFrame, seeds: int, workers: int, **file: Any) -> Any:
    """The ablation of a search of the baseline and one configuration with both techniques."""
    folder.mkdir()
    frame.to_csv(folder / "table.csv", index=False)
    study = folder / "made.toml"
    study.write_text(STUDY.format(path=folder / "table.csv", **file))
    options = RunOptions(f"sqlite:///{folder}/tuner.db", workers=workers, device="cpu")
    optimize(load_study(str(study)), options)
    return ablate("made", options, seeds=seeds, views=["off", "on"])


def planted_truth(folder: Path, workers: int) -> dict[str, Any]:
    """What is said of both techniques, switched off alone; whether it is what was planted."""
    file = {"metric": "cross_entropy", "width": 8, "epochs": 120, "decay": 0.5, "dropout": 0.4}
    frame = planted(np.random.default_rng(0))
    effects = taken_apart(folder / "planted", frame, 5, workers, **file).effects
    off = {each.technique: each.difference for each in effects if each.view == "off"}
    return {
        "said": [f"{each.view}: {each.words}" for each in effects],
        "weight decay helps": off["weight_decay"].low > 0,
        "dropout hurts": off["dropout"].high < 0,
    }


def covered(folder: Path, repetitions: int, workers: int) -> dict[str, Any]:
    """Shares of the null case's intervals that cover zero, by view and technique, and of all."""
    counts: dict[str, int] = {}
    file = {"metric": "accuracy", "width": 16, "epochs": 5, "decay": 0.1, "dropout": 0.5}
    for i in range(repetitions):
        frame = nothing(np.random.default_rng(i))
        for effect in taken_apart(folder / f"null{i}", frame, 5, workers, **file).effects:
            key = f"{effect.technique} {effect.view}"
            counts[key] = counts.get(key, 0) + (not effect.difference.clear)
    found = {key: round(count / repetitions, 3) for key, count in counts.items()}
    every = sum(counts.values()) / (repetitions * len(counts))
    return {"repetitions": repetitions, **found, "all": round(every, 3)}


def confirmed(folder: Path, repetitions: int, workers: int) -> dict[str, Any]:
    """Of intervals over five seeds each, how many hold the mean of 30 others."""
    folder.mkdir()
    options = RunOptions(f"sqlite:///{folder}/tuner.db", workers=workers, device="cpu")
    optimize("digits", RunOptions(**{**vars(options), "trials": 10}))
    row = confirm("digits", options, top=1, seeds=30 + 5 * repetitions).winner
    assert row.test is not None
    further, rest = row.test.values[:30], row.test.values[30:]
    mean = float(np.mean(further))
    intervals = [over_seeds(rest[i : i + 5]) for i in range(0, len(rest), 5)]
    inside = [each.low <= mean <= each.high for each in intervals]
    return {"repetitions": len(inside), "covered": sum(inside) / len(inside), "mean": mean}


PARTS = ("planted", "nothing", "digits")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--repetitions", type=int, default=40, help="on digits half as many")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    parts = options.parts or PARTS
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no part {unknown}: {', '.join(PARTS)}")
    count, workers = options.repetitions, options.workers
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="answers") as name:
        folder = Path(name)
        runs = {
            "planted": lambda: planted_truth(folder, workers),
            "nothing": lambda: covered(folder, count, workers),
            "digits": lambda: confirmed(folder / "digits", max(1, count // 2), workers),
        }
        for part in parts:
            begun = time.monotonic()
            found[part] = runs[part]() | {"seconds": round(time.monotonic() - begun, 1)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
