"""``check``, ``studies`` and ``techniques``."""

from __future__ import annotations

import json
import os
import stat
import struct
import tomllib
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tuner.losses import LOSSES
from tuner.metrics import METRICS
from tuner.optimizers import OPTIMIZERS
from tuner.schedules import SCHEDULES
from tuner.study.files import shipped
from tuner.techniques import TECHNIQUES


@pytest.mark.parametrize("name", sorted(shipped()))
def test_check_shipped_studies(tuner, empty: Path, clothes: Path, reviews: Path, name: str) -> None:
    elsewhere = {"FASHION_MNIST": str(clothes), "MOVIE_REVIEWS": str(reviews)}
    outcome = tuner("check", "--study", name, **elsewhere)
    assert outcome.code == 0
    assert outcome.stdout.startswith(f"{name}: ")
    assert "rows to train on" in outcome.stdout
    assert "learning_rate" in outcome.stdout
    assert not list(empty.iterdir())


@pytest.mark.parametrize("command", ["check", "optimize"])
def test_a_shipped_study_whose_data_is_elsewhere(tuner, empty: Path, command: str) -> None:
    for value, says in (("", "FASHION_MNIST is not set"), ("nowhere", "no such file '$FASHION")):
        outcome = tuner(command, "--study", "fashion-mnist", FASHION_MNIST=value)
        assert (outcome.code, outcome.stdout) == (2, "")
        assert f"data.path: {says}" in outcome.stderr.replace("the environment variable ", "")
    assert not list(empty.iterdir())


def test_images_in_idx_files_are_trained_on(tuner, empty: Path, clothes: Path) -> None:
    asked = ("optimize", "--study", "fashion-mnist", "--trials", "1", "--workers", "1", "--json")
    outcome = tuner(*asked, FASHION_MNIST=str(clothes))
    assert outcome.code == 0, outcome.stderr
    assert json.loads(outcome.stdout)["best"]["value"] > 0.1


@pytest.mark.parametrize("vectors", ["", "vectors.txt"])
def test_texts_are_trained_on_with_and_without_vectors(
    tuner, empty: Path, reviews: Path, vectors: str
) -> None:
    asked = ("optimize", "--study", "sentiment", "--trials", "2", "--workers", "1", "--json")
    given = str(reviews.parent / vectors) if vectors else ""
    outcome = tuner(*asked, MOVIE_REVIEWS=str(reviews), WORD_VECTORS=given)
    assert outcome.code == 0, outcome.stderr
    assert json.loads(outcome.stdout)["best"]["value"] > 0.9
    said = tuner("check", "--study", "sentiment", MOVIE_REVIEWS=str(reviews), WORD_VECTORS=given)
    assert "each of at most 9 words" in said.stdout


def test_check_says_how_large_the_search_is(tuner, place) -> None:
    text = tuner("check", "--study", "small").stdout
    assert "size      4 dimensions, infinitely many configurations" in text
    assert "cost      at most 12 epochs: 4 trials of 3 epochs" in text
    assert "sampler   random: at random, whatever the results" in text
    assert "pruner    none: every trial comes to its end" in text
    assert "seed      0" in text
    assert "steps     are not recorded: a training has too few of them to pay" in text
    assert "89 rows to train on, 30 to validate; 4 features; classification" in text
    line = next(line for line in text.splitlines() if line.startswith("l2_lambda"))
    assert "0, or 0.0001 to 0.1, log" in line


def test_check_says_what_was_decided_about_each_column(tuner, empty: Path) -> None:
    rows = "".join(f"{i},{i % 7},{'' if i % 9 else 3},{'yn'[i % 4 > 0]}\n" for i in range(80))
    (empty / "shop.csv").write_text("id,day,gap,bought\n" + rows)
    (empty / "s.toml").write_text('[data]\npath = "shop.csv"\ntarget = "bought"\n')
    text = tuner("check", "--study", "s.toml").stdout
    line = next(line for line in text.splitlines() if line.startswith("id "))
    assert "dropped" in line
    assert "an identifier by its name" in line
    assert "test      16 rows set aside" in text
    assert "classes   n 75.0%, y 25.0%" in text
    data = json.loads(tuner("check", "--study", "s.toml", "--json").stdout)["data"]
    assert data["balance"] == {"n": 48, "y": 16}
    assert {each["name"]: each["decision"] for each in data["columns"]} == {
        "id": "dropped",
        "day": "kept",
        "gap": "filled",
        "bought": "target",
    }


