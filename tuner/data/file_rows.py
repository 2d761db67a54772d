"""Rows as a network takes them, in a file of the cache, from which a training reads those it needs.

They are for tables that are too large for memory: rows of a file are read faster than they are made
of a table's columns.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from tuner.data.cached import cached_file, digest_of
from tuner.data.prepare import CHUNK
from tuner.data.recipe import Recipe
from tuner.data.rows import Following, Order, Ordered, Taking
from tuner.data.splits import Places
from tuner.data.tables import Table
from tuner.devices import upload
from tuner.errors import DataError
from tuner.lazy_torch import Tensor, torch

Array = NDArray[Any]
CPU = torch.device("cpu")


class RowFile:
    """Rows of float32 numbers in a file, read by their places.

    Args:
        file: open; it may have lost its name.
        width: numbers of a row.
    """

    SPARSE = 8
    """Rows that are so many times further apart are read one by one."""

    def __init__(self, file: IO[bytes], width: int) -> None:
        self._path, self.width = file.name, width
        self._file: IO[bytes] | None = file

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_file": None}

    def read(self, places: Places) -> NDArray[np.float32]:
        """Rows [n, width]; DataError where the file is no longer there for another process."""
        if self._file is None:
            try:
                self._file = Path(self._path).open("rb")  # noqa: SIM115 - it is read for long
            except OSError as error:
                what = f"the rows in the cache cannot be read: {error}"
                raise DataError(what, where=self._path, hint="start the command again") from error
        if len(places) == 0:
            return np.empty((0, self.width), np.float32)
        low, high = int(places.min()), int(places.max()) + 1
        near = high - low <= self.SPARSE * len(places)
        if near and (high - low) * self.width <= CHUNK:
            return self._rows(self._bytes(low, high - low))[places - low]
        if near and len(places) > 1 and (np.diff(places) > 0).all():
            half = len(places) // 2
            return np.concatenate((self.read(places[:half]), self.read(places[half:])))
        return self._rows(bytearray().join(self._bytes(each, 1) for each in places.tolist()))

    def _rows(self, data: bytes | bytearray) -> NDArray[np.float32]:
        return np.frombuffer(data, np.float32).reshape(-1, self.width)

    def _bytes(self, place: int, count: int) -> bytes:
        assert self._file is not None
        size = 4 * self.width
        data = os.pread(self._file.fileno(), count * size, place * size)
        if len(data) != count * size:
            hint = "delete it, and start the command again"
            raise DataError("a file of the cache is too short", where=self._path, hint=hint)
        return data


@dataclass(frozen=True, eq=False)
class Packing:
    """How rows of numbers take less room: of the numbers of a categorical column, which are 0 but
    for one, the place of that one is enough, and -1 where none is 1.

    Attributes:
        width: numbers of a row.
        categories: where those of each categorical column stand in a row.
    """

    width: int
    categories: tuple[range, ...]

    @cached_property
    def plain(self) -> NDArray[np.int64]:
        """Where the other numbers stand."""
        others = np.ones(self.width, bool)
        for each in self.categories:
            others[each.start : each.stop] = False
        return np.flatnonzero(others)

    @property
    def packed(self) -> int:
        """Numbers of a packed row."""
        return len(self.plain) + len(self.categories)

    def pack(self, rows: Array) -> NDArray[np.float32]:
        """Rows [n, width] as [n, packed]."""
        if not self.categories:
            return rows
        codes = [_code(rows[:, each.start : each.stop]) for each in self.categories]
        return np.column_stack((rows[:, self.plain], *codes)).astype(np.float32, copy=False)

    def unpack(self, packed: Array) -> NDArray[np.float32]:
        """The rows again."""
        if not self.categories:
            return packed
        rows = np.zeros((len(packed), self.width), np.float32)
        rows[:, self.plain] = packed[:, : len(self.plain)]
        codes = packed[:, len(self.plain) :].astype(np.int64)
        places = codes + np.array([each.start for each in self.categories])
        known = codes >= 0
        rows[np.nonzero(known)[0], places[known]] = 1.0
        return rows


def _code(hot: Array) -> Array:
    return np.where(hot.any(axis=1), hot.argmax(axis=1), -1)


@dataclass(frozen=True, eq=False)
class FileRows(Ordered):
    """Rows that are read from a file as they are needed, each number (value - shift) / scale.

    Attributes:
        file: with packed rows.
        packing: of these.
        size: the shape of a row.
        places: which rows of the file these are.
        shift, scale: go with [n, *size]; None where the rows are as they are.
        device, dtype: of the rows that are given.
    """

    file: RowFile
    packing: Packing
    size: tuple[int, ...]
    places: Places
    shift: Tensor | None = None
    scale: Tensor | None = None
    device: torch.device = CPU
    dtype: torch.dtype = torch.float32

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, wanted: Tensor | slice) -> Tensor:
        """Some of the rows."""
        places = self.places[wanted if isinstance(wanted, slice) else wanted.cpu().numpy()]
        rows = self.packing.unpack(self.file.read(places)).reshape(len(places), *self.size)
        given = torch.from_numpy(rows).to(self.dtype)
        if self.shift is not None and self.scale is not None:
            given = given.sub_(self.shift.to(self.dtype)).div_(self.scale.to(self.dtype))
        return upload(given, self.device)

    def epoch(self, order: Order, seed: int, following: Following | None = None) -> Taking:
        def taken(batches: Sequence[Tensor], rows: Tensor) -> Sequence[Tensor]:
            return torch.split(self[torch.cat(tuple(batches))], [len(batch) for batch in batches])

        return taken

    def slices(self, size: int) -> Iterator[Tensor]:
        return (self[start : start + size] for start in range(0, max(1, len(self)), size))

    def part(
        self, places: Places, shift: Tensor | None = None, scale: Tensor | None = None
    ) -> FileRows:
        """Some of the rows, perhaps by other statistics."""
        return replace(self, places=self.places[places], shift=shift, scale=scale)

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self.places), *self.size))

    def is_floating_point(self) -> bool:
        return True

    def to(self, where: torch.device | torch.dtype | str) -> FileRows:
        """The same rows on a device or in a precision."""
        if isinstance(where, torch.dtype):
            return replace(self, dtype=where)
        return replace(self, device=torch.device(where))


def rows_in_file(
    table: Table, recipe: Recipe, wanted: Places, source: str, places: Places
) -> FileRows:
    """Some rows of a table as inputs of a network.

    Args:
        wanted: which rows of the table.
        source: a digest of all rows of the source.
        places: where the wanted ones are among these.
    """
    size = tuple(recipe.shape)
    packing = Packing(int(np.prod(size)), recipe.categories)
    which = hashlib.blake2b(np.ascontiguousarray(places, np.int64).data, digest_size=16)
    name = f"rows-{digest_of(source, which.hexdigest(), recipe.to_json())}"
    step = max(1, CHUNK // packing.width)

    def write(file: IO[bytes]) -> None:
        for start in range(0, len(wanted), step):
            some = wanted[start : start + step]
            part = replace(table, columns=tuple(raw.part(some) for raw in table.columns))
            rows = recipe.rows(part, np.arange(len(some))).reshape(len(some), -1)
            file.write(np.ascontiguousarray(packing.pack(rows)).data)

    file = RowFile(cached_file(name, write), packing.packed)
    return FileRows(file, packing, size, np.arange(len(wanted)))
