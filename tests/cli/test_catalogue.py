"""``check``, ``studies`` and ``techniques``."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

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
    assert "search    random, seed 0" in text
    assert "90 rows to train on, 30 to validate; 4 features; classification" in text
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
    dropout = next(each for each in found["techniques"] if each["name"] == "dropout")
    assert dropout["off"] == 0.0
    assert dropout["suggested"] == "0, or 0.05 to 0.6"
    assert dropout["unit"] == "probability"