def test_check_as_json(tuner, place) -> None:
    found = json.loads(tuner("check", "--study", "small", "--json").stdout)
    assert found["metric"] == "accuracy"
    assert found["extent"]["configurations"] is None
    assert found["search"]["sampler"].startswith("random: at random")
    assert found["search"]["pruner"].startswith("none: ")
    leaves = {leaf["name"]: leaf for leaf in found["leaves"]}
    assert leaves["optimizer"]["may_be"] == "one of adam, sgd"
    assert leaves["optimizer"]["baseline"] == "adam"
    assert leaves["sgd.momentum"]["baseline"] is None


def test_check_takes_a_path_and_a_stored_study(tuner, place) -> None:
    assert tuner("check", "--study", "studies/small.toml").code == 0
    Path("studies/small.toml").unlink()
    assert tuner("check", "--study", "small").stdout.startswith("small: Flowers by a line")


def test_check_names_what_is_wrong(tuner, place) -> None:
    path = Path("studies/small.toml")
    path.write_text(path.read_text().replace("l2_lambda", "l2_lamda"))
    outcome = tuner("check", "--study", "small")
    assert outcome.code == 2
    assert "regularization.l2_lamda: unknown key" in outcome.stderr
    assert "did you mean 'l2_lambda'" in outcome.stderr


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("load_iris", "load_irises", "load_irises"),
        ('metric = "accuracy"', 'metric = "rmse"', "rmse is for regression"),
        ('pruner = "none"', 'pruner = { name = "hyperband", min_resource = 9 }', "min_resource 9"),
        ("l2_lambda = {", "cutout = 0.5\nl2_lambda = {", "needs images"),
    ],
)
def test_check_looks_at_data_and_search(tuner, place, old: str, new: str, words: str) -> None:
    path = Path("studies/small.toml")
    path.write_text(path.read_text().replace(old, new))
    outcome = tuner("check", "--study", "small")
    assert outcome.code == 2
    assert words in outcome.stderr


def test_no_such_study_lists_files_and_stored_ones(tuner, place) -> None:
    Path("studies/small.toml").rename("studies/other.toml")
    outcome = tuner("check", "--study", "smal")
    assert outcome.code == 2
    assert "did you mean 'small'" in outcome.stderr
    for name in ("digits", "other", "small"):
        assert name in outcome.stderr.split("known:")[1]


def test_check_needs_a_study_or_the_schema(tuner, empty: Path) -> None:
    assert tuner("check").code == 2
    found = json.loads(tuner("check", "--schema").stdout)
    jsonschema.Draft202012Validator.check_schema(found)


def test_studies_lists_files_and_the_database(tuner, place) -> None:
    lines = tuner("studies").stdout.splitlines()
    rows = {line.split()[0]: line for line in lines}
    assert set(shipped()) | {"small"} <= set(rows)
    assert "studies/, database" in rows["small"]
    assert "4 of 4 done" in rows["small"]
    assert "roc_auc" in rows["breast-cancer"]


def test_studies_goes_on_after_a_broken_file(tuner, empty: Path) -> None:
    (empty / "studies").mkdir()
    (empty / "studies" / "broken.toml").write_text("data = ")
    outcome = tuner("studies", "--json")
    assert outcome.code == 0
    found = {record["name"]: record for record in json.loads(outcome.stdout)["studies"]}
    assert "is not TOML" in found["broken"]["error"]
    assert found["digits"]["error"] is None
    assert "is not TOML" in tuner("studies").stdout
    assert not (empty / "tuner.db").exists()


def test_techniques_lists_everything(tuner, empty: Path) -> None:
    text = tuner("techniques").stdout
    for technique in TECHNIQUES:
        assert technique.name in text
        assert technique.leaf.source in text
    found = json.loads(tuner("techniques", "--json").stdout)
    assert [each["name"] for each in found["optimizers"]] == list(OPTIMIZERS)
    assert [each["name"] for each in found["schedules"]] == list(SCHEDULES)
    assert all(name in text for name in (*METRICS, *LOSSES))
    dropout = next(each for each in found["techniques"] if each["name"] == "dropout")
    assert dropout["off"] == 0.0
    assert dropout["suggested"] == "0, or 0.05 to 0.6"
    assert dropout["unit"] == "probability"


