"""Defines the table that every reader returns, and reads tables from text files."""

from __future__ import annotations

import csv
import gzip
import io
import re
import sys
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from tuner.data import memory
from tuner.data.numbers import COMMA as COMMA_FORMAT
from tuner.data.numbers import GROUPED, PLAIN, are_digits
from tuner.data.raw import Naming, RawColumn, counted, in_file, raw_columns, writes_comma
from tuner.errors import DataError, nearest

if TYPE_CHECKING:
    import pandas as pd

    from tuner.data.cached import Stored
    from tuner.data.streamed import Stream


# The rows of a source: the table that every reader returns.


NUMERIC = "biuf"  # numpy's kinds: boolean, signed, unsigned, floating


@dataclass(frozen=True)
class Text:
    """A column of text, which is the only feature.

    Attributes:
        name: in the source.
        values: strings [N], empty where missing.
        unused: the names of the other columns.
    """

    name: str
    values: NDArray[np.object_]
    unused: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """Rows before they are divided: an array of numbers, or columns of a frame.

    Attributes:
        x: numbers [N, ...]; None where there are columns or text.
        y: labels [N], or [N, K] of several targets: numbers, booleans, text, or objects with None
            where one is missing.
        names: of the columns of x, or empty.
        classes: the names of the labels 0, 1, ..., or empty.
        where: the file or function, for messages.
        columns: of a frame, each [N].
        aside: columns [N] that divide the rows, by name; they are no features.
        held: the test rows are elsewhere, and all rows are for training and validation.
        text: the column of text, or None.
        comma: decimals are written with a comma in the file.
        headed: it is a file of text, whose first row is a header.
        rows: the place of each row among those of the source; None where these are all.
        images: each row is a file of its own.
        note: for people, what was changed when they were read; else empty.
        weight: how much each row counts, float64 [N], NaN where it is missing or no number; None
            where all count the same.
        parts: the split of each row [N], as a place in ``splits.PARTS``, where the source divides
            them itself; else None.
        stream: numbers that are not in memory, in place of x; else None.
        targets: the names of several targets; empty for one.
        folder: for files with its columns, where these are not in memory; else None.
        named: names a row of the source in words; None where its number does.
    """

    x: NDArray[Any] | None
    y: NDArray[Any]
    names: tuple[str, ...]
    classes: tuple[str, ...]
    where: str
    columns: tuple[RawColumn, ...] = ()
    aside: Mapping[str, pd.Series[Any]] = field(default_factory=dict)
    held: bool = False
    text: Text | None = None
    comma: bool = False
    headed: bool = False
    rows: NDArray[Any] | None = None
    images: bool = False
    note: str = ""
    weight: NDArray[np.float64] | None = None
    parts: NDArray[np.int64] | None = None
    stream: Stream | None = None
    targets: tuple[str, ...] = ()
    folder: Path | None = None
    named: Naming | None = None

    def row(self, at: int) -> str:
        """A row in words, by its number in the file."""
        place = at if self.rows is None else int(self.rows[at])
        if self.named is not None:
            return self.named(place)
        return in_file(place) if self.headed else counted(place)


def only(table: Table, rows: NDArray[Any]) -> Table:
    """Some rows of a table, by their places."""
    return replace(
        table,
        x=None if table.x is None else table.x[rows],
        y=table.y[rows],
        columns=columns_of(table, rows),
        aside={name: column.iloc[rows] for name, column in table.aside.items()},
        text=None if table.text is None else replace(table.text, values=table.text.values[rows]),
        rows=np.arange(len(table.y))[rows] if table.rows is None else table.rows[rows],
        weight=None if table.weight is None else table.weight[rows],
        parts=None if table.parts is None else table.parts[rows],
        stream=None if table.stream is None else table.stream.only(rows),
    )


def columns_of(table: Table, rows: NDArray[Any]) -> tuple[RawColumn, ...]:
    """Some rows of the columns, which are in a file again where they are in one."""
    parts: Iterator[NDArray[Any]] = (raw.part(rows).values for raw in table.columns)
    if table.folder is not None:
        parts = iter(memory.put_away(parts, table.folder))
    return tuple(replace(raw, values=part) for raw, part in zip(table.columns, parts, strict=True))


