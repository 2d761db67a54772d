"""The fashion-mnist study through the command line, and its best configuration on the test file.

The search has the study's own budget. The best configuration by the validation rows is trained
again on all 60,000 rows and measured once on the 10,000 of the test file. Prints one JSON line;
`met` says whether the accuracy is above 0.90 and all of it took at most 20 minutes.

    FASHION_MNIST=FOLDER python tests/benchmarks/fashion_mnist.py [--workers 2]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

STUDY = "fashion-mnist"
BAR, MINUTES = 0.90, 20
EVERYBODY = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


def searched(url: str, workers: int) -> dict[str, Any]:
    """The search as a user would run it; what ``optimize --json`` says."""
    command = [str(Path(sys.executable).parent / "tuner"), "optimize", "--study", STUDY]
    done = subprocess.run(
        [*command, "--storage", url, "--workers", str(workers), "--json"],
        check=True,
        stdout=subprocess.PIPE,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def on_test_file(config: dict[str, Any]) -> float:
    """The accuracy of the configuration, trained on the rows for training and validation."""
    import torch

    from tuner.data import load
    from tuner.metrics import METRICS
    from tuner.seeds import derive
    from tuner.study import load_study
    from tuner.training.trainer import Trainer

    torch.set_num_threads(1)
    study = load_study(STUDY)
    data = load(study.data, folder=study.folder, final=True)
    trainer = Trainer(config, data, METRICS["accuracy"], derive(0, "test", 0))
    for _ in trainer.epochs():
        pass
    return float(trainer.result.value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        found = searched(f"sqlite:///{folder}/tuner.db", asked.workers)
    search = time.perf_counter() - begun
    accuracy = on_test_file(found["best"]["configuration"])
    seconds = time.perf_counter() - begun
    said = {
        "benchmark": "fashion-mnist",
        "seconds": round(seconds, 1),
        "search_seconds": round(search, 1),
        "cpu_seconds": round(sum(sum(resource.getrusage(who)[:2]) for who in EVERYBODY), 1),
        "workers": asked.workers,
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[1], 1),
        "trials": found.get("finished"),
        "validation": round(found["best"]["value"], 4),
        "test": round(accuracy, 4),
        "bar": BAR,
        "met": accuracy > BAR and seconds <= MINUTES * 60,
        "config": found["best"]["configuration"],
    }
    print(json.dumps(said))


if __name__ == "__main__":
    main()
