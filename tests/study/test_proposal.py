"""What a first study file proposes, by the data."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tuner.metrics import METRICS
from tuner.space import Choice, Range, walk
from tuner.study import NetworkStudy
from tuner.study.init import draft, file_text, survey
from tuner.study.parse import parse
from tuner.study.proposal import Space, size_of

RNG = np.random.default_rng(0)


def table(rows: int, columns: int = 4, **more: Any) -> pd.DataFrame:
    x = RNG.normal(size=(rows, columns))
    frame = pd.DataFrame(x, columns=[f"x{i}" for i in range(columns)])
    return frame.assign(**{"y": np.where(np.arange(rows) % 2 == 0, "a", "b"), **more})


def proposed(frame: pd.DataFrame, folder: Path) -> tuple[NetworkStudy, dict[str, Any]]:
    """The study that is proposed for a table, checked against it, and its file."""
    frame.to_csv(folder / "t.csv", index=False)
    facts = survey(folder / "t.csv", "y")
    document = tomllib.loads(file_text("t", facts, draft(facts, str)))
    study = parse("t", document, folder)
    assert isinstance(study, NetworkStudy)
    study.check_fit(facts.data)
    assert study.warnings() == ()
    return study, document


def reasons(frame: pd.DataFrame, folder: Path) -> dict[str, str]:
    frame.to_csv(folder / "t.csv", index=False)
    return {line.key: line.why for line in draft(survey(folder / "t.csv", "y"), str)}


def kinds(rows: int) -> dict[str, Any]:
    return {
        "numbers": {},
        "categories": {"town": RNG.choice(list("pqrstuvw"), rows)},
        "quantity": {"y": RNG.normal(size=rows)},
        "imbalance": {"y": np.where(np.arange(rows) % 10 == 0, "a", "b")},
    }


@pytest.mark.parametrize("kind", kinds(1))
def test_known_good_configurations_follow_the_baseline(tmp_path: Path, kind: str) -> None:
    study, document = proposed(table(200, **kinds(200)[kind]), tmp_path)
    queue = document["search"]["enqueue"]
    assert len(queue) == 2
    for number, wanted in enumerate(queue, 1):
        params = study.fixed_params(number)
        assert params is not None
        config = study.config(params)
        assert {name: config[name] for name in wanted} == wanted
    first = queue[0]
    assert (first["numbers"], first["preprocessing"]) == ("periodic", "robust")
    assert first["activation"] == ("mish" if kind == "quantity" else "selu")
    assert first["learning_rate"] == (0.012 if kind == "quantity" else 0.003)
    assert document["data"].get("target_clip", False) == (kind == "quantity")
    assert ("label_smoothing" in first) == (kind != "quantity")
    assert first.get("class_weights") == ("balanced" if kind == "imbalance" else None)
    assert first.get("categories") == ("embedding" if kind == "categories" else None)


def test_a_table_without_quantities(tmp_path: Path) -> None:
    frame = pd.DataFrame({name: RNG.choice(list("pqrstuvw"), 200) for name in ("town", "shop")})
    study, document = proposed(frame.assign(y=RNG.choice(["a", "b"], 200)), tmp_path)
    assert document["data"]["preprocessing"] == "standard"
    assert "numbers" not in document["model"]
    assert all("numbers" not in each for each in document["search"]["enqueue"])
    assert study.data_variants().keys() == {"standard"}


def test_very_many_columns_have_no_embedding(tmp_path: Path) -> None:
    _, document = proposed(table(40, 200), tmp_path)
    assert "numbers" not in document["model"]
    assert "l1_lambda" in document["regularization"]


def test_very_wide_rows_have_narrow_networks_and_one_preprocessing(tmp_path: Path) -> None:
    x = RNG.normal(size=(30, 50_000)).astype("float32")
    np.savez(tmp_path / "t.npz", x=x, y=np.arange(30) % 2)
    facts = survey(tmp_path / "t.npz", None)
    document = tomllib.loads(file_text("t", facts, draft(facts, str)))
    assert document["model"]["width"]["choices"] == [32, 64]
    assert [each["width"] for each in document["search"]["enqueue"]] == [64, 64]
    assert document["data"]["preprocessing"] == "standard"


@pytest.mark.parametrize(
    ("rows", "epochs", "batch", "widest"),
    [(50, 256, 32, 256), (1_000, 157, 32, 256), (5_000, 125, 128, 512), (20_000, 63, 256, 512)],
)
def test_few_rows_get_many_epochs(
    tmp_path: Path, rows: int, epochs: int, batch: int, widest: int
) -> None:
    study, document = proposed(table(rows, 1), tmp_path)
    assert study.max_epochs == epochs
    sizes = {"choices": [32, 128]} if rows <= 1_000 else batch
    assert document["training"]["batch_size"] == sizes
    assert max(document["model"]["width"]["choices"]) == widest
    assert document["search"]["trials"] == (60 if rows < 20_000 else 30)
    known = (document["search"].get("baseline", {}), *document["search"]["enqueue"])
    searched = isinstance(document["training"]["epochs"], dict)
    assert searched == (epochs >= 64)
    least = epochs // 4
    wanted = [least, epochs, least] if searched else [None] * 3
    assert [each.get("epochs") for each in known] == wanted
    assert known[1].get("batch_size") == (128 if rows <= 1_000 else None)
    stopping = document["regularization"].get("early_stopping")
    assert (stopping is not None) == searched
    assert known[1].get("early_stopping") == (epochs if searched else None)


@pytest.mark.parametrize(
    ("rows", "epochs", "batch"),
    [(20, 400, 16), (144, 250, 16), (600, 65, 16), (1_200, 65, 32), (20_000, 15, 128)],
)
def test_images_get_enough_steps(tmp_path: Path, rows: int, epochs: int, batch: int) -> None:
    x = RNG.integers(0, 255, (rows, 1, 4, 4)).astype("uint8")
    np.savez(tmp_path / "x.npz", x=x, y=np.arange(rows) % 2)
    size = size_of(survey(tmp_path / "x.npz", None).data)
    assert (size.epochs, size.batch, size.begin) == (epochs, batch, None)
    steps = size.epochs * -(-size.rows // batch)
    assert steps >= 400 if rows == 20 else 1_000 < steps <= 1_600
    (_, _, why), (_, _, small) = size.lines()
    assert why == f"{steps:,} steps, for {size.rows:,} rows to train on"
    assert small == ("small, so that few rows make many steps" if batch == 16 else "")


@pytest.mark.parametrize(("side", "depth"), [(16, 3), (32, 4)])
def test_larger_images_get_deeper_networks_and_a_known_one(
    tmp_path: Path, side: int, depth: int
) -> None:
    x = RNG.integers(0, 255, (40, 1, side, side)).astype("uint8")
    np.savez(tmp_path / "x.npz", x=x, y=np.arange(40) % 2)
    facts = survey(tmp_path / "x.npz", None)
    document = tomllib.loads(file_text("x", facts, draft(facts, str)))
    study = parse("x", document, tmp_path)
    assert isinstance(study, NetworkStudy)
    study.check_fit(facts.data)
    assert document["model"]["depth"] == {"low": 1, "high": depth}
    (known,) = document["search"]["enqueue"]
    params = study.fixed_params(1)
    assert params is not None
    config = study.config(params)
    assert {name: config[name] for name in known} == known
    assert (known["depth"], known["batch_norm"]) == (depth, True)


@pytest.mark.parametrize("metric", ["accuracy", "roc_auc", "log_loss"])
def test_labels_are_smoothed_only_where_the_metric_judges_classes(
    tmp_path: Path, metric: str
) -> None:
    table(60).to_csv(tmp_path / "t.csv", index=False)
    data = survey(tmp_path / "t.csv", "y").data
    space = Space(data, size_of(data), METRICS[metric].judges, "", preprocessing=True)
    keys = {line.key for line in space.lines()}
    first = next(iter(space.known_good().values()))
    smooths = metric == "accuracy"
    assert ("label_smoothing" in keys, "label_smoothing" in first) == (smooths, smooths)


@pytest.mark.parametrize(
    ("share", "metric", "words"),
    [
        (0.5, "accuracy", "classes are of similar size"),
        (0.6, "accuracy", "classes are of similar size"),
        (
            0.65,
            "accuracy",
            "b is 35.0% of the rows, always a would have an accuracy of 65.0%; "
            "balanced_accuracy would count each class alike",
        ),
        (
            0.7,
            "balanced_accuracy",
            "each class counts alike: b is 30.0% of the rows, "
            "always a would have an accuracy of 70.0%",
        ),
    ],
)
def test_the_metric_by_the_size_of_classes(
    tmp_path: Path, share: float, metric: str, words: str
) -> None:
    frame = table(500, y=np.where(np.arange(500) < 500 * share, "a", "b"))
    study, document = proposed(frame, tmp_path)
    assert study.metric == metric
    assert reasons(frame, tmp_path)["metric"] == words
    assert ("class_weights" in document["training"]) == (metric == "balanced_accuracy")


def test_the_names_of_classes_stay_on_one_line(tmp_path: Path) -> None:
    frame = table(300, y=np.where(np.arange(300) % 10 == 0, "a\nb", "c\nd"))
    study, _ = proposed(frame, tmp_path)
    assert study.metric == "balanced_accuracy"


def test_a_long_tail_is_named(tmp_path: Path) -> None:
    frame = table(300, spend=RNG.lognormal(0, 3, 300))
    study, _ = proposed(frame, tmp_path)
    assert study.data_variants().keys() == {"standard", "robust", "quantile"}
    assert reasons(frame, tmp_path)["preprocessing"].endswith("the long tail of spend")


def test_the_file_names_both_budgets(tmp_path: Path) -> None:
    table(200).to_csv(tmp_path / "t.csv", index=False)
    facts = survey(tmp_path / "t.csv", "y")
    text = file_text("t", facts, draft(facts, str))
    assert "trials = 60\n# epochs = 5120 " in text
    in_work = text.replace("trials = 60\n# epochs", "epochs")
    study = parse("t", tomllib.loads(in_work), tmp_path)
    assert (study.search.limit, study.search.epochs) == (None, 5120)


def test_the_baseline_has_every_technique_off(tmp_path: Path) -> None:
    study, _ = proposed(table(200), tmp_path)
    config = study.config(study.baseline())
    switches = [n for n in walk(study.nodes) if isinstance(n.value, Range | Choice) and n.searched]
    off = {n.name: n.leaf.off for n in switches if n.leaf.off is not None and n.name in config}
    assert off
    assert {name: config[name] for name in off} == off