def from_arrays(
    x: Any,
    y: Any,
    where: str,
    *,
    names: Sequence[Any] = (),
    classes: Sequence[Any] = (),
    weight: Any = None,
) -> Table:
    """A table from array-likes (lists, arrays, tensors, frames); DataError where they do not fit.

    Args:
        x: [N, ...] or [N] numbers, or a frame.
        y: [N] or [N, 1] labels, or [N, K] of several targets.
        where: for messages.
        names: of the columns; those of a frame come first.
        classes: the names of the labels 0, 1, ...
        weight: [N] numbers, how much each row counts.
    """
    columns: tuple[RawColumn, ...] = ()
    if is_frame(x):
        check_unique([str(column) for column in x.columns], where)
        features, columns, count = None, raw_columns(x, where), len(x)
        names, empty = [column.name for column in columns], not columns
    else:
        features = _features(x, where)
        count, empty = len(features), len(features) > 0 and features[0].size == 0
    labels = _labels(y, where)
    if count != len(labels):
        raise DataError(f"{count} rows of features, but {len(labels)} labels", where=where)
    if count == 0:
        raise DataError("no rows", where=where)
    if empty:
        raise DataError("no feature columns", where=where)
    targets = tuple(map(str, y.columns)) if is_frame(y) else ()
    table = Table(
        features, labels, tuple(map(str, names)), tuple(map(str, classes)), where, columns
    )
    return _labelled(table, targets, weight)


def from_stream(
    stream: Stream, y: Any, where: str, *, classes: Sequence[Any] = (), weight: Any = None
) -> Table:
    """A table whose numbers are not in memory; DataError for labels that are not one a row."""
    table = Table(None, _labels(y, where), (), tuple(map(str, classes)), where, stream=stream)
    return _labelled(table, (), weight)


def _labelled(table: Table, targets: tuple[str, ...], weight: Any) -> Table:
    """A table with names of its targets, where it has several, and with its weights, if any."""
    if table.y.ndim == 2:
        known = targets or tuple(f"y{k}" for k in range(table.y.shape[1]))
        table = replace(table, targets=known, classes=())
    if weight is None:
        return table
    return replace(table, weight=_weights(weight, len(table.y), table.where))


def from_frame(
    frame: pd.DataFrame,
    target: str | Sequence[str] | None,
    where: str,
    aside: Sequence[str] = (),
    text: str | None = None,
    drop: Sequence[str] = (),
    weight: str | None = None,
    stored: Stored | None = None,
) -> Table:
    """A table from a pandas frame: `target` is the label, or several are; every other column is a
    feature but those `aside`, those to `drop`, and the `weight`; or the column `text` is the only
    one.

    Args:
        stored: all columns, where these are not in memory and the frame has those alone that are
            no features.
    """
    columns = [str(column) for column in frame.columns] if stored is None else [*stored.names]
    held = {str(column): at for at, column in enumerate(frame.columns)}
    check_unique(columns, where)
    if len(frame) == 0:
        raise DataError("no rows", where=where)
    if target is None:
        raise DataError(
            "no target given for a table", where=where, hint=f"columns: {', '.join(columns[:20])}"
        )
    targets = (target,) if isinstance(target, str) else tuple(target)
    named = (*targets, *aside, *([] if text is None else [text]))
    known = set(columns)
    weighing = () if weight is None else (weight,)
    for name in (*named, *drop, *weighing):
        if name not in known:
            raise DataError(f"no column {name!r}", where=where, hint=nearest(name, columns))
    for name in targets:
        if name in named[len(targets) :]:
            cannot = "be the text" if name == text else "split the rows"
            raise DataError(f"column {name!r} is the target and cannot {cannot}", where=where)
    at = [held[name] for name in named]
    dividing = {name: frame.iloc[:, held[name]] for name in aside}
    labels = _labels(frame.iloc[:, at[: len(targets)]], where)
    several = targets if len(targets) > 1 else ()
    away, comma = {*named, *drop, *weighing}, writes_comma(frame)
    weights = None
    if weight is not None:
        weights = _column_of_weights(frame.iloc[:, held[weight]], comma)
    others = [name for name in columns if name not in away]
    if text is None and not others:
        raise DataError("no feature columns", where=where)
    if text is None:
        raw = raw_columns(frame, where, away) if stored is None else stored.features(away)
        table = Table(None, labels, tuple(others), (), where, raw, dividing, comma=comma)
    else:
        column = Text(text, strings(frame.iloc[:, at[-1]]), tuple(others))
        table = Table(None, labels, (), (), where, (), dividing, text=column, comma=comma)
    return replace(table, weight=weights, targets=several)


