"""The JSON schema agrees with the parser."""

from __future__ import annotations

import copy
import tomllib
from typing import Any

import jsonschema
import pytest

from tuner.data.prepare import STATISTICS
from tuner.errors import TunerError
from tuner.study.catalogue import DATA, SEARCH, SECTIONS, TOP, model_leaves
from tuner.study.files import read, shipped
from tuner.study.objective import ObjectiveStudy
from tuner.study.parse import parse, suggested
from tuner.study.record import NetworkStudy
from tuner.study.schema import leaf_schema, schema

SCHEMA = schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
GOOD = """
description = "one"
metric = "accuracy"
[data]
source = "a:b"
[model]
family = "mlp"
depth = { low = 1, high = 4 }
numbers = { choices = ["plain", { name = "periodic", form = { choices = ["plr", "pbld"] } }] }
[regularization]
dropout = { off = 0.0, low = 0.1, high = 0.5 }
[training]
learning_rate = { low = 1e-4, high = 1e-1, log = true }
optimizer = { choices = ["adam", { name = "sgd", momentum = { low = 0.0, high = 0.9 } }] }
[search]
trials = 10
timeout = "10m"
pruner = { name = "patient", pruner = { name = "median", n_warmup_steps = 2 } }
baseline = { learning_rate = 1e-2, optimizer = "sgd", "sgd.momentum" = 0.5 }
"""

BAD: dict[str, tuple[str, Any]] = {
    "unknown section": ("modell", {}),
    "description is no text": ("description", 3),
    "unknown metric": ("metric", "acuracy"),
    "unknown key of data": ("data.sauce", "a:b"),
    "both source and path": ("data.path", "a.csv"),
    "validation is everything": ("data.validation", 1.0),
    "a single fold": ("data.validation", {"folds": 1}),
    "half a fold": ("data.validation", {"folds": 2.5}),
    "no folds in the table": ("data.validation", {}),
    "unknown key beside folds": ("data.validation", {"folds": 5, "seed": 1}),
    "negative test": ("data.test", -0.1),
    "a list of one target": ("data.target", ["a"]),
    "the same target twice": ("data.target", ["a", "a"]),
    "a number as target": ("data.target", ["a", 3]),
    "empty shape": ("data.shape", []),
    "unknown leaf": ("regularization.dropuot", 0.1),
    "wrong type": ("regularization.dropout", "high"),
    "truth for a number": ("regularization.dropout", True),
    "number for truth": ("regularization.batch_norm", 1),
    "above the maximum": ("regularization.dropout", 0.99),
    "excluded bound": ("training.learning_rate", 0.0),
    "below the minimum": ("training.epochs", 0),
    "bound outside": ("regularization.dropout", {"low": 0.1, "high": 0.99}),
    "no high": ("regularization.dropout", {"low": 0.1}),
    "unknown key of a range": ("regularization.dropout", {"low": 0.1, "high": 0.2, "logg": True}),
    "log from zero": ("regularization.l1_lambda", {"low": 0.0, "high": 0.1, "log": True}),
    "log and step": ("model.depth", {"low": 1, "high": 4, "log": True, "step": 1}),
    "step of zero": ("model.depth", {"low": 1, "high": 4, "step": 0}),
    "off elsewhere": ("regularization.dropout", {"off": 1.0, "low": 0.1, "high": 0.2}),
    "off of what has none": ("training.epochs", {"off": 0, "low": 1, "high": 4}),
    "range of truths": ("regularization.batch_norm", {"low": 0, "high": 1}),
    "range of names": ("training.optimizer", {"low": 0, "high": 1}),
    "empty choice": ("model.width", {"choices": []}),
    "the same twice": ("model.width", {"choices": [8, 8]}),
    "choice of no list": ("model.width", {"choices": 8}),
    "choice outside": ("regularization.dropout", {"choices": [0.1, 2.0]}),
    "unknown option": ("training.optimizer", "adamax"),
    "unknown option in a choice": ("training.optimizer", {"choices": ["adam", "adamax"]}),
    "unknown leaf of an option": ("training.optimizer", {"name": "sgd", "beta1": 0.9}),
    "option without a name": ("training.optimizer", {"momentum": 0.9}),
    "wrong leaf of an option": ("training.optimizer", {"name": "sgd", "momentum": 2.0}),
    "unknown name within an option": ("model.numbers", {"name": "periodic", "form": "square"}),
    "no trials": ("search.trials", 0),
    "negative seed": ("search.seed", -1),
    "no duration": ("search.timeout", "soon"),
    "unknown sampler": ("search.sampler", "tpee"),
    "unknown option of a sampler": ("search.sampler", {"name": "tpe", "popsize": 4}),
    "wrong option of a sampler": ("search.sampler", {"name": "qmc", "qmc_type": "van"}),
    "inner pruner is a number": ("search.pruner", {"name": "patient", "pruner": 3}),
    "option of a pruner too small": ("search.pruner", {"name": "asha", "reduction_factor": 1}),
    "unknown leaf in the baseline": ("search.baseline", {"learning_rat": 0.1}),
    "wrong value in the baseline": ("search.baseline", {"optimizer": "adamax"}),
    "enqueue holds no tables": ("search.enqueue", [3]),
    "enqueue is no list": ("search.enqueue", {"dropout": 0.1}),
    "duplicates is no truth": ("search.duplicates", "yes"),
    "unknown key of search": ("search.budget", 10),
}