@pytest.fixture
def customers(empty: Path) -> Path:
    """A made table of customers in the working directory: rare, and it depends on the age."""
    rng = np.random.default_rng(0)
    count = 300
    age = rng.integers(18, 80, count).astype(float)
    left = np.where((age > 60) & (rng.random(count) < 0.6), "yes", "no")
    age[rng.random(count) < 0.1] = np.nan
    frame = pd.DataFrame(
        {
            "customer_id": np.arange(count) + 1000,
            "shop_id": np.arange(count) % 40,
            "age": age,
            "spend": rng.lognormal(0, 2, count),
            "plan": rng.choice(["basic", "plus", "pro"], count),
            "member": rng.choice([True, False], count),
            "since": pd.date_range("2020-01-01", periods=count).strftime("%Y-%m-%d"),
            "note": [f"calls often about bill {i}" for i in range(count)],
            "churned": left,
        }
    )
    frame.to_csv(empty / "customers.csv", index=False)
    return empty


INIT = ("init", "churn", "--data", "customers.csv", "--target", "churned")


def test_init_writes_a_study_that_optimize_runs(tuner, customers: Path) -> None:
    text = tuner(*INIT).stdout
    assert text.startswith("studies/churn.toml written\n")
    assert "found     300 rows, columns: " in text
    assert "missing   age 22 (7.3%)" in text
    assert "classes   no " in text
    line = next(line for line in text.splitlines() if line.startswith("customer_id "))
    assert "an identifier by its name" in line
    assert "tuner optimize --study churn" in text
    outcome = tuner("optimize", "--study", "churn", "--trials", "2")
    assert outcome.code == 0
    assert "churn: 2 of 2 trials" in outcome.stdout


def test_long_columns_may_become_vectors(tuner, empty: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"few": rng.choice(list("abc"), 200), "town": rng.choice(list("pqrstu"), 200)}
    )
    frame["y"] = rng.choice(["no", "yes"], 200)
    frame.to_csv(empty / "towns.csv", index=False)
    found = {}
    for name, drop in (("long", []), ("short", ["town"])):
        frame.drop(columns=drop).to_csv(empty / "towns.csv", index=False)
        assert tuner("init", name, "--data", "towns.csv", "--target", "y").code == 0
        text = (empty / "studies" / f"{name}.toml").read_text()
        found[name] = tomllib.loads(text)["model"].get("categories")
    size = {"name": "embedding", "size": {"low": 2, "high": 3}}
    assert found == {"long": {"choices": ["one-hot", size]}, "short": None}
    assert "embedding.size" in tuner("check", "--study", "long").stdout


