from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tuner.data import DataSpec, load
from tuner.data.images import read
from tuner.errors import DataError


def _save(file: Path, mode: str = "L", size: tuple[int, int] = (6, 4), value: int = 7) -> None:
    file.parent.mkdir(exist_ok=True)
    Image.new(mode, size, value).save(file)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(9):
        _save(tmp_path / "cat" / f"{i}.png", value=i)
        _save(tmp_path / "dog" / f"{i}.bmp", value=100 + i)
    (tmp_path / "dog" / "notes.txt").write_text("no image")
    (tmp_path / ".hidden").mkdir()
    return tmp_path


def test_grey_images(folder: Path) -> None:
    table = read(folder, DataSpec(path="."))
    assert table is not None
    assert table.x is not None
    assert (table.x.shape, table.x.dtype) == ((18, 1, 4, 6), np.uint8)
    assert table.x[:, 0, 3, 5].tolist() == [*range(9), *range(100, 109)]
    data = load(DataSpec(path=str(folder)))
    assert data.shape == (1, 4, 6)
    assert data.target.classes == ("cat", "dog")


def test_one_image_in_colour_makes_all_of_them_so(folder: Path) -> None:
    Image.new("RGB", (6, 4), (1, 2, 3)).save(folder / "cat" / "0.png")
    table = read(folder, DataSpec(path="."))
    assert table is not None
    assert table.x is not None
    assert table.x.shape == (18, 3, 4, 6)
    assert table.x[0, :, 0, 0].tolist() == [1, 2, 3]
    assert table.x[1, :, 0, 0].tolist() == [1, 1, 1]


def test_an_image_of_another_size(folder: Path) -> None:
    _save(folder / "dog" / "5.bmp", size=(8, 4))
    with pytest.raises(DataError, match=r"8 x 4 pixels, and .*0\.png has 6 x 4") as caught:
        load(DataSpec(path=str(folder)))
    assert caught.value.where == str(folder / "dog" / "5.bmp")


@pytest.mark.parametrize("kept", [0, 30, 45])
def test_an_image_that_cannot_be_read(folder: Path, kept: int) -> None:
    broken = folder / "cat" / "4.png"
    broken.write_bytes(broken.read_bytes()[:kept])
    with pytest.raises(DataError, match="cannot be read as an image") as caught:
        load(DataSpec(path=str(folder)))
    assert caught.value.where == str(broken)


def test_a_class_with_one_image(folder: Path) -> None:
    _save(folder / "eel" / "0.png")
    with pytest.raises(DataError, match="class 'eel' is too small: it has 1 row"):
        load(DataSpec(path=str(folder)))


def test_no_images(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    assert read(tmp_path, DataSpec(path=".")) is None
