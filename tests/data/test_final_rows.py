"""The test rows of a final number: of the same file, or of one of their own."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tuner.data import DataSet, DataSpec, load
from tuner.data.arrays import NAMES
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


def test_everything_is_all_rows_to_train_on_and_the_same_test_rows(tmp_path: Path) -> None:
    spec = _written(_frame(), tmp_path / "a.csv")
    spec = DataSpec(path=spec.path, target="place", test=0.25)
    final = load(spec, folder=tmp_path, final=True)
    data = load(spec, folder=tmp_path, final=True, everything=True)
    assert data.positions[0].tolist() == list(range(COUNT))
    assert data.positions[1].tolist() == final.positions[1].tolist()
    assert data.target.mean == pytest.approx(np.arange(COUNT).mean() + 0.5)
    own = data.validation.x[:]
    assert torch.equal(data.train.x[torch.from_numpy(final.positions[1])], own)
    second = _written(_frame(), tmp_path / "c.csv", test_path="d.csv")
    _frame(30, seed=1).to_csv(tmp_path / "d.csv", index=False)
    both = load(second, folder=tmp_path, final=True, everything=True)
    assert (len(both.train), len(both.validation)) == (COUNT + 30, 30)
    assert torch.equal(both.train.x[COUNT:], both.validation.x[:])


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
    assert rows["member"] == [1, 0, 0.5, 1, 1, 0]
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
        ({"place": "far"}, r"b\.csv: column 'place' has 'far' in row 2 .*, but .* have numbers"),
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