def test_what_init_decides_about_a_table(tuner, customers: Path) -> None:
    found = json.loads(tuner(*INIT, "--json").stdout)
    assert found["rows"] == 300
    assert found["missing"] == {"age": 22}
    said = tomllib.loads((customers / "studies" / "churn.toml").read_text())
    assert said["metric"] == "balanced_accuracy"
    assert said["training"]["class_weights"]["choices"] == ["none", "sqrt", "balanced"]
    assert said["data"]["drop"] == ["shop_id", "note"]
    assert said["data"]["preprocessing"]["choices"] == ["standard", "robust", "quantile"]
    suggested = {each["key"]: each["value"] for each in found["decided"] if each["suggested"]}
    assert suggested == {
        "data.validation": "0.2",
        "data.keep": '["customer_id"]',
        "data.group": '"shop_id"',
        "data.time": '"since"',
        "data.text": '"note"',
        "model.members": "{ off = 1, low = 8, high = 32 }",
        "search.epochs": str(60 * said["training"]["epochs"]["high"] // 3),
    }
    why = {each["key"]: each["why"] for each in found["decided"]}
    assert "yes is " in why["metric"]
    assert "always no would have an accuracy of " in why["metric"]
    assert "judged by 60 rows" in why["data.validation"]
    assert said["data"]["validation"] == {"folds": 5}
    assert "spend" in why["data.preprocessing"]


@pytest.mark.parametrize("where", [".", "studies"])
def test_the_study_finds_its_data_from_the_project_and_beside_the_study_file(
    tuner, customers: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    assert tuner(*INIT).code == 0
    monkeypatch.chdir(customers / where)
    file = "churn.toml" if where == "studies" else "studies/churn.toml"
    assert tuner("check", "--study", file).code == 0


def test_a_file_elsewhere(tuner, customers: Path) -> None:
    assert tuner(*INIT, "--out", "mine/one.toml").code == 0
    said = tomllib.loads(Path("mine/one.toml").read_text())
    assert Path(said["data"]["path"]) == (customers / "customers.csv").resolve()
    assert tuner("check", "--study", "mine/one.toml").code == 0


def test_what_is_no_file_stays(tuner, customers: Path) -> None:
    os.mkfifo(customers / "pipe.toml")
    words = ("init", "x", "--data", "customers.csv", "--out", "pipe.toml", "--force")
    outcome = tuner(*words)
    assert (outcome.code, "is not a file" in outcome.stderr) == (2, True)
    assert stat.S_ISFIFO((customers / "pipe.toml").stat().st_mode)


def test_a_file_that_is_there_stays(tuner, customers: Path) -> None:
    assert tuner(*INIT).code == 0
    file = customers / "studies" / "churn.toml"
    file.write_text("mine")
    outcome = tuner(*INIT)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert "studies/churn.toml: already exists" in outcome.stderr
    assert "--force" in outcome.stderr
    assert file.read_text() == "mine"
    assert tuner(*INIT, "--force").code == 0
    assert "balanced_accuracy" in file.read_text()
    assert [each.name for each in file.parent.iterdir()] == ["churn.toml"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("churn", "--data", "customers.csv"), "columns: customer_id, shop_id, age"),
        (("churn", "--data", "customers.csv", "--target", "churn"), "did you mean 'churned'?"),
        (("churn", "--data", "nothing.csv", "--target", "y"), "no such file 'nothing.csv'"),
        (("../churn", "--data", "customers.csv", "--target", "churned"), "cannot name a study"),
        (("churn", "--data", "customers.csv", "--target", "note"), "labels are different"),
        (("churn", "--data", ".", "--target", "churned"), "a folder has no columns"),
        ((*INIT[1:], "--metric", "roc-auc"), "unknown metric 'roc-auc'"),
        ((*INIT[1:], "--metric", "rmse"), "rmse is for regression"),
        ((*INIT[1:], "--budget", "10 apples"), "--budget: found '10 apples'"),
    ],
)
def test_nothing_is_written_for_a_mistake(tuner, customers: Path, arguments, words: str) -> None:
    outcome = tuner("init", *arguments)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert words in outcome.stderr
    assert not (customers / "studies").exists()


@pytest.mark.parametrize(
    ("metric", "smooths", "weighs"),
    [("roc_auc", False, False), ("f1", True, True), ("accuracy", True, False)],
)
def test_a_metric_that_is_given_decides_what_is_searched(
    tuner, customers: Path, metric: str, smooths: bool, weighs: bool
) -> None:
    assert tuner(*INIT, "--metric", metric).code == 0
    text = (customers / "studies" / "churn.toml").read_text()
    study = tomllib.loads(text)
    assert study["metric"] == metric
    assert "the one given by --metric" in text
    assert ("label_smoothing" in study["regularization"]) == smooths
    assert ("class_weights" in study["training"]) == weighs


def test_a_budget_in_time(tuner, customers: Path) -> None:
    assert tuner(*INIT).code == 0
    by_trials = tomllib.loads((customers / "studies" / "churn.toml").read_text())
    assert "timeout" not in by_trials["search"]
    assert tuner(*INIT, "--budget", "90s", "--force").code == 0
    study = tomllib.loads((customers / "studies" / "churn.toml").read_text())
    assert (study["search"]["timeout"], study["search"]["trials"]) == ("90s", 1000)
    assert study["search"]["enqueue"] == by_trials["search"]["enqueue"]


