"""test_splits"""

from __future__ import annotations

import hashlib
import itertools
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tuner.data import DataSet, DataSpec, load
from tuner.data.arrays import NAMES
from tuner.data.labels import Labels, encode
from tuner.data.splits import Rows, divide, divisions, split
from tuner.data.tables import Table, from_frame
from tuner.errors import DataError

COUNT = 120


def _frame(count: int = COUNT, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "place": np.arange(count) + 0.5,
            "town": rng.choice(["Rome", "Oslo", "Bonn"], count),
            "member": rng.choice([True, False], count),
            "gap": np.where(rng.random(count) < 0.2, np.nan, rng.normal(size=count)),
            "who": np.arange(count) // 6,
            "part": np.array(["train", "validation", "test"])[np.arange(count) % 3],
            "bought": rng.choice(["no", "yes"], count),
        }
    )


def _written(frame: pd.DataFrame, file: Path, **spec: Any) -> DataSpec:
    frame.to_csv(file, index=False)
    return DataSpec(path=file.name, target="bought", preprocessing="none", **spec)


def _same(a: DataSet, b: DataSet) -> bool:
    pairs = [(a.train, b.train), (a.validation, b.validation)]
    equal = all(torch.equal(p.x, q.x) and torch.equal(p.y, q.y) for p, q in pairs)
    return equal and (a.shape, a.features, a.target) == (b.shape, b.features, b.target)


@pytest.mark.parametrize("how", [{}, {"group": "who"}, {"time": "who"}, {"split": "part"}], ids=str)
def test_the_rows_of_the_final_number_are_those_that_the_search_has_not_seen(
    tmp_path: Path, how: dict[str, Any]
) -> None:
    spec = _written(_frame(), tmp_path / "a.csv", **how)
    search, final = load(spec, folder=tmp_path), load(spec, folder=tmp_path, final=True)
    seen = torch.cat((search.train.x[:, 0], search.validation.x[:, 0])).tolist()
    assert sorted(final.train.x[:, 0].tolist()) == sorted(seen)
    places = torch.cat((final.train.x[:, 0], final.validation.x[:, 0])).tolist()
    assert sorted(places) == (np.arange(COUNT) + 0.5).tolist()
    assert not set(final.validation.x[:, 0].tolist()) & set(seen)
    for part, positions in zip((final.train, final.validation), final.positions, strict=True):
        assert part.x[:, 0].tolist() == (positions + 0.5).tolist()
    assert (search.features, search.target) == (final.features, final.target)


@pytest.mark.parametrize("how", [{}, {"group": "who"}, {"split": "part"}], ids=str)
def test_what_the_test_rows_are_changes_nothing_before(tmp_path: Path, how: dict[str, Any]) -> None:
    frame = _frame()
    spec = _written(frame, tmp_path / "a.csv", **how)
    search, final = load(spec, folder=tmp_path), load(spec, folder=tmp_path, final=True)
    test = final.positions[1]
    frame.loc[test, "place"] = np.random.default_rng(1).normal(size=len(test)) * 1e6
    frame.loc[test, "gap"] = np.nan
    frame.loc[test, "town"] = "nowhere"
    changed = _written(frame, tmp_path / "b.csv", **how)
    assert _same(load(changed, folder=tmp_path), search)
    after = load(changed, folder=tmp_path, final=True)
    assert torch.equal(after.train.x, final.train.x)  # and is learned from the others alone
    assert after.features == final.features
    assert not torch.equal(after.validation.x, final.validation.x)


def test_statistics_of_the_final_rows_are_of_all_rows_to_train_on(tmp_path: Path) -> None:
    spec = _written(_frame(), tmp_path / "a.csv")
    spec = DataSpec(path=spec.path, target="place", test=0.25)
    data = load(spec, folder=tmp_path, final=True)
    values = data.positions[0] + 0.5
    assert data.target.mean == pytest.approx(values.mean())
    assert data.target.scale == pytest.approx(values.std())
    assert len(data.validation) == COUNT // 4


