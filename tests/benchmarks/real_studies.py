"""Real studies through the command line: tuner's sampler and pausing beside TPE with Hyperband.

For each seed the rival searches a study that ships by 60 trials, on one worker; tuner gets a share
of the epochs that these took, as its budget. One JSON line: of each study and arm the mean of the
best values and of the epochs that all trials trained, with standard errors, and of tuner beside the
rival the difference of the values, paired by seed, and the shares of its epochs and seconds. The
best value of a search is partly luck: with `--confirm` the best configuration is trained again with
so many other seeds, and the mean losses on the validation and on the test rows stand beside it.

    python tests/benchmarks/real_studies.py [--studies digits wine diabetes] [--seeds 12]
        [--share 0.5] [--confirm 5]
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

from tuner.output import toml_document
from tuner.study import load_study

TUNER = Path(sys.executable).with_name("tuner")
ARMS = {
    "rival": {"sampler": "tpe", "pruner": "hyperband"},
    "tuner": {"sampler": "auto", "pruner": "promote"},
}


def run(name: str, arm: str, seed: int, budget: list[str], confirm: int) -> dict[str, Any]:
    """The best value, the epochs and the seconds of one run of a study, and what its best
    configuration reaches over other seeds."""
    document = dict(load_study(name).document)
    document["search"] = {**document.get("search", {}), **ARMS[arm], "seed": seed}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.toml"
        path.write_text(toml_document(document))

        def tuner(*command: str | Path) -> dict[str, Any]:
            done = subprocess.run(
                [TUNER, *command, "--study", path, "--workers", "1", "--json"],
                cwd=folder,
                env={**os.environ, "TUNER_STORAGE": f"sqlite:///{folder}/tuner.db"},
                capture_output=True,
                text=True,
                check=True,
            )
            document: dict[str, Any] = json.loads(done.stdout)
            return document

        begun = time.monotonic()
        last = tuner("optimize", *budget)
        assert last["state"] == "finished"
        seconds = round(time.monotonic() - begun, 2)
        sign = 1 if last["direction"] == "minimize" else -1
        found = {"loss": sign * last["best"]["value"], "epochs": last["epochs"], "seconds": seconds}
        if confirm:
            options = ("--top", "1", "--seeds", str(confirm), "--no-yardsticks")
            [winner, *_] = tuner("confirm", *options)["rows"]
            for rows in ("validation", "test"):
                found[f"{rows} loss"] = sign * winner[rows]["mean"]
        return found


def summary(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Means with standard errors, and the paired comparison; a smaller loss is better."""
    columns = {
        arm: {key: np.array([each[key] for each in of], dtype=float) for key in of[0]}
        for arm, of in runs.items()
    }
    found: dict[str, Any] = {
        arm: {key: mean_and_error(values) for key, values in of.items()}
        for arm, of in columns.items()
    }
    rival, ours = columns["rival"], columns["tuner"]
    for key in rival:
        if key.endswith("loss"):
            found[f"{key} less the rival's"] = mean_and_error(ours[key] - rival[key])
    found["share of its epochs"] = round(float(ours["epochs"].sum() / rival["epochs"].sum()), 3)
    found["share of its seconds"] = round(float(ours["seconds"].sum() / rival["seconds"].sum()), 3)
    return found


def mean_and_error(values: Any) -> list[float]:
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    return [round(float(values.mean()), 5), round(float(error), 5)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", nargs="+", default=["digits", "wine", "diabetes"])
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--trials", type=int, default=60, help="of the rival")
    parser.add_argument("--share", type=float, default=0.5, help="of its epochs, for tuner")
    parser.add_argument("--confirm", type=int, default=0, help="by so many other seeds")
    given = parser.parse_args()
    found: dict[str, Any] = {"seeds": given.seeds, "trials": given.trials, "share": given.share}
    for name in given.studies:
        runs: dict[str, list[dict[str, Any]]] = {arm: [] for arm in ARMS}
        for seed in range(given.seeds):
            rival = run(name, "rival", seed, ["--trials", str(given.trials)], given.confirm)
            epochs = str(round(given.share * rival["epochs"]))
            runs["rival"].append(rival)
            runs["tuner"].append(run(name, "tuner", seed, ["--epochs", epochs], given.confirm))
        found[name] = summary(runs)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
