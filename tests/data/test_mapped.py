from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuner.data import DataSpec, load, mapped
from tuner.data.mapped import let_go, open_member
from tuner.errors import DataError

X = np.random.default_rng(0).normal(size=(300, 4))
Y = np.arange(300) % 3


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("x", [X, np.asfortranarray(X), (X * 9).astype(np.int16)], ids=str)
def test_a_large_array_gives_the_same_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save: Callable[..., None], x: Any
) -> None:
    save(tmp_path / "t.npz", x=x, y=Y)
    spec = DataSpec(path=str(tmp_path / "t.npz"))
    expected = load(spec)
    monkeypatch.setattr(mapped, "LARGE", 1)
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
    monkeypatch.setattr(mapped, "LARGE", 1)
    np.savez(tmp_path / "t.npz", x=np.array([{}] * 30), y=Y)
    with pytest.raises(DataError, match="cannot be read as arrays: Object arrays"):
        load(DataSpec(path=str(tmp_path / "t.npz")))


def test_an_array_that_is_too_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped, "LARGE", 1)
    np.savez(tmp_path / "t.npz", x=X, y=Y)
    content = (tmp_path / "t.npz").read_bytes().replace(b"(300, 4)", b"(900, 4)")
    (tmp_path / "t.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.npy is not as long as its header says"):
        load(DataSpec(path=str(tmp_path / "t.npz")))
