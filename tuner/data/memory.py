"""Reads large tables in little memory: in chunks, into narrow columns."""

from __future__ import annotations

import ctypes
import gc
import mmap
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tuner.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


# Columns of a large table in as few bytes as they need, each in memory of its own.
#
# Whole numbers stay exact: they take the smallest integers that hold them. Other numbers become
# float32, as the features will be, where that moves none by more than some 2e-6 of the column's
# deviation; where it would, as for coordinates or amounts with a large mean, they stay float64.
# All statistics are computed in float64.


OFFSET = 32.0
"""Float32 keeps 24 bits: at a mean of so many deviations it moves a number by 2e-6 of one."""
WITH_FRACTIONS = 2.0**22
"""Float32 has no fractions, so that numbers could look like identifiers, from twice as much on."""
SMALLEST = 2.0**-100
"""Deviations down to which float32 has all its bits."""
SMALL = 2**16
"""Bytes; smaller arrays come from the allocator, which reuses freed memory for later ones."""


def fresh(count: int, dtype: Any) -> NDArray[Any]:
    """An array [count] whose memory goes back to the system when it is freed, and which takes only
    as much as is written."""
    size = count * np.dtype(dtype).itemsize
    if size < SMALL:
        return np.empty(count, dtype)
    return np.frombuffer(mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), dtype)


def give_back() -> None:
    """Returns freed memory that the allocator holds to the system, where it can (glibc)."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


class Mapped(mmap.mmap):
    """A file in memory whose pages can be freed at any time."""


def let_go(x: NDArray[Any]) -> None:
    """Frees the memory of a mapped array until it is read again; other arrays stay as they are."""
    base: Any = x
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    if isinstance(base, Mapped):
        base.madvise(mmap.MADV_DONTNEED)


CACHE = "TUNER_CACHE"
"""The environment variable that names a folder for such files."""
ALIGNED = 64
"""Arrays in a file begin at a multiple of so many bytes."""
Placed = tuple[str, int, int]
"""The type of an array in a file, how many numbers it has, and where it begins."""


def write_array(file: IO[bytes], pieces: Iterable[NDArray[Any]]) -> Placed:
    """Writes an array [n], from its pieces of one type, at the end of a file."""
    start = -(-file.tell() // ALIGNED) * ALIGNED
    file.seek(start)
    count, dtype = 0, np.dtype(np.int8)
    for piece in pieces:
        count, dtype = count + len(piece), piece.dtype
        file.write(np.ascontiguousarray(piece).data)
    return dtype.str, count, start


def arrays_in(file: IO[bytes], placed: Sequence[Placed]) -> list[NDArray[Any]]:
    """The arrays in a file, which may be closed: they stay there until they are read."""
    file.flush()
    mapped = Mapped(file.fileno(), 0, access=mmap.ACCESS_READ)
    return [np.frombuffer(mapped, dtype, count, start) for dtype, count, start in placed]


def put_away(arrays: Iterable[NDArray[Any]], folder: Path) -> list[NDArray[Any]]:
    """Arrays [n] as those of a file without a name, which is there as long as they are.

    Raises:
        DataError: there is no room for it.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            placed = [write_array(file, [array]) for array in arrays]
            return arrays_in(file, placed)
    except OSError as error:
        raise no_cache(f"the cache cannot be written: {error}", folder) from error


def no_cache(what: str, folder: Path) -> DataError:
    """The error of a folder for files of columns or rows that cannot be used."""
    hint = f"name a folder with enough room: export {CACHE}=FOLDER"
    return DataError(what, where=str(folder), hint=hint)


def narrow(values: NDArray[Any]) -> NDArray[Any]:
    """The numbers [n] in fewer bytes, where these are precise enough; NaN stays NaN."""
    if values.dtype.kind in "iu":
        return values.astype(_whole(values))
    if values.dtype != np.float64:
        return values
    with np.errstate(over="ignore"):
        small = values.astype(np.float32)
    present = ~np.isnan(values)
    wide = values[present]
    return small if np.array_equal(small[present], wide) or _harmless(wide) else values


def _whole(values: NDArray[Any]) -> np.dtype[Any]:
    """The smallest integers of the same kind that hold all."""
    low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    known = [np.dtype(f"{values.dtype.kind}{size}") for size in (1, 2, 4, 8)]
    fits = (each for each in known if np.iinfo(each).min <= low and high <= np.iinfo(each).max)
    return next(fits)


