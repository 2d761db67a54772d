"""`confirm` and `ablate` with and without the trainings that can hardly change the answer.

Each runs on copies of one searched database in turn: with `--full`, which makes every training, and
without. One JSON line: for each command the seconds and the CPU seconds of both, the ratio of their
medians, the trainings of both, and whether the winner and the numbers of winner and baseline are
the same.

    python tests/benchmarks/confirm.py [--data digits|table] [--trials 60] [--runs 3] [--ablate]
        [--workers 2]

`table` is made here: 5,000 rows of eight numbers and two categories, of two classes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

TABLE = """
metric = "accuracy"
[data]
path = "people.csv"
target = "bought"
[model]
family = "mlp"
depth = { low = 1, high = 3 }
width = { choices = [64, 128, 256] }
[regularization]
batch_norm = { choices = [true, false] }
dropout = { off = 0.0, low = 0.05, high = 0.5 }
weight_decay = { off = 0.0, low = 1e-5, high = 0.1, log = true }
label_smoothing = { off = 0.0, low = 0.01, high = 0.2 }
[training]
epochs = 40
batch_size = 128
learning_rate = { low = 1e-4, high = 3e-2, log = true }
[search]
pruner = "promote"
"""


def people(rows: int = 5000) -> pd.DataFrame:
    """Numbers whose effect depends on a category, and noise."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 8))
    kind, place = rng.integers(0, 6, rows), rng.integers(0, 4, rows)
    slopes, ends = rng.normal(size=(6, 8)), rng.normal(size=4)
    score = (x * slopes[kind]).sum(1) / 2 + np.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2]
    score += ends[place] * np.abs(x[:, 3]) + rng.logistic(size=rows)
    frame = pd.DataFrame(x, columns=[f"number_{i}" for i in range(8)]).round(4)
    frame["kind"] = np.array(list("abcdef"))[kind]
    frame["place"] = np.array(["north", "east", "south", "west"])[place]
    return frame.assign(bought=np.where(score > 0, "yes", "no"))


def run(folder: Path, *words: str) -> tuple[float, float, Any]:
    """Seconds and CPU seconds of a command, and what it printed."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [str(Path(sys.executable).parent / "tuner"), *words, "--json"]
    used, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        command, cwd=folder, env=environment, check=True, capture_output=True, text=True
    )
    seconds, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    return seconds, cpu, json.loads(done.stdout)


def compared(folder: Path, command: str, base: str, options: tuple[str, ...], runs: int) -> Any:
    """The command with and without `--full` on copies of a database, in alternation."""
    measured: dict[str, list[tuple[float, float, Any]]] = {"full": [], "race": []}
    for turn in range(runs):
        for mode in ("full", "race") if turn % 2 == 0 else ("race", "full"):
            shutil.copy(folder / f"{base}.db", folder / f"{command}-{mode}.db")
            words = (*options, "--storage", f"sqlite:///{command}-{mode}.db")
            full = ("--full",) if mode == "full" else ()
            measured[mode].append(run(folder, command, *words, *full))
    full, race = (measured[mode][0][2] for mode in ("full", "race"))
    answer = {
        f"{what}_{mode}": [round(each[i], 2) for each in measured[mode]]
        for i, what in enumerate(("seconds", "cpu"))
        for mode in ("full", "race")
    }
    for i, what in enumerate(("seconds", "cpu")):
        both = [median(each[i] for each in measured[mode]) for mode in ("race", "full")]
        answer[f"{what}_ratio"] = round(both[0] / both[1], 3)
    answer["trainings"] = {"full": full["asked"]["wanted"], "race": race["asked"]["wanted"]}
    if command == "confirm":
        answer["same_winner"] = full["winner"]["label"] == race["winner"]["label"]
        reported = ("winner", "baseline", "gain")
        numbers = [
            {key: {**each[key], "calibration": None} for key in reported if each[key] is not None}
            for each in (full, race)
        ]
        answer["same_numbers"] = numbers[0] == numbers[1]
    else:
        effects = [
            {(e["technique"], e["view"]): e["difference"] for e in x["effects"]}
            for x in (full, race)
        ]
        answer["same_numbers"] = effects[0] == effects[1]
    return answer


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", choices=["digits", "table"], default="digits")
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--workers", default="2")
    parser.add_argument("--ablate", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "studies").mkdir()
        if given.data == "table":
            people().to_csv(folder / "people.csv", index=False)
            text = TABLE.replace("people.csv", str(folder / "people.csv"))
            (folder / "studies" / "table.toml").write_text(text)
        options = ("--study", given.data, "--workers", given.workers)
        search = ("--trials", str(given.trials), "--storage", "sqlite:///searched.db")
        seconds, cpu, _ = run(folder, "optimize", *options, *search)
        result = {
            "data": given.data,
            "search": {"seconds": round(seconds, 2), "cpu": round(cpu, 2)},
        }
        result["confirm"] = compared(folder, "confirm", "searched", options, given.runs)
        if given.ablate:
            shutil.copy(folder / "confirm-race.db", folder / "confirmed.db")
            result["ablate"] = compared(folder, "ablate", "confirmed", options, given.runs)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