def test_a_quantity_in_parquet(tuner, empty: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"a": rng.normal(size=90), "when": pd.date_range("2026-01-01", periods=90)}
    )
    frame["paid"] = frame["when"].dt.strftime("%Y%m%d").astype(int)[::-1].to_numpy()
    frame["price"] = frame["a"] * 3 + 0.5
    frame.to_parquet(empty / "p.parquet")
    assert tuner("init", "p", "--data", "p.parquet", "--target", "price").code == 0
    said = tomllib.loads((empty / "studies" / "p.toml").read_text())
    assert (said["metric"], "drop" in said["data"]) == ("rmse", False)
    for name in ("when", "paid"):
        assert f'# time = "{name}"' in (empty / "studies" / "p.toml").read_text()
    assert tuner("optimize", "--study", "p", "--trials", "1").code == 0


def test_a_column_of_text(tuner, empty: Path) -> None:
    rows = [f"this was a {'good' if i % 2 else 'bad'} thing {i},{i % 2}" for i in range(90)]
    (empty / "said.csv").write_text("\n".join(["review,kind", *rows]))
    assert tuner("init", "said", "--data", "said.csv", "--target", "kind").code == 0
    said = tomllib.loads((empty / "studies" / "said.toml").read_text())
    assert said["data"]["text"] == "review"
    assert said["model"]["family"]["choices"] == ["text-cnn", "rnn"]
    assert tuner("check", "--study", "said").code == 0


def test_sequences_of_numbers(tuner, empty: Path) -> None:
    x = np.random.default_rng(0).normal(size=(90, 12, 3)).cumsum(1)
    np.savez("waves.npz", x=x, y=np.arange(90) % 2)
    assert tuner("init", "waves", "--data", "waves.npz").code == 0
    said = tomllib.loads((empty / "studies" / "waves.toml").read_text())
    assert said["model"]["family"]["choices"] == ["rnn", "transformer"]
    assert "shape = [1, 12, 3]" in (empty / "studies" / "waves.toml").read_text()
    assert tuner("check", "--study", "waves").code == 0


def test_sequences_of_different_lengths(tuner, empty: Path) -> None:
    for shape in ((90, 12, 3), (90, 12)):
        x = np.random.default_rng(0).normal(size=shape).cumsum(1)
        x[np.arange(90) % 3 == 0, 7:] = np.nan
        np.savez("waves.npz", x=x, y=np.arange(90) % 2)
        assert tuner("init", "waves", "--data", "waves.npz", "--force").code == 0
        said = tomllib.loads((empty / "studies" / "waves.toml").read_text())
        assert said["model"]["family"]["choices"] == ["rnn", "transformer"]
        text = (empty / "studies" / "waves.toml").read_text()
        assert f"sequences, up to 12 steps of {3 if len(shape) > 2 else 1}" in text
        checked = tuner("check", "--study", "waves")
        assert checked.code == 0
        assert "rows are sequences of 7 (row 0 counted from 0) to 12" in " ".join(
            checked.stdout.split()
        )
    (empty / "studies" / "waves.toml").write_text('[data]\npath = "waves.npz"\n')
    refused = tuner("check", "--study", "waves")
    assert refused.code == 2
    assert (
        "model.family mlp: needs rows of one length, and rows are sequences of 7" in refused.stderr
    )


@pytest.mark.parametrize(
    ("names", "target"), [("XY", []), (["X", "labels"], []), (["rows", "a"], ["--target", "a"])]
)
def test_an_archive_with_other_names(
    tuner, empty: Path, names: list[str], target: list[str]
) -> None:
    rows, labels = names
    x = np.random.default_rng(0).normal(size=(90, 4))
    np.savez("rows.npz", **{rows: x, labels: np.arange(90) % 2})
    assert tuner("init", "rows", "--data", "rows.npz", *target).code == 0
    said = tomllib.loads((empty / "studies" / "rows.toml").read_text())["data"]
    assert (said["features"], said["target"]) == (rows, labels)
    assert tuner("check", "--study", "rows").code == 0
    np.savez("more.npz", a=x, b=x, c=x)
    refused = tuner("init", "more", "--data", "more.npz")
    assert refused.code == 2
    assert "no array 'x'" in refused.stderr


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_grey_images_in_an_archive(tuner, empty: Path, kind: type) -> None:
    x = np.random.default_rng(0).integers(0, 255, (90, 8, 8)).astype(kind)
    np.savez("digits.npz", x=x, y=np.arange(90) % 2)
    assert tuner("init", "digits", "--data", "digits.npz").code == 0
    said = tomllib.loads((empty / "studies" / "digits.toml").read_text())
    assert (said["model"]["family"], said["data"]["shape"]) == ("cnn", [1, 8, 8])
    assert tuner("check", "--study", "digits").code == 0