def _harmless(values: NDArray[Any]) -> bool:
    """Whether float32 is enough for numbers that it does not hold exactly."""
    if not np.abs(values).max() < WITH_FRACTIONS or (values == np.floor(values)).all():
        return False
    mean, deviation = abs(float(values.mean())), float(values.std())
    return deviation > SMALLEST and mean <= OFFSET * deviation


class Grown:
    """Numbers that come piece by piece, narrowed or as they are."""

    def __init__(self, narrowed: bool) -> None:
        self._narrowed = narrowed
        self._held: NDArray[Any] = np.empty(0, np.int8)
        self._count = 0

    def add(self, values: NDArray[Any]) -> None:
        """The next numbers [n]."""
        small = narrow(values) if self._narrowed else values
        dtype = np.result_type(self._held, small) if self._count else small.dtype
        start, self._count = self._count, self._count + len(small)
        if dtype != self._held.dtype or self._count > len(self._held):
            larger = fresh(max(self._count, 2 * start), dtype)
            larger[:start] = self._held[:start]
            self._held = larger
        self._held[start : self._count] = small

    @property
    def values(self) -> NDArray[Any]:
        """All numbers so far."""
        return self._held[: self._count]


@contextmanager
def uncollected() -> Iterator[None]:
    """Turns the garbage collector off: for a very wide table it takes a third of the time and frees
    nothing."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


# A large table from pieces of it, so that it is never in memory as it is read.


CELLS = 2**17
"""Cells of a table that are read at a time."""
ROWS = 256
"""Rows that are read at a time however wide a table is: each piece costs some time a column."""


def by_rows(
    pieces: Iterator[pd.DataFrame],
    whole: Callable[[list[int]], pd.DataFrame],
    exact: Collection[str],
) -> pd.DataFrame:
    """A table from pieces of its rows; a table of one piece stays as it is.

    Columns that are numbers in each piece are narrowed. Those that are numbers in some pieces only
    are read again in one piece.

    Args:
        pieces: of some rows each.
        whole: from places of columns to a table of these in one piece.
        exact: the columns that are not to be narrowed.
    """
    import pandas as pd

    first = next(pieces)
    second = next(pieces, None)
    if second is None:
        return first
    names = list(first.columns)
    growing = {at: Growing(name not in exact) for at, name in enumerate(names)}
    for piece in chain([first], [second], pieces):
        odd = [at for at, column in growing.items() if not column.take(piece.iloc[:, at])]
        for at in odd:
            del growing[at]
    rest = [at for at in range(len(names)) if at not in growing]
    others = whole(rest) if rest else first
    columns = {
        name: growing.pop(at).whole() if at in growing else others.iloc[:, rest.index(at)]
        for at, name in enumerate(names)
    }
    return pd.DataFrame(columns, copy=False)


class Growing:
    """A column whose pieces come one after the other: all of them numbers, or all text."""

    def __init__(self, narrowed: bool) -> None:
        self._numbers = Grown(narrowed)
        self._texts: list[pd.Series[Any]] = []

    def take(self, piece: pd.Series[Any]) -> bool:
        """Whether the next piece is of the same kind as those before."""
        from pandas.api.types import infer_dtype

        if piece.dtype.kind in "if" and not self._texts:
            self._numbers.add(piece.to_numpy())
            return True
        text = not len(self._numbers.values) and infer_dtype(piece, skipna=True) == "string"
        self._texts += [piece] * text
        return text

    def whole(self) -> Any:
        """The column."""
        import pandas as pd

        return pd.concat(self._texts) if self._texts else self._numbers.values


def by_columns(
    read: Callable[[list[str]], pd.DataFrame],
    names: list[str],
    rows: int,
    exact: Collection[str],
) -> pd.DataFrame:
    """A table from pieces of its columns, numbers narrowed; a small one is read as it is.

    Args:
        read: from names to a table of these columns.
        names: of all columns.
        rows: of the table.
        exact: the columns that are not to be narrowed.
    """
    import pandas as pd

    if rows * len(names) <= CELLS:
        return read(names)
    columns = {}
    size = max(1, CELLS // rows)
    for start in range(0, len(names), size):
        piece = read(names[start : start + size]).reset_index(drop=True)  # that of a saved frame
        for at, name in enumerate(piece.columns):
            columns[name] = piece.iloc[:, at]
            if str(name) not in exact and columns[name].dtype in NUMBERS:
                column = Grown(True)
                column.add(columns[name].to_numpy())
                columns[name] = pd.Series(column.values, copy=False)
    return pd.DataFrame(columns, copy=False)


NUMBERS = ("int64", "int32", "uint64", "uint32", "float64")
