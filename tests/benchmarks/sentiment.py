"""The sentiment study through the command line, and its best configuration on the test rows.

The best configuration by the validation rows is trained again on all rows for training and
validation, and measured once on the test rows; beside it TF-IDF with logistic regression, as
scikit-learn has them by default, on the same rows. Prints one JSON line.

    MOVIE_REVIEWS=reviews.csv WORD_VECTORS=glove.6B.50d.txt \\
        python tests/benchmarks/sentiment.py [--trials 30] [--timeout 15m] [--seeds 3]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np


def searched(url: str, trials: int, timeout: str, workers: int) -> dict[str, Any]:
    """The search as a user would run it; what ``optimize --json`` says, and its seconds."""
    begun = time.perf_counter()
    command = [str(Path(sys.executable).parent / "tuner"), "optimize", "--study", "sentiment"]
    command += ["--storage", url, "--trials", str(trials), "--timeout", timeout]
    done = subprocess.run(
        [*command, "--workers", str(workers), "--json"],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    return {**json.loads(done.stdout), "wall": time.perf_counter() - begun}


def on_test_rows(config: dict[str, Any], seeds: int) -> tuple[list[float], float]:
    """The accuracy of the configuration, once for each seed, and that of the rival."""
    import torch

    from tuner.data import load
    from tuner.metrics import METRICS
    from tuner.seeds import derive
    from tuner.study import load_study
    from tuner.training.trainer import Trainer

    torch.set_num_threads(1)
    spec = load_study("sentiment").data
    data = load(spec, final=True)
    values = []
    for number in range(seeds):
        trainer = Trainer(config, data, METRICS["accuracy"], derive(0, "test", number))
        for _ in trainer.epochs():
            pass
        values.append(trainer.result.value)
    return values, rival(spec.path or "", data)


def rival(path: str, data: Any) -> float:
    """TF-IDF and logistic regression on the same rows."""
    import pandas as pd
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    frame = pd.read_csv(os.path.expandvars(path))
    train, test = (frame.iloc[rows] for rows in data.positions)
    words = TfidfVectorizer()
    model = LogisticRegression(max_iter=1000)
    model.fit(words.fit_transform(train["text"]), train["sentiment"])
    return float(model.score(words.transform(test["text"]), test["sentiment"]))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--timeout", default="15m")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/tuner.db"
        found = searched(url, arguments.trials, arguments.timeout, arguments.workers)
        best = found["best"]
        begun = time.perf_counter()
        values, theirs = on_test_rows(best["configuration"], arguments.seeds)
        again = time.perf_counter() - begun
    said = {
        "benchmark": "sentiment",
        "search_seconds": round(found["wall"], 1),
        "trials": found.get("finished", arguments.trials),
        "validation": round(best["value"], 4),
        "test": [round(value, 4) for value in values],
        "test_mean": round(float(np.mean(values)), 4),
        "tfidf_logistic_regression": round(theirs, 4),
        "retrain_seconds": round(again, 1),
        "vectors": bool(os.environ.get("WORD_VECTORS")),
        "config": best["configuration"],
    }
    print(json.dumps(said))


if __name__ == "__main__":
    main()