def document(path: str, value: Any) -> dict[str, Any]:
    """The good document with one thing changed."""
    found = copy.deepcopy(tomllib.loads(GOOD))
    table = found
    *sections, key = path.split(".")
    for section in sections:
        table = table[section]
    table[key] = value
    return found


def test_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("name", sorted(shipped()))
def test_shipped_files_fit(name: str) -> None:
    VALIDATOR.validate(read(shipped()[name]))


@pytest.mark.parametrize("optimizer", ["adamw", {"name": "adamw", "beta2": 0.95}])
def test_an_alias_fits_both(optimizer: Any) -> None:
    found = document("training.optimizer", optimizer)
    del found["search"]["baseline"]
    assert VALIDATOR.is_valid(found)
    assert parse("good", found).baseline() is not None


def test_several_targets_fit_both() -> None:
    found = document("data.target", ["a", "b"])
    assert VALIDATOR.is_valid(found)
    study = parse("good", found)
    assert isinstance(study, NetworkStudy)
    assert study.data.target == study.data.targets == ("a", "b")


def test_the_good_document_fits_both() -> None:
    assert VALIDATOR.is_valid(tomllib.loads(GOOD))
    assert parse("good", tomllib.loads(GOOD)).name == "good"


@pytest.mark.parametrize("name", BAD)
def test_what_the_parser_refuses_does_not_fit(name: str) -> None:
    found = document(*BAD[name])
    assert not VALIDATOR.is_valid(found)
    with pytest.raises(TunerError):
        parse("bad", found)