def _weights(weight: Any, count: int, where: str) -> NDArray[np.float64]:
    """Weights [N] from an array-like; DataError where they do not fit."""
    values = _array(weight, "weights", where)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.shape != (count,) or values.dtype.kind not in NUMERIC:
        raise DataError(
            f"weights have type {values.dtype} and shape {list(values.shape)}",
            where=where,
            hint=f"give one number for each of {count} rows",
        )
    return values.astype(np.float64)


def _column_of_weights(column: pd.Series[Any], comma: bool) -> NDArray[np.float64]:
    """Weights [N] from a column, NaN where one is missing or no number."""
    if column.dtype.kind in NUMERIC:
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    return (COMMA_FORMAT if comma else PLAIN).values(strings(column))[0]


def check_weights(table: Table) -> None:
    """DataError where a row has a weight that is no positive number; names the first."""
    weight = table.weight
    if weight is None:
        return
    bad = ~(np.isfinite(weight) & (weight > 0))
    if bad.any():
        row = int(bad.argmax())
        value = "missing or no number" if np.isnan(weight[row]) else f"{weight[row]:g}"
        raise DataError(
            f"{int(bad.sum())} of {len(bad)} weights are no positive numbers, the first in "
            f"{table.row(row)}: {value}",
            where=table.where,
            hint="give each row a weight above 0, or remove the row",
        )


def strings(written: pd.Series[Any]) -> NDArray[np.object_]:
    """The texts [N] of a column, empty where missing."""
    return written.astype(object).where(written.notna(), "").astype(str).to_numpy(dtype=object)


def check_unique(columns: Sequence[str], where: str) -> None:
    """DataError where two columns have one name."""
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if twice:
        raise DataError(
            f"columns with the same name: {', '.join(twice)}",
            where=where,
            hint="rename or remove all but one",
        )


def is_frame(value: object) -> TypeGuard[pd.DataFrame]:
    """Whether it is a pandas frame; does not import pandas, without which there is no frame."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, pandas.DataFrame)


def _features(x: Any, where: str) -> NDArray[Any]:
    values = _array(x, "features", where)
    if values.dtype.kind == "O":
        try:
            values = values.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(f"features are not numbers: {error}", where=where) from error
    if values.dtype.kind not in NUMERIC or values.ndim == 0:
        raise DataError(
            f"features have type {values.dtype} and shape {list(values.shape)}",
            where=where,
            hint="use an array of numbers with one row per example",
        )
    return values[:, None] if values.ndim == 1 else values


def _labels(y: Any, where: str) -> NDArray[Any]:
    if is_frame(y) and y.shape[1] == 1:
        y = y.iloc[:, 0]
    if is_frame(y):
        return _several_labels([_labels(y.iloc[:, k], where) for k in range(y.shape[1])])
    if hasattr(y, "isna") and hasattr(y, "to_numpy"):  # a pandas series, which may hold pandas.NA
        y = y.astype(object).where(y.notna(), None) if y.isna().any() else y.to_numpy()
    if isinstance(y, list | tuple):
        y = np.asarray(y, dtype=object)  # or NumPy would turn ["a", NaN] into ["a", "nan"]
    values = _array(y, "labels", where)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim not in (1, 2) or 0 in values.shape[1:]:
        hint = "use one label per row, or one for each of several targets"
        raise DataError(f"labels have shape {list(values.shape)}", where=where, hint=hint)
    if values.ndim == 1 and values.dtype.kind == "O":
        _refuse_ragged(values, where)
    return values


def _several_labels(columns: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Labels [N, K]: numbers where all columns are, else objects."""
    if all(each.dtype.kind in NUMERIC for each in columns):
        return np.column_stack(columns)
    return np.column_stack([each.astype(object) for each in columns])


