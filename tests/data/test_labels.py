from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tuner.data import DataSet, DataSpec, load
from tuner.data.labels import Labels, encode
from tuner.data.tables import from_arrays
from tuner.errors import DataError


def _encode(y: Any, task: str = "auto", classes: tuple[str, ...] = ()) -> Labels:
    return encode(from_arrays(np.zeros((len(y), 1)), y, "here", classes=classes), task)


@pytest.mark.parametrize(
    ("y", "classes", "values"),
    [
        (["b", "a", "b", "a"], ("a", "b"), [1, 0, 1, 0]),
        ([True, False, True, True], ("False", "True"), [1, 0, 1, 1]),
        (np.array([True, False], dtype=object), ("False", "True"), [1, 0]),
        ([3, 7, 3, 7], ("3", "7"), [0, 1, 0, 1]),
        (np.array([9, 10, 9, 10], dtype=np.uint8), ("9", "10"), [0, 1, 0, 1]),
        ([0.0, 1.0, 1.0, 0.0], ("0", "1"), [0, 1, 1, 0]),
        (pd.Series(["x", "y", "x"], dtype="category"), ("x", "y"), [0, 1, 0]),
        (np.array([b"x", b"y"]), ("x", "y"), [0, 1]),
        (["a", 1, "a", 1], ("1", "a"), [1, 0, 1, 0]),
    ],
)
def test_auto_takes_for_classes(y: Any, classes: tuple[str, ...], values: list[int]) -> None:
    labels = _encode(y)
    assert labels.task == "classification"
    assert labels.classes == classes
    assert labels.values.dtype == np.int64
    assert labels.values.tolist() == values


@pytest.mark.parametrize(
    "y", [[0.5, 1.0, 0.5, 1.0], list(range(10)), list(range(21)) * 5, [1e9, 2e9, 3e9]]
)
def test_auto_takes_for_a_quantity(y: list[float]) -> None:
    labels = _encode(y)
    assert (labels.task, labels.classes) == ("regression", ())
    assert labels.values.dtype == np.float64
    assert labels.values.tolist() == y


def test_the_task_can_be_said() -> None:
    assert _encode([1, 2, 1, 2], "regression").values.tolist() == [1.0, 2.0, 1.0, 2.0]
    assert _encode([*range(30)] * 2, "classification").classes[:2] == ("0", "1")
    assert _encode([0.5, 1.5], "classification").classes == ("0.5", "1.5")
    assert _encode([1e20, 2e20], "classification").classes == ("1e+20", "2e+20")


def test_names_from_the_source_belong_to_their_numbers() -> None:
    assert _encode([2, 0, 2, 0], classes=("cat", "dog", "owl")).classes == ("cat", "owl")
    assert _encode([2, 3, 2, 3], classes=("cat", "dog", "owl")).classes == ("2", "3")
    assert _encode(["x", "y"], classes=("cat", "dog")).classes == ("x", "y")


@pytest.mark.parametrize(
    "y",
    [
        [1.0, 2.0, np.nan, np.nan],
        ["a", "b", None, None],
        ["a", "b", np.nan, np.nan],
        np.array(["a", "b", np.nan, np.nan]),
        pd.Series(["a", "b", None, None]),
        pd.Series([1, 2, None, None], dtype="Int64"),
        pd.Series([True, False, None, None], dtype="boolean"),
    ],
    ids=str,
)
def test_missing_labels(y: Any) -> None:
    with pytest.raises(
        DataError, match=r"2 of 4 labels are missing.*first in row 2 counted from 0"
    ):
        _encode(y)


