"""test_arrays"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tuner.data import DataSpec, arrays, load
from tuner.data.arrays import NAMES, TYPES, open_member, read_idx
from tuner.data.memory import let_go
from tuner.data.recipe import from_json
from tuner.data.tables import Table
from tuner.errors import DataError


def _idx(array: np.ndarray[Any, Any], kind: int = 8) -> bytes:
    header = struct.pack(f">HBB{array.ndim}I", 0, kind, array.ndim, *array.shape)
    return header + array.astype(TYPES[kind]).tobytes()


IDX_X = np.random.default_rng(0).integers(0, 256, (60, 28, 28))
IDX_Y = np.arange(60) % 10
PARTS = dict(
    zip(NAMES, (_idx(IDX_X), _idx(IDX_Y), _idx(IDX_X[:10]), _idx(IDX_Y[:10])), strict=True)
)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dotted", [False, True])
def test_the_folder_of_mnist(tmp_path: Path, packed: bool, dotted: bool) -> None:
    for name, content in PARTS.items():
        file = name.replace("-idx", ".idx") if dotted else name
        if packed:
            (tmp_path / f"{file}.gz").write_bytes(gzip.compress(content))
        else:
            (tmp_path / file).write_bytes(content)
    data = load(DataSpec(path=str(tmp_path), preprocessing="none"))
    assert data.shape == (1, 28, 28)
    assert len(data.train) + len(data.validation) == 60  # no test rows are taken from them
    assert data.target.classes == tuple("0123456789")
    together = np.concatenate((data.train.x, data.validation.x))
    assert sorted(together.sum((1, 2, 3)).tolist()) == sorted(IDX_X.sum((1, 2)).tolist())


def test_a_pair(tmp_path: Path) -> None:
    for name in NAMES[:2]:
        (tmp_path / name).write_bytes(PARTS[name])
    data = load(DataSpec(path=NAMES[0]), folder=tmp_path)
    assert len(data.train) + len(data.validation) + (data.test or 0) == 60
    (tmp_path / NAMES[1]).unlink()
    with pytest.raises(DataError, match=f"no file {NAMES[1]} beside it"):
        load(DataSpec(path=NAMES[0]), folder=tmp_path)


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_of_number(tmp_path: Path, kind: int) -> None:
    (tmp_path / "data").write_bytes(_idx(np.arange(6).reshape(2, 3), kind))
    found = read_idx(tmp_path / "data")
    assert found.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found.dtype.isnative


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (NAMES[1], _idx(IDX_Y[:50]), "60 images, but train-labels-idx1-ubyte has 50 labels"),
        (NAMES[0], b"", "is not an IDX file.*\n.*this file with nothing"),
        (NAMES[0], b"<html>not found</html>", "is not an IDX file.*\n.*3c 68 74 6d"),
        (NAMES[0], b"\0\0\x08\x03\0\0", "is not an IDX file"),
        (
            NAMES[0],
            _idx(IDX_X)[:-1],
            "header announces 60 x 28 x 28 numbers, but 47039 bytes follow",
        ),
        (NAMES[0], gzip.compress(_idx(IDX_X))[:-9], "cannot be read: "),
        (NAMES[2], None, "no file t10k-images-idx3-ubyte\n.*gzipped or not"),
    ],
)
def test_files_that_do_not_fit(tmp_path: Path, name: str, content: bytes | None, says: str) -> None:
    for each, good in PARTS.items():
        (tmp_path / each).write_bytes(good)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=says) as caught:
        load(DataSpec(path=str(tmp_path)))
    assert str(tmp_path) in caught.value.where


MAPPED_X = np.random.default_rng(0).normal(size=(300, 4))
MAPPED_Y = np.arange(300) % 3


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    "x", [MAPPED_X, np.asfortranarray(MAPPED_X), (MAPPED_X * 9).astype(np.int16)], ids=str
)
def test_a_large_array_gives_the_same_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save: Callable[..., None], x: Any
) -> None:
    save(tmp_path / "t.npz", x=x, y=MAPPED_Y)
    spec = DataSpec(path=str(tmp_path / "t.npz"))
    expected = load(spec)
    monkeypatch.setattr(arrays, "LARGE", 1)
    array = open_member(tmp_path / "t.npz", "x.npy")
    assert array is not None
    np.testing.assert_array_equal(array, x)
    let_go(array)
    np.testing.assert_array_equal(array, x)
    found = load(spec)
    assert found.train.x.equal(expected.train.x)
    assert found.validation.x.equal(expected.validation.x)


def test_memory_that_is_of_no_file_stays() -> None:
    own = np.arange(5)
    let_go(own)
    assert own.tolist() == [0, 1, 2, 3, 4]


def test_objects_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "LARGE", 1)
    np.savez(tmp_path / "t.npz", x=np.array([{}] * 30), y=MAPPED_Y)
    with pytest.raises(DataError, match=r"(?s)cannot be read as arrays: Object.*save numbers or"):
        load(DataSpec(path=str(tmp_path / "t.npz")))


def test_an_array_that_is_too_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "LARGE", 1)
    np.savez(tmp_path / "t.npz", x=MAPPED_X, y=MAPPED_Y)
    content = (tmp_path / "t.npz").read_bytes().replace(b"(300, 4)", b"(900, 4)")
    (tmp_path / "t.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.npy is not as long as its header says"):
        load(DataSpec(path=str(tmp_path / "t.npz")))


NOTHING = np.empty(0)
X, Y = np.arange(120.0).reshape(30, 1, 2, 2), np.arange(30) % 3


def test_arrays_by_their_usual_and_by_other_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "usual.npz", x=X, y=Y)
    np.savez_compressed(tmp_path / "other.npz", images=X, kinds=Y, more=[1])
    usual = load(DataSpec(path="usual.npz"), folder=tmp_path)
    spec = DataSpec(path="other.npz", features="images", target="kinds")
    other = load(spec, folder=tmp_path)
    assert usual.shape == other.shape == (1, 2, 2)
    assert usual.target.classes == ("0", "1", "2")
    assert usual.train.x.equal(other.train.x)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [(8, 6), (5, 300)])
@pytest.mark.parametrize("folds", [None, 3])
def test_channels_that_come_last(
    tmp_path: Path, channels: int, size: tuple[int, int], folds: int | None
) -> None:
    first = np.random.default_rng(0).normal(size=(60, channels, *size)) * 50
    last = np.ascontiguousarray(first.transpose(0, 2, 3, 1))
    np.savez(tmp_path / "first.npz", x=first, y=np.arange(60) % 3)
    np.savez(tmp_path / "last.npz", x=last, y=np.arange(60) % 3)
    spec = DataSpec(path="first.npz", folds=folds)
    wanted = load(spec, folder=tmp_path)
    assert (wanted.shape, wanted.note) == ((channels, *size), "")
    for shape in (None, (channels, *size)):  # also where the study says the shape
        data = load(replace(spec, path="last.npz", shape=shape), folder=tmp_path)
        assert data.shape == (channels, *size)
        assert data.note.endswith(f"channels last and are transposed to {list(data.shape)}")
        assert torch.equal(data.train.x[:], wanted.train.x[:])
        assert torch.equal(data.folds[0].validation.x[:], wanted.folds[0].validation.x[:])
        assert data.recipe is not None
        for x in (first, last):  # as a prediction gets them
            rows = data.recipe.rows(Table(x, NOTHING, (), (), ""), data.positions[0])
            assert np.allclose(rows, wanted.train.x[:].numpy(), atol=1e-6)


def test_by_the_first_rule_channels_stay_where_they_are(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(60, 8, 6, 3))
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(60) % 3)
    for shape in (None, (3, 8, 6)):
        spec = DataSpec(path="a.npz", preprocessing="none", shape=shape, division=1)
        data = load(spec, folder=tmp_path)
        rows = x[data.positions[0]].astype(np.float32).reshape(-1, *data.shape)
        assert (data.shape, data.note) == (shape or (8, 6, 3), "")
        assert np.array_equal(data.train.x[:].numpy(), rows)
        assert data.recipe is not None
        again = from_json(data.recipe.to_json())
        table = Table(x[data.positions[0]], NOTHING, (), (), "")
        assert np.array_equal(again.rows(table, np.arange(len(rows))), rows)


@pytest.mark.parametrize("shape", [(16, 3, 3), (3, 8, 3), (3, 3, 3), (1, 9, 1), (64, 1, 1), (2, 5)])
def test_rows_that_are_taken_as_they_come(tmp_path: Path, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).normal(size=(60, *shape))
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(60) % 3)
    data = load(DataSpec(path="a.npz", preprocessing="none"), folder=tmp_path)
    assert (data.shape, data.note) == (shape, "")
    assert np.array_equal(data.train.x[:].numpy(), x[data.positions[0]].astype(np.float32))


def test_a_shape_that_the_study_says_is_left(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(60, 16, 5, 3))
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(60) % 3)
    for shape in ((16, 5, 3), (5, 16, 3)):
        spec = DataSpec(path="a.npz", shape=shape, preprocessing="none")
        data = load(spec, folder=tmp_path)
        assert (data.shape, data.note) == (shape, "")
        wanted = x[data.positions[0]].reshape(-1, *shape).astype(np.float32)
        assert np.array_equal(data.train.x[:].numpy(), wanted)


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (np.full((30, 1, 4, 4), 255, np.uint8), "every number is 255 in every training row"),
        (np.zeros((30, 5)), "every number is 0 in every training row"),
        (np.tile(np.arange(6.0), (30, 1)), "all numbers are the same in every training row"),
    ],
)
def test_rows_that_are_all_the_same(tmp_path: Path, x: np.ndarray[Any, Any], says: str) -> None:
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(30) % 3)
    with pytest.raises(DataError, match=says):
        load(DataSpec(path="a.npz"), folder=tmp_path)
    x = x.copy()
    x.reshape(30, -1)[:, 0] += np.arange(30, dtype=x.dtype)  # one number that varies is enough
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(30) % 3)
    assert len(load(DataSpec(path="a.npz"), folder=tmp_path).train) == 18


@pytest.mark.parametrize("key", ["group", "time", "split"])
def test_an_array_has_no_columns_to_divide_by(tmp_path: Path, key: str) -> None:
    np.savez(tmp_path / "a.npz", x=X, y=Y)
    with pytest.raises(DataError, match="no column 'side': only a table has columns") as caught:
        load(DataSpec(path="a.npz", **{key: "side"}), folder=tmp_path)
    assert caught.value.where == f"data.{key}"


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"X": X, "y": Y}, "no array 'x'\n.*known: X, y; set features"),
        ({"x": X}, "no array 'y'\n.*known: x; set features"),
        ({"x": X, "y": Y[1:]}, "30 rows of features, but 29 labels"),
        ({"x": X, "y": np.array([{}] * 30)}, "cannot be read as arrays: Object arrays"),
    ],
)
def test_archives_that_do_not_fit(tmp_path: Path, arrays: dict[str, Any], says: str) -> None:
    np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises(DataError, match=says):
        load(DataSpec(path="data.npz"), folder=tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"text", b"\x93NUMPY\x01"])
def test_what_is_no_archive(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data.npz").write_bytes(content)
    with pytest.raises(DataError, match="cannot be read as arrays"):
        load(DataSpec(path="data.npz"), folder=tmp_path)
