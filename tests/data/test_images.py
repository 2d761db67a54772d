from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from tuner.data import DataSpec, load
from tuner.data.images import decoded, labelled, proposed, read, stacked
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
    assert caught.value.hint.startswith("set resize = [8, 8] in [data]")


def test_images_of_different_sizes_and_modes_are_resized(folder: Path) -> None:
    Image.new("RGBA", (30, 20), (9, 8, 7, 255)).save(folder / "cat" / "0.png")
    Image.new("L", (1, 3), 50).save(folder / "dog" / "5.bmp")
    spec = DataSpec(path=str(folder), resize=(5, 7))
    table = read(folder, spec)
    assert table is not None
    assert table.x is not None
    assert table.x.shape == (18, 3, 5, 7)
    assert table.x[[0, 1, 14], :, 2, 3].tolist() == [[9, 8, 7], [1] * 3, [50] * 3]
    data = load(spec)
    assert data.shape == (3, 5, 7)
    assert data.note == (
        "images of 1 x 3 to 30 x 20 pixels are resized to 7 x 5, whole, whatever their proportions"
    )


def test_no_pixel_is_left_out_of_a_smaller_image(tmp_path: Path) -> None:
    """One white column of forty would be there or not, without a mean over what is covered."""
    pixels = np.zeros((40, 40), np.uint8)
    for column in range(40):
        image = pixels.copy()
        image[:, column] = 255
        Image.fromarray(image).save(tmp_path / "0.png")
        small = decoded(tmp_path / "0.png", (4, 4), 1)
        assert small.shape == (1, 4, 4)
        assert 10 < int(small[0, 0].astype(int).sum()) < 50  # of 255 / 10 on average


def test_an_image_of_the_right_size_stays_as_it_is(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "0.png")
    assert np.array_equal(decoded(tmp_path / "0.png", (5, 7), 3), pixels.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("sizes", "resize"),
    [
        ([(28, 28)], None),
        ([(128, 128)], None),
        ([(129, 100)], (48, 64)),
        ([(640, 480), (480, 640), (500, 500)], (64, 64)),
        ([(400, 300), (800, 600)], (48, 64)),
        ([(20, 30), (22, 31), (24, 33)], (32, 24)),
        ([(1000, 10), (900, 10)], (8, 64)),
    ],
)
def test_a_size_is_proposed_near_the_medians(
    tmp_path: Path, sizes: list[tuple[int, int]], resize: tuple[int, int] | None
) -> None:
    for i, size in enumerate(sizes):
        _save(tmp_path / "cat" / f"{i}.png", size=size)
    assert proposed(tmp_path).resize == resize


def test_files_with_their_labels(folder: Path) -> None:
    known = labelled(folder, DataSpec(path="."))
    assert known is not None
    assert known.classes == ("cat", "dog")
    assert known.labels.tolist() == [0] * 9 + [1] * 9
    assert [file.name for file in known.files[8:11]] == ["8.png", "0.bmp", "1.bmp"]
    assert known.parts == ("",) * 18


def test_resize_is_for_images_alone(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", x=np.ones((9, 1, 4, 6)), y=np.arange(9) % 2)
    with pytest.raises(DataError, match="only a folder of images is resized"):
        load(DataSpec(path=str(tmp_path / "t.npz"), resize=(4, 6)))
    with pytest.raises(DataError, match=r"\[4\] is not a height and a width"):
        DataSpec(path=".", resize=(4,))


def test_without_pillow_the_error_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    for attempt in (
        lambda: load(DataSpec(path=str(folder))),
        lambda: decoded(folder / "cat" / "0.png", (4, 6), 1),
        lambda: proposed(folder),
    ):
        with pytest.raises(DataError, match="reading images needs Pillow") as caught:
            attempt()
        assert "tuner[images]" in caught.value.hint


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
    ("kind", "name"),
    [("uint16", "9.png"), ("uint16", "9.tif"), (">u2", "9.tif"), ("uint16", "9.pgm")],
)
def test_sixteen_bits_become_eight(folder: Path, kind: str, name: str) -> None:
    deep = folder / "dog" / name
    values = np.arange(24).reshape(4, 6) * 2729 + 255  # up to 63,022
    Image.fromarray(values.astype(kind)).save(deep)
    table = read(folder, DataSpec(path="."))
    assert table is not None
    assert table.x is not None
    assert table.x.shape == (19, 1, 4, 6)
    assert np.array_equal(table.x[-1, 0], values // 256)
    assert np.array_equal(stacked([deep], (1, 4, 6))[0, 0], values // 256)
    assert load(DataSpec(path=str(folder))).note == "1 images of 16 bits are divided by 256"


def test_twelve_bits_leave_few_greys(folder: Path) -> None:
    Image.fromarray(np.full((4, 6), 4095, np.uint16)).save(folder / "dog" / "9.png")
    assert load(DataSpec(path=str(folder))).note == (
        "1 images of 16 bits are divided by 256, which leaves 16 greys: they use a small part of "
        "the 16 bits, and arrays in NPZ keep all values"
    )


@pytest.mark.parametrize("kind", ["int32", "float32"])
def test_pixels_of_thirty_two_bits(folder: Path, kind: str) -> None:
    odd = folder / "dog" / "9.tif"
    Image.fromarray(np.full((4, 6), 999).astype(kind)).save(odd)
    says = rf"pixels have 32 bits \(mode {'I' if kind == 'int32' else 'F'}\)"
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
    table = read(tmp_path, DataSpec(path="."))
    assert table is not None
    assert table.x is not None
    upright = tmp_path / "upright.png"  # Pillow garbles a TIFF that lies on its side
    Image.fromarray(pixels).save(upright, exif=exif)
    with Image.open(file if ending == "jpg" else upright) as image:
        wanted = np.asarray(ImageOps.exif_transpose(image).convert("L"))
    assert np.array_equal(table.x[0, 0], wanted)
    assert table.x.shape[2:] == ((32, 16) if orientation > 4 else (16, 32))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", [3, 6])
def test_a_tiff_of_sixteen_bits_is_turned(tmp_path: Path, order: str, orientation: int) -> None:
    values = np.arange(8 * 5).reshape(8, 5).astype(f"{order}u2") * 256
    file = tmp_path / "0.tif"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(values).save(file, exif=exif, compression="tiff_lzw")
    size = (8, 5) if orientation == 3 else (5, 8)
    wanted = np.rot90(np.arange(8 * 5).reshape(8, 5), 2 if orientation == 3 else -1)
    assert np.array_equal(decoded(file, size, 1)[0], wanted)


def test_a_bigtiff_that_is_turned_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "0.tif"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (6, 4)).save(file, exif=exif, big_tiff=True)
    with pytest.raises(DataError, match="a BigTIFF that is to be turned: save it upright"):
        decoded(file, (6, 4), 1)


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
