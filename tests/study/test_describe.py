"""What is said of a study and of the catalogue."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuner.losses import LOSSES
from tuner.metrics import METRICS
from tuner.models import FAMILIES
from tuner.optimizers import OPTIMIZERS
from tuner.schedules import SCHEDULES
from tuner.space import walk
from tuner.study import load_study
from tuner.study.describe import catalogue, extent, files, leaves, may_be, suggestion
from tuner.study.files import shipped
from tuner.study.parse import parse
from tuner.techniques import TECHNIQUES

DATA = {"source": "a:b"}


def study(**sections):
    return parse("some", {"data": DATA, **sections})


def test_leaves_say_what_each_may_be() -> None:
    some = study(
        model={"family": "mlp", "depth": {"low": 1, "high": 3}, "width": 8},
        regularization={"dropout": {"off": 0.0, "low": 0.1, "high": 0.5}},
        training={"optimizer": {"choices": ["adam", {"name": "sgd", "momentum": 0.5}]}},
    )
    found = {leaf["name"]: leaf for leaf in leaves(some)}
    assert list(found) == [node.name for node in walk(some.nodes)]
    assert found["depth"]["may_be"] == "1 to 3"
    assert found["depth"]["baseline"] == 2
    assert found["width"]["may_be"] == "8"
    assert not found["width"]["searched"]
    assert found["dropout"]["may_be"] == "0, or 0.1 to 0.5"
    assert found["dropout"]["baseline"] == 0.0
    assert found["optimizer"]["may_be"] == "one of adam, sgd"
    assert found["sgd.momentum"]["baseline"] is None
    assert found["dropout"]["unit"] == "probability"
    assert "zeroes" in found["dropout"]["doc"]


def test_log_and_truths_in_words() -> None:
    nodes = {
        node.name: node
        for node in study(
            regularization={
                "l1_lambda": {"low": 1e-5, "high": 1e-2, "log": True},
                "batch_norm": {"choices": [True, False]},
            }
        ).nodes
    }
    assert may_be(nodes["l1_lambda"]) == "1e-05 to 0.01, log"
    assert may_be(nodes["batch_norm"]) == "one of true, false"


def test_extent_of_a_finite_search() -> None:
    some = study(
        model={"family": "mlp", "depth": {"low": 1, "high": 3}},
        training={
            "epochs": {"choices": [5, 20]},
            "optimizer": {
                "choices": ["adam", {"name": "sgd", "nesterov": {"choices": [True, False]}}]
            },
        },
        search={"trials": 7, "sampler": "grid", "pruner": "none", "seed": 3},
    )
    found = extent(some)
    assert found["configurations"] == 3 * 2 * (1 + 2)
    assert found["dimensions"] == 4
    assert (found["epochs_per_trial"], found["epochs"]) == (20, 140)
    assert (found["sampler"], found["sampler_learns"], found["pruner"]) == ("grid", False, "none")


def test_extent_of_a_continuous_search() -> None:
    found = extent(load_study("digits"))
    assert found["configurations"] is None
    assert found["dimensions"] == 11
    assert found["epochs"] == 60 * 30


def test_catalogue_holds_everything_with_its_source() -> None:
    found = catalogue()
    assert [t["name"] for t in found["techniques"]] == [
        *(t.name for t in TECHNIQUES),
        *("warmup", "input_scale"),
    ]
    assert [o["name"] for o in found["optimizers"]] == list(OPTIMIZERS)
    assert [s["name"] for s in found["schedules"]] == list(SCHEDULES)
    assert [f["name"] for f in found["families"]] == list(FAMILIES)
    assert [c["name"] for c in found["categories"]] == ["one-hot", "embedding"]
    assert [n["name"] for n in found["numbers"]] == ["plain", "piecewise-linear", "periodic"]
    assert [x["name"] for x in found["losses"]] == list(LOSSES)
    assert [m["name"] for m in found["metrics"]] == list(METRICS)
    f1 = next(m for m in found["metrics"] if m["name"] == "f1")
    assert f1["doc"] == "maximize; for classification into two classes"
    for entries in found.values():
        assert all(entry["source"] for entry in entries)
    for technique in found["techniques"]:
        assert technique["off"] is not None
        assert technique["suggested"]
        assert technique["unit"]
        assert technique["doc"]


def test_suggestions_in_words() -> None:
    found = {t["name"]: t["suggested"] for t in catalogue()["techniques"]}
    assert found["batch_norm"] == "one of true, false"
    assert found["early_stopping"] == "0, or 3 to 10"
    leaf = next(node.leaf for node in load_study("digits").nodes if node.name == "epochs")
    assert suggestion(leaf) is None


def test_files_prefers_the_folder_and_shows_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "studies").mkdir()
    mine = '[data]\nsource = "a:b"\n'
    (tmp_path / "studies" / "digits.toml").write_text(f'description = "mine"\n{mine}')
    (tmp_path / "studies" / "broken.toml").write_text('metrik = "accuracy"\n' + mine)
    monkeypatch.chdir(tmp_path)
    found = {record["name"]: record for record in files()}
    assert set(found) == {*shipped(), "broken"}
    assert (found["digits"]["description"], found["digits"]["where"]) == ("mine", "studies/")
    assert found["digits"]["trials"] == 60
    assert found["diabetes"]["where"] == "shipped"
    assert "did you mean 'metric'" in found["broken"]["error"]
    assert found["broken"]["trials"] is None
