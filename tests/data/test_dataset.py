"""test_dataset"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn.datasets
import torch

from tuner.data import DataSet, DataSpec, Split, Target, load
from tuner.data.labels import Labels
from tuner.data.rows import Gathered
from tuner.data.splits import split
from tuner.errors import DataError


@pytest.mark.parametrize(
    ("target", "outputs"),
    [(Target("classification", ("a", "b", "c")), 3), (Target("regression", (), 5.0, 2.0), 1)],
)
def test_outputs(target: Target, outputs: int) -> None:
    split = Split(torch.zeros(4, 2), torch.zeros(4))
    assert DataSet(split, split, (2,), target).outputs == outputs


def test_to_moves_every_tensor_and_copies_nothing_in_place() -> None:
    train = Split(torch.zeros(4, 2), torch.zeros(4))
    validation = Split(torch.zeros(2, 2), torch.zeros(2))
    data = DataSet(train, validation, (2,), Target("regression"))
    moved = data.to("meta")
    tensors = [moved.train.x, moved.train.y, moved.validation.x, moved.validation.y]
    assert {t.device.type for t in tensors} == {"meta"}
    assert (len(moved.train), len(moved.validation)) == (4, 2)
    assert data.to("cpu").train.x is train.x


# Folds that share one copy of their rows.


COUNT = 90


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "far": rng.normal(1e6, 1.0, COUNT),
            "whole": rng.integers(0, 9, COUNT),
            "kind": np.resize(["a", "b", "c"], COUNT),
            "y": np.arange(COUNT) % 2,
        }
    )


def read(folder: Path, frame: pd.DataFrame, **of: Any) -> DataSet:
    frame.to_csv(folder / "t.csv", index=False)
    return load(DataSpec(path=str(folder / "t.csv"), target="y", folds=3, **of))


def rows(data: DataSet) -> list[torch.Tensor]:
    return [part.x[:] for fold in data.folds for part in (fold.train, fold.validation)]


def check_learned_alone(data: DataSet, frame: pd.DataFrame, names: list[str]) -> None:
    """Each fold is standardised by its own training rows."""
    values = frame[names].to_numpy(float)
    for fold in data.folds:
        train = values[fold.positions[0]]
        for part, places in zip((fold.train, fold.validation), fold.positions, strict=True):
            wanted = (values[places] - train.mean(0)) / train.std(0)
            np.testing.assert_allclose(part.x[:][:, : len(names)], wanted, atol=2e-6)


def test_a_table_is_held_once(tmp_path: Path, frame: pd.DataFrame) -> None:
    data = read(tmp_path, frame)
    parts = [part.x for fold in data.folds for part in (fold.train, fold.validation)]
    assert len({id(x.pool) for x in parts if isinstance(x, Gathered)}) == 1
    assert all(isinstance(x, Gathered) for x in parts)
    check_learned_alone(data, frame, ["far", "whole"])
    for fold in data.folds:
        hot = fold.train.x[:][:, 2:]
        kinds = frame["kind"].to_numpy()[fold.positions[0]]
        assert hot.argmax(1).tolist() == ["abc".index(kind) for kind in kinds]
        assert torch.equal(hot.sum(1), torch.ones(len(hot)))


@pytest.mark.parametrize("why", ["ranks", "medians", "gaps", "categories"])
def test_what_differs_by_more_is_held_by_each(
    tmp_path: Path, frame: pd.DataFrame, why: str
) -> None:
    kinds = {"ranks": "quantile", "medians": "robust"}
    of = {"preprocessing": kinds[why]} if why in kinds else {}
    if why == "gaps":
        frame.loc[::7, "far"] = None
    if why == "categories":
        frame.loc[5, "kind"] = "rare"
    data = read(tmp_path, frame, **of)
    assert all(isinstance(part.x, torch.Tensor) for f in data.folds for part in (f.train,))
    if why == "gaps":  # each with the median of its own training rows
        for fold in data.folds:
            assert fold.recipe is not None
            train = frame["far"].to_numpy()[fold.positions[0]]
            assert fold.recipe.to_json()["columns"][0]["encoder"]["median"] == np.nanmedian(train)


def test_a_column_whose_gaps_are_among_the_test_rows_is_shared(
    tmp_path: Path, frame: pd.DataFrame
) -> None:
    whole = load(DataSpec(path=_write(tmp_path, frame), target="y", folds=3))
    test = np.setdiff1d(np.arange(COUNT), np.concatenate(whole.positions))
    frame.loc[test[0], "far"] = None
    data = read(tmp_path, frame)
    assert isinstance(data.train.x, Gathered)
    for found, wanted in zip(rows(data), rows(whole), strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def _write(folder: Path, frame: pd.DataFrame) -> str:
    frame.to_csv(folder / "whole.csv", index=False)
    return str(folder / "whole.csv")


@pytest.mark.parametrize("preprocessing", ["standard", "none"])
def test_images_are_held_once(tmp_path: Path, preprocessing: str) -> None:
    rng = np.random.default_rng(1)
    x = rng.integers(0, 256, (60, 3, 4, 4)).astype(np.uint8)
    np.savez(tmp_path / "i.npz", x=x, y=np.arange(60) % 2)
    spec = DataSpec(path=str(tmp_path / "i.npz"), target="y", folds=3, preprocessing=preprocessing)
    for fold in load(spec).folds:
        assert isinstance(fold.validation.x, Gathered)
        train, held = (x[places].astype(float) for places in fold.positions)
        mean, scale = train.mean((0, 2, 3)), train.std((0, 2, 3))
        shape = (1, 3, 1, 1)
        wanted = held if preprocessing == "none" else None
        if wanted is None:
            wanted = (held - mean.reshape(shape)) / scale.reshape(shape)
        np.testing.assert_allclose(fold.validation.x[:], wanted, atol=1e-6)


Module = Callable[[str], str]
SETS = {"digits": (64, 10), "breast_cancer": (30, 2), "diabetes": (10, 1), "wine": (13, 3)}


def _tensors(data: DataSet) -> list[torch.Tensor]:
    return [data.train.x, data.train.y, data.validation.x, data.validation.y]


def _equal(a: DataSet, b: DataSet) -> bool:
    same = all(torch.equal(x, y) for x, y in zip(_tensors(a), _tensors(b), strict=True))
    return same and (a.shape, a.target) == (b.shape, b.target)


@pytest.mark.parametrize("name", SETS)
def test_sets_of_sklearn(name: str) -> None:
    features, outputs = SETS[name]
    bunch = getattr(sklearn.datasets, f"load_{name}")()
    data = load(DataSpec(source=f"sklearn.datasets:load_{name}"))
    count = len(bunch.target)
    assert (data.shape, data.outputs) == ((features,), outputs)
    assert len(data.validation) == pytest.approx(0.2 * count, abs=outputs)  # a row of each class
    assert len(data.train) == pytest.approx(0.6 * count, abs=2 * outputs)
    assert data.test == count - len(data.train) - len(data.validation)
    assert data.train.x.dtype == torch.float32
    torch.testing.assert_close(data.train.x.mean(0), torch.zeros(features), atol=1e-5, rtol=0)
    if outputs == 1:
        assert data.target.task == "regression"
        assert data.train.y.dtype == torch.float32
        assert data.train.y.mean().item() == pytest.approx(0, abs=1e-6)
        assert data.train.y.std(correction=0).item() == pytest.approx(1, abs=1e-6)
        own_unit = data.validation.y.double() * data.target.scale + data.target.mean
        assert set(own_unit.round().tolist()) <= set(bunch.target.tolist())
    else:
        assert data.target.classes == tuple(map(str, bunch.target_names))
        assert data.train.y.dtype == torch.int64
        assert set(data.validation.y.tolist()) == set(range(outputs))


def test_the_same_specification_gives_the_same_data() -> None:
    spec = DataSpec(source="sklearn.datasets:load_wine")
    other = DataSpec(source="sklearn.datasets:load_wine", seed=1)
    assert _equal(load(spec), load(spec))
    assert not _equal(load(spec), load(other))


def test_images() -> None:
    data = load(DataSpec(source="sklearn.datasets:load_digits", shape=(1, 8, 8)))
    assert data.shape == (1, 8, 8)
    assert data.train.x.shape[1:] == (1, 8, 8)
    assert data.train.x.mean().item() == pytest.approx(0, abs=1e-5)
    assert data.train.x.std(correction=0).item() == pytest.approx(1, abs=1e-5)


def _arrays(regression: bool) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, 4)) * [1, 10, 100, 1000] + 5
    return x, x @ [1.0, 0.1, 0.01, 0.001] if regression else rng.integers(0, 3, 90)


def _saved(module: Module, folder: Path, x: Any, y: Any) -> str:
    name = module(
        """
        import numpy, pathlib
        def load():
            with numpy.load(pathlib.Path(__file__).with_suffix(".npz")) as file:
                return file["x"], file["y"]
        """
    )
    np.savez(folder / f"{name}.npz", x=x, y=y)
    return f"{name}:load"


@pytest.mark.parametrize("noise", [1e6, np.nan])
@pytest.mark.parametrize("regression", [False, True])
def test_nothing_leaks_from_the_test_rows(
    module: Module, tmp_path: Path, regression: bool, noise: float
) -> None:
    x, y = _arrays(regression)
    spec = DataSpec(source=_saved(module, tmp_path, x, y))
    labels = (
        Labels("regression", y, ()) if regression else Labels("classification", y, tuple("012"))
    )
    test = split(labels, spec, "").test
    changed = x.copy()
    changed[test] = noise * np.random.default_rng(1).normal(size=(len(test), 4))
    noisy = DataSpec(source=_saved(module, tmp_path, changed, y))
    assert len(test) == pytest.approx(18, abs=3)
    assert _equal(load(spec, folder=tmp_path), load(noisy, folder=tmp_path))
    if regression:
        moved = y.copy()
        moved[test] += 1000
        other = DataSpec(source=_saved(module, tmp_path, x, moved))
        assert _equal(load(spec, folder=tmp_path), load(other, folder=tmp_path))


def test_statistics_are_those_of_the_training_rows(module: Module, tmp_path: Path) -> None:
    x, y = _arrays(regression=True)
    spec = DataSpec(source=_saved(module, tmp_path, x, y))
    rows = split(Labels("regression", y, ()), spec, "")
    data = load(spec, folder=tmp_path)
    train, labels = x[rows.train], y[rows.train]
    expected = (x[rows.validation] - train.mean(0)) / train.std(0)
    np.testing.assert_allclose(data.validation.x.numpy(), expected, rtol=1e-5, atol=1e-6)
    assert data.target.mean == pytest.approx(labels.mean())
    assert data.target.scale == pytest.approx(labels.std())
    raw = DataSpec(source=spec.source, preprocessing="none")
    np.testing.assert_allclose(load(raw, folder=tmp_path).train.x.numpy(), train, rtol=1e-6)


@pytest.mark.parametrize("scale", ["log", "log1p"])
def test_a_target_on_another_scale(module: Module, tmp_path: Path, scale: Any) -> None:
    x, y = _arrays(regression=True)
    y = np.exp(y) - (scale == "log1p") / 2
    name = _saved(module, tmp_path, x, y)
    data = load(DataSpec(source=name, target_scale=scale, target_clip=True), folder=tmp_path)
    train, validation = (y[places] for places in data.positions)
    moved = {"log": np.log, "log1p": np.log1p}[scale](train)
    assert (data.target.mean, data.target.scale) == pytest.approx((moved.mean(), moved.std()))
    assert data.target.limits == (train.min(), train.max())
    own = data.target.in_units(data.validation.y.double()).numpy()
    np.testing.assert_allclose(own, validation, rtol=1e-5)
    plain = load(DataSpec(source=name), folder=tmp_path).target
    assert (plain.form, plain.limits) == ("linear", None)


def test_a_target_that_has_no_place_on_its_scale(module: Module, tmp_path: Path) -> None:
    x, y = _arrays(regression=True)
    y = np.abs(y) + 1
    y[[3, 5]] = 0.0
    spec = DataSpec(source=_saved(module, tmp_path, x, y), target_scale="log")
    message = f"data.target_scale: log needs targets above 0, and 2 of {len(y)} are not, the first "
    with pytest.raises(DataError, match=message + "in row 3 counted from 0: 0\n.*log1p"):
        load(spec, folder=tmp_path)
    assert load(replace(spec, target_scale="log1p"), folder=tmp_path).target.form == "log1p"


def test_the_row_without_a_place_on_the_scale_is_that_of_the_file(tmp_path: Path) -> None:
    y = [*map(str, range(1, 41)), "", "-7", ""]
    path = tmp_path / "table.csv"
    path.write_text("a,y\n" + "".join(f"{i},{each}\n" for i, each in enumerate(["", *y])))
    spec = DataSpec(path=str(path), target="y", target_scale="log")
    with pytest.raises(DataError, match=r"the first in row 44 \(the header is row 1\): -7"):
        load(spec)


@pytest.mark.parametrize("key", [{"target_scale": "log"}, {"target_clip": True}])
def test_classes_have_no_scale(key: dict[str, Any]) -> None:
    spec = DataSpec(source="sklearn.datasets:load_wine", **key)
    with pytest.raises(DataError, match=f"data.{next(iter(key))}: is for quantities"):
        load(spec)


def test_a_table(table: Callable[[str], Path]) -> None:
    lines = [f"{i},{i % 7},{i % 2 == 0},{'yes' if i % 3 else 'no'}" for i in range(60)]
    file = table("\n".join(["age,day,member,bought", *lines]))
    data = load(DataSpec(path=file.name, target="bought"), folder=file.parent)
    assert data.shape == (3,)
    assert data.target.classes == ("no", "yes")
    assert data.validation.y.tolist().count(0) == 4
    assert not {t.is_contiguous() for t in _tensors(data)} - {True}


def test_a_shape_that_does_not_fit() -> None:
    spec = DataSpec(source="sklearn.datasets:load_digits", shape=(1, 8, 9))
    with pytest.raises(
        DataError, match=r"shape \[1, 8, 9\] holds 72 .*load_digits has 64"
    ) as caught:
        load(spec)
    assert caught.value.where == "data.shape"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
def test_features_that_are_not_finite(module: Module, tmp_path: Path, value: float) -> None:
    x, y = _arrays(regression=True)
    x[:30, 2] = value
    spec = DataSpec(source=_saved(module, tmp_path, x, y), test=0.0)
    with pytest.raises(
        DataError, match=r"NaN, infinite or too large.*: feature 2 \(30\), the first in row 0"
    ) as caught:
        load(spec, folder=tmp_path)
    assert caught.value.where == spec.source


def test_a_cell_that_is_not_finite_names_its_column(table: Callable[[str], Path]) -> None:
    lines = [f"{i},{'inf' if i < 5 else i},{i % 2}" for i in range(60)]
    file = table("\n".join(["age,height,label", *lines]))
    spec = DataSpec(path=str(file), target="label", test=0.0)
    with pytest.raises(DataError, match=r"column 'height' \(5\)"):
        load(spec)


def test_classes_and_splits_are_checked(table: Callable[[str], Path]) -> None:
    file = table(
        "\n".join(["a,label", *[f"{i},{'rare' if i == 0 else 'usual'}" for i in range(60)]])
    )
    with pytest.raises(DataError, match="class 'rare' is too small: it has 1 row,"):
        load(DataSpec(path=str(file), target="label"))
    with pytest.raises(
        DataError, match=r"validation = 0\.005 of 1797 rows is 9 rows.*\n.*0\.006 or"
    ):
        load(DataSpec(source="sklearn.datasets:load_digits", validation=0.005))


def test_unknown_preprocessing_fails_before_anything_is_read() -> None:
    wrong: Any = "standart"
    spec = DataSpec(source="no_such_module:load", preprocessing=wrong)
    with pytest.raises(DataError, match="did you mean 'standard'"):
        load(spec)


def _people(count: int = 200) -> str:
    """A table with every kind of column."""
    lines = ["id,age,city,member,note,spare,bought"]
    for i in range(count):
        age = "" if i % 7 == 0 else str(20 + i % 50)
        city = "" if i % 11 == 0 else ["Oslo", "Rome", "Bern"][i % 3]
        lines.append(f"{i},{age},{city},{i % 2 == 0},n{i},1,{'yes' if i % 3 else 'no'}")
    return "\n".join(lines)


def test_every_kind_of_column(table: Callable[[str], Path]) -> None:
    data = load(DataSpec(path=str(table(_people())), target="bought"))
    cities = ("city = Bern", "city = Oslo", "city = Rome", "city is missing")
    assert data.features == (
        *("age", "age is missing", *cities),
        "member",
    )
    assert data.shape == (7,)
    decided = {column.name: (column.kind, column.decision) for column in data.columns}
    assert decided == {
        "id": ("numeric", "dropped"),
        "age": ("numeric", "filled"),
        "city": ("categorical", "one-hot"),
        "member": ("boolean", "kept"),
        "note": ("categorical", "dropped"),
        "spare": ("numeric", "dropped"),
        "bought": ("target", "target"),
    }
    x = data.train.x
    assert x[:, 0].mean().item() == pytest.approx(0, abs=1e-6)
    assert set(x[:, 1:6].unique().tolist()) == {0.0, 1.0}
    assert x[:, 2:6].sum(1).unique().tolist() == [1.0]


@pytest.mark.parametrize("kind", ["standard", "robust", "quantile", "uniform", "none"])
def test_nothing_of_a_table_leaks_from_the_test_rows(
    table: Callable[[str], Path], tmp_path: Path, kind: Any
) -> None:
    spec = DataSpec(path="table.csv", target="bought", preprocessing=kind)
    file = table(_people())
    lines = file.read_text().splitlines()
    first = load(spec, folder=tmp_path)
    bought = np.array([line.endswith("yes") for line in lines[1:]]).astype(np.int64)
    for i in split(Labels("classification", bought, ("no", "yes")), spec, "").test:
        label = lines[i + 1].rsplit(",", 1)[1]
        lines[i + 1] = f"{i},1e30,Unseen {i},,n,5,{label}"
    file.write_text("\n".join(lines))
    other = load(spec, folder=tmp_path)
    assert _equal(first, other)
    assert first.columns == other.columns


def test_a_table_of_pixels(table: Callable[[str], Path]) -> None:
    lines = [f"{i % 2},0,{i % 5},{i % 3},{i % 4}" for i in range(60)]
    file = table("\n".join(["label,p0,p1,p2,p3", *lines]))
    data = load(DataSpec(path=str(file), target="label", shape=(1, 2, 2)))
    assert data.train.x.shape[1:] == (1, 2, 2)
    assert data.train.x[:, 0, 0, 0].unique().tolist() == [0.0]  # constant, and still in its place


def test_a_column_of_a_million_categories(module: Module, tmp_path: Path) -> None:
    name = module(
        """
        import numpy, pandas
        def load():
            code = numpy.arange(200_000) % 100_000
            return pandas.DataFrame({"key": code.astype(str), "y": code % 2})
        """
    )
    spec = DataSpec(source=f"{name}:load", target="y")
    with pytest.raises(DataError, match=r"column 'key' has \d+ categories in 120000 training rows"):
        load(spec, folder=tmp_path)


def test_a_table_whose_rows_are_all_the_same(table: Callable[[str], Path]) -> None:
    rows = [f"7,7,same words,{i % 2}" for i in range(40)]
    file = str(table("\n".join(["a,b,said,label", *rows])))
    spec = DataSpec(path=file, target="label", drop=("said",))
    with pytest.raises(DataError, match="no column is left to learn from"):
        load(spec)
    with pytest.raises(DataError, match="every column is the same number in every training row"):
        load(replace(spec, shape=(1, 1, 2)))
    with pytest.raises(DataError, match="column 'said' is 'same words' in every training row"):
        load(replace(spec, text="said", drop=()))


def test_columns_to_drop_and_to_keep(table: Callable[[str], Path]) -> None:
    lines = [f"{i},{i % 7},{i % 5},{i % 2}" for i in range(60)]
    file = table("\n".join(["id,day,age,bought", *lines]))

    def features(**spec: Any) -> tuple[str, ...]:
        return load(DataSpec(path=str(file), target="bought", **spec)).features

    assert features() == ("day", "age")
    assert features(drop=("day",)) == ("age",)
    assert features(keep=("id",)) == ("id", "day", "age")
    data = load(DataSpec(path=str(file), target="bought", drop=("day",)))
    assert ("day", "dropped", "listed in data.drop") in [
        (each.name, each.decision, each.reason) for each in data.columns
    ]
    assert data.test == 12
    with pytest.raises(DataError, match=r"no column 'dya'\n.*did you mean 'day'"):
        features(drop=("dya",))
    with pytest.raises(DataError, match=r"data\.keep: no column 'idd'\n.*did you mean 'id'"):
        features(keep=("idd",))
    with pytest.raises(DataError, match="'id' is used, so it cannot be dropped"):
        features(keep=("id",), drop=("id",))
    with pytest.raises(DataError, match=r"data\.drop: no column 'a'\n.*only a table has"):
        load(DataSpec(source="sklearn.datasets:load_iris", drop=("a",)))


def test_a_study_finds_the_data_of_its_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "studies").mkdir()
    (tmp_path / "t.csv").write_text("a,y\n" + "".join(f"{i % 7},{i % 2}\n" for i in range(40)))
    monkeypatch.chdir(tmp_path / "studies")
    assert len(load(DataSpec(path="t.csv", target="y"), folder=Path()).train) == 24


def test_a_table_that_was_read_already_is_not_read_again(table: Callable[[str], Path]) -> None:
    path = table("a,b,y\n" + "".join(f"{i},{i % 7},{i % 2}\n" for i in range(40)))
    spec = DataSpec(path=str(path), target="y")
    frame = pd.read_csv(path)
    once = load(spec, frame=frame)
    assert torch.equal(once.train.x, load(spec).train.x)
    path.write_text("nothing that is a table")
    assert torch.equal(load(spec, frame=frame).train.x, once.train.x)


# Rows that are equal.


def _with_copies(folder: Path, count: int = 60) -> DataSpec:
    """Whole numbers that are all different, and every fifth row twice more at the end."""
    rows = [f"{i * i},{'no' if i % 3 else 'yes'}" for i in range(100)]
    (folder / "t.csv").write_text("\n".join(["a,y", *rows, *(rows[::5] * 3)[:count]]) + "\n")
    return DataSpec(path=str(folder / "t.csv"), target="y", preprocessing="none", keep=("a",))


@pytest.mark.parametrize("folds", [None, 4])
def test_equal_rows_are_in_one_split(folds: int | None, tmp_path: Path) -> None:
    spec = replace(_with_copies(tmp_path), folds=folds)
    data, final = load(spec), load(spec, final=True)
    for fold in data.folds:
        parts = [set(part.x[:].flatten().tolist()) for part in (fold.train, fold.validation)]
        parts.append(set(final.validation.x.flatten().tolist()))
        assert sum(map(len, parts)) == len(set().union(*parts)) == 100
    searched = len(data.train) + len(data.validation)
    assert (searched + (data.test or 0), len(final.train)) == (160, searched)
    copies = "60 of 160 rows are copies of others and in the same split"
    assert data.note == f'{copies}; copies = "apart" divides them anew'
    for other in (replace(spec, copies="apart"), replace(spec, division=2)):
        apart = load(other)
        assert apart.note == ""
        both = [{*part.x[:].flatten().tolist()} for part in (apart.train, apart.validation)]
        assert both[0] & both[1]


def test_rows_that_can_hardly_differ_are_divided_like_others(tmp_path: Path) -> None:
    rows = [f"{i % 5},{'no' if i % 3 else 'yes'}" for i in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["a,y", *rows]) + "\n")
    spec = DataSpec(path=str(tmp_path / "t.csv"), target="y")
    data = load(spec)
    assert data.note == (
        "50 of 60 rows are copies of others, so many that they are alike by chance: "
        "they are divided like others"
    )
    same = load(replace(spec, copies="apart"))
    assert [rows.tolist() for rows in data.positions] == [rows.tolist() for rows in same.positions]


def test_a_class_of_copies_is_divided(tmp_path: Path) -> None:
    rows = [f"{i * i},no" for i in range(50)] + ["7,yes"] * 4
    (tmp_path / "t.csv").write_text("\n".join(["a,y", *rows]) + "\n")
    data = load(DataSpec(path=str(tmp_path / "t.csv"), target="y"))
    assert data.note.startswith("3 of 54 rows are copies of others, too many for their class")
    assert sorted(data.validation.y.unique().tolist()) == [0, 1]


def test_columns_that_say_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kind, day = rng.choice(["m", "f"], 80), pd.to_datetime("2024-01-01")
    frame = pd.DataFrame({"a": rng.integers(0, 50, 80), "kind": kind})
    frame["day"] = day + pd.to_timedelta(rng.integers(0, 60, 80), unit="D")
    frame["price"] = [f"{each}.00 €" for each in frame["a"]]
    frame["same"] = frame["a"].astype(float)
    frame["other"] = frame["a"].where(frame.index != 7, 1)
    frame["sex"] = np.where(kind == "m", "male", "female")
    frame["date"] = frame["day"].dt.strftime("%d.%m.%Y")
    frame["y"] = np.resize(["u", "v"], 80)
    frame.to_csv(tmp_path / "t.csv", index=False)
    spec = DataSpec(path=str(tmp_path / "t.csv"), target="y", test=0.0, validation=0.1)
    data = load(replace(spec, keep=("price",)))
    dropped = {each.name: each.reason for each in data.columns if each.decision == "dropped"}
    said = "says the same as {!r} in every training row"
    alike = {"same": "a", "sex": "kind", "date": "day"}
    assert dropped == {name: said.format(first) for name, first in alike.items()}
    assert {"a", "price", "other"} < {*data.features}
    assert {"same", "date age"} < {*load(replace(spec, keep=("same", "date"))).features}
    assert "same" in load(replace(spec, division=2)).features


def test_an_error_names_the_row_of_the_file(tmp_path: Path) -> None:
    rows = [f'"{i % 7}",{i % 5},{"no" if i % 3 else "yes"}' for i in range(60)]
    rows[2] = "1,2,"
    rows[50] = "x,2,no"
    text = '\ufeff"a ""1""", b ,y\n' + "\n".join(rows)
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    spec = DataSpec(path=str(tmp_path / "t.csv"), target="y", shape=(2,))
    with pytest.raises(DataError, match=r"column 'a \"1\"' is not numeric") as error:
        load(spec)
    assert "column 'a \"1\"' has 'x' in row 52 (the header is row 1)" in str(error.value)
    with pytest.raises(DataError, match=r"1 of 60 labels are missing .*in row 4 \(the header is"):
        load(replace(spec, unlabelled="refuse"))
    (tmp_path / "t.csv").write_text(text.replace("x,2,no", "3,,no"), encoding="utf-8")
    with pytest.raises(DataError, match=r"column ' b ': 1 of 59 rows .* row 52 \(the header"):
        load(replace(spec, shape=None, group=" b "))
    with pytest.raises(DataError, match=r"no column 'b'\n.*did you mean ' b '"):
        load(replace(spec, group="b"))


