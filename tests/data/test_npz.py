from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuner.data import DataSpec, load
from tuner.errors import DataError

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


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"X": X, "y": Y}, "no array 'x'\n.*known: X, y; name"),
        ({"x": X}, "no array 'y'\n.*known: x; name them"),
        ({"x": X, "y": Y[1:]}, "30 rows of features and 29 labels"),
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
