"""How a table of text is written: encoding, delimiter, as many fields in each row."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Iterator
from pathlib import Path

from tuner.data.numbers import are_digits
from tuner.data.table import check_unique
from tuner.errors import DataError

DELIMITERS = {"\t": "tab", ";": "semicolon", "|": "|", ",": "comma", " ": "space"}
GZIP = b"\x1f\x8b"
SAMPLE = 2**16
"""Characters by which the delimiter is found, and at least so many whole lines."""
LINES = 4
SAID = re.compile(r'"?sep=(\\t|.)"?[\r\n]*', re.IGNORECASE)
"""A first line by which a spreadsheet is told the delimiter; it is no row."""

csv.field_size_limit(2**31 - 1)  # a line of a wide table is one field by another delimiter


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
        with text_of(file, encoding) as text:
            for part in iter(lambda: text.read(2**20), ""):
                if "\0" in part:
                    return False
    except UnicodeError:
        return False
    return True


def text_of(file: Path, encoding: str) -> io.TextIOWrapper:
    """The text of a table from its header on: a line that says the delimiter is passed over."""
    return _begun(file, encoding)[0]


def _begun(file: Path, encoding: str) -> tuple[io.TextIOWrapper, str]:
    """The text from the header on, and the delimiter that the file says, or nothing."""
    text = io.TextIOWrapper(opened(file), encoding=encoding, newline="")
    try:
        said = SAID.fullmatch(text.readline(12))
        if said is None:
            text.seek(0)
    except BaseException:
        text.close()
        raise
    return text, "" if said is None else said[1].replace("\\t", "\t")


def layout_of(file: Path, encoding: str, lone: bool = False) -> tuple[str, int]:
    """The delimiter by which most of the first rows have as many fields as the header, and how
    many these are; DataError for one column only, unless that is enough (`lone`)."""
    lines, said = _sample(file, encoding)
    best, header, most, count = "", [""], 0, 0
    for delimiter in said or DELIMITERS:
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
        check_ragged(file, encoding, best, len(header))
    return best, len(header)


def codes_of(file: Path, encoding: str, delimiter: str) -> list[str]:
    """The columns of codes: digits alone in the first rows, of which some begin with zeros."""
    rows = [row for row in csv.reader(_sample(file, encoding)[0], delimiter=delimiter) if row]
    header, cells = rows[0], [row for row in rows[1:] if len(row) == len(rows[0])]
    found = []
    for at, name in enumerate(header):
        texts = [row[at] for row in cells if row[at]]
        if any(len(text) > 1 and text[0] == "0" for text in texts) and are_digits(texts):
            found.append(name)
    return found


def _sample(file: Path, encoding: str) -> tuple[list[str], str]:
    """The first lines, whole however long they are, and the delimiter that the file says."""
    text, said = _begun(file, encoding)
    with text:
        lines = io.StringIO(text.read(SAMPLE), newline="").readlines()
        if lines:
            lines[-1] += "" if lines[-1].endswith(("\r", "\n")) else text.readline()
        while lines and len(lines) < LINES and (line := text.readline()):
            lines.append(line)
    return lines, said


def check_ragged(file: Path, encoding: str, delimiter: str, width: int) -> None:
    """DataError with the line of the first row that has not as many fields as the header."""
    for line, fields in _rows(file, encoding, delimiter):
        if fields != width:
            raise DataError(
                f"line {line} has {fields} fields, and the header has {width}",
                where=str(file),
                hint="repair the line, or quote a field that holds the delimiter",
            )


def _rows(file: Path, encoding: str, delimiter: str) -> Iterator[tuple[int, int]]:
    text, said = _begun(file, encoding)
    with text:
        reader = csv.reader(text, delimiter=delimiter)
        for row in reader:
            if row:
                yield reader.line_num + bool(said), len(row)