def test_several_targets(tuner, empty: Path, monkeypatch) -> None:
    x = np.random.default_rng(0).normal(size=(90, 3))
    frame = pd.DataFrame(x, columns=["a", "b", "c"])
    frame["wind"], frame["is wet"] = (x[:, 0] > 0).astype(int), np.where(x[:, 1] > 0, "yes", "no")
    frame.to_csv("days.csv", index=False)
    given = ("init", "days", "--data", "days.csv", "--force")
    assert tuner(*given, "--target", "wind", "--target", "is wet").code == 0
    said = tomllib.loads((empty / "studies" / "days.toml").read_text())
    assert said["data"]["target"] == ["wind", "is wet"]
    assert said["metric"] == "label_average_precision"
    assert tuner("optimize", "--study", "days", "--trials", "1").code == 0
    refused = tuner(*given, "--target", "wind,is wet")
    assert refused.code == 2
    assert "for several: --target wind --target 'is wet'" in refused.stderr
    for names in (["is wet"], ["is wet", "wind"]):
        monkeypatch.setenv("TUNER_TARGET", "\n".join(names))
        assert tuner(*given).code == 0
        said = tomllib.loads((empty / "studies" / "days.toml").read_text())["data"]["target"]
        assert said == (names if len(names) > 1 else names[0])


@pytest.mark.parametrize("between", [";", ", ", "|"])
def test_labels_in_one_column(tuner, empty: Path, between: str) -> None:
    x = np.random.default_rng(0).normal(size=(90, 3))
    tags = [between.join(name for name, v in zip("abc", row, strict=True) if v > 0) for row in x]
    frame = pd.DataFrame(x, columns=["p", "q", "r"]).assign(tags=tags)
    frame.to_csv("tagged.csv", index=False)
    assert tuner("init", "tagged", "--data", "tagged.csv", "--target", "tags").code == 0
    said = tomllib.loads((empty / "studies" / "tagged.toml").read_text())
    assert said["data"]["labels_separator"] == between.strip()
    assert said["metric"] == "label_average_precision"
    checked = tuner("check", "--study", "tagged")
    assert checked.code == 0
    assert "3 labels, with" in " ".join(checked.stdout.split())
    frame["tags"] = [f"name {row}{between}other" for row in range(90)]
    frame.to_csv("named.csv", index=False)
    assert tuner("init", "named", "--data", "named.csv", "--target", "tags").code == 2


@pytest.mark.parametrize("kind", ["class", "labels", "quantities"])
def test_an_array_of_rows(tuner, empty: Path, kind: str) -> None:
    x = np.random.default_rng(0).normal(size=(90, 4))
    y = {"class": np.arange(90) % 2, "labels": (x[:, :2] > 0).astype(int), "quantities": x[:, 2:]}
    np.savez("rows.npz", x=x, y=y[kind])
    assert tuner("init", "rows", "--data", "rows.npz").code == 0
    said = tomllib.loads((empty / "studies" / "rows.toml").read_text())
    assert said["data"]["preprocessing"] == {"choices": ["standard", "robust", "quantile"]}
    assert tuner("check", "--study", "rows").code == 0
    refused = tuner("init", "two", "--data", "rows.npz", "--target", "x", "--target", "y")
    assert refused.code == 2
    assert "one array holds them all, of shape [N, K]" in refused.stderr


def test_images(tuner, empty: Path) -> None:
    for shade, name in enumerate(("cat", "dog")):
        (empty / "pets" / name).mkdir(parents=True)
        for i in range(20):
            Image.new("L", (8, 8), 99 * shade + i).save(empty / "pets" / name / f"{i}.png")
    assert tuner("init", "pets", "--data", "pets").code == 0
    said = tomllib.loads((empty / "studies" / "pets.toml").read_text())
    assert (said["model"]["family"], said["data"]["path"]) == ("cnn", "pets")
    assert tuner("optimize", "--study", "pets", "--trials", "1").code == 0