def test_a_second_file_is_used_for_the_final_number_only(tmp_path: Path) -> None:
    spec = _written(_frame(), tmp_path / "a.csv", test_path="b.csv", group="who")
    _frame(7).to_csv(tmp_path / "b.csv", index=False)
    search = load(spec, folder=tmp_path)
    test = _frame(30, seed=1).drop(columns="who").iloc[:, ::-1]  # in another order, without groups
    test.to_csv(tmp_path / "b.csv", index=False)
    assert _same(load(spec, folder=tmp_path), search)
    final = load(spec, folder=tmp_path, final=True)
    assert (len(final.train), len(final.validation)) == (COUNT, 30)
    assert (final.features, final.target) == (search.features, search.target)
    assert final.validation.x[:, 0].tolist() == (np.arange(30) + 0.5).tolist()
    assert final.validation.y.tolist() == (test["bought"] == "yes").astype(int).tolist()


def test_types_of_a_second_file_follow_the_first(tmp_path: Path) -> None:
    first = _frame()
    first["town"] = first["town"].map({"Rome": "1", "Oslo": "2", "Bonn": "B"})
    spec = _written(first, tmp_path / "a.csv", test_path="b.csv")
    test = _frame(6, seed=1)
    test["town"] = ["1", "2", "3", "", "1", "2"]  # read as numbers with a gap
    test["member"] = ["True", "False", "", "True", "True", "False"]
    test["gap"] = ""
    test.to_csv(tmp_path / "b.csv", index=False)
    final = load(spec, folder=tmp_path, final=True)
    rows = dict(zip(final.features, final.validation.x.T.tolist(), strict=True))
    assert rows["town = 1"] == [1, 0, 0, 0, 1, 0]
    assert rows["town = 2"] == [0, 1, 0, 0, 0, 1]
    assert rows["town = B"] == [0] * 6  # nor is what was never seen, or is missing, a B
    assert rows["member = True"] == [1, 0, 0, 1, 1, 0]
    assert rows["member = False"] == [0, 1, 0, 0, 0, 1]
    assert rows["gap is missing"] == [1] * 6


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"drop": "town"}, r"b\.csv: no column 'town'"),
        ({"drop": "bought"}, r"b\.csv: no column 'bought'"),
        (
            {"bought": "perhaps"},
            r"b\.csv: class 'perhaps' does not occur in the training rows\n.*no, yes",
        ),
        ({"bought": None}, r"b\.csv: 6 of 6 labels are missing"),
        ({"place": "far"}, r"b\.csv: column 'place' has 'far' in row 0 .*, but .* have numbers"),
    ],
    ids=str,
)
def test_a_second_file_that_does_not_fit(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    spec = _written(_frame(), tmp_path / "a.csv", test_path="b.csv")
    test = _frame(6).drop(columns=change.pop("drop", []))
    test.assign(**change).to_csv(tmp_path / "b.csv", index=False)
    for final in (False, True):  # before the search, as before its final number
        with pytest.raises(DataError, match=says):
            load(spec, folder=tmp_path, final=final)


def test_a_column_to_drop_that_a_second_file_lacks(tmp_path: Path) -> None:
    spec = _written(_frame(), tmp_path / "a.csv", test_path="b.csv", drop=("gap",))
    _frame(6).drop(columns="gap").to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(DataError, match=r"b\.csv: no column 'gap'"):
        load(spec, folder=tmp_path)


def test_a_quantity_in_a_second_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, count in (("a", 50), ("b", 9)):
        np.savez(tmp_path / f"{name}.npz", x=rng.normal(size=(count, 3)), y=rng.normal(size=count))
    spec = DataSpec(path="a.npz", test_path="b.npz", preprocessing="none")
    final = load(spec, folder=tmp_path, final=True)
    with np.load(tmp_path / "b.npz") as archive:
        np.testing.assert_allclose(final.validation.x.numpy(), archive["x"], rtol=1e-6)
        own = final.validation.y.numpy() * final.target.scale + final.target.mean
        np.testing.assert_allclose(own, archive["y"], rtol=1e-5)
    np.savez(tmp_path / "b.npz", x=np.zeros((9, 4)), y=np.zeros(9))
    with pytest.raises(DataError, match=r"rows of shape \[4\], but the training rows .* \[3\]"):
        load(spec, folder=tmp_path, final=True)


def _idx(folder: Path, part: str, x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> None:
    for name, array in ((f"{part}-images-idx3-ubyte", x), (f"{part}-labels-idx1-ubyte", y)):
        header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
        (folder / name).write_bytes(header + array.astype(np.uint8).tobytes())


def test_the_test_files_of_mnist(tmp_path: Path) -> None:
    x = np.arange(60 * 16).reshape(60, 4, 4) % 251
    _idx(tmp_path, "train", x, np.arange(60) % 10)
    _idx(tmp_path, "t10k", x[:10] + 1, np.arange(10))
    spec = DataSpec(path=str(tmp_path), preprocessing="none")
    search, final = load(spec), load(spec, final=True)
    assert final.train.x[:, 0].tolist() == x.tolist()
    assert final.validation.x[:, 0].tolist() == (x[:10] + 1).tolist()
    assert final.validation.y.tolist() == list(range(10))
    _idx(tmp_path, "t10k", 250 - x[:10], np.arange(10))
    assert _same(load(spec), search)
    _idx(tmp_path, "t10k", 250 - x[:10], np.full(10, 10))
    with pytest.raises(DataError, match="t10k-images-idx3-ubyte: class '10' does not occur"):
        load(spec)
    assert len(NAMES) == 4


def test_folders_of_images(tmp_path: Path) -> None:
    from PIL import Image

    for place, classes in (("a", ("cat", "dog", "elk")), ("b", ("dog", "elk"))):
        for shade, name in enumerate(classes):
            (tmp_path / place / name).mkdir(parents=True)
            for i in range(6):
                Image.new("L", (4, 4), shade).save(tmp_path / place / name / f"{i}.png")
    final = load(DataSpec(path="a", test_path="b"), folder=tmp_path, final=True)
    assert final.target.classes == ("cat", "dog", "elk")
    assert final.validation.y.tolist() == [1] * 6 + [2] * 6  # by name, not by number


def test_without_test_rows_the_hint_says_what_to_do(tmp_path: Path) -> None:
    spec = _written(_frame(), tmp_path / "a.csv", test=0.0)
    with pytest.raises(DataError, match=r"data\.test: there are no test rows\n.*test_path") as said:
        load(spec, folder=tmp_path, final=True)
    assert "search again" in str(said.value)


def test_a_second_file_of_text(tmp_path: Path) -> None:
    rows = [f"{'good' if i % 2 else 'bad'} thing,{i % 2}" for i in range(40)]
    (tmp_path / "a.csv").write_text("\n".join(["said,kind", *rows]))
    (tmp_path / "b.csv").write_text("kind,said\n1,good unseen\n0,bad\n")
    spec = DataSpec(path="a.csv", target="kind", text="said", test_path="b.csv")
    final = load(spec, folder=tmp_path, final=True)
    assert final.vocabulary is not None
    assert set(final.vocabulary.words) == {"good", "bad", "thing"}
    assert (len(final.train), final.validation.y.tolist()) == (40, [1, 0])
    assert final.validation.x[0, 1].item() == 1  # an unknown word


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


# Rows that are appended move none of those before them.


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


def test_old_studies_keep_their_division() -> None:
    frame = pd.DataFrame({"x": np.arange(90.0), "y": np.arange(90) % 3})
    of = from_frame(frame, "y", "here")
    labels = encode(of, "classification")
    first, second = (divide(of, labels, DataSpec("m:f", division=rule)) for rule in (1, 2))
    assert first.test.tolist() != second.test.tolist()
    assert len(first.test) == len(second.test) == 18
