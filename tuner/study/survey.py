"""What is in somebody's own data, before there is a study of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner.data import DataSet, DataSpec, load
from tuner.data.columns import CATEGORIES, IDENTIFIER, ROWS
from tuner.data.files import read_frame
from tuner.data.images import proposed
from tuner.errors import UsageError, nearest

if TYPE_CHECKING:
    import pandas as pd

DATE = re.compile(r"\s*\d{4}-\d\d?-\d\d?([T ].*)?|\s*\d\d?[./]\d\d?[./]\d{2,4}( .*)?")
SAMPLE = 1000
"""Values by which a column is told to be dates or text."""
WORDS = 4
"""A column of at least so many words, half of its values different, is text."""
OTHERS = 2
"""Beside at most so many other columns, a text is what there is to learn from."""
LARGE = 100_000
"""From so many rows on, a tenth is enough to validate, and to test."""


@dataclass(frozen=True)
class Survey:
    """What was found.

    Attributes:
        spec: how a study should read the data; its path is absolute.
        data: the rows, as a search would see them.
        rows: how many there are; those of test files are not counted.
        missing: gaps of each column that has some.
        dropped: columns that a study should drop, and why.
        hints: keys of ``[data]`` that may be right: key, column and why.
    """

    spec: DataSpec
    data: DataSet
    rows: int
    missing: Mapping[str, int]
    dropped: Mapping[str, str]
    hints: tuple[tuple[str, str, str], ...] = ()


def survey(file: Path, target: str | None) -> Survey:
    """Reads a table, an archive of arrays, or a folder.

    Raises:
        UsageError: no target for a table, or one that it lacks.
        DataError: it cannot be read, or nothing can be learned from it.
    """
    frame = read_frame(file)
    if frame is None:
        if target is not None and file.is_dir():
            raise UsageError("a folder has no columns", where="--target", hint="remove --target")
        spec = proposed(file) if file.is_dir() else DataSpec(path=str(file), target=target)
        return _loaded(Survey(spec, _NONE, 0, {}, {}))
    frame.columns = frame.columns.map(str)
    names = list(frame.columns)
    if target is None:
        hint = f"--target COLUMN; columns: {', '.join(names)}"
        raise UsageError("no target given", where=str(file), hint=hint)
    if target not in names:
        raise UsageError(f"no column {target!r}", where="--target", hint=nearest(target, names))
    missing = {str(name): int(n) for name, n in frame.isna().sum().items() if n}
    dropped, hints, text = _columns(frame.drop(columns=target))
    spec = DataSpec(path=str(file), target=target, text=text, drop=tuple(dropped))
    return _loaded(Survey(spec, _NONE, len(frame), missing, dropped, tuple(hints)))


_NONE: Any = None


def _loaded(found: Survey) -> Survey:
    spec = found.spec
    if found.rows >= LARGE:
        spec = replace(spec, validation=0.1, test=0.1)
    data = load(spec)
    rows = len(data.train) + len(data.validation) + (data.test or 0)
    return replace(found, spec=spec, data=data, rows=rows)


def _columns(
    frame: pd.DataFrame,
) -> tuple[dict[str, str], list[tuple[str, str, str]], str | None]:
    """Columns to drop with the reason, hints, and the column of text."""
    dropped: dict[str, str] = {}
    hints: list[tuple[str, str, str]] = []
    texts: list[str] = []
    for name in frame.columns:
        series = frame[name]
        if _is_date(series):
            dropped[name] = "dates are no quantity"
            hints.append(("time", name, "if the future is to be predicted from the past"))
        elif series.dtype.kind not in "biufO":
            dropped[name] = f"{series.dtype} is neither number nor text"
        elif _is_text(series):
            texts.append(name)
        elif _repeats(name, series):
            dropped[name] = "an identifier by its name, and its values repeat"
            hints.append(("group", name, "if rows of one belong together"))
        elif series.dtype.kind == "O" and series.nunique() > CATEGORIES:
            dropped[name] = f"{series.nunique()} categories are too many"
    usable = len(frame.columns) - len(dropped) - len(texts)
    if texts and usable <= OTHERS:
        return dropped, hints, texts[0]
    for name in texts:
        dropped[name] = "text beside columns of other kinds"
        hints.append(("text", name, "to learn from this text alone; see study sentiment"))
    return dropped, hints, None


def _sample(series: pd.Series[Any]) -> pd.Series[Any]:
    """The first texts; none where the column is not text."""
    found = series.dropna().head(SAMPLE) if series.dtype.kind == "O" else series.head(0)
    return found.astype(str)


def _is_date(series: pd.Series[Any]) -> bool:
    if series.dtype.kind == "M":
        return True
    sample = _sample(series)
    return len(sample) > 0 and bool(sample.map(lambda text: bool(DATE.fullmatch(text))).all())


def _is_text(series: pd.Series[Any]) -> bool:
    sample = _sample(series)
    if not len(sample):
        return False
    words = sample.map(lambda text: len(text.split())).median()
    return bool(words >= WORDS and 2 * sample.nunique() > len(sample))


def _repeats(name: str, series: pd.Series[Any]) -> bool:
    if not IDENTIFIER.search(name) or series.dtype.kind in "bf":
        return False
    return ROWS < series.nunique() < series.notna().sum()