def _refuse_ragged(values: NDArray[Any], where: str) -> None:
    """DataError where some rows have several labels and others fewer; names the first."""
    counts = [len(each) if isinstance(each, list | tuple | np.ndarray) else 1 for each in values]
    odd = next((row for row, count in enumerate(counts) if count != counts[0]), None)
    if odd is not None:
        raise DataError(
            f"{counted(odd)} has {counts[odd]} labels, but {counted(0)} has {counts[0]}",
            where=where,
            hint="give each row one label for each target, 0 where it does not apply",
        )


def _array(value: Any, what: str, where: str) -> NDArray[Any]:
    try:
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{what} cannot become an array: {error}", where=where) from error


# The layout of a table of text: encoding, delimiter, fields in each row.


DELIMITERS = {"\t": "tab", ";": "semicolon", "|": "|", ",": "comma", " ": "space"}
GZIP = b"\x1f\x8b"
SAMPLE = 2**16
"""The delimiter is found by so many characters, and at least by LINES whole lines."""
LINES = 4
SEPARATOR_LINE = re.compile(r'"?sep=(\\t|.)"?[\r\n]*', re.IGNORECASE)
"""A first line that names the delimiter for spreadsheets; it is no row."""

COMMA = re.compile(r" *[-+]?[0-9][0-9.]*,[0-9]+ *")
"""A number with a comma before its decimals."""

csv.field_size_limit(2**31 - 1)  # a line of a wide table is one field by another delimiter


def opened(file: Path) -> gzip.GzipFile | io.BufferedReader:
    """The bytes of a file, unpacked where it is gzipped, whatever its name."""
    with file.open("rb") as start:
        packed = start.read(2) == GZIP
    return gzip.open(file) if packed else file.open("rb")


