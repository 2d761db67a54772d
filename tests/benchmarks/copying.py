"""How long `tuner copy` takes for a study of 5,000 trials of ten parameters and thirty epochs.

From SQLite to PostgreSQL and back, and once more, which only compares. Prints one JSON line, in
seconds, with what this process computed itself.

    python tests/benchmarks/copying.py [--trials 5000]
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

from server import started
from storage_cost import fill, join

from tuner.operation.copy import copy
from tuner.storage import Storage, open_storage


def timed(source: Storage, target: Storage) -> dict[str, float]:
    start, cpu = time.perf_counter(), time.process_time()
    list(copy(source, target))
    wall, computed = time.perf_counter() - start, time.process_time() - cpu
    return {"s": round(wall, 2), "computed": round(computed, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=5000)
    trials = parser.parse_args().trials
    with tempfile.TemporaryDirectory(prefix="copy", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "pg").mkdir()
        server = started(folder / "pg")
        try:
            first = open_storage(f"sqlite:///{folder}/first.db")
            fill(first, join(first, "study"), trials, 0)
            there, back = open_storage(server.create()), open_storage(f"sqlite:///{folder}/b.db")
            found = {
                "sqlite to postgresql": timed(first, there),
                "postgresql to sqlite": timed(there, back),
                "there already": timed(first, there),
            }
        finally:
            server.kill()
    load = [round(each, 1) for each in os.getloadavg()]
    print(json.dumps({"trials": trials, "load of the machine": load} | found))


if __name__ == "__main__":
    main()
