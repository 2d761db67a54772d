from __future__ import annotations

import copy
import json

import pytest

from tuner.study import load
from tuner.study.files import shipped
from tuner.study.fingerprint import canonical, changed_keys, fingerprint, flat

DIGITS = load("digits").document


def changed(path, value):
    """The digits document with something else at a dotted path; without it where it is None."""
    document = copy.deepcopy(DIGITS)
    *tables, key = path.split(".")
    table = document
    for name in tables:
        table = table.setdefault(name, {})
    table.pop(key, None)
    if value is not None:
        table[key] = value
    return document


def test_it_is_the_same_on_every_machine():
    assert fingerprint({"data": {"source": "a:b"}}) == (
        "bb9413599f998f9892aaa52b266fbfc6f6319ebca1b0c83e48078df42a056904"
    )


@pytest.mark.parametrize("name", shipped())
def test_it_survives_the_way_through_a_database(name):
    document = load(name).document
    assert fingerprint(json.loads(canonical(document))) == fingerprint(document)
    assert json.loads(canonical(document)) == document


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("description", "new"),
        ("description", None),
        ("search.trials", 100),
        ("search.trials", None),
        ("search.timeout", "10m"),
        ("search.baseline", {}),
        ("regularization.dropout", {"high": 0.6, "low": 0.05, "off": 0}),
        ("training.epochs", 30.0),
    ],
)
def test_it_ignores_the_budget_the_description_and_how_things_are_written(path, value):
    document = changed(path, value)
    assert fingerprint(document) == fingerprint(DIGITS)
    assert changed_keys(DIGITS, document) == []


@pytest.mark.parametrize(
    ("path", "value", "key"),
    [
        ("metric", "f1_macro", "metric"),
        ("metric", None, "metric"),
        ("data.test", 0.25, "data.test"),
        ("data.seed", 1, "data.seed"),
        ("model.depth", 2, None),
        ("model.depth.high", 5, "model.depth.high"),
        ("model.width.choices", [256, 128, 64, 32], "model.width.choices"),
        ("regularization.batch_norm.choices", [1, 0], "regularization.batch_norm.choices"),
        ("regularization.dropout.off", None, "regularization.dropout.off"),
        ("training.epochs", 31, "training.epochs"),
        ("training.optimizer.choices", ["adam"], "training.optimizer.choices"),
        ("search.seed", 1, "search.seed"),
        ("search.sampler", "random", "search.sampler"),
        ("search.pruner", "none", "search.pruner"),
        ("search.baseline", {"dropout": 0.1}, "search.baseline.dropout"),
        ("search.enqueue", [{}], "search.enqueue"),
        ("search.trial_timeout", 9, "search.trial_timeout"),
        ("search.duplicates", True, "search.duplicates"),
    ],
)
def test_anything_else_makes_another_study_and_is_named(path, value, key):
    document = changed(path, value)
    keys = ["model.depth", "model.depth.high", "model.depth.low"] if key is None else [key]
    assert changed_keys(DIGITS, document) == changed_keys(document, DIGITS) == keys
    assert fingerprint(document) != fingerprint(DIGITS)


def test_every_leaf_of_the_document_counts():
    for path in flat(DIGITS):
        budget = path in ("description", "search.trials")
        assert changed_keys(DIGITS, changed(path, None)) == ([] if budget else [path])


def test_flat_keeps_lists_and_empty_tables():
    assert flat({"a": {"b": 1, "c": {}}, "d": [{"e": 2}]}) == {"a.b": 1, "a.c": {}, "d": [{"e": 2}]}