@pytest.mark.parametrize("data", [{}, {"path": "a.csv"}, {"target": "y"}])
def test_data_needs_an_origin(data: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid({"data": data})
    with pytest.raises(TunerError):
        parse("bad", {"data": data})


def test_choices_in_data_are_the_known_ones() -> None:
    properties = SCHEMA["properties"]["data"]["properties"]
    assert {"enum": list(STATISTICS)} in properties["preprocessing"]["anyOf"]
    assert not VALIDATOR.is_valid({"data": {"source": "a:b", "preprocessing": "ranks"}})
    assert not VALIDATOR.is_valid({"data": {"source": "a:b", "task": "ranking"}})


def test_data_is_enough_and_needed() -> None:
    assert VALIDATOR.is_valid({"data": {"path": "a.csv", "target": "y"}})
    assert not VALIDATOR.is_valid({})


def test_every_key_of_a_study_file_is_there() -> None:
    assert set(SCHEMA["properties"]) == set(TOP)
    sections = SCHEMA["properties"]
    assert set(sections["data"]["properties"]) == set(DATA)
    assert set(sections["search"]["properties"]) == set(SEARCH)
    for section, leaves in SECTIONS.items():
        wanted = {leaf.name for leaf in leaves} | (
            model_leaves().keys() if section == "model" else set()
        )
        assert set(sections[section]["properties"]) == wanted


def test_every_leaf_is_described_and_takes_what_is_suggested_for_it() -> None:
    for section, leaves in SECTIONS.items():
        for leaf in leaves:
            found = SCHEMA["properties"][section]["properties"][leaf.name]
            assert leaf.doc in found["description"]
            assert found["default"] == leaf.default
            for value in (leaf.default, suggested(leaf)):
                jsonschema.Draft202012Validator(found | {"$defs": SCHEMA["$defs"]}).validate(value)


def test_no_table_takes_unknown_keys() -> None:
    def walk(found: Any) -> None:
        if isinstance(found, dict):
            if found.get("type") == "object":
                assert found["additionalProperties"] is False
            for each in found.values():
                walk(each)
        elif isinstance(found, list):
            for each in found:
                walk(each)

    walk(SCHEMA)


def test_options_bring_their_leaves() -> None:
    tables = SCHEMA["$defs"]["optimizer"]["anyOf"]
    sgd = next(table for table in tables if table["properties"]["name"] == {"const": "sgd"})
    assert {"name", "momentum", "nesterov", "learning_rate"} == set(sgd["properties"])
    optimizer = next(leaf for leaf in SECTIONS["training"] if leaf.name == "optimizer")
    assert {"$ref": "#/$defs/optimizer"} in leaf_schema(optimizer)["anyOf"]


@pytest.mark.parametrize(
    "data",
    [
        {"source": "a:b", "group": "g", "time": "t"},
        {"source": "a:b", "split": "s", "validation": {"folds": 5}},
        {"source": "a:b", "split": "s", "test": 0.1},
        {"path": "a.npz", "test_path": "b.npz", "test": 0.1},
        {"path": "a.tsv.gz"},
        {"source": "a:b", "text": "t", "shape": [4]},
        {"source": "a:b", "vectors": "v.txt"},
        {"source": "a:b", "min_count": 2},
        {"source": "a:b", "text": "t", "vocabulary": 0},
    ],
)
def test_keys_of_data_that_do_not_go_together(data: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid({"data": data})
    with pytest.raises(TunerError):
        parse("bad", {"data": data})


@pytest.mark.parametrize("path", ["a.npz", "$MNIST", "images"])
def test_what_is_no_table_needs_no_target(path: str) -> None:
    assert VALIDATOR.is_valid({"data": {"path": path, "test_path": "b"}})
    assert parse("good", {"data": {"path": path, "test_path": "b"}}).data.path == path


OWN = {"objective": "mine:goal", "direction": "minimize"}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"metric": "height", "description": "one"},
        {"search": {"trials": 3, "enqueue": [{"x": 1.0, "a b": "c"}], "sampler": "gp"}},
        {"search": {"pruner": {"name": "hyperband", "max_resource": 9}}},
    ],
)
def test_an_objective_fits_both(more: dict[str, Any]) -> None:
    VALIDATOR.validate(OWN | more)
    assert isinstance(parse("own", OWN | more), ObjectiveStudy)


