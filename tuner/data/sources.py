"""Reads rows from files, folders and importable functions."""

from __future__ import annotations

import inspect
import multiprocessing
import os
import re
import signal
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

from tuner.data import arrays, cached, images, items, memory, sequences, streamed
from tuner.data.arrays import read_npz
from tuner.data.spec import DataSpec
from tuner.data.tables import Table, from_arrays, from_frame, is_frame, read_text
from tuner.errors import DataError
from tuner.imports import distribution, function

if TYPE_CHECKING:
    import pandas as pd


# Data in files and folders. A new format is one function and one line in FILES or FOLDERS.


class Reader(Protocol):
    """From a file to its table; the columns that are not `exact` may be narrowed.

    With `codes`, texts that would become different numbers, such as 007, stay text.
    """

    def __call__(
        self, file: Path, exact: Collection[str] | None = None, *, codes: bool = True
    ) -> pd.DataFrame: ...


VARIABLE = re.compile(r"\$(?:\{([^\W\d]\w*)(?::-([^}]*))?\}|([^\W\d]\w*))")


def read_path(spec: DataSpec, folder: Path, frame: pd.DataFrame | None = None) -> Table:
    """The rows in the file or folder `spec.path`.

    A path is absolute, or relative to `folder`, to the project that has `folder` for its studies,
    or to the working directory, and may hold environment variables: $NAME or ${NAME}, or
    ${NAME:-INSTEAD} for one that need not be set. A file whose own name holds a $ is taken as it
    is.

    Args:
        spec: the section ``[data]``.
        folder: the study file's.
        frame: the table in the file, where it was read already.

    Raises:
        DataError: no such file, variable or column, an unknown format, nothing to learn from in it.
    """
    path = find_path(spec.path or "", "data.path", folder)
    given = spec.test_path
    test = None if given is None else find_path(given, "data.test_path", folder)
    table = _table(path, spec) if frame is None else _rows(frame, path, spec)
    if test is None:
        return table
    if test.is_dir():
        images.check_known(test, table.classes)
    return replace(table, held=True)


def read_test(spec: DataSpec, folder: Path, texts: Iterable[str] = ()) -> Table:
    """The test rows where they are in files of their own: in `spec.test_path`, else beside those
    for training. They need no column that divides rows.

    Args:
        texts: columns that are text in the training rows, and so are read as text here.
    """
    if spec.test_path is None:
        return arrays.read_idx_test(find_path(spec.path or "", "data.path", folder))
    file = find_path(spec.test_path, "data.test_path", folder)
    spec = replace(spec, group=None, time=None, test_path=None)
    if _is_large(file, spec):
        return _stored(file, spec, texts, narrowed=False)
    frame = read_frame(
        file, texts, codes=spec.division > 1
    )  # as it is: numbers may be categories of the other file
    return _table(file, spec) if frame is None else _rows(frame, file, spec)


def _table(file: Path, spec: DataSpec) -> Table:
    if file.is_dir():
        for reader in FOLDERS:
            table = reader(file, spec)
            if table is not None:
                return table
        raise DataError(
            "the folder holds no data",
            where=str(file),
            hint="it needs a folder of images for each class, or the MNIST files: "
            + ", ".join(arrays.NAMES),
        )
    for ending, reader in FILES.items():
        if file.name.lower().endswith(ending):
            return reader(file, spec)
    raise DataError(
        f"unknown format {file.suffix or file.name!r}",
        where=str(file),
        hint=f"known formats: {', '.join(FILES)}",
    )


def framed(reader: Reader) -> Callable[[Path, DataSpec], Table]:
    """The rows of a file that is a table with named columns."""

    def read(file: Path, spec: DataSpec) -> Table:
        if _is_large(file, spec):
            return _stored(file, spec)
        return _rows(reader(file, _exact(spec), codes=spec.division > 1), file, spec)

    return read


def _exact(spec: DataSpec) -> tuple[str, ...]:
    """The columns that are no features, whose numbers stay as they are."""
    named = (*spec.targets, *spec.dividing, spec.text, spec.weight)
    return tuple(name for name in named if name is not None)