def test_images_of_different_sizes(tuner, empty: Path) -> None:
    for shade, name in enumerate(("cat", "dog")):
        (empty / "pets" / name).mkdir(parents=True)
        for i in range(20):
            size = (10 + i // 2, 8 + shade)
            Image.new("L", size, 99 * shade + i).save(empty / "pets" / name / f"{i}.png")
    assert tuner("init", "pets", "--data", "pets").code == 0
    text = (empty / "studies" / "pets.toml").read_text()
    assert tomllib.loads(text)["data"]["resize"] == [8, 16]
    assert "# height and width: near the medians" in text
    said = "images of 10 x 8 to 19 x 9 pixels are resized to 16 x 8, whole"
    assert said in tuner("check", "--study", "pets").stdout
    assert tuner("optimize", "--study", "pets", "--trials", "1").code == 0


def test_few_images_are_learned(tuner, empty: Path) -> None:
    """144 images of three shapes, of other sizes and colours: a third would be right by chance."""
    rng = np.random.default_rng(0)
    corners = {"bar": (0.3, 1), "box": (1, 1), "rod": (1, 0.3)}
    for kind, (across, down) in corners.items():
        (empty / "shapes" / kind).mkdir(parents=True)
        for i in range(48):
            width, height = (int(n) for n in rng.integers(9, 14, 2))
            image = Image.new("RGB", (width, height), tuple(rng.integers(0, 100, 3).tolist()))
            side = int(rng.integers(6, 9))
            left, top = (int(rng.integers(0, n - side)) for n in (width, height))
            box = (left, top, left + round(side * across), top + round(side * down))
            image.paste(tuple(rng.integers(120, 255, 3).tolist()), box)
            image.save(empty / "shapes" / kind / f"{i}.png")
    assert tuner("init", "shapes", "--data", "shapes").code == 0
    assert tuner("optimize", "--study", "shapes", "--trials", "2").code == 0
    best = json.loads(tuner("best", "--study", "shapes", "--json").stdout)
    assert best["value"] > 0.7


@pytest.mark.parametrize("parts", [("train", "val", "test"), ("train", "val"), ("Train", "Test")])
def test_images_in_folders_for_training_and_the_test(
    tuner, empty: Path, parts: tuple[str, ...]
) -> None:
    for part in parts:
        for shade, name in enumerate(("cat", "dog")):
            (empty / "pets" / part / name).mkdir(parents=True)
            for i in range(10):
                Image.new("L", (8, 8), 99 * shade + i).save(empty / f"pets/{part}/{name}/{i}.png")
    text = tuner("init", "pets", "--data", "pets").stdout
    assert "classes   cat 50.0%, dog 50.0%" in text
    said = tomllib.loads((empty / "studies" / "pets.toml").read_text())["data"]
    wanted = {"path": "pets", "split": "folder"}
    if len(parts) == 2 and parts[1] == "Test":
        wanted = {"path": "pets/Train", "test_path": "pets/Test", "validation": 0.2}
    assert said == {**wanted, "preprocessing": "standard"}
    outcome = tuner("check", "--study", "pets")
    assert outcome.code == 0
    for line in ("data", "test", "classes"):
        assert next(each for each in text.splitlines() if each.startswith(line)) in outcome.stdout


def test_images_whose_channels_are_last(tuner, empty: Path) -> None:
    x = np.random.default_rng(0).integers(0, 255, (90, 8, 9, 3)).astype("uint8")
    np.savez("pets.npz", x=x, y=np.arange(90) % 3)
    said = "rows of shape [8, 9, 3] have their channels last and are transposed to [3, 8, 9]"
    assert f"note      {said}" in tuner("init", "pets", "--data", "pets.npz").stdout
    assert json.loads(tuner("check", "--study", "pets", "--json").stdout)["data"]["note"] == said


def test_the_files_of_mnist(tuner, empty: Path) -> None:
    (empty / "mnist").mkdir()
    for part, count in (("train", 60), ("t10k", 20)):
        images = struct.pack(">IIII", 0x803, count, 8, 8)
        images += bytes(i % 251 for i in range(64 * count))
        (empty / "mnist" / f"{part}-images-idx3-ubyte").write_bytes(images)
        labels = struct.pack(">II", 0x801, count) + bytes(range(10)) * (count // 10)
        (empty / "mnist" / f"{part}-labels-idx1-ubyte").write_bytes(labels)
    assert tuner("init", "mnist", "--data", "mnist").code == 0
    said = tomllib.loads((empty / "studies" / "mnist.toml").read_text())
    assert "test" not in said["data"]
    assert tuner("check", "--study", "mnist").code == 0


def test_numbers_that_are_text_stay_and_what_init_drops_has_its_own_reason(
    tuner, empty: Path
) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=1500)
    frame = pd.DataFrame(
        {"x": x, "charge": [f"${value:,.2f}" for value in rng.normal(900, 300, 1500)]}
    )
    frame["sensor"] = x.round(4).astype(object)
    frame.loc[::100, "sensor"] = "err"
    frame["weight"] = [f"{i} {'kg' if i % 2 else 'g'}" for i in range(1500)]
    days = pd.to_datetime("2021-01-01") + pd.to_timedelta(rng.integers(0, 900, 1500), unit="D")
    frame["sold"] = days.strftime("%b %d, %Y")
    frame["code"] = [f"c{i}" for i in range(1400)] + ["c1"] * 100
    frame["y"] = np.where(x > 0, "a", "b")
    frame.to_csv(empty / "sales$2026.csv")
    found = json.loads(
        tuner("init", "s", "--data", "sales$2026.csv", "--target", "y", "--json").stdout
    )
    columns = {each["name"]: each for each in found["data"]["columns"]}
    assert [columns[name]["kind"] for name in ("charge", "sensor")] == ["numeric", "numeric"]
    assert found["missing"] == {"sensor": 15}
    assert "'err'" in columns["sensor"]["reason"]
    assert (columns["sold"]["decision"], "age, year" in columns["sold"]["reason"]) == (
        "calendar",
        True,
    )
    for name, why in (
        ("weight", "numbers in several units ('"),
        ("code", "1400 categories are too many"),
        ("Unnamed: 0", "an identifier: row numbers"),
    ):
        assert columns[name]["decision"] == "dropped"
        assert why in columns[name]["reason"]
    said = tomllib.loads((empty / "studies" / "s.toml").read_text())["data"]
    assert (said["path"], said["drop"]) == ("sales$2026.csv", ["weight", "code"])
    assert '"sold"' in [each["value"] for each in found["decided"] if each["key"] == "data.time"]
    assert tuner("check", "--study", "s").code == 0


def test_text_without_spaces_is_text(tuner, empty: Path) -> None:
    rows = [
        f"这家店{'很好用值得推荐' if i % 2 else '非常糟糕不要买'}{i}次,{i % 2}" for i in range(90)
    ]
    (empty / "said.csv").write_text("\n".join(["review,kind", *rows]), encoding="utf-8")
    assert tuner("init", "said", "--data", "said.csv", "--target", "kind").code == 0
    said = tomllib.loads((empty / "studies" / "said.toml").read_text(encoding="utf-8"))
    assert said["data"]["text"] == "review"
    assert tuner("optimize", "--study", "said", "--trials", "1").code == 0


def test_a_study_of_very_many_columns_is_short(tuner, empty: Path) -> None:
    columns = {f"gene{i}_id": np.arange(40) * (i + 1) for i in range(3000)}
    frame = pd.DataFrame({**columns, "y": ["a", "b"] * 20})
    frame.to_csv(empty / "wide.csv", index=False)
    outcome = tuner("init", "wide", "--data", "wide.csv", "--target", "y")
    assert outcome.code == 2  # each column counts the rows
    assert len(outcome.stderr) < 2000
    frame["real"] = np.random.default_rng(0).normal(size=40)
    frame.to_csv(empty / "wide.csv", index=False)
    text = tuner("init", "wide", "--data", "wide.csv", "--target", "y").stdout
    assert len(text) < 50_000
    assert len((empty / "studies" / "wide.toml").read_text()) < 10_000
    assert len(tuner("init", "w", "--data", "wide.csv").stderr) < 2000
