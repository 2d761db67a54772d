"""Tables of a study and of the catalogue."""

from __future__ import annotations

from tuner.study import describe, load
from tuner.views.tables import catalogue, check, data_lines, extent_lines

DATA = {
    "task": "classification",
    "classes": ["a", "b"],
    "shape": [1, 8, 8],
    "words": None,
    "folds": None,
    "train": 1079,
    "validation": 359,
    "test": 359,
    "note": "",
    "balance": {"a": 1000, "b": 438},
    "columns": [],
}


def test_check(shown) -> None:
    study = load("digits")
    found = {
        "name": "digits",
        "description": "some [digits]",
        "metric": "accuracy",
        "data": DATA,
        "extent": describe.extent(study),
        "leaves": describe.leaves(study),
    }
    text = shown(check(found), width=200)
    assert text.startswith("digits: some [digits]")
    row = next(line for line in text.splitlines() if line.startswith("weight_decay"))
    assert "0, or 1e-06 to 0.1, log" in row
    row = next(line for line in text.splitlines() if line.startswith("sgd.momentum"))
    assert "0 to 0.99" in row
    assert "–" in row


def test_data_in_words() -> None:
    assert data_lines(DATA) == [
        "data      1,079 rows to train on, 359 to validate; 1 x 8 x 8 features; "
        "classification, 2 classes",
        "test      359 rows set aside",
        "classes   a 69.5%, b 30.5%",
    ]
    regression = {**DATA, "task": "regression", "classes": [], "shape": [10], "balance": {}}
    first, *others = data_lines({**regression, "test": None})
    assert first.endswith("10 features; regression")
    assert others == ["test      in a file of its own"]
    text = {**DATA, "shape": [69], "words": 13789}
    assert "each of at most 69 words (13,789 are known); classification" in data_lines(text)[0]


def test_extent_in_words() -> None:
    extent = describe.extent(load("digits"))
    assert extent_lines(extent) == [
        "size      11 dimensions, infinitely many configurations",
        "cost      at most 1,800 epochs: 60 trials of 30 epochs, less what hyperband prunes",
        "search    tpe, seed 0",
    ]
    finite = {**extent, "configurations": 1, "dimensions": 1, "pruner": "none"}
    assert extent_lines(finite)[0] == "size      1 dimension, 1 configuration"
    assert "prunes" not in extent_lines(finite)[1]


def test_catalogue(shown) -> None:
    text = shown(catalogue(describe.catalogue()), width=250)
    rows = [line for line in text.splitlines() if line.strip()]
    dropout = next(row for row in rows if row.startswith("dropout"))
    for word in ("0, or 0.05 to 0.6", "probability", "Srivastava et al. 2014"):
        assert word in dropout
    assert "needs images" in next(row for row in rows if row.startswith("cutout"))
    assert "needs classes" in next(row for row in rows if row.startswith("label_smoothing"))
    assert "momentum" in next(row for row in rows if row.startswith("sgd"))
    assert "Cox 1958" in next(row for row in rows if row.startswith("linear"))


def test_folds_in_words() -> None:
    assert data_lines({**DATA, "note": "rows are turned"})[1] == "note      rows are turned"
    assert data_lines({**DATA, "folds": 5})[0].startswith(
        "data      5 folds, the last with 1,079 rows to train on, 359 to validate"
    )