# Weights of rows.


@pytest.fixture
def weighted() -> tuple[pd.DataFrame, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(1)
    weight = rng.uniform(0.5, 3.0, COUNT).round(3)
    return pd.DataFrame(
        {"a": rng.normal(size=COUNT), "w": weight, "y": np.arange(COUNT) % 2}
    ), weight


def check_weights(data: DataSet, weight: np.ndarray[Any, Any]) -> None:
    for rows, places in zip((data.train, data.validation), data.positions, strict=True):
        assert rows.weight is not None
        assert rows.weight.dtype == torch.float32
        own = weight[places]
        np.testing.assert_allclose(rows.weight.numpy(), own / own.mean(), rtol=1e-6)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("final", [False, True])
def test_a_column_of_weights_is_no_feature(
    weighted: Any, tmp_path: Path, ending: str, final: bool
) -> None:
    frame, weight = weighted
    file = tmp_path / f"table.{ending}"
    frame.to_csv(file, index=False) if ending == "csv" else frame.to_parquet(file)
    data = load(DataSpec(path=str(file), target="y", weight="w"), final=final)
    check_weights(data, weight)
    assert data.features == ("a",)
    assert [(c.name, c.decision) for c in data.columns][-1] == ("w", "weight")
    assert data.to("meta").train.weight.device.type == "meta"  # type: ignore[union-attr]


def test_each_fold_has_weights(weighted: Any, tmp_path: Path) -> None:
    frame, weight = weighted
    frame.to_csv(tmp_path / "table.csv", index=False)
    for fold in load(
        DataSpec(path=str(tmp_path / "table.csv"), target="y", weight="w", folds=3)
    ).folds:
        check_weights(fold, weight)


def test_test_rows_of_their_own_have_weights(weighted: Any, tmp_path: Path) -> None:
    frame, weight = weighted
    frame[:60].to_csv(tmp_path / "one.csv", index=False)
    frame[60:].to_csv(tmp_path / "two.csv", index=False)
    spec = DataSpec(
        path=str(tmp_path / "one.csv"), test_path=str(tmp_path / "two.csv"), target="y", weight="w"
    )
    check_weights(load(spec), weight)
    check_weights(load(spec, final=True), weight)
    frame[60:].drop(columns="w").to_csv(tmp_path / "two.csv", index=False)
    with pytest.raises(DataError, match="no column 'w'"):
        load(spec)


def test_arrays_of_weights(weighted: Any, tmp_path: Path) -> None:
    frame, weight = weighted
    np.savez(tmp_path / "rows.npz", x=frame[["a"]], y=frame["y"], often=weight[:, None])
    check_weights(load(DataSpec(path=str(tmp_path / "rows.npz"), weight="often")), weight)
    with pytest.raises(DataError, match="no array 'oftne'"):
        load(DataSpec(path=str(tmp_path / "rows.npz"), weight="oftne"))
    np.savez(tmp_path / "rows.npz", x=frame[["a"]], y=frame["y"], often=weight[1:])
    with pytest.raises(DataError, match=r"weights have type float64 and shape.*89") as caught:
        load(DataSpec(path=str(tmp_path / "rows.npz"), weight="often"))
    assert "one number for each of 90 rows" in caught.value.hint


@pytest.mark.parametrize("form", ["x, y, w", "[x, y, list(w)]"])
def test_a_function_that_returns_weights(form: str, tmp_path: Path) -> None:
    name = f"weighing{form.count('[')}"
    (tmp_path / f"{name}.py").write_text(
        "import numpy as np\n"
        "def load():\n"
        "    x, y, w = np.arange(40.0)[:, None], np.arange(40) % 2, np.arange(40) + 1\n"
        f"    return {form}\n"
    )
    data = load(DataSpec(source=f"{name}:load"), folder=tmp_path)
    check_weights(data, np.arange(40) + 1)


def test_equal_weights_are_none(weighted: Any, tmp_path: Path) -> None:
    frame = weighted[0].assign(w=2.5)
    frame.to_csv(tmp_path / "table.csv", index=False)
    data = load(DataSpec(path=str(tmp_path / "table.csv"), target="y", weight="w"))
    assert data.train.weight is None
    assert data.validation.weight is None


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ([1.0, None, 2.0], "1 of 90 weights .* row 3 .*missing or no number"),
        ([1.0, "much", 2.0], "row 3 .*missing or no number"),
        (
            [1.0, 2.0, 0.0, -1.0],
            "2 of 90 weights are no positive numbers, the first in row 4 .*: 0",
        ),
        ([np.inf, 1.0], "row 2 .*: inf"),
    ],
)
def test_weights_that_are_no_positive_numbers(
    weights: list[Any], words: str, weighted: Any, tmp_path: Path
) -> None:
    values = [*weights, *weighted[1][len(weights) :].tolist()]
    frame = weighted[0].assign(w=pd.Series(values, dtype=object))
    frame.to_csv(tmp_path / "table.csv", index=False)
    with pytest.raises(DataError, match=words):
        load(DataSpec(path=str(tmp_path / "table.csv"), target="y", weight="w"))


def test_a_row_without_a_label_needs_no_weight(weighted: Any, tmp_path: Path) -> None:
    frame = weighted[0].astype({"y": object})
    frame.loc[5, ["w", "y"]] = None
    frame.to_csv(tmp_path / "table.csv", index=False)
    check_weights(
        load(DataSpec(path=str(tmp_path / "table.csv"), target="y", weight="w")), weighted[1]
    )


@pytest.mark.parametrize("key", ["target", "group", "text", "drop"])
def test_weights_that_are_something_else(key: str) -> None:
    named: dict[str, Any] = {"target": "y", key: ("w",) if key == "drop" else "w"}
    with pytest.raises(DataError, match="'w' is used for something else") as caught:
        DataSpec(path="table.csv", weight="w", **named)
    assert caught.value.where == "data.weight"


def test_a_source_without_columns_has_no_column_of_weights() -> None:
    with pytest.raises(DataError, match="no column 'w': only a table has columns"):
        load(DataSpec(source="sklearn.datasets:load_wine", weight="w"))
