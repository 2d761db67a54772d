"""Rows in folds."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tuner.data import DataSpec, load
from tuner.data.folding import divisions
from tuner.data.labels import encode
from tuner.data.splits import Rows
from tuner.data.table import from_frame
from tuner.errors import DataError

Y = np.repeat([0, 1, 2], [120, 60, 23])


def folds(y: Any = Y, column: Any = None, task: str = "classification", **of: Any) -> list[Rows]:
    c = np.arange(len(y)) if column is None else column
    frame = pd.DataFrame({"c": c, "x": np.random.default_rng(0).normal(size=len(y)), "y": y})
    by = [key for key in ("group", "time") if key in of]
    table = from_frame(frame, "y", "here", aside=["c"] if by else [])
    spec = DataSpec(source="m:f", **{"folds": 5, **of, **dict.fromkeys(by, "c")})
    return list(divisions(table, encode(table, task), spec))


def check_whole(found: list[Rows], count: int) -> None:
    """Each row of the search is for validation once, and for training otherwise."""
    together = np.concatenate([*(each.validation for each in found), found[0].test])
    assert sorted(together.tolist()) == list(range(count))
    for each in found:
        assert each.test.tolist() == found[0].test.tolist()
        parts = np.concatenate((each.train, each.validation, each.test))
        assert sorted(parts.tolist()) == list(range(count))


@pytest.mark.parametrize("test", [0.0, 0.2])
def test_each_class_is_dealt_evenly(test: float) -> None:
    found = folds(test=test)
    check_whole(found, len(Y))
    counts = np.array([np.bincount(Y[each.validation], minlength=3) for each in found])
    assert (np.ptp(counts, axis=0) <= 1).all()
    assert np.ptp(counts.sum(axis=1)) <= 3  # of three classes
    first = folds(test=test, division=1)
    check_whole(first, len(Y))
    assert np.ptp([len(each.validation) for each in first]) <= 1


def test_the_test_rows_are_those_without_folds() -> None:
    assert folds()[0].test.tolist() == folds(folds=None)[0].test.tolist()
    assert folds(folds=7)[3].test.tolist() == folds()[0].test.tolist()


def test_the_seed_decides() -> None:
    assert folds()[0].validation.tolist() == folds()[0].validation.tolist()
    assert folds()[0].validation.tolist() != folds(seed=1)[0].validation.tolist()


def test_a_quantity_is_dealt_by_chance() -> None:
    found = folds(np.arange(53.0), task="regression")
    check_whole(found, 53)
    assert {len(each.validation) for each in found} <= {8, 9}


@pytest.mark.parametrize("test", [0.0, 0.2])
def test_a_group_is_never_divided(test: float) -> None:
    group = np.random.default_rng(1).integers(0, 30, len(Y))
    for rule, most in ((1, 10), (2, 2 * np.bincount(group).max())):
        found = folds(column=group, group="c", test=test, division=rule)
        check_whole(found, len(Y))
        for each in found:
            for one, other in ((each.train, each.validation), (each.validation, each.test)):
                assert not set(group[one]) & set(group[other])
        assert np.ptp([len(each.validation) for each in found]) <= most


@pytest.mark.parametrize("test", [0.0, 0.2])
def test_a_fold_in_time_trains_on_what_is_before_it(test: float) -> None:
    time = np.random.default_rng(2).permutation(200) // 3
    found = folds(np.arange(200) % 2, time, time="c", test=test)
    for each in found:
        assert time[each.train].max() < time[each.validation].min()
    for one, other in pairwise(found):
        assert set(other.train) == {*one.train, *one.validation}
    last = np.concatenate((found[-1].train, found[-1].validation, found[-1].test))
    assert sorted(last.tolist()) == list(range(200))
    assert not test or time[found[-1].validation].max() < time[found[-1].test].min()


@pytest.mark.parametrize(
    ("of", "message"),
    [
        ({"folds": 23}, "class '2' has 23 rows, and each of 23 folds and the test needs one"),
        ({"folds": 24, "test": 0.0}, "class '2' has 23 rows, and each of 24 folds needs one"),
        ({"y": np.arange(11.0), "task": "regression"}, "there are 11 rows, and each of 5 folds"),
        ({"column": Y, "group": "c"}, "3 groups cannot be divided into 5 folds and the test"),
        ({"column": Y, "time": "c"}, "fold 1: 0 rows for"),
        ({"time": "c"}, "fold 1: class '1' is in no training row"),
    ],
)
def test_what_cannot_be_folded(of: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        folds(**of)


def test_everything_is_learned_from_the_training_rows_of_each_fold(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    x = random.normal(5, 3, 100)
    kind = np.where(np.arange(100) == 50, "rare", "usual")
    frame = pd.DataFrame({"x": x, "kind": kind, "y": np.arange(100) % 2})
    frame.to_csv(tmp_path / "t.csv", index=False)
    spec = DataSpec(path=str(tmp_path / "t.csv"), target="y", folds=4)
    data = load(spec)
    assert len(data.folds) == 4
    for fold in data.folds:
        train, validation = (x[rows] for rows in fold.positions)
        for part, values in ((fold.train, train), (fold.validation, validation)):
            wanted = (values - train.mean()) / train.std()
            np.testing.assert_allclose(part.x[:][:, 0], wanted, rtol=1e-4, atol=1e-5)
    final = load(spec, final=True)
    assert (len(final.folds), len(final.train), len(final.validation)) == (1, 80, 20)
    plain = load(DataSpec(path=spec.path, target="y"), final=True)
    assert torch.equal(final.validation.x, plain.validation.x)
