"""Reads images from a folder per class; needs Pillow."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tuner.data import streamed
from tuner.data.spec import DataSpec
from tuner.data.tables import Table, from_arrays
from tuner.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
GREY = ("1", "L", "LA", "La")
DEEP = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
"""Grey in 16 or 32 bits: the value of white is unknown, and Pillow would cut it off at 255."""
CLEAR = ("RGBA", "RGBa", "LA", "La", "PA")
"""Modes with a channel for opacity."""
ORIENTATION = 0x0112
"""The EXIF tag for how the camera was held."""
FOLDER = "folder"
"""As ``split`` in place of a column: the folders for training, validation and test."""
SPLITS: Mapping[str, str] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
"""The split of a folder, by its name in lower case."""


def read(folder: Path, spec: DataSpec) -> Table | None:
    """uint8 [N, C, H, W], C = 1 where all are grey, else 3; None for a folder without images.

    Pixels are as a viewer shows them: turned as EXIF says, and white where they are transparent.
    Classes are the folders by name, and images are in the order of their names.

    Raises:
        DataError: no Pillow, an image that cannot be read or has more than 8 bits, images of
            several sizes; folders for training and for the test without `split`.
    """
    places = _split(folder, spec)
    names = sorted({each.name for place in places.values() for each in _subfolders(place)})
    files = [
        (file, part, names.index(each.name))
        for part, place in places.items()
        for each in _subfolders(place)
        for file in listed(each)
    ]
    if not files:
        return None
    common = _common([file for file, *_ in files])
    channels = 1 if common.grey else 3
    y = np.array([label for *_, label in files])
    numbers = len(files) * common.height * common.width * channels
    if streamed.fits(numbers, spec, streamed.half_of_memory()):
        x = np.empty((len(files), common.height, common.width, channels), np.uint8)
        for row, (file, *_) in enumerate(files):
            x[row] = _pixels(file, common.grey)
        table = from_arrays(x.transpose(0, 3, 1, 2), y, str(folder), classes=names)
    else:
        decoded = partial(_channels_first, grey=common.grey)
        rows = streamed.Rows([file for file, *_ in files], y, decoded, names)
        table = streamed.of_rows(rows, spec, str(folder))
    if spec.split is None:
        return table
    import pandas as pd

    return replace(table, aside={FOLDER: pd.Series([part for _, part, _ in files])})


def proposed(folder: Path) -> DataSpec:
    """How a study should read a folder: by its splits, where it has some."""
    parts = splits(folder)
    if "validation" in parts:
        return DataSpec(path=str(folder), split=FOLDER)
    if parts:
        return DataSpec(path=str(parts["train"]), test_path=str(parts["test"]))
    return DataSpec(path=str(folder))


def check_known(folder: Path, classes: Sequence[str]) -> None:
    """DataError where a folder of test images has a class that is not among those to train on."""
    for place in _subfolders(folder):
        if classes and place.name not in classes and listed(place):
            raise DataError(
                f"class {place.name!r} has no training images",
                where=str(folder),
                hint=f"known classes: {', '.join(classes[:20])}; remove it, or add training images",
            )


def listed(folder: Path) -> list[Path]:
    """The images at any depth in a folder, in the order of their names."""
    files = sorted(folder.rglob("*"))
    return [file for file in files if file.suffix.lower() in ENDINGS and file.name[0] != "."]


def splits(folder: Path) -> dict[str, Path]:
    """The folders for training, validation and test, each with a folder for each class; none where
    the folders are classes themselves.

    Raises:
        DataError: some folders are splits, and others may be classes.
    """
    places = [place for place in _subfolders(folder) if listed(place)]
    named = {place.name: _split_named(place.name, _share_classes(places)) for place in places}
    kinds = {kind for kind in named.values() if kind}
    if not kinds or (len(kinds) == 1 and len(places) > 1 and not _share_classes(places)):
        _check_classes(folder, places)
        return {}
    if len(kinds) < len(places) or "train" not in kinds or len(kinds) == 1:
        raise _mixed_folders(folder, named)
    for place in places:
        if not any(map(listed, _subfolders(place))):
            train = _folder_of(folder, "train", named)
            alone = f', or read the training images alone: path = "{train}"'
            raise DataError(
                f"is named like the {named[place.name]} split, but has no folder for each class",
                where=str(place),
                hint="sort its images into one folder per class"
                + alone * (named[place.name] != "train"),
            )
    parts = {kind: place for place in places if (kind := named[place.name])}
    return {kind: parts[kind] for kind in ("train", "validation", "test") if kind in parts}


def _share_classes(places: Sequence[Path]) -> bool:
    """Whether several folders hold images in subfolders of the same names, at least two, as splits
    do."""
    inside = [{each.name for each in _subfolders(place) if listed(each)} for place in places]
    return len(inside) > 1 and len(set.intersection(*inside)) > 1


def _split_named(name: str, parted: bool) -> str | None:
    """The split that a folder is named after; where folders share their classes (`parted`) also
    by a part of the name, as in test_set."""
    parts = re.split(r"[\W_]+", name.lower()) if parted else [name.lower()]
    kinds = {SPLITS[part] for part in parts if part in SPLITS}
    return kinds.pop() if len(kinds) == 1 else None


def _split(folder: Path, spec: DataSpec) -> dict[str, Path]:
    """The folders to read, by split; the folder itself where there are none."""
    if spec.split not in (None, FOLDER):
        hint = f'images are divided by their folders: split = "{FOLDER}"'
        raise DataError(f"no column {spec.split!r}", where="data.split", hint=hint)
    parts = splits(folder)
    if spec.split is None and not parts:
        return {"": folder}
    names = ", ".join(place.name for place in parts.values())
    apart = ""
    if "test" in parts:
        apart = f'path = "{parts["train"]}" and test_path = "{parts["test"]}"'
    if spec.split is None:
        both = "validation" in parts
        raise DataError(
            f"its folders {names} are named like splits, not like classes",
            where=str(folder),
            hint=" or ".join([f'set split = "{FOLDER}"'] * both + [apart] * bool(apart)),
        )
    if "validation" not in parts:
        raise DataError(
            f"no validation folder among {names or 'its folders'}",
            where=str(folder),
            hint=f"instead of split, set {apart}" if apart else "remove split",
        )
    return parts


def _mixed_folders(folder: Path, named: Mapping[str, str | None]) -> DataError:
    train = _folder_of(folder, "train", named)
    test = _folder_of(folder, "test", named)
    instead = f'path = "{train}"' + (f' and test_path = "{test}"' if test else "")
    return DataError(
        f"its folders are {', '.join(named)}: some are named like splits, not like classes",
        where=str(folder),
        hint=f"name the folder to read: {instead}"
        if train
        else "rename the training folder: train",
    )


def _folder_of(folder: Path, kind: str, named: Mapping[str, str | None]) -> str:
    names = [name for name, each in named.items() if each == kind]
    return str(folder / names[0]) if names else ""


def _check_classes(folder: Path, places: Sequence[Path]) -> None:
    """DataError where a class has splits within it, which would all be training rows."""
    for place in places:
        inside = [each.name for each in _subfolders(place) if each.name.lower() in SPLITS]
        if len({SPLITS[name.lower()] for name in inside}) > 1:
            turned = f"{inside[0]}/{place.name} and {inside[1]}/{place.name}"
            lone = f"it is the only folder: read {str(place)!r} instead"
            raise DataError(
                f"class {place.name!r} contains the split folders {', '.join(inside)}",
                where=str(folder),
                hint=lone if len(places) == 1 else f"nest them the other way: {turned}",
            )


def _subfolders(folder: Path) -> list[Path]:
    return [p for p in sorted(folder.iterdir()) if p.is_dir() and p.name[0] != "."]


def stacked(files: Sequence[Path], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """uint8 [N, C, H, W] of images that all have the shape [C, H, W], or as many numbers as it.

    Raises:
        DataError: no Pillow, an image that cannot be read, one of another size or in colour where
            C = 1.
    """
    images = []
    for file in files:
        kind = _kind(file)
        size = (kind.height, kind.width)
        channels = next((c for c in (1, 3) if _fits((c, *size), shape)), None)
        if channels is None or (channels == 1 and not kind.grey):
            what = f"{kind.size} pixels{'' if kind.grey else ' in colour'}"
            hint = "convert it to the size and colours of the training images"
            message = f"{what}, but a row has shape {list(shape)}"
            raise DataError(message, where=str(file), hint=hint)
        images.append(_pixels(file, channels == 1).transpose(2, 0, 1))
    return np.stack(images)


def _fits(shape: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return shape == other if len(other) == 3 else math.prod(shape) == math.prod(other)


@dataclass(frozen=True)
class Kind:
    """Size and colour of an image, by its header alone.

    Attributes:
        width, height: in pixels, after turning as EXIF says.
        grey: of one channel.
    """

    width: int
    height: int
    grey: bool

    @property
    def size(self) -> str:
        return f"{self.width} x {self.height}"


def _kind(file: Path) -> Kind:
    with _opened(file) as image:
        if image.mode in DEEP:
            bits = 16 if "16" in image.mode else 32
            raise DataError(
                f"its pixels have {bits} bits (mode {image.mode}), but only 8-bit images are read",
                where=str(file),
                hint="save it with 8 bits; or put all images as x [N, H, W, 1] and the labels as y "
                "into an NPZ file, which keeps every value",
            )
        sideways = _orientation(image) > 4
        if sideways and image.format == "TIFF":
            raise DataError(
                "is a rotated TIFF, which cannot be read",
                where=str(file),
                hint="save it upright, or as PNG",
            )
        width, height = image.size[::-1] if sideways else image.size
        return Kind(width, height, grey=image.mode in GREY)


def _common(files: list[Path]) -> Kind:
    """The common size of all images, and whether all are grey; DataError for several sizes."""
    first = _kind(files[0])
    grey = first.grey
    for file in files[1:]:
        kind = _kind(file)
        grey = grey and kind.grey
        if kind.size != first.size:
            raise DataError(
                f"{kind.size} pixels, but {files[0]} has {first.size}",
                where=str(file),
                hint="resize all images to one size",
            )
    return Kind(first.width, first.height, grey)


def _pixels(file: Path, grey: bool) -> NDArray[np.uint8]:
    """[H, W, 1] or [H, W, 3]."""
    with _opened(file) as image:
        try:
            pixels = np.asarray(_opaque(_turned(image)).convert("L" if grey else "RGB"))
            return pixels[:, :, None] if grey else pixels
        except (OSError, SyntaxError, ValueError) as error:
            raise _unreadable(file, error) from error


def _channels_first(file: Path, grey: bool) -> NDArray[np.uint8]:
    return _pixels(file, grey).transpose(2, 0, 1)


def _opaque(image: Image) -> Image:
    """The image over white, where it is transparent."""
    if image.mode not in CLEAR and "transparency" not in image.info:
        return image
    from PIL import Image as Images

    seen = image.convert("RGBA")
    return Images.alpha_composite(Images.new("RGBA", seen.size, "white"), seen)


def _orientation(image: Image) -> int:
    """EXIF's orientation from 1, upright, to 8; from 5 on the image lies on its side."""
    if "exif" not in image.info and image.format != "TIFF":
        return 1
    orientation = None
    damaged = OSError, SyntaxError, ValueError, KeyError, struct.error  # then it is upright
    with suppress(*damaged):
        orientation = image.getexif().get(ORIENTATION)
    return orientation if isinstance(orientation, int) and orientation in range(1, 9) else 1


def _turned(image: Image) -> Image:
    from PIL.Image import Transpose

    ways = (
        Transpose.FLIP_LEFT_RIGHT,
        Transpose.ROTATE_180,
        Transpose.FLIP_TOP_BOTTOM,
        Transpose.TRANSPOSE,
        Transpose.ROTATE_270,
        Transpose.TRANSVERSE,
        Transpose.ROTATE_90,
    )
    orientation = 1 if image.format == "TIFF" else _orientation(image)  # Pillow turns TIFF itself
    return image if orientation == 1 else image.transpose(ways[orientation - 2])


def _opened(file: Path) -> Image:
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError(
            "reading images needs Pillow", where=str(file), hint="pip install 'tuner[images]'"
        ) from error
    try:
        return Image.open(file)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: Exception) -> DataError:
    return DataError(
        f"cannot be read as an image: {error}", where=str(file), hint="repair or remove it"
    )
