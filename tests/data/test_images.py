from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from tuner.data import DataSpec, load
from tuner.data.images import proposed, read, stacked
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
    with pytest.raises(DataError, match=r"8 x 4 pixels, but .*0\.png has 6 x 4") as caught:
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
        load(DataSpec(path=str(folder), rare="refuse"))
    data = load(DataSpec(path=str(folder)))
    assert "eel" not in data.target.classes
    assert data.note.startswith("1 rows of classes with fewer than 3 rows ('eel') are left out")


def test_no_images(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    assert read(tmp_path, DataSpec(path=".")) is None


@pytest.mark.parametrize(
    ("kind", "name", "mode"),
    [
        ("uint16", "9.png", "I;16"),
        ("uint16", "9.tif", "I;16"),
        (">u2", "9.tif", "I;16B"),
        ("uint16", "9.pgm", "I"),
        ("int32", "9.tif", "I"),
        ("float32", "9.tif", "F"),
    ],
)
def test_pixels_of_more_than_eight_bits(folder: Path, kind: str, name: str, mode: str) -> None:
    odd = folder / "dog" / name
    Image.fromarray(np.full((4, 6), 999).astype(kind)).save(odd)
    says = rf"pixels have (16|32) bits \(mode {mode}\), but only 8-bit images are read"
    with pytest.raises(DataError, match=says) as caught:
        load(DataSpec(path=str(folder)))
    assert caught.value.where == str(odd)
    assert "NPZ" in caught.value.hint
    with pytest.raises(DataError, match=says):
        stacked([odd], (1, 4, 6))


@pytest.mark.parametrize(
    ("mode", "value", "seen"),
    [
        ("1", 1, [255]),
        ("LA", (7, 255), [7]),
        ("LA", (7, 0), [255]),
        ("RGBA", (1, 2, 3, 255), [1, 2, 3]),
        ("RGBA", (0, 0, 0, 0), [255, 255, 255]),
        ("RGBA", (0, 0, 0, 51), [204, 204, 204]),
        ("CMYK", (255, 0, 0, 0), [0, 255, 255]),
        ("P", 3, [3, 4, 5]),
    ],
)
def test_every_mode_becomes_what_is_seen(
    tmp_path: Path, mode: str, value: object, seen: list[int]
) -> None:
    (tmp_path / "cat").mkdir()
    image = Image.new(mode, (6, 4), value)  # type: ignore[arg-type]
    if mode == "P":
        image.putpalette([number % 256 for i in range(256) for number in (i, i + 1, i + 2)])
    image.save(tmp_path / "cat" / f"0.{'tif' if mode in ('CMYK', 'LA') else 'png'}")
    table = read(tmp_path, DataSpec(path="."))
    assert table is not None
    assert table.x is not None
    assert table.x[0, :, 0, 0].tolist() == seen


def test_a_colour_that_means_transparent(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    image = Image.new("P", (6, 4), 1)
    image.putpalette([9, 9, 9, 1, 2, 3])
    image.save(tmp_path / "cat" / "0.png", transparency=1)
    table = read(tmp_path, DataSpec(path="."))
    assert table is not None
    assert table.x is not None
    assert set(table.x.ravel().tolist()) == {255}


@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_as_exif_says(tmp_path: Path, ending: str, orientation: int) -> None:
    (tmp_path / "cat").mkdir()
    pixels = np.zeros((16, 32), np.uint8)
    pixels[:8, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = tmp_path / "cat" / f"0.{ending}"
    more = {"lossless": True} if ending == "webp" else {}
    Image.fromarray(pixels).save(file, exif=exif, **more)
    if ending == "tif" and orientation > 4:
        with pytest.raises(DataError, match="is a rotated TIFF"):
            read(tmp_path, DataSpec(path="."))
        return
    table = read(tmp_path, DataSpec(path="."))
    assert table is not None
    assert table.x is not None
    with Image.open(file) as image:
        wanted = np.asarray(ImageOps.exif_transpose(image).convert("L"))
    assert np.array_equal(table.x[0, 0], wanted)
    assert table.x.shape[2:] == ((32, 16) if orientation > 4 else (16, 32))


def test_exif_that_is_damaged_turns_nothing(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    file = tmp_path / "cat" / "0.jpg"
    Image.new("L", (6, 4), 7).save(file, exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff")
    table = read(tmp_path, DataSpec(path="."))
    assert table is not None
    assert table.x is not None
    assert table.x.shape == (1, 1, 4, 6)


def _split(folder: Path, **parts: tuple[str, ...]) -> None:
    """Ten images of each class in each part; ``name`` alone has images of no class."""
    for part, classes in parts.items():
        for j, kind in enumerate(classes or ("",)):
            (folder / part / kind).mkdir(parents=True)
            for i in range(10):
                Image.new("L", (6, 4), 20 * j + i).save(folder / part / kind / f"{i}.png")


BOTH = ("cat", "dog")


@pytest.mark.parametrize(
    "names",
    [
        ("train", "val", "test"),
        ("Training", "dev", "EVAL"),
        ("training_set", "validation set", "seg-test"),
    ],
)
def test_folders_that_are_splits(tmp_path: Path, names: tuple[str, ...]) -> None:
    train, validation, test = names
    _split(tmp_path, **dict.fromkeys(names, BOTH))
    spec = proposed(tmp_path)
    assert spec == DataSpec(path=str(tmp_path), split="folder")
    data = load(spec)
    assert data.target.classes == BOTH
    assert [len(part) for part in (data.train, data.validation)] == [20, 20]
    assert data.test == 20
    assert [each.tolist() for each in data.positions] == [[*range(20)], [*range(20, 40)]]
    assert len(load(spec, final=True).train) == 40
    with pytest.raises(
        DataError, match=f"its folders {train}, {validation}, {test} are named like splits"
    ) as caught:
        load(DataSpec(path=str(tmp_path)))
    assert 'split = "folder"' in caught.value.hint
    with pytest.raises(DataError, match="no column 'side'"):
        load(DataSpec(path=str(tmp_path), split="side"))


def test_folders_for_training_and_the_test(tmp_path: Path) -> None:
    _split(tmp_path, train=BOTH, test=BOTH)
    spec = proposed(tmp_path)
    train, test = str(tmp_path / "train"), str(tmp_path / "test")
    assert spec == DataSpec(path=train, test_path=test)
    data = load(spec)
    assert (data.target.classes, len(data.train), len(data.validation)) == (BOTH, 16, 4)
    assert len(load(spec, final=True).validation) == 20
    for refused in (DataSpec(path=str(tmp_path)), DataSpec(path=str(tmp_path), split="folder")):
        with pytest.raises(DataError) as caught:
            load(refused)
        assert f'path = "{train}" and test_path = "{test}"' in caught.value.hint


@pytest.mark.parametrize("final", [False, True])
def test_a_class_that_only_the_test_has(tmp_path: Path, final: bool) -> None:
    _split(tmp_path, train=BOTH, test=(*BOTH, "eel"))
    (tmp_path / "test" / "empty").mkdir()
    with pytest.raises(DataError, match="class 'eel' has no training images"):
        load(proposed(tmp_path), final=final)
    _split(tmp_path, val=BOTH)
    with pytest.raises(DataError, match="class 'eel' does not occur in the training rows"):
        load(proposed(tmp_path), final=final)


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        (
            {"train": BOTH, "val": BOTH, "more": BOTH},
            "its folders are more, train, val: some are named like splits",
        ),
        (
            {"train": BOTH, "val": BOTH, "valid": BOTH},
            "its folders are train, val, valid: some are named like splits",
        ),
        ({"val": BOTH, "test": BOTH}, "its folders are test, val: some are named like splits"),
        ({"train": BOTH, "holdout": BOTH}, "its folders are holdout, train: some are named"),
        ({"train": BOTH}, "its folders are train: some are named like splits"),
        (
            {"train": BOTH, "test": ()},
            "is named like the test split, but has no folder for each class",
        ),
        (
            {"train": (), "test": ()},
            "is named like the test split, but has no folder for each class",
        ),
        (
            {"cat": ("train", "test"), "dog": ("train", "test")},
            "class 'cat' contains the split folders test",
        ),
    ],
)
def test_folders_of_which_nobody_knows_what_they_are(
    tmp_path: Path, parts: dict[str, tuple[str, ...]], says: str
) -> None:
    _split(tmp_path, **parts)
    for attempt in (proposed, lambda folder: load(DataSpec(path=str(folder)))):
        with pytest.raises(DataError, match=says) as caught:
            attempt(tmp_path)
        assert caught.value.hint


def test_a_folder_around_the_splits(tmp_path: Path) -> None:
    _split(tmp_path / "around", train=("cat", "dog"), test=("cat", "dog"))
    with pytest.raises(DataError, match=r"the only folder: read '.*around' instead"):
        proposed(tmp_path)


@pytest.mark.parametrize(
    "names",
    [("bus", "train"), ("control", "test"), ("dev", "prod", "qa"), ("test_car", "train_car")],
)
def test_classes_that_are_called_like_a_split(tmp_path: Path, names: tuple[str, ...]) -> None:
    _split(tmp_path, **dict.fromkeys(names, ()))
    assert load(proposed(tmp_path)).target.classes == names


@pytest.mark.parametrize("value", [0, 255])
def test_images_that_are_all_the_same(tmp_path: Path, value: int) -> None:
    for name in [*"abcdefghij"]:
        _save(tmp_path / "cat" / f"{name}.png", value=value)
        _save(tmp_path / "dog" / f"{name}.png", value=value)
    with pytest.raises(DataError, match=f"every number is {value} in every training row"):
        load(DataSpec(path=str(tmp_path)))
