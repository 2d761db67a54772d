"""Images in a folder for each class; needs Pillow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tuner.data.spec import DataSpec
from tuner.data.table import Table, from_arrays
from tuner.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
GREY = ("1", "L")


def read(folder: Path, spec: DataSpec) -> Table | None:
    """uint8 [N, C, H, W], C = 1 where all are grey, else 3; None for a folder without images.

    Classes are the folders by name, and images are in the order of their names.

    Raises:
        DataError: no Pillow, an image that cannot be read, images of several sizes.
    """
    classes = [p for p in sorted(folder.iterdir()) if p.is_dir() and p.name[0] != "."]
    files = [(file, label) for label, place in enumerate(classes) for file in listed(place)]
    if not files:
        return None
    mode, (width, height) = _common([file for file, _ in files])
    x = np.empty((len(files), height, width, 1 if mode == "L" else 3), dtype=np.uint8)
    for row, (file, _) in enumerate(files):
        x[row] = _pixels(file, mode).reshape(x.shape[1:])
    y = np.array([label for _, label in files])
    names = [place.name for place in classes]
    return from_arrays(x.transpose(0, 3, 1, 2), y, str(folder), classes=names)


def listed(folder: Path) -> list[Path]:
    """The images at any depth in a folder, in the order of their names."""
    found = sorted(folder.rglob("*"))
    return [file for file in found if file.suffix.lower() in ENDINGS and file.name[0] != "."]


def stacked(files: Sequence[Path], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """uint8 [N, C, H, W] of images that all have the shape [C, H, W], or as many numbers as it.

    Raises:
        DataError: no Pillow, an image that cannot be read, one of another size or in colour where
            C = 1.
    """
    found = []
    for file in files:
        with _opened(file) as image:
            width, height = image.size
            grey = image.mode in GREY
        channels = next((c for c in (1, 3) if _alike((c, height, width), shape)), None)
        if channels is None or (channels == 1 and not grey):
            what = f"{width} x {height} pixels{'' if grey else ' in colour'}"
            hint = "make it like the images of the training"
            said = f"{what}, and a row has shape {list(shape)}"
            raise DataError(said, where=str(file), hint=hint)
        pixels = _pixels(file, "L" if channels == 1 else "RGB").reshape(height, width, channels)
        found.append(pixels.transpose(2, 0, 1))
    return np.stack(found)


def _alike(shape: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return shape == other if len(other) == 3 else math.prod(shape) == math.prod(other)


def _common(files: list[Path]) -> tuple[str, tuple[int, int]]:
    """L or RGB, and the size of all images, by their headers alone."""
    mode, first = "L", (0, 0)
    for file in files:
        with _opened(file) as image:
            size = image.size
            mode = mode if image.mode in GREY else "RGB"
        if file is files[0]:
            first = size
        if size != first:
            raise DataError(
                f"{size[0]} x {size[1]} pixels, and {files[0]} has {first[0]} x {first[1]}",
                where=str(file),
                hint="make all images of one size",
            )
    return mode, first


def _pixels(file: Path, mode: str) -> NDArray[Any]:
    with _opened(file) as image:
        try:
            return np.asarray(image.convert(mode))
        except (OSError, SyntaxError, ValueError) as error:
            raise _unreadable(file, error) from error


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