def _is_large(file: Path, spec: DataSpec) -> bool:
    """Whether a table is not to be held in memory.

    Raises:
        DataError: it has a column of text, which is always in memory, and the study sets a limit.
    """

    def fits(count: int) -> bool:
        return streamed.fits(count, spec, streamed.half_of_memory())

    if not file.is_file() or not file.name.lower().endswith(tuple(FRAMES)):
        return False
    if fits(cached.numbers_in(file, fits)):
        return False
    if spec.text is not None and spec.in_memory is not None:
        raise DataError(
            f"a table with a column of text, {spec.text!r}, is always held in memory",
            where="data.in_memory",
            hint="remove in_memory; or return the rows of a part of the table by a function",
        )
    return spec.text is None


def _stored(
    file: Path, spec: DataSpec, texts: Iterable[str] = (), *, narrowed: bool = True
) -> Table:
    """The rows of a table whose columns are in a file."""
    exact = _exact(spec)
    reading = cached.Reading(spec.drop, exact, tuple(texts), spec.division > 1, narrowed)
    stored = cached.stored(file, reading)
    return _rows(stored.frame(exact), file, spec, stored)


def _rows(
    frame: pd.DataFrame, file: Path, spec: DataSpec, stored: cached.Stored | None = None
) -> Table:
    table = from_frame(
        frame, spec.target, str(file), spec.dividing, spec.text, spec.drop, spec.weight, stored
    )
    folder = None if stored is None else stored.folder
    return replace(table, headed=not file.name.lower().endswith(".parquet"), folder=folder)


def read_parquet(
    file: Path, exact: Collection[str] | None = None, *, codes: bool = True
) -> pd.DataFrame:
    """A Parquet file; needs pyarrow. With `exact`, the numbers of all other columns may be narrowed
    in a large table. Its columns have types, so that `codes` changes nothing."""
    with cached.parquet_errors(file):
        if exact is None:
            return cached.parquet_columns(file, None)
        import pyarrow.parquet

        known = pyarrow.parquet.read_metadata(file)
        names = cached.parquet_names(known.schema.to_arrow_schema())
        columns = partial(cached.parquet_columns, file)
        return memory.by_columns(columns, names, known.num_rows, exact)


FRAMES: Mapping[str, Reader] = {
    ".csv": read_text,
    ".csv.gz": read_text,
    ".tsv": read_text,
    ".tsv.gz": read_text,
    ".txt": read_text,
    ".txt.gz": read_text,
    ".parquet": read_parquet,
}
FILES: Mapping[str, Callable[[Path, DataSpec], Table]] = {
    **{ending: framed(reader) for ending, reader in FRAMES.items()},
    ".npz": read_npz,
    "idx3-ubyte": arrays.read_pair,
    "idx3-ubyte.gz": arrays.read_pair,
}
FOLDERS: tuple[Callable[[Path, DataSpec], Table | None], ...] = (
    arrays.read_idx_folder,
    images.read,
)


def find_path(path: str, where: str, folder: Path) -> Path:
    """The file or folder of a path in a study file; DataError names the places that were tried."""
    given = Path(expanded(path, where, folder))
    with suppress(RuntimeError):  # no such user: a file whose own name begins with ~
        given = given.expanduser()
    tried = list(dict.fromkeys((base / given).resolve() for base in _bases(folder)))
    for file in tried:
        if path and file.exists():
            return file
    raise DataError(
        f"no such file {path!r}", where=where, hint=f"tried {' and '.join(map(str, tried))}"
    )


def read_frame(file: Path, texts: Iterable[str] = (), *, codes: bool = True) -> pd.DataFrame | None:
    """The table in a file, not narrowed; None for a file that is no table with named columns.

    Args:
        texts: columns to read as text, even if they look like numbers.
        codes: whether the reader finds more of them, as `Reader`.
    """
    for ending, reader in FRAMES.items():
        if file.is_file() and file.name.lower().endswith(ending):
            if reader is read_text:
                return read_text(file, texts=texts, codes=codes)
            return reader(file)
    return None


