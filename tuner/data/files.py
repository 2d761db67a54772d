"""Tables in files. A new format is one function and one line in FILES."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tuner.data.table import Table, check_unique, from_frame
from tuner.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def read(path: str, target: str | None, folder: Path) -> Table:
    """The table in a file.

    Args:
        path: absolute, or relative to `folder`, else to the working directory.
        target: the column with the labels.
        folder: the study file's.

    Raises:
        DataError: no such file or column, an unknown format, nothing or no numbers in it.
    """
    file = _find(path, folder)
    for ending, reader in FILES.items():
        if file.name.lower().endswith(ending):
            return from_frame(reader(file), target, str(file))
    raise DataError(
        f"unknown format {file.suffix or file.name!r}",
        where=str(file),
        hint=f"known: {', '.join(FILES)}",
    )


def read_csv(file: Path, separator: str) -> pd.DataFrame:
    """A table of text with one line of column names."""
    import pandas as pd

    try:
        header = pd.read_csv(file, sep=separator, header=None, nrows=1, dtype=str)
        # The reader itself would rename the second of two columns and say nothing.
        check_unique([str(name) for name in header.iloc[0].dropna()], str(file))
        return pd.read_csv(file, sep=separator)
    except pd.errors.EmptyDataError as error:
        raise DataError("the file is empty", where=str(file)) from error
    except (pd.errors.ParserError, UnicodeDecodeError, OSError) as error:
        raise DataError(f"cannot be read as a table: {error}", where=str(file)) from error


FILES: Mapping[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": partial(read_csv, separator=","),
    ".csv.gz": partial(read_csv, separator=","),
    ".tsv": partial(read_csv, separator="\t"),
    ".tsv.gz": partial(read_csv, separator="\t"),
}


def _find(path: str, folder: Path) -> Path:
    given = Path(path).expanduser()
    tried = list(dict.fromkeys((base / given).resolve() for base in (folder, Path.cwd())))
    for file in tried:
        if file.is_file():
            return file
    raise DataError(
        f"no such file {path!r}",
        where="data.path",
        hint=f"tried {' and '.join(map(str, tried))}",
    )
