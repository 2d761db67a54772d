"""Large arrays of an archive, read from its file as they are needed."""

from __future__ import annotations

import math
import mmap
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

LARGE = 2**20
"""Bytes; smaller arrays are read at once."""
HEADERS: Mapping[tuple[int, int], Callable[[IO[bytes]], tuple[tuple[int, ...], bool, Any]]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class Mapped(mmap.mmap):
    """A file in memory whose pages can be let go of at any time."""


def open_member(file: Path, name: str) -> NDArray[Any] | None:
    """An array of numbers in an archive of NumPy; None for others, and for small ones.

    A packed one is unpacked into a temporary file that nobody else sees.

    Raises:
        ValueError, OSError, zipfile.BadZipFile: what there is is no such array.
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
            return _numbers(plain, _place(plain, info) + stream.tell(), dtype, count)
    with tempfile.TemporaryFile() as unpacked:
        shutil.copyfileobj(stream, unpacked, LARGE)
        unpacked.flush()
        return _numbers(unpacked, 0, dtype, count)


def _place(file: IO[bytes], info: zipfile.ZipInfo) -> int:
    """Where a member begins, after a header of its own."""
    file.seek(info.header_offset + 26)
    name, extra = struct.unpack("<HH", file.read(4))
    return int(info.header_offset + 30 + name + extra)


def _numbers(file: IO[bytes], start: int, dtype: Any, count: int) -> NDArray[Any]:
    memory = Mapped(file.fileno(), start + count * dtype.itemsize, access=mmap.ACCESS_READ)
    return np.frombuffer(memory, dtype, count, start)


def let_go(x: NDArray[Any]) -> None:
    """Frees the memory that a mapped array takes until it is looked at again; no other's."""
    base: Any = x
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    if isinstance(base, Mapped):
        base.madvise(mmap.MADV_DONTNEED)