def _bases(folder: Path) -> tuple[Path, ...]:
    """PROJECT/studies/mine.toml may name PROJECT/table.csv, whatever the working directory is."""
    project = (folder.resolve().parent,) if folder.resolve().name == "studies" else ()
    return (folder, *project, Path.cwd())


def expanded(path: str, where: str, folder: Path) -> str:
    """A path with the values of its environment variables, unless it is there as it is written."""
    if "$" in path and any((base / path).exists() for base in _bases(folder)):
        return path
    return VARIABLE.sub(lambda match: _variable(match, where), path)


def _variable(match: re.Match[str], where: str) -> str:
    name = match[1] or match[3]
    if not os.environ.get(name):
        if match[2] is not None:
            return match[2]
        raise DataError(
            f"the environment variable {name} is not set",
            where=where,
            hint=f"set it to where the data is: export {name}=PATH",
        )
    return os.environ[name]


# Tables from functions: `module:function`, called without arguments.
#
# A new form of result is one function and one line in FORMS.


Named = str | tuple[str, ...] | None
"""The column to predict, or several."""
LOADERS = ("load_", "fetch_")
"""Prefixes of the functions of `sklearn.datasets` that any study may name."""


def read_loader(spec: DataSpec, folder: Path) -> Table:
    """The table that the function `spec.source` returns.

    Args:
        spec: the section ``[data]``; see `tuner.imports` for which modules may be named.
        folder: the study file's.

    Raises:
        DataError: no such module or function, it is not allowed, it raises, or it returns
            something else.
    """
    source, target = spec.source or "", spec.target
    value = returned(source, "data.source", folder)
    datasets = items.datasets(value, source)
    if datasets is None and spec.collate is not None:
        what = f"is for the items of a Dataset, and {source} returned {_describe(value)}"
        raise DataError(what, where="data.collate", hint="remove collate")
    if is_frame(value):
        return from_frame(value, target, source, spec.dividing, spec.text, spec.drop, spec.weight)
    if spec.dividing:
        raise DataError(
            f"no column {spec.dividing[0]!r}: only a frame has columns",
            where=source,
            hint="return a pandas frame, and name the target",
        )
    if datasets is not None:
        _refuse_target(target, source)
        return streamed.read(datasets, spec, source, _collate(spec, folder))
    for form in FORMS:
        table = form(value, target, source)
        if table is not None:
            return table
    raise DataError(
        f"returned {_describe(value)}",
        where=source,
        hint="return (X, y) or (X, y, weight), an object with .data and .target, a pandas frame, "
        "or a Dataset",
    )


def _collate(spec: DataSpec, folder: Path) -> items.Collate | None:
    """The function that makes a batch of items, where one is named."""
    if spec.collate is None:
        return None
    return function(spec.collate, "data.collate", DataError, folder=folder)


def returned(source: str, where: str, folder: Path = Path()) -> Any:
    """What a function without parameters returns; errors as those of `read_loader`."""
    return _call(function(source, where, DataError, folder=folder, trusted=is_loader), source)


def is_loader(module: str, name: str) -> bool:
    """Whether a function reads one of scikit-learn's own data sets."""
    return module == "sklearn.datasets" and name.startswith(LOADERS)


def bunch(value: Any, target: Named, where: str) -> Table | None:
    """An object with `data` and `target`, as scikit-learn's loaders return."""
    if not (hasattr(value, "data") and hasattr(value, "target")):
        return None
    _refuse_target(target, where)
    names, classes = getattr(value, "feature_names", None), getattr(value, "target_names", None)
    return from_arrays(
        value.data,
        value.target,
        where,
        names=() if names is None else names,
        classes=() if classes is None else classes,
    )


def pair(value: Any, target: Named, where: str) -> Table | None:
    """A pair (X, y), or (X, y, weight)."""
    if not (isinstance(value, tuple | list) and len(value) in (2, 3)):
        return None
    _refuse_target(target, where)
    x, y, *weight = value
    x = sequences.of_list(x, where)
    return from_arrays(x, y, where, weight=weight[0] if weight else None)


FORMS: tuple[Callable[[Any, Named, str], Table | None], ...] = (bunch, pair)


