"""The IDX files of MNIST and of the sets made after it (LeCun, Cortes and Burges 1998)."""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.data.layout import opened
from tuner.data.spec import DataSpec
from tuner.data.table import Table, from_arrays
from tuner.errors import DataError

NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
"""In a folder: the first two are for training and validation, the others for the test."""
TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def read_folder(folder: Path, spec: DataSpec) -> Table | None:
    """The training pair of a folder with the four standard names; None where there is none of them.

    Raises:
        DataError: one of the four is not there, or the training pair cannot be read.
    """
    found = _four(folder)
    return None if found is None else replace(_pair(*found[:2]), held=True)


def read_test(folder: Path) -> Table:
    """The test pair of such a folder."""
    found = _four(folder)
    if found is None:
        raise DataError("no files of MNIST", where=str(folder))
    return _pair(*found[2:])


def _four(folder: Path) -> list[Path] | None:
    found = [_named(folder, name) for name in NAMES]
    if not any(found):
        return None
    missing = [name for name, file in zip(NAMES, found, strict=True) if file is None]
    if missing:
        raise DataError(
            f"no file {missing[0]}",
            where=str(folder),
            hint=f"four files are needed, each may end in .gz: {', '.join(NAMES)}",
        )
    return [file for file in found if file is not None]


def read_pair(file: Path, spec: DataSpec) -> Table:
    """A file of images, whose labels are beside it: ...-labels-idx1-ubyte."""
    name = file.name.replace("images", "labels").replace("idx3", "idx1").removesuffix(".gz")
    labels = _named(file.parent, name)
    if labels is None:
        raise DataError(f"no labels beside it: {name}", where=str(file))
    return _pair(file, labels)


def _named(folder: Path, name: str) -> Path | None:
    dotted = name.replace("-idx", ".idx")
    tried = (folder / f"{each}{packed}" for each in (name, dotted) for packed in ("", ".gz"))
    return next((file for file in tried if file.is_file()), None)


def _pair(images: Path, labels: Path) -> Table:
    x, y = read_array(images), read_array(labels)
    if len(x) != len(y):
        raise DataError(
            f"{len(x)} images, and {labels.name} has {len(y)} labels",
            where=str(images),
            hint="these two files do not belong together",
        )
    return from_arrays(x[:, None] if x.ndim == 3 else x, y, str(images))


def read_array(file: Path) -> NDArray[Any]:
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
            "is no IDX file: it begins otherwise",
            where=str(file),
            hint=f"images begin with 00 00 08 03, it with {content[:4].hex(' ') or 'nothing'}",
        )
    shape = struct.unpack(f">{sides}I", content[4:start])
    dtype = np.dtype(TYPES[kind])
    if len(content) - start != math.prod(shape) * dtype.itemsize:
        size = " x ".join(map(str, shape))
        raise DataError(
            f"its header says {size} numbers, and {len(content) - start} bytes follow",
            where=str(file),
            hint="the file is damaged: fetch it again",
        )
    array = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return array if dtype.itemsize == 1 else array.astype(dtype.newbyteorder("="))
