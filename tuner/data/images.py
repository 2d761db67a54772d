"""Reads images from a folder per class; needs Pillow."""

from __future__ import annotations

import io
import math
import re
import struct
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
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
DEEP = ("I;16", "I;16L", "I;16B", "I;16N")
"""Grey of 16 bits, which Pillow would cut off at 255. It has some as I, of 32 bits: see WIDE."""
WIDE = ("I", "F")
"""Grey of 32 bits, whole numbers or floats."""
SIXTEEN = ("PNG", "PPM")
"""Formats whose greys are of at most 16 bits, where the mode says I."""
CLEAR = ("RGBA", "RGBa", "LA", "La", "PA")
"""Modes with a channel for opacity."""
ORIENTATION = 0x0112
"""The EXIF tag for how the camera was held."""
LONGEST = 64
"""The longest side of a size that is proposed: convolutions are slow on larger images."""
KEPT = 128
"""Images that are all of one size, of sides up to this long, stay as they are."""
FOLDER = "folder"
"""As ``split`` in place of a column: the folders for training, validation and test."""
SPLITS: Mapping[str, str] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
"""The split of a folder, by its name in lower case."""


# From a folder to a table.


@dataclass(frozen=True)
class Labelled:
    """The images of a folder, not yet read.

    Attributes:
        files: by split and class, and then by name.
        labels: [N], the place of the class of each among `classes`.
        classes: the folders' names, in their order.
        parts: the split of each file; empty texts where folders are classes.
    """

    files: tuple[Path, ...]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    parts: tuple[str, ...]