def _call(function: Callable[..., Any], source: str) -> Any:
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise DataError(
            f"cannot be called without arguments: {error}",
            where=source,
            hint="wrap it in a function without parameters",
        ) from error
    except ValueError:  # a built-in without a signature: the call itself may fail
        pass
    try:
        return function()
    except ModuleNotFoundError as error:
        missing = error.name or str(error)
        hint = f"pip install {distribution(missing)}"
        raise DataError(f"needs the module {missing!r}", where=source, hint=hint) from error
    except Exception as error:
        raise DataError(f"raised {type(error).__name__}: {error}", where=source) from error


def _refuse_target(target: Named, where: str) -> None:
    if target is not None:
        named = list(target) if isinstance(target, tuple) else target
        raise DataError(
            f"target = {named!r}, but the function returns its labels separately",
            where=where,
            hint="remove target",
        )


def _describe(value: object) -> str:
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return "nothing" if value is None else f"something of type {type(value).__name__}"


# Any source, or one that another process reads meanwhile.


AHEAD = 2**24
"""Bytes of a file up to which another process reads it ahead: the rows come through a pipe."""
SIGNALS = {signal.SIGINT, signal.SIGTERM}


@dataclass(frozen=True)
class Ahead:
    """A process that reads a source."""

    spec: DataSpec
    folder: Path
    process: BaseProcess
    pipe: Connection

    open: ClassVar[Ahead | None] = None
    """The one that nobody has taken the rows of."""

    def is_for(self, spec: DataSpec, folder: Path) -> bool:
        """Whether a specification has the same rows; they are prepared after they are read."""
        return folder == self.folder and self.spec == replace(
            spec, preprocessing=self.spec.preprocessing
        )

    def taken(self) -> Table | None:
        """The rows; None where they could not be read: whoever reads them again has the error."""
        Ahead.open = None
        try:
            return cast("Table", self.pipe.recv())
        except (EOFError, OSError):  # it failed, or was killed for its memory
            return None
        finally:
            self.end()

    def end(self) -> None:
        self.pipe.close()
        self.process.kill()  # it writes nothing
        self.process.join()


@contextmanager
def reading_ahead(spec: DataSpec, folder: Path) -> Iterator[None]:
    """Lets another process read a source while this one does something else, such as importing.

    Not functions of users, which may rely on the process, nor what is slow to bring through a pipe.
    """
    if sys.platform != "linux" or not _is_small(spec, folder):
        yield
        return
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(spec, folder, ours, theirs), daemon=True)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until it has handlers of its own
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    theirs.close()
    Ahead.open = Ahead(spec, folder, process, ours)
    try:
        yield
    finally:
        if Ahead.open is not None:
            Ahead.open.end()
            Ahead.open = None


def _is_small(spec: DataSpec, folder: Path) -> bool:
    """Whether it is a data set that comes with scikit-learn, or a small file."""
    if spec.source is not None:
        module, _, name = spec.source.partition(":")
        return is_loader(module, name) and name.startswith(LOADERS[0])
    try:
        file = find_path(spec.path or "", "data.path", folder)
    except DataError:
        return False
    return file.is_file() and file.stat().st_size <= AHEAD


def _send(spec: DataSpec, folder: Path, theirs: Connection, pipe: Connection) -> None:
    """The main function of the process; errors and Ctrl-C are for the one that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    theirs.close()  # or it could send for ever to a process that has died
    with suppress(Exception), memory.uncollected():
        pipe.send(_of(spec, folder))


def read(spec: DataSpec, folder: Path, frame: pd.DataFrame | None = None) -> Table:
    """The rows of a source; errors as those of ``read_path`` and ``read_loader``.

    Args:
        frame: the table in `spec.path`, where it was read already.
    """
    ahead = Ahead.open
    if frame is None and ahead is not None and ahead.is_for(spec, folder):
        table = ahead.taken()
        if table is not None:
            return table
    return _of(spec, folder, frame)


def _of(spec: DataSpec, folder: Path, frame: pd.DataFrame | None = None) -> Table:
    if spec.source is not None:
        return read_loader(spec, folder)
    return read_path(spec, folder, frame)
