"""Tables of text with one line of column names: any delimiter and encoding, gzipped or not."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tuner.data import pieces
from tuner.data.table import check_unique
from tuner.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

DELIMITERS = {"\t": "tab", ";": "semicolon", "|": "|", ",": "comma", " ": "space"}
GZIP = b"\x1f\x8b"
SAMPLE = 2**16
"""Characters by which the delimiter is found."""


def read_text(
    file: Path, exact: Collection[str] | None = None, *, lone: bool = False
) -> pd.DataFrame:
    """The table in a file.

    Args:
        exact: where given, the numbers of all other columns may be narrowed in a large table.
        lone: whether a single column is enough.

    Raises:
        DataError: the encoding is none of those tried, one column, a ragged row (with its line),
            two columns of one name, nothing in it.
    """
    import pandas as pd

    where = str(file)
    try:
        encoding = encoding_of(file)
        delimiter, width = _layout(file, encoding, lone)
        try:
            frame = _frame(file, encoding, delimiter, width, exact)
        except pd.errors.ParserError as error:
            _check_ragged(file, encoding, delimiter, width)
            raise DataError(f"cannot be read as a table: {error}", where=where) from error
        # A row that is too short ends in missing values, and the reader says nothing.
        if len(frame) and frame.iloc[:, -1].isna().any():
            _check_ragged(file, encoding, delimiter, width)
    except (csv.Error, EOFError, zlib.error, OSError) as error:
        raise DataError(f"cannot be read as a table: {error}", where=where) from error
    return _decimal_comma(frame) if delimiter == ";" else frame


def _frame(
    file: Path, encoding: str, delimiter: str, width: int, exact: Collection[str] | None
) -> pd.DataFrame:
    import pandas as pd

    def whole(columns: list[int] | None) -> pd.DataFrame:
        with _text(file, encoding) as text:
            return pd.read_csv(text, sep=delimiter, low_memory=False, usecols=columns)

    if exact is None:
        return whole(None)
    rows = max(1, pieces.CELLS // width)
    with (
        _text(file, encoding) as text,
        pd.read_csv(text, sep=delimiter, low_memory=False, chunksize=rows) as parts,
    ):
        return pieces.by_rows(parts, whole, exact)


def opened(file: Path) -> gzip.GzipFile | io.BufferedReader:
    """The bytes of a file, unpacked where it is gzipped, whatever its name."""
    with file.open("rb") as start:
        packed = start.read(2) == GZIP
    return gzip.open(file) if packed else file.open("rb")


def encoding_of(file: Path) -> str:
    """utf-8, utf-16 where a mark at the start says so, else cp1252, of which latin-1 is a part.

    Raises:
        DataError: none of them fits, or the file is empty.
    """
    with opened(file) as stream:
        start = stream.read(4)
    if not start:
        raise DataError("the file is empty", where=str(file))
    tried = ("utf-16",) if start[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "cp1252")
    for encoding in tried:
        if _decodes(file, encoding):
            return encoding
    raise DataError(
        f"is not text in an encoding that is known: tried {' and '.join(tried)}",
        where=str(file),
        hint="save it as UTF-8; UTF-16 is known by the mark at its start, and cp1252 stands for "
        "latin-1 too",
    )


def _decodes(file: Path, encoding: str) -> bool:
    try:
        with _text(file, encoding) as text:
            for part in iter(lambda: text.read(2**20), ""):
                if "\0" in part:
                    return False
    except UnicodeError:
        return False
    return True


def _text(file: Path, encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(opened(file), encoding=encoding, newline="")


def _layout(file: Path, encoding: str, lone: bool) -> tuple[str, int]:
    """The delimiter by which most of the first rows have as many fields as the header, and how
    many these are."""
    with _text(file, encoding) as text:
        sample = text.read(SAMPLE)
        whole = not text.read(1)
    lines = io.StringIO(sample, newline="").readlines()
    if not whole and len(lines) > 1:
        del lines[-1]
    best, header, most, count = "", [""], 0, 0
    for delimiter in DELIMITERS:
        rows = [row for row in csv.reader(lines, delimiter=delimiter) if row]
        if not rows:
            raise DataError("the file is empty", where=str(file))
        agreeing = sum(len(row) == len(rows[0]) for row in rows)
        if len(rows[0]) > 1 and agreeing > most:
            best, header, most, count = delimiter, rows[0], agreeing, len(rows)
    if not best and lone:
        return ",", 1
    if not best:
        raise DataError(
            f"one column only, {lines[0].strip()[:80]!r}: there is nothing to learn from",
            where=str(file),
            hint=f"a delimiter between columns is one of {', '.join(DELIMITERS.values())}",
        )
    # The reader itself would rename the second of two columns and say nothing.
    check_unique([name for name in header if name], str(file))
    if most < count:  # were it the first row, its first field would be taken for an index
        _check_ragged(file, encoding, best, len(header))
    return best, len(header)


def _check_ragged(file: Path, encoding: str, delimiter: str, width: int) -> None:
    """DataError with the line of the first row that has not as many fields as the header."""
    for line, fields in _rows(file, encoding, delimiter):
        if fields != width:
            raise DataError(
                f"line {line} has {fields} fields, and the header has {width}",
                where=str(file),
                hint="repair the line, or quote a field that holds the delimiter",
            )


def _rows(file: Path, encoding: str, delimiter: str) -> Iterator[tuple[int, int]]:
    with _text(file, encoding) as text:
        reader = csv.reader(text, delimiter=delimiter)
        for row in reader:
            if row:
                yield reader.line_num, len(row)


def _decimal_comma(frame: pd.DataFrame) -> pd.DataFrame:
    """Numbers such as 1,5, which go with a semicolon between fields, as numbers."""
    import pandas as pd

    found = frame.copy(deep=False)
    for name in frame.columns[frame.dtypes.map(lambda kind: kind.kind == "O")]:
        text = frame[name].astype(object)
        present = text[text.notna()].astype(str)
        if len(present) and present.str.fullmatch(r"\s*[-+]?\d+(,\d+)?\s*").all():
            found[name] = pd.to_numeric(text.where(text.notna(), None).str.replace(",", "."))
    return found
