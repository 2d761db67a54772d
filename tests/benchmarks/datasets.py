"""Data larger than memory: what a worker takes for a large Dataset and a large table, and what
reading ahead costs.

    python tests/benchmarks/datasets.py [--gigabytes 2] [--readers 1] [--rows 16000] [--rounds 5]
        [--limit 32] [--only memory|table|reading]

The large one is a file of float32 images that the script makes in a temporary folder. A study of it
runs with one worker, and the peak is what the kernel tells of the worker and of its readers at the
end of each: the resident memory of the worker, and what it and its readers hold for themselves
(proportional set size), all of it in MB.

The table has 100 columns, ten of which are text, and its numbers would take ten times the limit
that the study sets (`in_memory`); as CSV and as Parquet. The peaks are those of the worker and of
the command that starts it, which reads the table.

The small one lies in memory. A trial of a cnn on the same rows as tensors, as the Dataset as it
comes (which is read into tensors), and as the Dataset read ahead are trained in turns, A B C A B C,
by the clock, since reading ahead is work of other processes: of each the least time of an epoch
counts, for on a busy machine readers have to wait for a core. Beside it is the processor time of
the training itself. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from tuner.data import DataSet, DataSpec, load
from tuner.metrics import METRICS
from tuner.study.catalogue import SECTIONS
from tuner.training.trainer import Trainer

MOST_MEGABYTES, MOST_COST = 700, 0.1
PARTS = ("memory", "table", "reading")
TIMES, COLUMNS, TEXTS = 10, 100, 10
LARGE = """
import numpy as np

SHAPE, FILE, ROWS = (3, 32, 32), {file!r}, {rows}
COUNT = 3 * 32 * 32

class Images:
    def __len__(self):
        return ROWS

    def __getitem__(self, index):
        x = np.fromfile(FILE, np.float32, COUNT, offset=4 * COUNT * index).reshape(SHAPE)
        return x, index % 10

def load():
    return Images()
"""
STUDY = """
[data]
source = "large:load"
readers = {readers}
[model]
family = "mlp"
[training]
epochs = 1
batch_size = 256
learning_rate = {{ low = 1e-4, high = 1e-3 }}
[search]
trials = 2
pruner = "none"
"""
TABLE = STUDY.replace(
    'source = "large:load"\nreaders = {readers}',
    'path = "table{ending}"\ntarget = "class"\nin_memory = {limit}',
)
SMALL = """
import torch
from torch.utils.data import Dataset

ROWS = {rows}
generator = torch.Generator().manual_seed(0)
Y = torch.arange(ROWS) % 10
X = torch.randn(ROWS, 3, 32, 32, generator=generator) + Y[:, None, None, None] / 10

class Images(Dataset):
    def __len__(self):
        return ROWS

    def __getitem__(self, index):
        return X[index], Y[index]

def tensors():
    return X, Y

def dataset():
    return Images()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--readers", type=int, default=1)
    parser.add_argument("--rows", type=int, default=16_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=int, default=32)
    parser.add_argument("--only", choices=PARTS, action="append")
    asked = parser.parse_args()
    wanted = asked.only or PARTS
    known: dict[str, Any] = {"benchmark": "datasets", **vars(asked)}
    peaks: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "memory" in wanted:
            known["megabytes"] = memory = of_memory(folder, asked.gigabytes, asked.readers)
            peaks += [memory["worker_resident"], memory["with_readers"]]
        if "table" in wanted:
            known["table_megabytes"] = {
                ending: of_table(folder, ending, asked.limit) for ending in (".csv", ".parquet")
            }
            peaks += [each["worker_resident"] for each in known["table_megabytes"].values()]
        met = max(peaks, default=0) < MOST_MEGABYTES
        if "reading" in wanted:
            known["seconds"] = of_reading(folder, asked.rows, asked.readers, asked.rounds)
            met = met and known["seconds"]["ahead"] <= 1 + MOST_COST
    print(json.dumps({**known, "bars": [MOST_MEGABYTES, MOST_COST], "met": met}))


# Memory.


def of_memory(folder: Path, gigabytes: float, readers: int) -> dict[str, float]:
    """The peaks of the worker of a study, in MB."""
    rows, file = int(gigabytes * 1e9 / (4 * 3072)), folder / "images"
    generator = torch.Generator().manual_seed(0)
    with file.open("wb") as stream:
        for start in range(0, rows, 2000):
            count = min(2000, rows - start)
            classes = torch.arange(start, start + count) % 10
            images = torch.randn(count, 3072, generator=generator) + classes[:, None] / 10
            images.numpy().tofile(stream)
    (folder / "large.py").write_text(LARGE.format(file=str(file), rows=rows))
    (folder / "studies").mkdir(exist_ok=True)
    (folder / "studies" / "large.toml").write_text(STUDY.format(readers=readers))
    begun, tuner = time.perf_counter(), str(Path(sys.executable).parent / "tuner")
    peaks = watched(folder, [tuner, "optimize", "--study", "large"])
    file.unlink()
    return {**peaks, "data": round(file_size(rows)), "seconds": round(time.perf_counter() - begun)}


def file_size(rows: int) -> float:
    return rows * 4 * 3072 / 1e6


