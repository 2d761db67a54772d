"""Arrays in files: NumPy's archives and the IDX files of MNIST."""

from __future__ import annotations

import math
import mmap
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from tuner.data.memory import Mapped
from tuner.data.spec import DataSpec
from tuner.data.tables import Table, from_arrays, opened
from tuner.errors import DataError, nearest

# Large arrays of an archive, read from its file as they are needed.


LARGE = 2**20
"""Bytes; smaller arrays are read at once."""
HEADERS: Mapping[tuple[int, int], Callable[[IO[bytes]], tuple[tuple[int, ...], bool, Any]]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def open_member(file: Path, name: str) -> NDArray[Any] | None:
    """An array of numbers in an archive of NumPy; None for others, and for small ones.

    A packed one is unpacked into a temporary file without a name.

    Raises:
        ValueError, OSError, zipfile.BadZipFile: the archive or the array is damaged.
    """
    with zipfile.ZipFile(file) as archive:
        if name not in archive.namelist() or archive.getinfo(name).file_size < LARGE:
            return None
        info = archive.getinfo(name)
        with archive.open(info) as stream:
            version = np.lib.format.read_magic(stream)
            if version not in HEADERS:
                return None
            shape, fortran, dtype = HEADERS[version](stream)
            start, count = stream.tell(), math.prod(shape)
            if dtype.kind not in "biuf":
                return None
            if count * dtype.itemsize != info.file_size - start:
                raise ValueError(f"{name} is not as long as its header says")
            flat = _flat(file, info, stream, dtype, count)
    return flat.reshape(shape, order="F" if fortran else "C")


def _flat(
    file: Path, info: zipfile.ZipInfo, stream: IO[bytes], dtype: Any, count: int
) -> NDArray[Any]:
    if info.compress_type == zipfile.ZIP_STORED:
        with file.open("rb") as plain:
            return _numbers(plain, _member_start(plain, info) + stream.tell(), dtype, count)
    with tempfile.TemporaryFile() as unpacked:
        shutil.copyfileobj(stream, unpacked, LARGE)
        unpacked.flush()
        return _numbers(unpacked, 0, dtype, count)


def _member_start(file: IO[bytes], info: zipfile.ZipInfo) -> int:
    """The position in the file where a member begins, after its header."""
    file.seek(info.header_offset + 26)
    name, extra = struct.unpack("<HH", file.read(4))
    return int(info.header_offset + 30 + name + extra)


def _numbers(file: IO[bytes], start: int, dtype: Any, count: int) -> NDArray[Any]:
    memory = Mapped(file.fileno(), start + count * dtype.itemsize, access=mmap.ACCESS_READ)
    return np.frombuffer(memory, dtype, count, start)


# Arrays in NumPy's archives.


def read_npz(file: Path, spec: DataSpec) -> Table:
    """The arrays `x` and `y`, or those that `features` and `target` name: [N, ...] and [N]; and
    that which `weight` names, [N].

    Raises:
        DataError: no such arrays, no archive, or arrays of objects, which could run code.
    """
    names = (spec.features or "x", *(spec.targets or ("y",)))
    weighing = () if spec.weight is None else (spec.weight,)
    try:
        with np.load(file, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise DataError("holds a single array, not an archive of arrays", where=str(file))
            for name in (*names, *weighing):
                if name not in archive.files:
                    raise DataError(
                        f"no array {name!r}",
                        where=str(file),
                        hint=f"{nearest(name, archive.files)}; set features and target to these",
                    )
            large = open_member(file, f"{names[0]}.npy")
            x, y = archive[names[0]] if large is None else large, archive[names[1]]
            weight = None if spec.weight is None else archive[spec.weight]
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        objects = "save numbers or text, not objects: x.astype(float)"
        raise DataError(
            f"cannot be read as arrays: {error}",
            where=str(file),
            hint=objects * ("Object arrays" in str(error)),
        ) from error
    return from_arrays(x, y, str(file), weight=weight)


SAMPLE = 1000
"""Rows that show whether an array holds images."""
SIDE = 8
"""The shortest side of images that are taken for such."""


def proposed(file: Path, target: str | None) -> DataSpec:
    """How a study may read an archive: the names of its arrays, where these are not `x` and `y`,
    and rows that look like grey images as such; errors are left to the reader."""
    spec = DataSpec(path=str(file), target=target)
    try:
        with np.load(file, allow_pickle=False) as archive:
            names = list(getattr(archive, "files", []))
            y = target or _named("y", names)
            x = _named("x", names) or _only([name for name in names if name != y], archive)
            y = y or _only([name for name in names if name != x], archive)
            if x is None or y is None:
                return spec
            large = open_member(file, f"{x}.npy")
            rows = archive[x] if large is None else large
    except (OSError, EOFError, ValueError, zipfile.BadZipFile):
        return spec
    shape = (1, *rows.shape[1:]) if _are_grey(rows) else None
    features, target = x if x != "x" else None, y if y != "y" else None
    return replace(spec, features=features, target=target, shape=shape)


def _named(name: str, names: list[str]) -> str | None:
    return next((each for each in (name, name.upper()) if each in names), None)


def _only(names: list[str], archive: Any) -> str | None:
    """The one array of several numbers or texts, where there is one."""
    some = [name for name in names if archive[name].ndim > 0]
    return some[0] if len(some) == 1 else None


def _are_grey(rows: NDArray[Any]) -> bool:
    """Whether rows [N, H, W] may be images: square, and bytes or in their range."""
    if rows.ndim != 3 or rows.shape[1] != rows.shape[2] or rows.shape[1] < SIDE:
        return False
    some = rows[:SAMPLE]
    return rows.dtype == np.uint8 or bool(len(some) and some.min() >= 0 and some.max() <= 255)


# The IDX files of MNIST and of the sets made after it (LeCun, Cortes and Burges 1998).


NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
"""In a folder: the first two are for training and validation, the others for the test."""
TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def read_idx_folder(folder: Path, spec: DataSpec) -> Table | None:
    """The training pair of a folder with the four standard names; None where there is none of them.

    Raises:
        DataError: one of the four is not there, or the training pair cannot be read.
    """
    files = _idx_files(folder)
    return None if files is None else replace(_pair(*files[:2]), held=True)


def read_idx_test(folder: Path) -> Table:
    """The test pair of such a folder."""
    files = _idx_files(folder)
    if files is None:
        raise DataError("the folder holds no MNIST files", where=str(folder))
    return _pair(*files[2:])


def _idx_files(folder: Path) -> list[Path] | None:
    files = [_idx_file(folder, name) for name in NAMES]
    if not any(files):
        return None
    missing = [name for name, file in zip(NAMES, files, strict=True) if file is None]
    if missing:
        raise DataError(
            f"no file {missing[0]}",
            where=str(folder),
            hint=f"all four files are needed, gzipped or not: {', '.join(NAMES)}",
        )
    return [file for file in files if file is not None]


def read_pair(file: Path, spec: DataSpec) -> Table:
    """A file of images, whose labels are beside it: ...-labels-idx1-ubyte."""
    name = file.name.replace("images", "labels").replace("idx3", "idx1").removesuffix(".gz")
    labels = _idx_file(file.parent, name)
    if labels is None:
        raise DataError(f"its labels are missing: no file {name} beside it", where=str(file))
    return _pair(file, labels)


def _idx_file(folder: Path, name: str) -> Path | None:
    dotted = name.replace("-idx", ".idx")
    tried = (folder / f"{each}{packed}" for each in (name, dotted) for packed in ("", ".gz"))
    return next((file for file in tried if file.is_file()), None)


def _pair(images: Path, labels: Path) -> Table:
    x, y = read_idx(images), read_idx(labels)
    if len(x) != len(y):
        raise DataError(
            f"{len(x)} images, but {labels.name} has {len(y)} labels",
            where=str(images),
            hint="these two files do not belong together",
        )
    return from_arrays(x[:, None] if x.ndim == 3 else x, y, str(images))


def read_idx(file: Path) -> NDArray[Any]:
    """The array in an IDX file, gzipped or not; DataError for one that is no IDX."""
    try:
        with opened(file) as stream:
            content = stream.read()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot be read: {error}", where=str(file)) from error
    zero, kind, sides = struct.unpack(">HBB", content[:4]) if len(content) >= 4 else (1, 0, 0)
    start = 4 + 4 * sides
    if zero or kind not in TYPES or not sides or len(content) < start:
        raise DataError(
            "is not an IDX file",
            where=str(file),
            hint=f"images begin with the bytes 00 00 08 03, this file with "
            f"{content[:4].hex(' ') or 'nothing'}",
        )
    shape = struct.unpack(f">{sides}I", content[4:start])
    dtype = np.dtype(TYPES[kind])
    if len(content) - start != math.prod(shape) * dtype.itemsize:
        size = " x ".join(map(str, shape))
        raise DataError(
            f"its header announces {size} numbers, but {len(content) - start} bytes follow",
            where=str(file),
            hint="the file is damaged: download it again",
        )
    array = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return array if dtype.itemsize == 1 else array.astype(dtype.newbyteorder("="))
