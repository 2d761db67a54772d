"""What is in somebody's own data, before there is a study of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tuner.data import DataSet, DataSpec, load
from tuner.data.columns import CATEGORIES, IDENTIFIER, ROWS, are_dates
from tuner.data.division import times_of
from tuner.data.files import read_frame
from tuner.data.images import proposed
from tuner.data.numbers import Found, are_digits, recognize
from tuner.data.raw import writes_comma
from tuner.data.vocabulary import word_count
from tuner.errors import DataError, UsageError, nearest

if TYPE_CHECKING:
    import pandas as pd

SAMPLE = 1000
"""Values by which a column is told to be dates or text."""
WORDS = 4
"""A column of at least so many words, half of its values different, is text."""
OTHERS = 2
"""Beside at most so many other columns, a text is what there is to learn from."""
SOME = 20
"""Columns that are named in a message."""
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
        hint = f"--target COLUMN; columns: {some_of(names)}"
        raise UsageError("no target given", where=str(file), hint=hint)
    if target not in names:
        raise UsageError(f"no column {target!r}", where="--target", hint=nearest(target, names))
    seen = _Columns(writes_comma(frame))
    for name, series in frame.items():
        seen.count_gaps(str(name), series)
        if name != target:
            seen.look(str(name), series)
    text = seen.text_to_learn_from(len(names) - 1)
    spec = DataSpec(path=str(file), target=target, text=text, drop=tuple(seen.dropped))
    return _loaded(Survey(spec, _NONE, len(frame), seen.missing, seen.dropped, tuple(seen.hints)))


_NONE: Any = None


def _loaded(found: Survey) -> Survey:
    spec = found.spec
    if found.rows >= LARGE:
        spec = replace(spec, validation=0.1, test=0.1)
    data = load(spec)
    rows = len(data.train) + len(data.validation) + (data.test or 0)
    columns = tuple(
        replace(each, reason=found.dropped[each.name])
        if each.decision == "dropped" and each.name in found.dropped
        else each
        for each in data.columns
    )
    return replace(found, spec=spec, data=replace(data, columns=columns), rows=rows)


def some_of(names: Sequence[str], between: str = ", ") -> str:
    """Names for a message, however many there are."""
    more = f" and {len(names) - SOME} more" if len(names) > SOME else ""
    return between.join(names[:SOME]) + more


class _Columns:
    """What the columns of a table are, one after the other.

    Attributes:
        missing: gaps of each column; those that are marked in numbers that are text are added.
        dropped: columns to drop, and why.
        hints: as in a survey.
        texts: columns of text.
    """

    def __init__(self, comma: bool) -> None:
        self._comma = comma
        self.missing: dict[str, int] = {}
        self.dropped: dict[str, str] = {}
        self.hints: list[tuple[str, str, str]] = []
        self.texts: list[str] = []

    def count_gaps(self, name: str, series: pd.Series[Any]) -> None:
        """The gaps of the next column."""
        if series.dtype.kind in "biu" and isinstance(series.dtype, np.dtype):
            return
        values = series.to_numpy() if series.dtype == np.float64 else series.isna().to_numpy()
        count = int((values != values if values.dtype.kind == "f" else values).sum())
        if count:
            self.missing[name] = count

    def look(self, name: str, series: pd.Series[Any]) -> None:
        """The next column."""
        if series.dtype.kind == "O":
            self._look_at_text(name, series)
        elif series.dtype.kind == "M":
            self._drop_dates(name, series)
        elif series.dtype.kind not in "biuf":
            self.dropped[name] = f"{series.dtype} is neither number nor text"
        elif _repeats(name, series):
            self._drop_group(name)

    def _look_at_text(self, name: str, series: pd.Series[Any]) -> None:
        counts = series.astype(object).value_counts()
        texts = [str(each) for each in counts.index]
        found = self._numbers(texts, counts)
        if found is not None and found.format is not None:
            values, _ = found.format.values(texts)
            marked = int(counts.to_numpy()[np.isnan(values)].sum())
            if marked:
                self.missing[name] = self.missing.get(name, 0) + marked
        elif found is not None:
            self.dropped[name] = found.said
        elif are_dates(texts[:SAMPLE]):
            self._drop_dates(name, series)
        elif _is_text(texts[:SAMPLE], len(series)):
            self.texts.append(name)
        elif _repeats(name, series):
            self._drop_group(name)
        elif len(texts) > CATEGORIES:
            self.dropped[name] = f"{len(texts)} categories are too many"

    def _numbers(self, texts: list[str], counts: pd.Series[Any]) -> Found | None:
        return None if are_digits(texts) else recognize(texts, counts.to_numpy(), self._comma)

    def _drop_dates(self, name: str, series: pd.Series[Any]) -> None:
        present = series.dropna()
        example = f", such as {str(present.iloc[0])!r}," if len(present) else ""
        self.dropped[name] = f"dates{example} are no quantity"
        try:
            times_of(present.head(SAMPLE), name)
        except DataError:
            return
        self.hints.append(("time", name, "if the future is to be predicted from the past"))

    def _drop_group(self, name: str) -> None:
        self.dropped[name] = "an identifier by its name, and its values repeat"
        self.hints.append(("group", name, "if rows of one belong together"))

    def text_to_learn_from(self, count: int) -> str | None:
        """The column of text, where there is little else among so many columns."""
        usable = count - len(self.dropped) - len(self.texts)
        if self.texts and usable <= OTHERS:
            return self.texts[0]
        for name in self.texts:
            self.dropped[name] = "text beside columns of other kinds"
            self.hints.append(("text", name, "to learn from this text alone; see study sentiment"))
        return None


def _is_text(texts: Sequence[str], rows: int) -> bool:
    """Whether different texts, of so many rows, are of words."""
    if not texts:
        return False
    words = sorted(map(word_count, texts))[len(texts) // 2]
    return words >= WORDS and 2 * len(texts) > min(rows, SAMPLE)


def _repeats(name: str, series: pd.Series[Any]) -> bool:
    if not IDENTIFIER.search(name) or series.dtype.kind in "bf":
        return False
    return bool(ROWS < series.nunique() < series.notna().sum())
