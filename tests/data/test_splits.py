"""Which rows are for training, for validation and for the test, also in folds."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tuner.data import DataSpec, load
from tuner.data.labels import Labels, encode
from tuner.data.splits import Rows, divide, divisions, split
from tuner.data.tables import from_frame
from tuner.errors import DataError


def _classes(*sizes: int) -> Labels:
    y = np.repeat(np.arange(len(sizes)), sizes)
    np.random.default_rng(0).shuffle(y)
    return Labels("classification", y, tuple("abcdefghijklmnop"[: len(sizes)]))


def _numbers(count: int) -> Labels:
    return Labels("regression", np.arange(count, dtype=np.float64), ())


def _split(
    labels: Labels, validation: float = 0.2, test: float = 0.2, seed: int = 0, division: int = 2
) -> Rows:
    spec = DataSpec(source="m:f", validation=validation, test=test, seed=seed, division=division)
    return split(labels, spec, "here")


@pytest.mark.parametrize("labels", [_classes(50, 30, 17), _numbers(97)], ids=["classes", "numbers"])
def test_every_row_is_in_exactly_one_split(labels: Labels) -> None:
    rows = _split(labels)
    together = np.concatenate([rows.train, rows.validation, rows.test])
    assert sorted(together.tolist()) == list(range(97))
    assert [len(rows.validation), len(rows.test)] == pytest.approx([19, 19], abs=3)  # of 3 classes
    assert len(_split(labels, test=0.0).test) == 0


@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.2, 1 / 3])
def test_classes_keep_their_proportions(fraction: float) -> None:
    sizes = (400, 211, 97, 35)
    labels = _classes(*sizes)
    rows, first = (_split(labels, fraction, fraction, division=rule) for rule in (2, 1))
    for held, most in ((rows.test, 1), (rows.validation, 1.5), (first.test, 1)):
        counts = np.bincount(labels.values[held], minlength=4)
        assert np.abs(counts - np.array(sizes) * fraction).max() < most
    assert len(first.validation) == len(first.test) == round(sum(sizes) * fraction)


@pytest.mark.parametrize(("validation", "test"), [(0.2, 0.2), (0.05, 0.2), (0.6, 0.39)])
def test_a_small_class_is_in_every_split(validation: float, test: float) -> None:
    labels = _classes(200, 3)
    rows = _split(labels, validation, test)
    for part in (rows.train, rows.validation, rows.test):
        assert set(labels.values[part]) == {0, 1}


@pytest.mark.parametrize("labels", [_classes(50, 47), _numbers(97)], ids=["classes", "numbers"])
def test_the_seed_alone_decides(labels: Labels) -> None:
    first, again, other = _split(labels), _split(labels), _split(labels, seed=1)
    np.testing.assert_array_equal(first.validation, again.validation)
    np.testing.assert_array_equal(first.test, again.test)
    assert first.test.tolist() != other.test.tolist()


@pytest.mark.parametrize(
    ("rule", "first", "known"),
    [(1, [2, 3, 11, 13, 15], "72fcf875ec436a93"), (2, [0, 3, 13, 18, 21], "76809453e177215d")],
)
def test_the_same_rows_on_every_machine(rule: int, first: list[int], known: str) -> None:
    rows = _split(_numbers(1000), division=rule)
    digest = hashlib.sha256(np.concatenate([rows.validation, rows.test]).astype("<i8").tobytes())
    assert rows.test[:5].tolist() == first
    assert digest.hexdigest()[:16] == known


def test_another_validation_share_never_touches_the_test_rows() -> None:
    labels = _classes(60, 30, 9)
    tests = [_split(labels, validation).test.tolist() for validation in (0.1, 0.2, 0.5)]
    assert tests[0] == tests[1] == tests[2]


@pytest.mark.parametrize(
    ("labels", "validation", "test", "says"),
    [
        (_classes(50, 2), 0.2, 0.2, "class 'b' is too small: it has 2 rows.*3 .*\n.*set test = 0"),
        (_classes(50, 1), 0.2, 0.2, "class 'b' is too small: it has 1 row,.*\n.*at least 3 rows"),
        (_classes(50, 1), 0.2, 0.0, "it has 1 row, but each of 2 splits.*\n.*at least 2 rows"),
        (_classes(50, 2, 1), 0.2, 0.2, r"class 'c' is too small \(so are 1 more\)"),
        (
            _classes(*[20] * 10),
            0.02,
            0.2,
            "validation = 0.02 of 200 rows is 4 rows.*10 classes\n.*set validation = 0.05 or more",
        ),
        (_classes(*[20] * 10), 0.2, 0.02, "test = 0.02 of 200 rows is 4 rows"),
        (_numbers(50), 0.01, 0.2, "is 1 row, but it needs two\n.*validation = 0.04 or more"),
        (_numbers(5), 0.2, 0.2, "5 rows cannot be split"),
    ],
)
def test_too_few_rows(labels: Labels, validation: float, test: float, says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        _split(labels, validation, test)
    assert caught.value.where == "here"


def test_the_suggested_shares_are_enough() -> None:
    assert len(_split(_classes(*[20] * 10), 0.05).validation) == 10
    assert len(_split(_numbers(50), 0.04).validation) == 2
    assert len(_split(_classes(50, 2), test=0.0).validation) == 11  # one of the rare class


def test_places_are_small_where_they_fit() -> None:
    fits, large = np.array([0, 2**31 - 1]), np.array([0, 2**31])
    none = np.empty(0, dtype=np.int64)
    found = Rows(fits, none, none).small()
    assert all(part.dtype == np.int32 for part in (found.train, found.validation, found.test))
    assert found.train.tolist() == fits.tolist()
    assert Rows(none, large, none).small().validation.tolist() == large.tolist()


def test_old_studies_keep_their_division() -> None:
    frame = pd.DataFrame({"x": np.arange(90.0), "y": np.arange(90) % 3})
    of = from_frame(frame, "y", "here")
    labels = encode(of, "classification")
    first, second = (divide(of, labels, DataSpec("m:f", division=rule)) for rule in (1, 2))
    assert first.test.tolist() != second.test.tolist()
    assert len(first.test) == len(second.test) == 18


# Rows divided by a column.


DIVISION_Y = np.arange(200) % 2


def _divided(column: Any, y: Any = DIVISION_Y, *, held: bool = False, **spec: Any) -> Rows:
    """Rows by a column that is called c."""
    frame = pd.DataFrame({"c": column, "x": np.random.default_rng(0).normal(size=len(y)), "y": y})
    table = from_frame(frame, "y", "here", aside=["c"])
    if held:
        table = type(table)(**{**vars(table), "held": True})
    (key,) = spec.keys() & {"group", "time", "split"}
    found = DataSpec(source="m:f", **{"validation": 0.2, "test": 0.2, **spec, key: "c"})
    return divide(table, encode(table, "classification"), found)


def _parts(rows: Rows) -> list[np.ndarray[Any, Any]]:
    parts = [rows.train, rows.validation, rows.test]
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(np.concatenate(parts))))
    return parts


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [8, 40, 100])
def test_division_a_group_is_never_divided(count: int, seed: int) -> None:
    group = np.random.default_rng(seed).integers(0, count, 200)
    parts = _parts(_divided(group, group="", seed=seed))
    for i, part in enumerate(parts):
        others = np.concatenate(parts[:i] + parts[i + 1 :])
        assert not set(group[part]) & set(group[others])
    largest = int(np.bincount(group).max())
    assert [len(part) for part in parts[1:]] == pytest.approx([40, 40], abs=largest)
    first = _parts(_divided(group, group="", seed=seed, division=1))
    assert [len(part) for part in first[1:]] == pytest.approx([40, 40], abs=15)


def test_the_seed_decides_which_groups() -> None:
    group = np.arange(200) // 5
    first, again = _divided(group, group=""), _divided(group, group="")
    assert first.test.tolist() == again.test.tolist()
    assert first.test.tolist() != _divided(group, group="", seed=1).test.tolist()


def test_three_groups() -> None:
    parts = _parts(_divided(np.repeat(["a", "b", "c"], [100, 50, 50]), group=""))
    assert sorted(map(len, parts)) == [50, 50, 100]
    parts = _parts(_divided(np.repeat(["a", "b"], [150, 50]), group="", test=0.0))
    assert [len(part) for part in parts] == [150, 50, 0]


DAYS = pd.date_range("2026-01-01", periods=100).strftime("%Y-%m-%d").to_numpy().repeat(2)


@pytest.mark.parametrize(
    "time",
    [
        np.arange(200.0) - 1e6,
        np.arange(200) // 7,
        DAYS,
        pd.to_datetime(DAYS),
        [f"{day}T08:30:00+02:00" for day in DAYS],
    ],
    ids=["numbers", "equal ones", "text", "dates", "time zones"],
)
def test_time_goes_forward(time: Any) -> None:
    order = np.random.default_rng(0).permutation(200)
    shuffled = np.asarray(time, dtype=object)[order]
    train, validation, test = _parts(_divided(pd.Series(shuffled).infer_objects(), time=""))
    assert [len(validation), len(test)] == pytest.approx([40, 40], abs=6)
    assert shuffled[train].max() < shuffled[validation].min()
    assert shuffled[validation].max() < shuffled[test].min()


def test_local_dates_are_times_where_their_order_is_known() -> None:
    days = pd.date_range("2026-01-01", periods=200)
    for form in ("%d.%m.%Y", "%m/%d/%y", "%d %B %Y 13:45"):
        rows = _divided(pd.Series(days.strftime(form)[::-1]), time="")
        assert (rows.test.tolist(), len(rows.validation)) == (list(range(40)), 40)
    with pytest.raises(DataError, match="only other rows can tell which is the day"):
        _divided(pd.Series(["1/2/2026", "2/1/2026"] * 100), time="")


def test_time_without_test_rows() -> None:
    rows = _divided(np.arange(200), time="", test=0.0)
    assert rows.validation.tolist() == list(range(160, 200))
    rows = _divided(np.arange(200), time="", held=True)
    assert (len(rows.validation), len(rows.test)) == (40, 0)


def test_as_the_column_says() -> None:
    said = np.array(["train"] * 120 + [" Validation"] * 50 + ["TEST"] * 30)
    train, validation, test = _parts(_divided(said, split=""))
    assert (len(train), validation[0], test[0]) == (120, 120, 170)
    assert len(_divided(np.where(said == "TEST", "train", said), split="").test) == 0


@pytest.mark.parametrize(
    ("column", "key", "says"),
    [
        (["a", "b"] * 100, "group", "2 groups cannot be divided into 3 splits"),
        ([None, *["a", "b", "c", "d"] * 49, "a", "b", "c"], "group", "1 of 200 rows have no value"),
        (["soon"] * 200, "time", r"'soon' is not a time \(200 such rows\)"),
        ([5] * 200, "time", "the train split has 0 rows, but needs at least 2"),
        ([0.0] * 100 + [1.0] * 100, "time", "the validation split has 0 rows, but needs"),
        (["train"] * 199 + ["dev"], "split", r"'dev' is not a split \(1 such rows\)\n.*train, val"),
        (
            ["train"] * 200,
            "split",
            "the validation split has 0 rows.*\n.*mark more rows as validation",
        ),
    ],
)
def test_columns_that_do_not_divide(column: Any, key: str, says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        _divided(column, **{key: ""})
    assert caught.value.where == "here: column 'c'"


def test_a_class_without_training_rows() -> None:
    y = np.where(np.arange(200) < 190, DIVISION_Y, 2)
    with pytest.raises(DataError, match="class '2' does not occur in the training rows"):
        _divided(np.arange(200), y, time="")


def test_regression() -> None:
    frame = pd.DataFrame({"t": np.arange(50), "x": np.arange(50.0), "y": np.arange(50) / 7})
    table = from_frame(frame, "y", "here", aside=["t"])
    rows = divide(table, Labels("regression", frame["y"].to_numpy(), ()), DataSpec("m:f", time="t"))
    assert rows.test.tolist() == list(range(40, 50))


def _table(folder: Path, extra: str = "") -> Path:
    lines = [f"{i},{i % 9},{i // 6},{i % 2}{extra}" for i in range(120)]
    (folder / "table.csv").write_text("\n".join(["x,z,who,y", *lines]))
    return folder / "table.csv"


def test_the_column_is_no_feature(tmp_path: Path) -> None:
    data = load(DataSpec(path=str(_table(tmp_path)), target="y", group="who"))
    assert "who" not in data.features
    assert ("who", "group", "division") in [(c.name, c.kind, c.decision) for c in data.columns]


@pytest.mark.parametrize("key", ["group", "time", "split"])
def test_a_column_that_is_missing(tmp_path: Path, key: Any) -> None:
    with pytest.raises(DataError, match=r"no column 'whom'\n.*did you mean 'who'"):
        load(DataSpec(path=str(_table(tmp_path)), target="y", **{key: "whom"}))
    with pytest.raises(DataError, match="'y' is the target and cannot split the rows"):
        load(DataSpec(path=str(_table(tmp_path)), target="y", **{key: "y"}))
    with pytest.raises(DataError, match="no column 'who': only a frame has columns"):
        load(DataSpec(source="sklearn.datasets:load_iris", **{key: "who"}))


def test_a_second_file_for_the_test(tmp_path: Path) -> None:
    spec = DataSpec(path=str(_table(tmp_path)), target="y", test_path="test.csv")
    with pytest.raises(DataError, match=r"data\.test_path: no such file 'test\.csv'"):
        load(spec, folder=tmp_path)
    (tmp_path / "test.csv").write_text("x,z,who,y\n1,2,3,1\n")
    data = load(spec, folder=tmp_path)
    assert (len(data.train), len(data.validation)) == (96, 24)


# Rows in folds.


FOLDING_Y = np.repeat([0, 1, 2], [120, 60, 23])


def folds(
    y: Any = FOLDING_Y, column: Any = None, task: str = "classification", **of: Any
) -> list[Rows]:
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
    check_whole(found, len(FOLDING_Y))
    counts = np.array([np.bincount(FOLDING_Y[each.validation], minlength=3) for each in found])
    assert (np.ptp(counts, axis=0) <= 1).all()
    assert np.ptp(counts.sum(axis=1)) <= 3  # of three classes
    first = folds(test=test, division=1)
    check_whole(first, len(FOLDING_Y))
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
def test_folding_a_group_is_never_divided(test: float) -> None:
    group = np.random.default_rng(1).integers(0, 30, len(FOLDING_Y))
    for rule, most in ((1, 10), (2, 2 * np.bincount(group).max())):
        found = folds(column=group, group="c", test=test, division=rule)
        check_whole(found, len(FOLDING_Y))
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
    for one, other in itertools.pairwise(found):
        assert set(other.train) == {*one.train, *one.validation}
    last = np.concatenate((found[-1].train, found[-1].validation, found[-1].test))
    assert sorted(last.tolist()) == list(range(200))
    assert not test or time[found[-1].validation].max() < time[found[-1].test].min()


@pytest.mark.parametrize(
    ("of", "message"),
    [
        ({"folds": 23}, "class '2' has 23 rows, but each of 23 folds and the test split needs one"),
        ({"folds": 24, "test": 0.0}, "class '2' has 23 rows, but each of 24 folds needs one"),
        ({"y": np.arange(11.0), "task": "regression"}, "there are 11 rows, but each of 5 folds"),
        (
            {"column": FOLDING_Y, "group": "c"},
            "3 groups cannot be divided into 5 folds and the test split",
        ),
        ({"column": FOLDING_Y, "time": "c"}, "fold 1: the (train|validation) split has 0 rows"),
        ({"column": FOLDING_Y * 0, "time": "c"}, "fold 1: the train split has 0 rows"),
        ({"time": "c"}, "fold 1: class '1' does not occur in the training rows"),
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
