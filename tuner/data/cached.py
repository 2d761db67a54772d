"""Reads tables that are too large for memory into a file of their columns, in a cache.

A table is read once, some rows at a time. All that decides about columns then takes them from the
file one after the other, as it takes those in memory, and gives the same numbers. The cache is a
folder that the workers of a machine share, and that may be deleted at any time: what is in it is
made again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tuner.data import memory
from tuner.data.prepare import CHUNK
from tuner.data.raw import RawColumn, raw_columns
from tuner.data.tables import Layout, decimal_comma, file_errors, opened
from tuner.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[Any]


# The cache: files by name, made once, the oldest of which are deleted.


VERSION = 1
"""Of the files: one higher where the same name would mean other numbers."""
UNUSED = 30 * 86400
"""Seconds after which a file is deleted that nobody has asked for."""
KINDS = ("columns-", "rows-", "part-")
"""What the names of the files begin with, the last while they are written."""
LOCKS = 16


def cache_folder() -> Path:
    """The folder of the cache: that in TUNER_CACHE, or one of this user in TMPDIR.

    Raises:
        DataError: it cannot be made, or belongs to somebody else.
    """
    given = os.environ.get(memory.CACHE, "")
    user = os.getuid()
    folder = Path(given) if given else Path(tempfile.gettempdir()) / f"tuner-cache-{user}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = folder.stat().st_uid
    except OSError as error:
        raise memory.no_cache(f"the cache cannot be made: {error}", folder) from error
    if not given and owner != user:
        raise memory.no_cache("the folder of the cache belongs to another user", folder)
    return folder


def digest_of(*parts: Any) -> str:
    """A name for a file by all that decides what is in it."""
    text = json.dumps([VERSION, version("tuner"), *parts], sort_keys=True)
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()


def cached_file(name: str, write: Callable[[IO[bytes]], None]) -> IO[bytes]:
    """The file of that name, written where it is not there; one process writes while others wait.

    Raises:
        DataError: there is no room for it.
    """
    folder = cache_folder()
    path = folder / name
    try:
        with _locked(folder, name):
            if not path.exists():
                _make_room(folder)
                _write(path, write)
            os.utime(path)
            return path.open("rb")
    except OSError as error:
        raise memory.no_cache(f"the cache cannot be written: {error}", folder) from error


@contextmanager
def _locked(folder: Path, name: str) -> Iterator[None]:
    """Locks all names of the same digit."""
    number = hashlib.blake2b(name.encode()).digest()[0] % LOCKS
    with (folder / f"lock-{number}").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    descriptor, part = tempfile.mkstemp(prefix=KINDS[-1], dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            write(file)
        Path(part).rename(path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def _make_room(folder: Path) -> None:
    """Deletes files that nobody used for long, and the oldest until half of the room is free.

    Who reads a deleted file goes on; the next one makes it again.
    """
    known = [(each.stat(), each) for kind in KINDS for each in folder.glob(f"{kind}*")]
    held = sum(stat.st_size for stat, _ in known)
    most = (held + shutil.disk_usage(folder).free) // 2
    for stat, path in sorted(known, key=lambda each: each[0].st_mtime):
        if held > most or stat.st_mtime < time.time() - UNUSED:
            path.unlink(missing_ok=True)
            held -= stat.st_size


# How large a table is, before it is read.


GZIP_MOST = 1100
"""A gzipped file never holds so many times its own bytes."""
SOME = 2**20
"""Bytes of a file by which the length of its rows is estimated."""


def numbers_in(file: Path, few: Callable[[int], bool]) -> int:
    """About how many cells a table has, or a number that is `few` and larger."""
    if file.name.lower().endswith(".parquet"):
        with parquet_errors(file):
            import pyarrow.parquet

            known = pyarrow.parquet.read_metadata(file)
            return int(known.num_rows * known.num_columns)
    size = file.stat().st_size
    most = size * (GZIP_MOST if file.name.lower().endswith(".gz") else 1)
    return most if few(most) else _estimate(file, size)


def _estimate(file: Path, size: int) -> int:
    with file_errors(file), opened(file) as stream:
        text = stream.read(SOME)
        raw: Any = getattr(stream, "fileobj", stream)
        share = len(text) / max(1, raw.tell()) if raw is not stream else 1.0
    layout = Layout.of(file, (), lone=False, codes=False)
    lines = max(1, text.count(b"\n") or text.count(b"\r"))
    return int(size * share / len(text) * lines * layout.width)


# The columns of a table, in a file.


TEXTS = 2**20
"""The most different texts of a column that is not in memory: the texts themselves are."""
BUFFERED = 2**24
"""Bytes of columns that are gathered before they are written."""


@dataclass(frozen=True)
class Stored:
    """The columns of a table, which are in a file.

    Attributes:
        names: of all columns, in their order.
        columns: those that are stored.
        comma: decimals are written with a comma in the table.
        folder: for more such files.
    """

    names: tuple[str, ...]
    columns: Mapping[str, RawColumn]
    comma: bool
    folder: Path

    def features(self, away: Collection[str]) -> tuple[RawColumn, ...]:
        """All columns but those."""
        return tuple(self.columns[name] for name in self.names if name not in away)

    def frame(self, wanted: Collection[str]) -> pd.DataFrame:
        """Some columns as a frame in memory; those that are there."""
        import pandas as pd

        known = [name for name in self.names if name in wanted and name in self.columns]
        count = len(next(iter(self.columns.values())).values) if self.columns else 0
        frame = pd.DataFrame(
            {name: _series(self.columns[name]) for name in known}, index=range(count)
        )
        frame.attrs["comma"] = self.comma
        return frame


def _series(raw: RawColumn) -> pd.Series[Any]:
    import pandas as pd

    if raw.categories is None:
        return pd.Series(np.array(raw.values))
    texts = np.array([*raw.categories, None], dtype=object)  # the last is for the code -1
    return pd.Series(texts[raw.values], dtype=object)


@dataclass(frozen=True)
class Reading:
    """How a table is read.

    Attributes:
        drop: columns that are not stored.
        exact: columns whose numbers are not narrowed.
        texts: columns to read as text.
        codes: whether the reader finds more of them.
        narrowed: whether other numbers are.
    """

    drop: tuple[str, ...]
    exact: tuple[str, ...]
    texts: tuple[str, ...] = ()
    codes: bool = True
    narrowed: bool = True


def stored(file: Path, reading: Reading) -> Stored:
    """The columns of a CSV or Parquet file; it is read where the cache does not have them.

    Raises:
        DataError: as the readers of these files; a column has too many different texts.
    """
    known, path = file.stat(), str(file.resolve())
    pieces = memory.CELLS, memory.ROWS  # they decide which numbers are narrowed
    written = known.st_size, known.st_mtime_ns, known.st_ctime_ns  # a copy may keep the first two
    asked = [path, written, vars(reading), pieces]
    parquet = file.name.lower().endswith(".parquet")

    def write(target: IO[bytes]) -> None:
        with tempfile.TemporaryFile(dir=cache_folder()) as spool:
            growing = Pile(file, spool, reading)
            read = growing.parquet if parquet else growing.text
            target.write(read(target))

    with cached_file(f"columns-{digest_of(*asked)}", write) as source:
        try:
            return _opened(source)
        except (OSError, ValueError) as error:  # as after a crash of the machine
            raise DataError(
                "a file of the cache is damaged",
                where=source.name,
                hint="delete it, and start the command again",
            ) from error


def _opened(source: IO[bytes]) -> Stored:
    source.seek(-8, os.SEEK_END)
    size = int.from_bytes(source.read(8), "little")
    source.seek(-8 - size, os.SEEK_END)
    known = json.loads(source.read(size))
    arrays = memory.arrays_in(source, [each["placed"] for each in known["columns"]])
    columns = {}
    for each, values in zip(known["columns"], arrays, strict=True):
        texts = None if each["texts"] is None else np.array(each["texts"], dtype=object)
        comma = known["comma"] and texts is not None
        columns[each["name"]] = RawColumn(each["name"], values, texts, comma)
    return Stored(tuple(known["names"]), columns, known["comma"], Path(source.name).parent)


class Pile:
    """The columns of a table while it is read; they go to a spool, some rows at a time.

    Args:
        file: the table.
        spool: a file for what was read.
        reading: how it is read.
    """

    def __init__(self, file: Path, spool: IO[bytes], reading: Reading) -> None:
        self._file, self._spool, self._reading = file, spool, reading
        self._names: list[str] = []
        self._columns: dict[str, Growing] = {}

    def text(self, target: IO[bytes]) -> bytes:
        """Reads a file of text and writes its columns; what follows them in the file."""
        reading = self._reading
        layout = Layout.of(self._file, reading.texts, lone=False, codes=reading.codes)
        comma = layout.delimiter == ";"
        odd: set[str] = set()
        parts = layout.parts()
        begun = [part for part in (next(parts, None), next(parts, None)) if part is not None]
        narrowed = reading.narrowed and len(begun) > 1
        for part in chain(begun, parts):
            parsed = decimal_comma(part, layout.texts) if comma else part
            as_read = {str(n) for n, kind in part.dtypes.items() if kind.kind in "if"}
            for raw in self._wanted(parsed, odd):
                narrow = narrowed and raw.name in as_read and raw.name not in reading.exact
                if not self._column(raw.name).take(raw, narrow):
                    odd.add(raw.name)
                    del self._columns[raw.name]
            self._flush(BUFFERED)
        if odd:  # numbers here and text there: all of it is text
            for name in odd:
                self._columns[name] = Growing(name, str(self._file), text=True)
            places = [at for at, name in enumerate(self._names) if name in odd]
            for part in layout.parts(places):
                for raw in raw_columns(part, str(self._file)):
                    self._columns[raw.name].take(raw, False)
                self._flush(BUFFERED)
        return self._written(target, comma)

    def parquet(self, target: IO[bytes]) -> bytes:
        """The same of a Parquet file, one column after the other."""
        reading = self._reading
        with parquet_errors(self._file):
            import pyarrow.parquet

            with pyarrow.parquet.ParquetFile(self._file) as source:
                schema, count = source.schema_arrow, source.metadata.num_rows
                self._names = parquet_names(schema)
                narrowed = reading.narrowed and count * len(self._names) > memory.CELLS
                for name in self._names:
                    if name in reading.drop:
                        continue
                    for part in _parts_of(source, self._file, name, schema.field(name).type):
                        narrow = part[name].dtype in memory.NUMBERS and name not in reading.exact
                        for raw in raw_columns(part, str(self._file)):
                            self._column(name, typed=True).take(raw, narrowed and narrow)
                        self._flush(BUFFERED)
        return self._written(target, False)

    def _wanted(self, part: pd.DataFrame, odd: Collection[str]) -> tuple[RawColumn, ...]:
        self._names = self._names or [str(name) for name in part.columns]
        return raw_columns(part, str(self._file), {*self._reading.drop, *odd})

    def _column(self, name: str, typed: bool = False) -> Growing:
        return self._columns.setdefault(name, Growing(name, str(self._file), typed=typed))

    def _flush(self, least: int) -> None:
        if sum(each.buffered for each in self._columns.values()) >= least:
            for each in self._columns.values():
                each.flush(self._spool)

    def _written(self, target: IO[bytes], comma: bool) -> bytes:
        self._flush(0)
        self._spool.flush()
        columns = []
        for name in self._names:
            if name in self._columns:
                each = self._columns[name]
                placed = memory.write_array(target, each.pieces(self._spool))
                columns.append({"name": name, "placed": placed, "texts": each.texts})
        known = {"names": self._names, "comma": comma, "columns": columns}
        encoded = json.dumps(known).encode()
        return encoded + len(encoded).to_bytes(8, "little")


NUMBERS, BOOLEAN, TEXT = "numbers", "boolean", "text"
BOOLEANS = {"False", "True"}


class Growing:
    """A column whose pieces come one after the other.

    Args:
        name: of the column.
        where: for messages.
        text: all of it is text, whatever it looks like.
        typed: the file says what it is: text is never boolean.
    """

    def __init__(self, name: str, where: str, *, text: bool = False, typed: bool = False) -> None:
        self._name, self._where, self._text = name, where, text or typed
        self._kind = ""
        self._plain = True  # booleans without a gap
        self._dtype: np.dtype[Any] | None = None
        self._codes: dict[str, int] = {}
        self._held: list[Array] = []
        self._segments: list[tuple[int, int, np.dtype[Any]]] = []

    @property
    def buffered(self) -> int:
        """Bytes that are not in the spool."""
        return sum(piece.nbytes for piece in self._held)

    def take(self, raw: RawColumn, narrow: bool) -> bool:
        """Whether the next piece is of the same kind as those before; numbers may be narrowed."""
        kind = self._kind_of(raw)
        if kind and self._kind and kind != self._kind:
            return False
        self._kind = self._kind or kind
        self._plain = self._plain and raw.values.dtype.kind == "b"
        if kind in (BOOLEAN, TEXT):
            self._held.append(self._coded(raw))
            return True
        values = raw.values if raw.categories is None else np.full(len(raw.values), np.nan)
        values = memory.narrow(values) if narrow else values
        known = self._dtype
        self._dtype = values.dtype if known is None else np.result_type(known, values)
        self._held.append(values)
        return True

    def _kind_of(self, raw: RawColumn) -> str:
        """The kind of a piece; nothing for one that is all missing."""
        if raw.categories is not None:
            if not len(raw.categories):
                return ""
            boolean = not self._text and BOOLEANS.issuperset(raw.categories)
            return BOOLEAN if boolean else TEXT
        if raw.values.dtype.kind == "b":
            return BOOLEAN
        missing = raw.values.dtype.kind == "f" and np.isnan(raw.values).all()
        return "" if missing else NUMBERS

    def _coded(self, raw: RawColumn) -> Array:
        texts = np.array(["False", "True"], object) if raw.categories is None else raw.categories
        codes = raw.values.astype(np.int32)
        if raw.categories is None:  # in the order in which they come
            texts, codes = _in_order(texts, codes)
        place = [self._codes.setdefault(str(text), len(self._codes)) for text in texts]
        if len(self._codes) > TEXTS:
            raise DataError(
                f"column {self._name!r} has more than {TEXTS:,} different texts, too many for a "
                "table that is not held in memory",
                where=self._where,
                hint=f"drop = [{self._name!r}], or write numbers there; data.in_memory sets how "
                "much is held",
            )
        return np.array([*place, -1], dtype=np.int32)[codes]

    def flush(self, spool: IO[bytes]) -> None:
        """Writes what is held to the spool."""
        for piece in self._held:
            start, size = spool.tell(), piece.dtype.itemsize
            spool.write(np.ascontiguousarray(piece).data)
            at, count, dtype = self._segments[-1] if self._segments else (-1, 0, piece.dtype)
            if dtype == piece.dtype and at + count * size == start:
                self._segments[-1] = (at, count + len(piece), dtype)
            else:
                self._segments.append((start, len(piece), piece.dtype))
        self._held = []

    @property
    def texts(self) -> list[str] | None:
        """The text of each code; None for numbers and booleans."""
        return [*self._codes] if self._kind == TEXT or not self._is_plain else None

    @property
    def _is_plain(self) -> bool:
        return self._kind in ("", NUMBERS) or (self._kind == BOOLEAN and self._plain)

    def pieces(self, spool: IO[bytes]) -> Iterator[Array]:
        """The values of the column, read from the spool."""
        true = self._codes.get("True", -2)
        for start, count, dtype in self._segments:
            for at in range(0, count, CHUNK):
                size = min(CHUNK, count - at)
                data = os.pread(spool.fileno(), size * dtype.itemsize, start + at * dtype.itemsize)
                values = np.frombuffer(data, dtype)
                if self._kind in ("", NUMBERS):
                    yield values.astype(self._dtype)
                elif dtype.kind == "f":  # pieces that were all missing
                    yield np.full(size, -1, np.int32)
                else:
                    yield values == true if self._is_plain else values


def _in_order(texts: Array, codes: Array) -> tuple[Array, Array]:
    """Texts in the order in which their codes come, and these."""
    seen, first, place = np.unique(codes, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return texts[seen[order]], np.argsort(order)[place]


# Parquet: its types, and a column at a time.


@contextmanager
def parquet_errors(file: Path) -> Iterator[None]:
    """Raises the errors of reading Parquet, or of a missing pyarrow, as DataError."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise DataError(
            "reading Parquet needs pyarrow", where=str(file), hint="pip install 'tuner[parquet]'"
        ) from error
    try:
        yield
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise DataError(f"cannot be read as Parquet: {error}", where=str(file)) from error


def parquet_names(schema: Any) -> list[str]:
    """The columns of a Parquet file without the index of a frame."""
    index = (schema.pandas_metadata or {}).get("index_columns", ())
    return [name for name in schema.names if name not in index]


def parquet_columns(file: Path, names: list[str] | None) -> pd.DataFrame:
    """Some columns of a Parquet file, or all."""
    import pandas as pd
    import pyarrow

    frame: pd.DataFrame = pd.read_parquet(
        file, engine="pyarrow", columns=names, use_threads=names is None
    )  # each thread keeps memory, and a few columns at a time need none
    pyarrow.default_memory_pool().release_unused()
    return frame


def _parts_of(source: Any, file: Path, name: str, kind: Any) -> Iterator[pd.DataFrame]:
    """A column, numbers as a whole, since the whole decides how narrow they may be; texts some rows
    at a time."""
    from pyarrow import Table as Frame
    from pyarrow import types

    if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind):
        yield parquet_columns(file, [name])[[name]]
        return
    for batch in source.iter_batches(memory.CELLS, columns=[name], use_threads=False):
        yield Frame.from_batches([batch]).to_pandas()[[name]]
