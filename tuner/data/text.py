"""Tables of text with one line of column names: any delimiter and encoding, gzipped or not."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tuner.data import pieces
from tuner.data.layout import check_ragged, codes_of, encoding_of, layout_of, text_of
from tuner.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def read_text(
    file: Path, exact: Collection[str] | None = None, texts: Iterable[str] = ()
) -> pd.DataFrame:
    """The table in a file, in which codes that begin with zeros are text.

    Args:
        exact: where given, the numbers of all other columns may be narrowed in a large table.
        texts: columns that are text, whatever it looks like: 007 is not 7.

    Raises:
        DataError: the encoding is none of those tried, one column, a ragged row (with its line),
            two columns of one name, nothing in it.
    """
    with _refusing(file):
        encoding = encoding_of(file)
        delimiter, width = layout_of(file, encoding)
        with _named(file, encoding, delimiter, width):
            kinds = dict.fromkeys([*texts, *codes_of(file, encoding, delimiter)], str)
            frame = _frame(file, encoding, delimiter, width, exact, kinds)
        # A row that is too short ends in missing values, and the reader says nothing.
        if len(frame) and frame.iloc[:, -1].isna().any():
            check_ragged(file, encoding, delimiter, width)
    return _decimal_comma(frame, kinds) if delimiter == ";" else frame


def _frame(
    file: Path,
    encoding: str,
    delimiter: str,
    width: int,
    exact: Collection[str] | None,
    kinds: Mapping[str, type[str]],
) -> pd.DataFrame:
    import pandas as pd

    def whole(columns: list[int] | None) -> pd.DataFrame:
        with text_of(file, encoding) as text:
            return pd.read_csv(
                text, sep=delimiter, low_memory=False, usecols=columns, dtype=dict(kinds) or None
            )

    if exact is None:
        return whole(None)
    rows = max(pieces.ROWS, pieces.CELLS // width)
    with (
        text_of(file, encoding) as text,
        pd.read_csv(text, sep=delimiter, low_memory=False, chunksize=rows) as parts,
    ):
        return pieces.by_rows(parts, whole, exact)


def parts(file: Path, texts: Collection[str]) -> Iterator[pd.DataFrame]:
    """The table in a file, some rows at a time; a single column is enough.

    Args:
        texts: columns that are text, whatever it looks like: 007 is not 7.

    Raises:
        DataError: as `read_text`.
    """
    import pandas as pd

    with _refusing(file):
        encoding = encoding_of(file)
        delimiter, width = layout_of(file, encoding, lone=True)
        rows, kinds = max(pieces.ROWS, pieces.CELLS // width), dict.fromkeys(texts, str)
        checked = False
        with _named(file, encoding, delimiter, width), text_of(file, encoding) as text:
            for part in pd.read_csv(
                text, sep=delimiter, low_memory=False, dtype=kinds or None, chunksize=rows
            ):
                if not checked and len(part) and part.iloc[:, -1].isna().any():
                    check_ragged(file, encoding, delimiter, width)
                    checked = True
                yield _decimal_comma(part, texts) if delimiter == ";" else part


@contextmanager
def _refusing(file: Path) -> Iterator[None]:
    """What a reader raises as a DataError."""
    try:
        yield
    except (csv.Error, EOFError, zlib.error, OSError) as error:
        raise DataError(f"cannot be read as a table: {error}", where=str(file)) from error


@contextmanager
def _named(file: Path, encoding: str, delimiter: str, width: int) -> Iterator[None]:
    """The same for what pandas raises, with the line where it is known."""
    import pandas as pd

    try:
        yield
    except pd.errors.ParserError as error:
        check_ragged(file, encoding, delimiter, width)
        raise DataError(f"cannot be read as a table: {error}", where=str(file)) from error


def _decimal_comma(frame: pd.DataFrame, texts: Collection[str] = ()) -> pd.DataFrame:
    """Numbers such as 1,5, which go with a semicolon between fields, as numbers; not in `texts`.

    What is written otherwise, or with a comma between thousands, is for `numbers` to tell, which is
    told that commas mark decimals here.
    """
    import pandas as pd

    found = frame.copy(deep=False)
    for name in frame.columns[frame.dtypes.map(lambda kind: kind.kind == "O")].difference([*texts]):
        text = frame[name].astype(object)
        present = text[text.notna()].astype(str)
        if len(present) and present.str.fullmatch(r"\s*[-+]?(?!0\d)\d+(,\d+)?\s*").all():
            found[name] = pd.to_numeric(text.where(text.notna(), None).str.replace(",", "."))
    found.attrs["comma"] = True
    return found