def encoding_of(file: Path) -> str:
    """utf-8, utf-16 where a mark at the start says so, else cp1252, which includes latin-1.

    It does not guess by the letters: in a table they are few, such as °C in one column's name.

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
        f"is not text in a known encoding: tried {' and '.join(tried)}",
        where=str(file),
        hint="save it as UTF-8; UTF-16 needs a byte order mark",
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
    """The text of a table from its header on, without a line that names the delimiter."""
    return _open_text(file, encoding)[0]


def _open_text(file: Path, encoding: str) -> tuple[io.TextIOWrapper, str]:
    """The text from the header on, and the delimiter that the file names, or nothing."""
    text = io.TextIOWrapper(opened(file), encoding=encoding, newline="")
    try:
        separator = SEPARATOR_LINE.fullmatch(text.readline(12))
        if separator is None:
            text.seek(0)
    except BaseException:
        text.close()
        raise
    return text, "" if separator is None else separator[1].replace("\\t", "\t")


def layout_of(file: Path, encoding: str, lone: bool = False) -> tuple[str, int]:
    """The delimiter by which most of the first rows have as many fields as the header, and how
    many these are; DataError for one column only, unless that is enough (`lone`)."""
    lines, separator = _sample(file, encoding)
    best, header, most, count = "", [""], 0, 0
    for delimiter in separator or DELIMITERS:
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
            hint=f"columns are separated by one of {', '.join(DELIMITERS.values())}",
        )
    # The reader itself would rename the second of two columns without an error.
    check_unique([name for name in header if name], str(file))
    if most < count:  # were it the first row, its first field would be taken for an index
        check_ragged(file, encoding, best, len(header))
    return best, len(header)


def texts_of(file: Path, encoding: str, delimiter: str) -> list[str]:
    """The columns that must be read as text, since a reader would make wrong numbers of them.

    By the first rows, these are codes: digits alone, some of which begin with zeros; and, where a
    semicolon separates fields, so that a comma may mark decimals, numbers that may have a point
    between thousands.
    """
    rows = [row for row in csv.reader(_sample(file, encoding)[0], delimiter=delimiter) if row]
    header, cells = rows[0], [row for row in rows[1:] if len(row) == len(rows[0])]
    comma = delimiter == ";" and any(COMMA.fullmatch(text) for row in cells for text in row)
    names = []
    for at, name in enumerate(header):
        texts = [row[at] for row in cells if row[at]]
        code = any(len(text) > 1 and text[0] == "0" for text in texts) and are_digits(texts)
        if code or (delimiter == ";" and _may_be_thousands(texts, comma)):
            names.append(name)
    return names


def _may_be_thousands(texts: list[str], comma: bool) -> bool:
    """Whether each point is before three digits, beside numbers without one or with a comma for
    decimals; the module `numbers` decides."""
    pointed = [text for text in texts if "." in text]
    return (
        len(pointed) > 0
        and all(GROUPED.fullmatch(text.strip(" +-")) for text in pointed)
        and (comma or len(pointed) < len(texts))
    )


def _sample(file: Path, encoding: str) -> tuple[list[str], str]:
    """The first lines, all of them whole, and the delimiter that the file names."""
    text, separator = _open_text(file, encoding)
    with text:
        lines = io.StringIO(text.read(SAMPLE), newline="").readlines()
        if lines:
            lines[-1] += "" if lines[-1].endswith(("\r", "\n")) else text.readline()
        while lines and len(lines) < LINES and (line := text.readline()):
            lines.append(line)
    return lines, separator


def check_ragged(file: Path, encoding: str, delimiter: str, width: int) -> None:
    """DataError with the line of the first row that has not as many fields as the header."""
    for line, fields in _rows(file, encoding, delimiter):
        if fields != width:
            raise DataError(
                f"line {line} has {fields} fields, but the header has {width}",
                where=str(file),
                hint="fix the line, or quote fields that contain the delimiter",
            )


def _rows(file: Path, encoding: str, delimiter: str) -> Iterator[tuple[int, int]]:
    text, separator = _open_text(file, encoding)
    with text:
        reader = csv.reader(text, delimiter=delimiter)
        for row in reader:
            if row:
                yield reader.line_num + bool(separator), len(row)


# Tables of text with one line of column names: any delimiter and encoding, gzipped or not.


def read_text(
    file: Path,
    exact: Collection[str] | None = None,
    texts: Iterable[str] = (),
    *,
    codes: bool = True,
) -> pd.DataFrame:
    """The table in a file, in which codes that begin with zeros are text.

    Args:
        exact: where given, the numbers of all other columns may be narrowed in a large table.
        texts: columns to read as text: 007 is not 7.
        codes: whether `texts_of` finds more of them; not in studies of the first rule.

    Raises:
        DataError: the encoding is none of those tried, one column, a ragged row (with its line),
            two columns of one name, an empty file.
    """
    with file_errors(file):
        encoding = encoding_of(file)
        delimiter, width = layout_of(file, encoding)
        with _parser_errors(file, encoding, delimiter, width):
            more = texts_of(file, encoding, delimiter) if codes else ()
            kinds = dict.fromkeys([*texts, *more], str)
            frame = _frame(file, encoding, delimiter, width, exact, kinds)
        # The reader fills a row that is too short with missing values, without an error.
        if len(frame) and frame.iloc[:, -1].isna().any():
            check_ragged(file, encoding, delimiter, width)
    return decimal_comma(frame, kinds) if delimiter == ";" else frame


def _frame(
    file: Path,
    encoding: str,
    delimiter: str,
    width: int,
    exact: Collection[str] | None,
    kinds: Mapping[str, type[str]],
) -> pd.DataFrame:
    import pandas as pd

    types = dict(kinds) or None

    def whole(columns: list[int] | None) -> pd.DataFrame:
        with text_of(file, encoding) as text:
            return pd.read_csv(text, sep=delimiter, low_memory=False, usecols=columns, dtype=types)

    if exact is None:
        return whole(None)
    rows = max(memory.ROWS, memory.CELLS // width)
    with (
        text_of(file, encoding) as text,
        pd.read_csv(text, sep=delimiter, low_memory=False, chunksize=rows, dtype=types) as parts,
    ):
        return memory.by_rows(parts, whole, exact)


@dataclass(frozen=True)
class Layout:
    """How the rows of a file of text are written.

    Attributes:
        file: with the rows.
        encoding: of its text.
        delimiter: between fields.
        width: fields of a row.
        texts: the columns to read as text: 007 is not 7.
    """

    file: Path
    encoding: str
    delimiter: str
    width: int
    texts: frozenset[str]

    @classmethod
    def of(cls, file: Path, texts: Iterable[str], *, lone: bool, codes: bool) -> Layout:
        """The layout of a file; as ``layout_of``, and with `codes` as ``read_text``."""
        with file_errors(file):
            encoding = encoding_of(file)
            delimiter, width = layout_of(file, encoding, lone)
            more = texts_of(file, encoding, delimiter) if codes else ()
            return cls(file, encoding, delimiter, width, frozenset((*texts, *more)))

    def parts(self, columns: list[int] | None = None) -> Iterator[pd.DataFrame]:
        """The table, some rows at a time; or columns at some places, all of them as text.

        Raises:
            DataError: as ``read_text``.
        """
        import pandas as pd

        rows, checked = max(memory.ROWS, memory.CELLS // self.width), columns is not None
        kinds: Any = str if columns is not None else dict.fromkeys(self.texts, str) or None
        with (
            file_errors(self.file),
            _parser_errors(self.file, self.encoding, self.delimiter, self.width),
            text_of(self.file, self.encoding) as text,
        ):
            for part in pd.read_csv(
                text,
                sep=self.delimiter,
                low_memory=False,
                dtype=kinds,
                chunksize=rows,
                usecols=columns,
            ):
                if not checked and len(part) and part.iloc[:, -1].isna().any():
                    check_ragged(self.file, self.encoding, self.delimiter, self.width)
                    checked = True
                yield part


def text_parts(file: Path, texts: Collection[str]) -> Iterator[pd.DataFrame]:
    """The table in a file, some rows at a time; a single column is enough.

    Args:
        texts: columns to read as text: 007 is not 7.

    Raises:
        DataError: as `read_text`.
    """
    layout = Layout.of(file, texts, lone=True, codes=False)
    for part in layout.parts():
        yield decimal_comma(part, texts) if layout.delimiter == ";" else part


@contextmanager
def file_errors(file: Path) -> Iterator[None]:
    """Raises the errors of reading a file as DataError."""
    try:
        yield
    except (csv.Error, EOFError, zlib.error, OSError) as error:
        raise DataError(f"cannot be read as a table: {error}", where=str(file)) from error


@contextmanager
def _parser_errors(file: Path, encoding: str, delimiter: str, width: int) -> Iterator[None]:
    """Raises the errors of pandas as DataError, with the line where it is known."""
    import pandas as pd

    try:
        yield
    except pd.errors.ParserError as error:
        check_ragged(file, encoding, delimiter, width)
        raise DataError(f"cannot be read as a table: {error}", where=str(file)) from error


def decimal_comma(frame: pd.DataFrame, texts: Collection[str] = ()) -> pd.DataFrame:
    """Numbers such as 1,5, which go with a semicolon between fields, as numbers; not in `texts`.

    Other notations, or commas between thousands, are left to the module `numbers`; the attribute
    ``comma`` tells it that commas mark decimals here.
    """
    import pandas as pd

    parsed = frame.copy(deep=False)
    for name in frame.columns[frame.dtypes.map(lambda kind: kind.kind == "O")].difference([*texts]):
        text = frame[name].astype(object)
        present = text[text.notna()].astype(str)
        if len(present) and present.str.fullmatch(r"\s*[-+]?(?!0\d)\d+(,\d+)?\s*").all():
            parsed[name] = pd.to_numeric(text.where(text.notna(), None).str.replace(",", "."))
    parsed.attrs["comma"] = True
    return parsed