def of_table(folder: Path, ending: str, limit: int) -> dict[str, float]:
    """The same of a table that is not held in memory."""
    rows, file = TIMES * limit * 2**20 // (4 * COLUMNS), folder / f"table{ending}"
    write_table(file, rows)
    (folder / "studies").mkdir(exist_ok=True)
    study = folder / "studies" / f"table{ending[1:]}.toml"
    study.write_text(TABLE.format(ending=ending, limit=limit))
    begun, tuner = time.perf_counter(), str(Path(sys.executable).parent / "tuner")
    cache = folder / f"cache{ending}"
    command = [tuner, "optimize", "--study", str(study), "--device", "cpu"]
    peaks = watched(folder, command, {"TUNER_CACHE": str(cache)})
    known = {"file": file.stat().st_size, "numbers": 4 * rows * COLUMNS}
    file.unlink()
    known["cache"] = sum(each.stat().st_size for each in cache.iterdir())
    sizes = {name: round(size / 1e6) for name, size in known.items()}
    return {**peaks, **sizes, "seconds": round(time.perf_counter() - begun)}


def write_table(file: Path, rows: int) -> None:
    """Numbers of a few digits, texts, and a class that follows from both."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    rng, words = np.random.default_rng(0), np.array(["red", "green", "blue", "grey"])
    writer: Any = None
    for start in range(0, rows, 20_000):
        count = min(20_000, rows - start)
        numbers = rng.integers(-999, 1000, (count, COLUMNS - TEXTS)) / 100
        codes = rng.integers(0, 4, (count, TEXTS))
        columns = {f"number{i}": numbers[:, i] for i in range(COLUMNS - TEXTS)}
        columns |= {f"text{i}": words[codes[:, i]] for i in range(TEXTS)}
        columns["class"] = (numbers[:, 0] + codes[:, 0] > 1.5).astype(np.int64)
        part = pa.table(columns)
        if writer is None and file.suffix == ".csv":
            writer = pyarrow.csv.CSVWriter(file, part.schema)
        elif writer is None:
            writer = pyarrow.parquet.ParquetWriter(file, part.schema)
        writer.write_table(part)
    writer.close()


def watched(
    folder: Path, command: list[str], variables: Mapping[str, str] | None = None
) -> dict[str, float]:
    """Runs a study with one worker; the peaks of the worker alone, with its readers, and of the
    command."""
    options = ["--workers", "1", "--storage", f"sqlite:///{folder / 'study.db'}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **(variables or {})}
    process = subprocess.Popen(
        [*command, *options], cwd=folder, env=environment, stdout=subprocess.DEVNULL
    )
    resident = together = started = 0.0
    while process.poll() is None:
        try:
            started = max(started, psutil.Process(process.pid).memory_info().rss)
            for worker in psutil.Process(process.pid).children():
                resident = max(resident, worker.memory_info().rss)
                every = [worker, *worker.children(recursive=True)]
                together = max(together, sum(each.memory_full_info().pss for each in every))
        except psutil.Error:
            pass  # it has ended meanwhile
        time.sleep(0.05)
    assert process.returncode == 0
    peaks = {"worker_resident": resident, "with_readers": together, "command_resident": started}
    return {name: round(peak / 1e6) for name, peak in peaks.items()}


# What reading ahead costs.


def of_reading(folder: Path, rows: int, readers: int, rounds: int) -> dict[str, float]:
    """Seconds of an epoch for each kind of rows, and the ratio of rows read ahead to tensors."""
    torch.set_num_threads(1)
    (folder / "small.py").write_text(SMALL.format(rows=rows))
    sys.path.insert(0, str(folder))
    kinds = {
        "tensors": read(folder, "tensors"),
        "dataset": read(folder, "dataset"),
        "dataset_ahead": read(folder, "dataset", in_memory=0, readers=readers),
    }
    courses = {name: trainer(data).epochs() for name, data in kinds.items()}
    for course in courses.values():
        next(course)
    seconds: dict[str, list[float]] = {name: [] for name in kinds}
    busy: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(rounds):
        for name, course in courses.items():
            begun, its_begin = time.perf_counter(), time.process_time()
            next(course)
            seconds[name].append(time.perf_counter() - begun)
            busy[name].append(time.process_time() - its_begin)
    least = {name: round(min(each), 3) for name, each in seconds.items()}
    median = {f"{name}_cpu": round(statistics.median(each), 3) for name, each in busy.items()}
    ratio = round(least["dataset_ahead"] / least["tensors"], 3)
    of_cpu = round(median["dataset_ahead_cpu"] / median["tensors_cpu"], 3)
    return {**least, **median, "ahead": ratio, "ahead_cpu": of_cpu}


def read(folder: Path, function: str, **keys: int) -> DataSet:
    return load(DataSpec(source=f"small:{function}", **keys), folder=folder)  # type: ignore[arg-type]


def trainer(data: DataSet) -> Trainer:
    defaults = {leaf.name: leaf.default for leaves in SECTIONS.values() for leaf in leaves}
    config = {**defaults, "family": "cnn", "epochs": 1000, "batch_size": 128}
    return Trainer(config, data, METRICS["accuracy"], 0)


if __name__ == "__main__":
    main()
