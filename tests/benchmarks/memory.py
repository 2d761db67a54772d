"""How much memory reading data takes: the peak of a process, in sizes of its tensors.

    python tests/benchmarks/memory.py [--rows 1000000] [--columns 50] [--images 60000] [--folds 5]

Each file is made, then read in a process of its own; what the same process takes with the same
modules and no data is subtracted. With folds, the tensors are those of one fold. Prints one JSON
line; `met` says whether all are within 2.5.
"""

from __future__ import annotations

import argparse
import json
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

BAR = 2.5
READ = """
import re, sys
from pathlib import Path
import pandas, pyarrow.parquet, scipy.special
from tuner.data import DataSpec, load
folds = int(sys.argv[4]) or None
spec = DataSpec(path=sys.argv[1], target=sys.argv[2] or None, folds=folds)
size = 0
if sys.argv[3] == "read":
    data = load(spec)
    tensors = (data.train.x, data.train.y, data.validation.x, data.validation.y)
    sizes = (len(each) * each[:1].numel() * each[:1].element_size() for each in tensors)
    size = sum(sizes)
# The peak that getrusage tells is no less than that of the process that started this one.
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
print(int(peak[1]) * 1024, size)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--folds", type=int, default=0)
    asked = parser.parse_args()
    ratios = {}
    with tempfile.TemporaryDirectory() as folder:
        make_idx(Path(folder) / "idx", asked.images)
        ratios["idx"] = ratio(str(Path(folder) / "idx"), "", asked.folds)
        tables = make_tables(Path(folder), asked.rows, asked.columns)
        ratios |= {
            file.suffix[1:]: ratio(str(file), target, asked.folds) for file, target in tables
        }
    met = max(ratios.values()) <= BAR
    print(json.dumps({"benchmark": "memory", **vars(asked), **ratios, "bar": BAR, "met": met}))


def ratio(path: str, target: str, folds: int) -> float:
    """Peak above the process without data, by the size of the tensors."""
    (without, _), (peak, size) = (_peak(path, target, how, folds) for how in ("not", "read"))
    return round((peak - without) / size, 2)


def _peak(path: str, target: str, how: str, folds: int) -> tuple[int, int]:
    command = [sys.executable, "-c", READ, path, target, how, str(folds)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    peak, size = map(int, said.split())
    return peak, size


def make_idx(folder: Path, count: int) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for part, rows in (("train", count), ("t10k", 100)):
        pixels = rng.integers(0, 256, rows * 784, dtype=np.uint8).tobytes()
        header = struct.pack(">IIII", 0x803, rows, 28, 28)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(header + pixels)
        labels = (np.arange(rows) % 10).astype(np.uint8).tobytes()
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, rows) + labels)


def make_tables(folder: Path, rows: int, columns: int) -> list[tuple[Path, str]]:
    """The same numbers as CSV, Parquet and NPZ, and the target's name in each."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, columns)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64)
    frame = pd.DataFrame(x, columns=[f"c{i}" for i in range(columns)]).assign(y=y)
    frame.to_csv(folder / "t.csv", index=False, float_format="%.4f")
    frame.astype({f"c{i}": "float64" for i in range(columns)}).to_parquet(folder / "t.parquet")
    np.savez(folder / "t.npz", x=x, y=y)
    return [(folder / "t.csv", "y"), (folder / "t.parquet", "y"), (folder / "t.npz", "y")]


if __name__ == "__main__":
    main()