@pytest.mark.parametrize(
    "more",
    [
        {"direction": "down"},
        {"objective": "mine"},
        {"metric": {"name": "height"}},
        {"data": {"source": "a:b"}},
        {"training": {}},
        {"search": {"sampler": "grid"}},
        {"search": {"sampler": {"name": "grid"}}},
        {"search": {"baseline": {"x": 1.0}}},
        {"search": {"duplicates": False}},
        {"search": {"enqueue": [1]}},
    ],
)
def test_an_objective_that_cannot_be_fits_neither(more: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(OWN | more)
    with pytest.raises(TunerError):
        parse("own", OWN | more)


def test_an_objective_needs_a_direction_and_nothing_else_has_one() -> None:
    for bad in ({"objective": "a:b"}, {"direction": "minimize", "data": {"source": "a:b"}}):
        assert not VALIDATOR.is_valid(bad)
        with pytest.raises(TunerError):
            parse("bad", bad)


@pytest.mark.parametrize(
    "more",
    [
        {"metric": {"name": "accuracy"}},
        {"metric": "pinball"},
        {"metric": {"name": "pinball", "quantile": 0.9}},
        {"metric": {"name": "top_k_accuracy", "k": 3}},
        {"metric": "mine:score", "direction": "maximize"},
        {"metric": {"name": "my.own:score", "under": 2.5}, "direction": "minimize"},
        {"training": {"loss": "mae"}},
        {"training": {"loss": {"choices": ["auto", {"name": "pinball", "quantile": 0.9}]}}},
        {"training": {"loss": "mine:loss"}},
        {"training": {"loss": {"name": "mine:loss", "gamma": {"low": 0.5, "high": 5.0}}}},
        {"training": {"sampling": {"choices": ["balanced", {"name": "mine:rows", "n": 2}]}}},
        {
            "training": {"optimizer": {"choices": ["adam", {"name": "mine:step", "beta": 0.5}]}},
            "search": {"enqueue": [{"optimizer": "mine:step", "mine:step.beta": 0.5}]},
        },
        {"training": {"optimizer": "mine:step", "lr_scheduler": "mine:waves"}},
        {"training": {"optimizer": {"choices": ["adamw", {"name": "mine:step", "beta": 0.5}]}}},
        {"training": {"lr_scheduler": {"name": "mine:waves", "count": {"low": 1, "high": 4}}}},
    ],
)
def test_metrics_and_own_functions_fit_both(more: dict[str, Any]) -> None:
    found = {"data": {"source": "a:b"}, **more}
    assert VALIDATOR.is_valid(found)
    aliased = "adamw" in str(found)
    assert aliased or parse("own", found).document == found


@pytest.mark.parametrize(
    "more",
    [
        {"metric": {"name": "acuracy"}},
        {"metric": {"quantile": 0.5}},
        {"metric": {"name": "pinball", "quantile": 1}},
        {"metric": {"name": "pinball", "quantile": {"low": 0.1, "high": 0.5}}},
        {"metric": {"name": "accuracy", "k": 2}},
        {"metric": "mine:score"},
        {"metric": "mine:", "direction": "maximize"},
        {"metric": "mine:score", "direction": "up"},
        {"metric": "accuracy", "direction": "maximize"},
        {"training": {"loss": "huge"}},
        {"training": {"loss": {"name": "mae", "quantile": 0.5}}},
        {"training": {"loss": {"name": "mine:loss", "gamma": [1]}}},
        {"training": {"optimizer": "mine:"}},
        {"training": {"lr_scheduler": {"name": "mine:waves", "count": [1]}}},
    ],
)
def test_metrics_and_own_functions_that_cannot_be_fit_neither(more: dict[str, Any]) -> None:
    found = {"data": {"source": "a:b"}, **more}
    assert not VALIDATOR.is_valid(found)
    with pytest.raises(TunerError):
        parse("own", found)


@pytest.mark.parametrize(
    "model",
    [
        {"family": "mine:net"},
        {"family": "mine:net", "hidden": 8, "kind": "a", "deep": True},
        {"family": "mine:net", "hidden": {"low": 8, "high": 64, "log": True}},
        {"family": {"name": "mine:net", "dropout": 0.1, "act": {"choices": ["relu", "tanh"]}}},
        {"family": {"choices": ["mlp", "mine:net", {"name": "your.net:make", "size": 3}]}},
    ],
)
def test_a_family_of_ones_own_fits_both(model: dict[str, Any]) -> None:
    found = {"data": {"source": "a:b"}, "model": model}
    VALIDATOR.validate(found)
    parse("own", found)


@pytest.mark.parametrize(
    "model",
    [
        {"family": "mlp", "hidden": 8},
        {"family": "mine"},
        {"family": "mine:net", "hidden": {"low": 8}},
        {"family": "mine:net", "hidden": [8]},
    ],
)
def test_what_cannot_be_a_family_fits_neither(model: dict[str, Any]) -> None:
    found = {"data": {"source": "a:b"}, "model": model}
    assert not VALIDATOR.is_valid(found)
    with pytest.raises(TunerError):
        parse("own", found)
