"""Rows that are appended move none of those before them."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tuner.data import DataSpec
from tuner.data.labels import Labels
from tuner.data.splits import Rows, divide, divisions
from tuner.data.tables import Table, from_frame

SHARES = [(0.2, 0.2), (0.1, 0.0), (0.05, 0.3), (0.6, 0.39), (1 / 3, 1 / 3)]
SEEDS = range(4)


def labelled(seed: int, weights: list[float], count: int = 400) -> Labels:
    """Classes at random, each with six rows at the very beginning; without any, quantities."""
    if not weights:
        return Labels("regression", np.arange(float(count)), ())
    few = np.tile(np.arange(len(weights)), 6)
    more = np.random.default_rng(seed).choice(len(weights), count - len(few), p=weights)
    names = tuple(f"class {i}" for i in range(len(weights)))
    return Labels("classification", np.concatenate((few, more)), names)


def beginning(labels: Labels, count: int) -> Labels:
    return Labels(labels.task, labels.values[:count], labels.classes)


def table(columns: dict[str, Any], count: int) -> Table:
    frame = pd.DataFrame({"x": np.arange(count), "y": 0, **columns})
    return from_frame(frame, "y", "here", aside=list(columns))


def same_at_first(one: Rows, longer: Rows, count: int) -> bool:
    """Whether the first rows are in the same splits."""
    pairs = zip(
        (one.train, one.validation, one.test),
        (longer.train, longer.validation, longer.test),
        strict=True,
    )
    return all(a.tolist() == b[b < count].tolist() for a, b in pairs)


@pytest.mark.parametrize("weights", [[], [0.5, 0.5], [0.7, 0.25, 0.05]], ids=len)
@pytest.mark.parametrize(("validation", "test"), SHARES)
def test_of_every_beginning_of_a_class_each_split_has_its_share(
    weights: list[float], validation: float, test: float
) -> None:
    for seed in SEEDS:
        spec = DataSpec("m:f", validation=validation, test=test, seed=seed)
        labels = labelled(seed, weights)
        whole = divide(table({}, 400), labels, spec)
        for count in (60, 61, 97, 150, 299, 400):
            some = beginning(labels, count)
            rows = divide(table({}, count), some, spec)
            assert same_at_first(rows, whole, count)
            of_class = some.values if weights else np.zeros(count, dtype=int)
            sizes = np.bincount(of_class)
            for held, share in ((rows.test, test), (rows.validation, validation)):
                counts = np.bincount(of_class[held], minlength=len(sizes))
                assert np.abs(counts - sizes * share).max() < (3 if validation > 0.5 else 2)
                assert counts.min() >= (share > 0)
            assert np.bincount(of_class[rows.train], minlength=len(sizes)).min() >= 1


def test_a_new_class_moves_no_row_of_the_others() -> None:
    old = labelled(0, [0.6, 0.4], 200)
    names = ("class 0", "class 0.5", "class 1")  # which changes the number of a class
    values = np.concatenate((old.values * 2, [1, 1, 1, 0, 2]))
    new = Labels("classification", values, names)
    spec = DataSpec("m:f")
    one, longer = divide(table({}, 200), old, spec), divide(table({}, 205), new, spec)
    assert same_at_first(one, longer, 200)
    assert [list(values[part]).count(1) for part in vars(longer).values()] == [1, 1, 1]


@pytest.mark.parametrize("weights", [[], [0.5, 0.5], [0.7, 0.25, 0.05]], ids=len)
@pytest.mark.parametrize("test", [0.0, 0.2])
def test_folds_keep_their_rows(weights: list[float], test: float) -> None:
    for seed, count in itertools.product(SEEDS, (3, 4)):
        spec = DataSpec("m:f", folds=count, test=test, seed=seed)
        labels = labelled(seed, weights)
        whole = divisions(table({}, 400), labels, spec)
        for rows in (60, 111, 250, 400):
            some = beginning(labels, rows)
            found = divisions(table({}, rows), some, spec)
            pairs = zip(found, whole, strict=True)
            assert all(same_at_first(one, longer, rows) for one, longer in pairs)
            of_class = some.values if weights else np.zeros(rows, dtype=int)
            counts = [np.bincount(of_class[each.validation]) for each in found]
            assert np.ptp(counts, axis=0).max() <= 1


def by_group(who: Any, count: int, spec: DataSpec) -> tuple[Rows, ...]:
    labels = Labels("regression", np.arange(float(count)), ())
    return divisions(table({"who": who[:count]}, count), labels, spec)


@pytest.mark.parametrize("order", ["mixed", "one after the other"])
@pytest.mark.parametrize("folds", [None, 4])
def test_groups_stay_where_they_are(order: str, folds: int | None) -> None:
    for seed in SEEDS:
        who = np.random.default_rng(seed).integers(0, 40, 600)
        who = np.sort(who) if order != "mixed" else who
        spec = DataSpec("m:f", group="who", seed=seed, folds=folds)
        whole = by_group(who, 600, spec)
        for count in (300, 451, 599):
            pairs = zip(by_group(who, count, spec), whole, strict=True)
            assert all(same_at_first(one, longer, count) for one, longer in pairs)
        largest = np.bincount(who).max()
        assert abs(len(whole[0].test) - 120) <= largest
        assert abs(len(whole[0].validation) - 120) <= 2 * largest


def test_another_share_for_validation_leaves_the_groups_of_the_test() -> None:
    who = np.arange(300) // 6
    specs = [DataSpec("m:f", group="who", validation=share) for share in (0.1, 0.3, 0.5)]
    specs.append(DataSpec("m:f", group="who", folds=5))
    tests = [by_group(who, 300, spec)[0].test.tolist() for spec in specs]
    assert len(tests[0]) in (54, 60, 66)
    assert all(each == tests[0] for each in tests)


def test_a_place_in_a_block_says_nothing() -> None:
    """Neither what repeats every few rows nor what is sorted falls into one split."""
    rows = divide(table({}, 5000), Labels("regression", np.arange(5000.0), ()), DataSpec("m:f"))
    for part in (rows.validation, rows.test):
        assert np.bincount(part % 5, minlength=5) == pytest.approx(np.full(5, 200), abs=60)
        assert np.histogram(part, 10, (0, 5000))[0] == pytest.approx(np.full(10, 100), abs=12)
