"""What was learned of the training rows, written as JSON and read again."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tuner.data import load, recipe
from tuner.data.prepare import STATISTICS
from tuner.data.raw import raw_columns
from tuner.data.recipe import Recipe
from tuner.data.spec import DataSpec
from tuner.data.tables import Table
from tuner.errors import DataError


def _again(found: Recipe | None) -> Recipe:
    assert found is not None
    return recipe.from_json(json.loads(json.dumps(found.to_json())))


def _table(frame: pd.DataFrame) -> Table:
    return Table(None, np.empty(0), (), (), "there", raw_columns(frame, "there"))


@pytest.fixture
def mixed() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "size": rng.normal(1e9, 3, 80),
            "count": rng.integers(0, 9, 80),
            "kind": rng.choice(["x", "y", "2"], 80),
            "on": rng.random(80) < 0.5,
            "label": rng.choice(["p", "q"], 80),
        }
    )
    frame.loc[::9, "size"] = np.nan
    frame.loc[::7, "kind"] = None
    return frame


@pytest.fixture
def spec(mixed: pd.DataFrame, tmp_path: Any) -> DataSpec:
    mixed.to_csv(tmp_path / "mixed.csv", index=False)
    return DataSpec(path=str(tmp_path / "mixed.csv"), target="label")


@pytest.mark.parametrize("kind", STATISTICS)
def test_a_table_by_what_was_read_again(mixed: pd.DataFrame, spec: DataSpec, kind: Any) -> None:
    data = load(DataSpec(path=spec.path, target="label", preprocessing=kind))
    turned = mixed[["on", "label", "kind", "count", "size"]]
    found = _again(data.recipe).rows(_table(turned), data.positions[0])
    assert found.dtype == np.float32
    assert found.tobytes() == data.train.x.numpy().tobytes()


def test_rows_that_are_not_like_those_of_the_training(spec: DataSpec) -> None:
    known = _again(load(spec).recipe)
    frame = pd.DataFrame({"size": [None, 1e9], "count": [1, 2], "kind": [2, None], "on": [1, 0]})
    rows = known.rows(_table(frame), np.arange(2))
    names = [name for feature in known.features for name in feature.names]
    first = dict(zip(names, rows[0].tolist(), strict=True))
    assert first["size is missing"] == 1
    assert (first["kind = 2"], first["kind = x"], first["kind is missing"]) == (1, 0, 0)
    assert dict(zip(names, rows[1].tolist(), strict=True))["kind is missing"] == 1
    assert first["on"] == 1


def test_where_categories_stand_in_a_row(spec: DataSpec) -> None:
    data = load(spec)
    found = [data.features[column.start : column.stop] for column in data.categories]
    kinds = tuple(f"kind = {text}" for text in "2xy")
    assert found == [(*kinds, "kind is missing")]
    assert _again(data.recipe).categories == data.categories
    assert load(DataSpec(source="sklearn.datasets:load_wine")).categories == ()


def test_where_quantities_stand_in_a_row(spec: DataSpec) -> None:
    data = load(spec)
    assert [data.features[place] for place in data.numbers] == ["size", "count"]
    assert _again(data.recipe).numbers == data.numbers
    assert load(DataSpec(source="sklearn.datasets:load_wine")).numbers == tuple(range(13))
    image = load(DataSpec(source="sklearn.datasets:load_digits", shape=(1, 8, 8)))
    assert image.numbers == ()


def test_a_column_that_is_not_there_or_holds_text(mixed: pd.DataFrame, spec: DataSpec) -> None:
    known = _again(load(spec).recipe)
    with pytest.raises(DataError, match=r"no column 'count'\n.*known: kind, label, on, size"):
        known.rows(_table(mixed.drop(columns="count")), np.arange(2))
    with pytest.raises(DataError, match="'count' has 'many' in row 0 counted from 0"):
        known.rows(_table(mixed.assign(count="many")), np.arange(2))


@pytest.mark.parametrize("kind", ["standard", "none"])
def test_images_and_a_text(kind: Any, tmp_path: Any) -> None:
    shaped = DataSpec(source="sklearn.datasets:load_digits", shape=(1, 8, 8), preprocessing=kind)
    data = load(shaped)
    again = _again(data.recipe)
    assert again.shape == (1, 8, 8)
    from sklearn.datasets import load_digits

    table = Table(load_digits().data, np.empty(0), (), (), "there")
    assert again.rows(table, data.positions[1]).tobytes() == data.validation.x.numpy().tobytes()

    texts = pd.DataFrame({"text": ["a good film", "bad", "", None] * 9, "y": ["p", "n"] * 18})
    texts.to_csv(tmp_path / "texts.csv", index=False)
    data = load(DataSpec(path=str(tmp_path / "texts.csv"), target="y", text="text"))
    assert _again(data.recipe) == data.recipe
    with pytest.raises(DataError, match="no text column 'text'"):
        _again(data.recipe).rows(table, np.arange(2))