@pytest.mark.parametrize(
    ("y", "task", "says"),
    [
        (["a", "a"], "auto", "all 2 labels are 'a': a classifier"),
        ([1, 1, 1], "auto", "all 3 labels are '1': a classifier"),
        ([0.5, 0.5], "auto", "all 2 labels are 0.5"),
        ([0.5, np.inf, 1.0], "auto", "1 labels are infinite"),
        (["a", "b"], "regression", "label 'a' in row 0 .* is text .* task is regression"),
        (np.array(["2020-01-01", "2020-01-02"], "M8[D]"), "auto", r"labels of type datetime64"),
    ],
)
def test_labels_that_do_not_fit(y: Any, task: str, says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        _encode(y, task)
    assert caught.value.where == "here"


def test_labels_that_are_all_different() -> None:
    with pytest.raises(DataError, match="all 9 labels are different, such as 'n0' and 'n1'"):
        _encode([f"n{i}" for i in range(9)])
    assert len(_encode(["x", "y"]).classes) == 2


def test_by_the_first_rule_each_text_is_a_class() -> None:
    for y in (["1,5", "2,5", "3,75"] * 10, ["a", "b", "?"] * 10):
        table = from_arrays(np.zeros((30, 1)), y, "here")
        assert encode(table, "auto", rule=1).classes == tuple(sorted(set(y)))
    assert encode(
        from_arrays(np.zeros((30, 1)), ["1,5", "2,5", "3,75"] * 10, "here"), "auto"
    ).task == ("regression")


# Rows that are left out.


def table(cells: list[Any], folder: Path, name: str = "t.csv") -> DataSpec:
    lines = [f"{i},{'' if cell is None else cell}" for i, cell in enumerate(cells)]
    (folder / name).write_text("\n".join(["a,y", *lines]) + "\n")
    return DataSpec(path=str(folder / name), target="y", preprocessing="none", keep=("a",))


def used(data: DataSet) -> list[int]:
    """The values of the column `a`, which counts the rows of the source."""
    return sorted(int(a) for part in (data.train, data.validation) for a in part.x[:].flatten())


@pytest.mark.parametrize(
    ("cells", "task", "gaps"),
    [
        (["u", "v", "w"] * 10, "classification", [None, "?", "#N/A", "(blank)"]),
        ([0, 1] * 15, "classification", [None]),
        ([round(0.37 * i, 2) for i in range(30)], "regression", [None, "n/a", "12x3", "?"]),
        ([f"${i + 0.5:,.2f}" for i in range(30)], "regression", [None, "unknown"]),
    ],
)
def test_rows_without_a_label_are_left_out(
    cells: list[Any], task: str, gaps: list[Any], tmp_path: Path
) -> None:
    mixed = [*cells]
    for at, gap in enumerate(gaps):
        mixed.insert(3 * at + 1, gap)
    spec = table(mixed, tmp_path)
    data, whole = load(spec), load(table(cells, tmp_path, "whole.csv"))
    assert (data.target.task, data.target) == (task, whole.target)
    labels = f"{len(gaps)} of {len(mixed)} rows have no label and are left out"
    assert data.note == f'{labels}; unlabelled = "refuse" refuses them'
    assert torch.equal(data.train.y, whole.train.y)
    assert used(data) == sorted(int(each) for rows in data.positions for each in rows)
    missing = {3 * at + 1 for at in range(len(gaps))}
    assert {*used(data), *used(load(spec, final=True))} == {*range(len(mixed))} - missing
    with pytest.raises(DataError, match=r"labels (are missing|are not numbers)|is text"):
        load(replace(spec, unlabelled="refuse"))
    with pytest.raises(DataError, match=r"labels (are missing|are not numbers)|is text"):
        load(replace(spec, division=2))


def test_rows_of_rare_classes_are_left_out(tmp_path: Path) -> None:
    cells = ["u", "v", "w"] * 10
    cells[4:4], cells[9:9] = ["x"], ["z", None, "z"]
    spec = table(cells, tmp_path)
    data = load(spec)
    assert data.target.classes == ("u", "v", "w")
    why = "3 rows of classes with fewer than 3 rows ('x', 'z') are left out"
    assert why in data.note
    assert {*used(data), *used(load(spec, final=True))} == {*range(34)} - {4, 9, 10, 11}
    for other in (replace(spec, rare="refuse"), replace(spec, division=2, unlabelled="drop")):
        with pytest.raises(DataError, match=r"is too small|labels are missing"):
            load(other)
    assert load(replace(spec, test=0.0)).target.classes == ("u", "v", "w", "z")


@pytest.mark.parametrize("cells", [["u"] * 30 + ["v"], ["u", "v"] * 10 + list("cdefgh")])
def test_too_many_rows_are_not_left_out(cells: list[Any], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is too small"):
        load(table(cells, tmp_path))


def test_test_rows_of_their_own_are_left_out_too(tmp_path: Path) -> None:
    spec = table([*["u", "v", "w"] * 10, "x", None], tmp_path)
    table(["u", "x", None, "v"], tmp_path, "test.csv")
    spec = replace(spec, test_path=str(tmp_path / "test.csv"))
    final = load(spec, final=True)
    assert final.target.classes == ("u", "v", "w")
    assert final.validation.x.flatten().tolist() == [0, 3]
    assert [rows.tolist() for rows in final.positions] == [[*range(30)], [32, 35]]
    assert "1 of 4 test rows have no label and are left out" in final.note
    assert "1 test rows of such classes are left out" in final.note


# Several targets.


def rows(count: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(count, 2))
    return pd.DataFrame(
        {
            "a": x[:, 0],
            "b": x[:, 1],
            "wet": np.where(x[:, 0] > 0, "yes", "no"),
            "cold": (x[:, 1] > 0.5).astype(int),
            "price": [f"{value:.2f} EUR" for value in 50 + 9 * x[:, 0]],
            "size": 1e6 + x[:, 1] * 1e3,
        }
    )


@pytest.fixture
def read(tmp_path: Path) -> Any:
    def of(frame: pd.DataFrame, *target: str, **more: Any) -> DataSet:
        frame.to_csv(tmp_path / "table.csv", index=False)
        others = tuple(
            n for n in ("wet", "cold", "price", "size") if n in frame and n not in target
        )
        spec = {"path": str(tmp_path / "table.csv"), "target": target, "drop": others, **more}
        return load(DataSpec(**spec), final=more.get("test_path") is not None)

    return of


@pytest.mark.parametrize("task", ["auto", "multilabel"])
def test_columns_of_yes_and_no_are_labels(task: str, read: Any) -> None:
    frame = rows()
    data = read(frame, "wet", "cold", task=task)
    assert (data.target.task, data.target.names) == ("multilabel", ("wet", "cold"))
    assert data.outputs == 2
    assert data.features == ("a", "b")
    actual = np.column_stack([frame["wet"] == "yes", frame["cold"] == 1])
    for split, places in zip((data.train, data.validation), data.positions, strict=True):
        assert split.y.dtype == torch.float32
        assert np.array_equal(split.y.numpy(), actual[places])
    assert [c.name for c in data.columns if c.decision == "target"] == ["wet", "cold"]


def test_columns_of_numbers_are_quantities_with_a_unit_each(read: Any) -> None:
    frame = rows()
    data = read(frame, "price", "size", target_clip=True)
    actual = np.column_stack([frame["price"].str[:-4].astype(float), frame["size"]])
    train, validation = (actual[places] for places in data.positions)
    assert (data.target.task, data.target.names) == ("regression", ("price", "size"))
    assert data.target.mean == pytest.approx(train.mean(0).tolist())
    assert data.target.scale == pytest.approx(train.std(0).tolist())
    low, high = data.target.limits
    assert (low, high) == (tuple(train.min(0)), tuple(train.max(0)))
    own = data.target.in_units(data.validation.y.double())
    np.testing.assert_allclose(own.numpy(), validation, rtol=1e-6)
    mixed = read(frame, "cold", "size")
    assert mixed.target.task == "regression"  # not all of them are yes and no
    logarithms = read(frame, "price", "size", target_scale="log")
    own = logarithms.target.in_units(logarithms.validation.y.double())
    np.testing.assert_allclose(own.numpy(), actual[logarithms.positions[1]], rtol=1e-5)


@pytest.mark.parametrize(
    ("y", "task"),
    [
        (np.eye(4)[np.arange(40) % 4][:, :3], "multilabel"),
        (np.eye(4, dtype=bool)[np.arange(40) % 4], "multilabel"),
        ([[row % 2, row % 3 == 0] for row in range(40)], "multilabel"),
        (np.arange(80.0).reshape(40, 2), "regression"),
        (pd.DataFrame({"u": np.arange(40) % 2, "v": np.arange(40) % 3}), "regression"),
    ],
)
def test_arrays_of_several_targets(y: Any, task: str) -> None:
    table = from_arrays(np.zeros((40, 1)), y, "here")
    labels = encode(table, "auto")
    assert labels.task == task
    assert labels.values.dtype == np.float64
    np.testing.assert_array_equal(labels.values, np.asarray(y, dtype=float))
    assert labels.names == (("u", "v") if isinstance(y, pd.DataFrame) else table.targets)
    assert table.targets[0] in ("y0", "u")


def test_rows_that_lack_one_of_several_labels_are_left_out(read: Any) -> None:
    frame = rows()
    frame.loc[[4, 7], "wet"] = None
    frame.loc[9, "cold"] = np.nan
    data = read(frame, "wet", "cold")
    assert "3 of 60 rows have no label" in data.note
    assert not {4, 7, 9} & {int(p) for places in data.positions for p in places}
    assert not data.train.y.isnan().any()


def test_test_rows_of_their_own_have_the_same_targets(read: Any, tmp_path: Path) -> None:
    frame, other = rows(), rows(20)
    other.to_csv(tmp_path / "test.csv", index=False)
    final = read(frame, "wet", "cold", test_path=str(tmp_path / "test.csv"))
    actual = np.column_stack([other["wet"] == "yes", other["cold"] == 1])
    assert np.array_equal(final.validation.y.numpy(), actual)
    quantities = read(frame, "price", "size", test_path=str(tmp_path / "test.csv"))
    own = quantities.target.in_units(quantities.validation.y.double())[:, 1]
    np.testing.assert_allclose(own.numpy(), other["size"], rtol=1e-6)
    other.assign(cold=7).to_csv(tmp_path / "test.csv", index=False)
    with pytest.raises(DataError, match=r"label '7' in row 2 .* is neither yes nor no"):
        read(frame, "wet", "cold", test_path=str(tmp_path / "test.csv"))


@pytest.mark.parametrize(
    ("target", "task", "change", "words"),
    [
        ("wet cold", "multilabel", {"wet": "perhaps"}, "target 'wet': label 'perhaps' in row 8 "),
        ("wet cold", "multilabel", {"cold": 2}, "target 'cold': label '2' in row 8 .*is neither"),
        ("wet cold", "regression", {}, "target 'wet': label '.*' in row 2 .* is no number"),
        ("wet cold", "auto", {"wet": "perhaps"}, "'perhaps' in row 8 .* neither yes nor no, and"),
        ("wet cold", "classification", {}, "classification needs one target, and there are 2"),
        ("wet size", "auto", {}, "target 'wet': .* is no number .*\n.* or all quantities"),
        ("price size", "multilabel", {}, "target 'price': label .* is neither yes nor no"),
    ],
)
def test_several_targets_that_do_not_fit(
    target: str, task: str, change: dict[str, Any], words: str, read: Any
) -> None:
    frame = rows()
    for name, value in change.items():
        frame.loc[6, name] = value
    with pytest.raises(DataError, match=words):
        read(frame, *target.split(), task=task)


@pytest.mark.parametrize(("name", "value"), [("wet", "no"), ("cold", 1), ("size", 3.0)])
def test_a_target_of_several_that_does_not_vary(name: str, value: Any, read: Any) -> None:
    other = "price" if name == "size" else "cold" if name == "wet" else "wet"
    with pytest.raises(DataError, match=f"target '{name}'.*all 60 labels are"):
        read(rows().assign(**{name: value}), name, other)


def test_labels_need_several_targets(tmp_path: Path) -> None:
    rows().to_csv(tmp_path / "table.csv", index=False)
    spec = DataSpec(path=str(tmp_path / "table.csv"), target="cold", task="multilabel")
    with pytest.raises(DataError, match="multilabel needs several targets"):
        load(spec)


def test_a_scale_that_a_target_of_several_does_not_fit(read: Any) -> None:
    frame = rows()
    frame.loc[6, "size"] = -1.0
    with pytest.raises(DataError, match=r"1 of 120 are not, the first in row 8 .* of 'size': -1"):
        read(frame, "price", "size", target_scale="log")
    with pytest.raises(DataError, match="is for quantities, and the target is labels"):
        read(frame, "wet", "cold", target_scale="log")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"target": ("a",)}, "fewer than two"),
        ({"target": ("a", "b", "a")}, "'a' is named twice"),
        ({"target": ("a", "b"), "drop": ("b",)}, "column 'b' is used"),
        ({"target": ("a", "b"), "weight": "b"}, "'b' is used for something else"),
        ({"target": ("a", "b"), "path": "rows.npz"}, "several arrays"),
    ],
)
def test_lists_of_targets_that_cannot_be(given: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        DataSpec(**{"path": "table.csv", **given})


# Labels in one column.


TAGS = ["a;b", "b", None, "c ; a", "", "b;;c"] * 10


def tagged(folder: Path, tags: list[Any], name: str = "tagged.csv", **keys: Any) -> DataSpec:
    frame = pd.DataFrame({"p": np.arange(len(tags)) * 0.5, "tags": tags})
    frame.to_csv(folder / name, index=False)
    return DataSpec(
        path=str(folder / "tagged.csv"),
        target="tags",
        test=0.0,
        **{"labels_separator": ";", **keys},
    )


def test_labels_in_one_column_are_targets(tmp_path: Path) -> None:
    data = load(tagged(tmp_path, TAGS))
    assert (data.target.task, data.target.names) == ("multilabel", ("a", "b", "c"))
    expected = [[1, 1, 0], [0, 1, 0], [0, 0, 0], [1, 0, 1], [0, 0, 0], [0, 1, 1]]
    for split, places in zip((data.train, data.validation), data.positions, strict=True):
        assert split.y.tolist() == [expected[place % 6] for place in places]
    (column,) = (each for each in data.columns if each.name == "tags")
    assert column.reason == "to be predicted: 3 labels, with ';' between those of a row"
    frame = pd.read_csv(tmp_path / "tagged.csv")
    for name in "abc":
        frame[name] = [int(name in str(each)) for each in TAGS]
    frame.drop(columns="tags").to_csv(tmp_path / "columns.csv", index=False)
    spec = DataSpec(path=str(tmp_path / "columns.csv"), target=("a", "b", "c"), test=0.0)
    columns = load(spec)
    assert columns.identity is not None
    assert data.identity is not None
    assert columns.identity.record() == data.identity.record()


def test_labels_of_items_in_one_text(module: Any, tmp_path: Path) -> None:
    name = module(
        f"""
        TAGS = {["" if each is None else each for each in TAGS]}
        class Set:
            def __len__(self): return len(TAGS)
            def __getitem__(self, i): return [i * 0.5], TAGS[i]
        def load(): return Set()
        def rows(): return [[i * 0.5] for i in range(len(TAGS))], TAGS
        """
    )
    for function in ("load", "rows"):
        spec = DataSpec(source=f"{name}:{function}", labels_separator=";")
        assert load(spec, folder=tmp_path).target.names == ("a", "b", "c")


def test_test_rows_with_labels_in_one_column(tmp_path: Path) -> None:
    spec = replace(tagged(tmp_path, TAGS), test=0.2, test_path=str(tmp_path / "more.csv"))
    tagged(tmp_path, ["a", "c;b", None, "a"], "more.csv")
    final = load(replace(spec, test=DataSpec.test), final=True)
    assert final.validation.y.tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 0], [1, 0, 0]]
    tagged(tmp_path, ["a", "b;d"], "more.csv")
    with pytest.raises(DataError, match=r"label 'd' in row 3 .*\n.*known labels: a, b, c"):
        load(replace(spec, test=DataSpec.test))


