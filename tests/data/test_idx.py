from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuner.data import DataSpec, load
from tuner.data.idx import NAMES, TYPES, read_array
from tuner.errors import DataError


def _idx(array: np.ndarray[Any, Any], kind: int = 8) -> bytes:
    header = struct.pack(f">HBB{array.ndim}I", 0, kind, array.ndim, *array.shape)
    return header + array.astype(TYPES[kind]).tobytes()


X = np.random.default_rng(0).integers(0, 256, (60, 28, 28))
Y = np.arange(60) % 10
PARTS = dict(zip(NAMES, (_idx(X), _idx(Y), _idx(X[:10]), _idx(Y[:10])), strict=True))


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
    assert sorted(together.sum((1, 2, 3)).tolist()) == sorted(X.sum((1, 2)).tolist())


def test_a_pair(tmp_path: Path) -> None:
    for name in NAMES[:2]:
        (tmp_path / name).write_bytes(PARTS[name])
    data = load(DataSpec(path=NAMES[0]), folder=tmp_path)
    assert len(data.train) + len(data.validation) + (data.test or 0) == 60
    (tmp_path / NAMES[1]).unlink()
    with pytest.raises(DataError, match=f"no labels beside it: {NAMES[1]}"):
        load(DataSpec(path=NAMES[0]), folder=tmp_path)


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_of_number(tmp_path: Path, kind: int) -> None:
    (tmp_path / "data").write_bytes(_idx(np.arange(6).reshape(2, 3), kind))
    found = read_array(tmp_path / "data")
    assert found.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found.dtype.isnative


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (NAMES[1], _idx(Y[:50]), "60 images, and train-labels-idx1-ubyte has 50 labels"),
        (NAMES[0], b"", "is no IDX file.*\n.*it with nothing"),
        (NAMES[0], b"<html>not found</html>", "is no IDX file.*\n.*3c 68 74 6d"),
        (NAMES[0], b"\0\0\x08\x03\0\0", "is no IDX file"),
        (NAMES[0], _idx(X)[:-1], "header says 60 x 28 x 28 numbers, and 47039 bytes follow"),
        (NAMES[0], gzip.compress(_idx(X))[:-9], "cannot be read: "),
        (NAMES[2], None, "no file t10k-images-idx3-ubyte\n.*may end in .gz"),
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