def labelled(folder: Path, spec: DataSpec) -> Labelled | None:
    """The images of a folder with their classes; None where it has no images.

    Raises:
        DataError: folders for training and for the test without `split`.
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
    labels = np.array([label for *_, label in files], np.int64)
    parts = tuple(part for _, part, _ in files)
    return Labelled(tuple(file for file, *_ in files), labels, tuple(names), parts)


def read(folder: Path, spec: DataSpec) -> Table | None:
    """uint8 [N, C, H, W], C = 1 where all are grey, else 3; None for a folder without images.

    Pixels are as a viewer shows them: turned as EXIF says, and white where they are transparent.
    Classes are the folders by name, and images are in the order of their names. Where they are too
    large for memory, each is decoded when it is needed.

    Raises:
        DataError: no Pillow, an image that cannot be read or has 32 bits, images of several sizes
            without `resize`; folders for training and for the test without `split`.
    """
    known = labelled(folder, spec)
    if known is None:
        return None
    form = form_of(known.files, spec.resize)
    decode = partial(decoded, size=form.size, channels=form.channels)
    x = None
    numbers = len(known.files) * math.prod(form.shape)
    if streamed.fits(numbers, spec, streamed.half_of_memory()):
        x = np.empty((len(known.files), *form.shape), np.uint8)
        for row, file in enumerate(known.files):
            x[row] = decode(file)
        table = from_arrays(x, known.labels, str(folder), classes=known.classes)
    else:
        rows = streamed.Rows(known.files, known.labels, decode, known.classes)
        table = streamed.of_rows(rows, spec, str(folder))
    table = replace(table, images=True, note=form.note(x))
    if spec.split is None:
        return table
    import pandas as pd

    return replace(table, aside={FOLDER: pd.Series(known.parts)})


def proposed(folder: Path) -> DataSpec:
    """How a study should read a folder: by its splits, where it has some; and in which size, where
    images differ in it or are large."""
    parts = splits(folder)
    spec = DataSpec(path=str(folder))
    if "validation" in parts:
        spec = DataSpec(path=str(folder), split=FOLDER)
    elif parts:
        spec = DataSpec(path=str(parts["train"]), test_path=str(parts["test"]))
    known = labelled(Path(spec.path or ""), spec)
    if known is None:
        return spec
    kinds = [_kind(file) for file in known.files]
    largest = max(max(kind.width, kind.height) for kind in kinds)
    if len({kind.size for kind in kinds}) == 1 and largest <= KEPT:
        return spec
    return replace(spec, resize=_size_for(kinds))


# The folders for classes and splits.


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


# From a file to pixels.


@dataclass(frozen=True)
class Kind:
    """Size and colour of an image, by its header alone.

    Attributes:
        width, height: in pixels, after turning as EXIF says.
        grey: of one channel.
        deep: of 16 bits.
    """

    width: int
    height: int
    grey: bool
    deep: bool = False

    @property
    def size(self) -> str:
        return f"{self.width} x {self.height}"


@dataclass(frozen=True)
class Form:
    """What all images of a folder become.

    Attributes:
        channels: 1 where all are grey, else 3.
        size: height and width.
        kinds: of each image.
    """

    channels: int
    size: tuple[int, int]
    kinds: tuple[Kind, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.channels, *self.size)

    def note(self, x: NDArray[np.uint8] | None) -> str:
        """For people: what was changed to make these rows [N, C, H, W]; None where they are not in
        memory."""
        deep = np.array([kind.deep for kind in self.kinds])
        notes = []
        if deep.any():
            notes.append(f"{deep.sum():,} images of 16 bits are divided by 256")
            greys = math.inf if x is None else int(x[deep].max()) + 1
            if greys <= FEW_GREYS:
                few = f"which leaves {greys} greys: they use a small part of the 16 bits"
                notes[-1] += f", {few}, and arrays in NPZ keep all values"
        sides = [(kind.height, kind.width) for kind in self.kinds]
        if any(each != self.size for each in sides):
            height, width = self.size
            low, high = min(self.kinds, key=_area), max(self.kinds, key=_area)
            given = low.size if low.size == high.size else f"{low.size} to {high.size}"
            notes.append(
                f"images of {given} pixels are resized to {width} x {height}, whole, whatever "
                "their proportions"
            )
        return "; ".join(notes)


FEW_GREYS = 64
"""So few greys that are left of 16 bits are said."""


def _area(kind: Kind) -> int:
    return kind.width * kind.height


def form_of(files: Sequence[Path], resize: tuple[int, ...] | None) -> Form:
    """The channels and the size of all images together, by their headers alone.

    Args:
        resize: height and width; by default those that all images have.

    Raises:
        DataError: no Pillow, an image that is none, images of several sizes without `resize`.
    """
    kinds = tuple(_kind(file) for file in files)
    channels = 1 if all(kind.grey for kind in kinds) else 3
    first = kinds[0]
    if resize is not None:
        height, width = resize
        return Form(channels, (height, width), kinds)
    for file, kind in zip(files, kinds, strict=True):
        if kind.size != first.size:
            proposal = list(_size_for(kinds))
            raise DataError(
                f"{kind.size} pixels, but {files[0]} has {first.size}",
                where=str(file),
                hint=f"set resize = {proposal} in [data]: the height and width of all images",
            )
    return Form(channels, (first.height, first.width), kinds)


def _size_for(kinds: Sequence[Kind]) -> tuple[int, int]:
    """Height and width near the medians, at most LONGEST, and multiples of 8, which are halved
    thrice."""
    height, width = median(k.height for k in kinds), median(k.width for k in kinds)
    factor = min(1.0, LONGEST / max(height, width))
    return max(8, 8 * round(height * factor / 8)), max(8, 8 * round(width * factor / 8))


def decoded(file: Path, size: tuple[int, int], channels: int) -> NDArray[np.uint8]:
    """uint8 [C, H, W] of one image.

    An image of another size is resized whole, so that its proportions change where those of `size`
    are others; each pixel is a weighted mean of those that it covers, so that none is left out.

    Args:
        size: height and width.
        channels: 1 for grey, 3 for colour.

    Raises:
        DataError: no Pillow, an image that cannot be read or has 32 bits.
    """
    height, width = size
    with _opened(file) as image:
        from PIL.Image import Resampling

        try:
            seen = _opaque(_turned(image, file)).convert("L" if channels == 1 else "RGB")
            if seen.size != (width, height):
                seen = seen.resize((width, height), Resampling.BILINEAR)
            pixels = np.asarray(seen)
        except DAMAGED as error:
            raise _unreadable(file, error) from error
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def stacked(
    files: Sequence[Path], shape: tuple[int, ...], resize: tuple[int, ...] | None = None
) -> NDArray[np.uint8]:
    """uint8 [N, C, H, W] of images that all have the shape [C, H, W], or as many numbers as it.

    Args:
        resize: height and width to which each is resized first, as those of the training were.

    Raises:
        DataError: no Pillow, an image that cannot be read, one of another size or in colour where
            C = 1.
    """
    images = []
    for file in files:
        kind = _kind(file)
        height, width = (kind.height, kind.width) if resize is None else resize
        channels = next((c for c in (1, 3) if _fits((c, height, width), shape)), None)
        if channels is None or (channels == 1 and not kind.grey):
            what = f"{kind.size} pixels{'' if kind.grey else ' in colour'}"
            hint = "convert it to the size and colours of the training images"
            message = f"{what}, but a row has shape {list(shape)}"
            raise DataError(message, where=str(file), hint=hint)
        images.append(decoded(file, (height, width), channels))
    return np.stack(images)


def _fits(shape: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return shape == other if len(other) == 3 else math.prod(shape) == math.prod(other)


def _kind(file: Path) -> Kind:
    with _opened(file) as image:
        deep = image.mode in DEEP or (image.mode == "I" and image.format in SIXTEEN)
        if image.mode in WIDE and not deep:
            raise DataError(
                f"its pixels have 32 bits (mode {image.mode}), and no format says what is white",
                where=str(file),
                hint="save it with 8 or 16 bits; or put all images as x [N, H, W, 1] and the "
                "labels as y into an NPZ file, which keeps every value",
            )
        try:
            stored = _stored_size(image)
        except DAMAGED as error:
            raise _unreadable(file, error) from error
        width, height = stored[::-1] if _orientation(image) > 4 else stored
        return Kind(width, height, image.mode in GREY or deep, deep)


def _stored_size(image: Image) -> tuple[int, int]:
    """Width and height before turning, which some versions of Pillow have swapped for a TIFF."""
    if image.format == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]
        return int(tags[256]), int(tags[257])
    return image.size


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


def _turned(image: Image, file: Path) -> Image:
    """The image as it was held, in 8 bits."""
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
    orientation = _orientation(image)
    if image.format == "TIFF" and orientation > 1:
        image = _opened(file, _upright(file))
    image = _of_eight_bits(image)
    return image if orientation == 1 else image.transpose(ways[orientation - 2])


def _of_eight_bits(image: Image) -> Image:
    """Greys of 16 bits divided by 256; all else as it is."""
    from PIL import Image as Images

    if image.mode not in (*DEEP, *WIDE):
        return image
    return Images.fromarray((np.asarray(image) >> 8).astype(np.uint8))


def _upright(file: Path) -> io.BytesIO:
    """A TIFF that is to be turned, without its tag for that: Pillow would turn it itself, and
    garbles one that lies on its side and is not compressed."""
    content = bytearray(file.read_bytes())
    order = "<" if content[:2] == b"II" else ">"
    magic, start = struct.unpack_from(f"{order}HI", content, 2)
    if magic != 42:
        raise ValueError("a BigTIFF that is to be turned: save it upright, or as PNG")
    (count,) = struct.unpack_from(f"{order}H", content, start)
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        if struct.unpack_from(f"{order}H", content, entry) == (ORIENTATION,):
            struct.pack_into(f"{order}H", content, entry + 8, 1)
    return io.BytesIO(content)


DAMAGED = (
    *(OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError),
    *(AttributeError, struct.error, zlib.error),
)
"""What Pillow raises for files that are damaged, by format."""


def _opened(file: Path, content: io.BytesIO | None = None) -> Image:
    """An image of a file, or of its changed content."""
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError(
            "reading images needs Pillow", where=str(file), hint="pip install 'tuner[images]'"
        ) from error
    try:
        return Image.open(file if content is None else content)
    except (*DAMAGED, Image.DecompressionBombError) as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: Exception) -> DataError:
    return DataError(
        f"cannot be read as an image: {error}", where=str(file), hint="repair or remove it"
    )