@pytest.mark.parametrize(
    ("tags", "says"),
    [
        (["a", "a;a", None] * 9, "the target has one label, 'a'\n.*check the separator"),
        ([f"n{i};m" for i in range(1200)], "has 1,201 different labels"),
        ([1.5, 2.5] * 9, "needs a target that is text, and the labels are of type float64"),
    ],
)
def test_labels_in_one_column_that_do_not_fit(tags: list[Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=says):
        load(tagged(tmp_path, tags))


def test_blanks_may_separate(tmp_path: Path) -> None:
    data = load(tagged(tmp_path, ["red round", "red  ", "round", None] * 9, labels_separator=" "))
    assert data.target.names == ("red", "round")
    assert data.train.y.double().mean(0).tolist() == pytest.approx([0.5, 0.5], abs=0.15)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"labels_separator": ""}, "data.labels_separator: is empty"),
        ({"target": ("a", "b")}, "is for one column that holds all labels"),
        ({"task": "regression"}, "makes labels, of which several apply to a row"),
    ],
)
def test_a_separator_that_cannot_be(keys: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        DataSpec(**{"path": "t.csv", "target": "a", "labels_separator": ";", **keys})


# What "auto" may take otherwise than it is meant.


@pytest.mark.parametrize(
    ("y", "says"),
    [
        (np.eye(3)[np.arange(60) % 3], "each row has exactly one of the labels"),
        (
            np.where(np.arange(180).reshape(60, 3) == 20, 5, np.arange(180).reshape(60, 3) % 2),
            "although 99.4% of them are 0 and 1: the first other is 5 of 'y2' in row 6",
        ),
        (np.arange(120).reshape(60, 2) % 2, ""),
        (np.arange(180).reshape(60, 3) * 0.5, ""),
    ],
)
def test_targets_that_may_be_meant_otherwise(y: Any, says: str, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(60, 2))
    y = y if says or y.shape[1] > 2 else (x > 0).astype(int)
    np.savez(tmp_path / "rows.npz", x=x, y=y)
    data = load(DataSpec(path=str(tmp_path / "rows.npz")))
    assert (says in data.note) if says else (data.note == "")
    if says:
        spec = DataSpec(path=str(tmp_path / "rows.npz"), task=data.target.task)
        assert load(spec).note == ""
