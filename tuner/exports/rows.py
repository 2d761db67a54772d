"""Raw rows for a prediction: from a frame or an array to what a recipe takes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tuner.data.encoders import Number
from tuner.data.raw import NO_NUMBER, RawColumn, first_odd, numbers, raw_columns
from tuner.data.recipe import Feature, OfArray, OfColumns, Recipe
from tuner.data.table import Table, Text, check_unique, is_frame, strings
from tuner.errors import DataError, nearest

if TYPE_CHECKING:
    import pandas as pd

TEXTS = 5
"""Of a column that are named."""
NOTHING: NDArray[Any] = np.empty(0)


def as_table(recipe: Recipe, rows: Any, where: str, before: int = 0) -> Table:
    """Rows in the form that a recipe takes.

    Args:
        before: rows that came before, for messages.
        rows: a pandas frame; or an array-like [N, *shape], where the network learned from one.

    Raises:
        DataError: a column is missing, or is neither numbers nor text; rows of another size.
    """
    if isinstance(recipe, OfArray):
        return Table(_numbers(recipe, rows, where, before), NOTHING, (), (), where)
    if not is_frame(rows):
        names = ", ".join(_names(recipe))
        raise DataError("is no table with named columns", where=where, hint=f"columns: {names}")
    if isinstance(recipe, OfColumns):
        columns = raw_columns(_chosen(rows, _names(recipe), where), where)
        return Table(None, NOTHING, (), (), where, columns)
    text = strings(_chosen(rows, [recipe.name], where).iloc[:, 0])
    return Table(None, NOTHING, (), (), where, text=Text(recipe.name, text))


@dataclass
class Strange:
    """Cells that the training did not know and that a network takes nevertheless, by column.

    Attributes:
        rows: that were looked at.
    """

    rows: int = 0
    _found: dict[tuple[str, str], tuple[int, dict[str, None]]] = field(default_factory=dict)

    def look(self, recipe: Recipe, table: Table, count: int, where: str) -> None:
        """The next rows.

        Raises:
            DataError: a text where the rows to train on had numbers, with its row.
        """
        before, self.rows = self.rows, self.rows + count
        if not isinstance(recipe, OfColumns):
            return
        known = {raw.name: raw for raw in table.columns}
        bad = [
            said
            for feature in recipe.features
            for said in self._look_at(feature, known[feature.name], before)
        ]
        if bad:
            more = f"; and {len(bad) - TEXTS} more columns" if len(bad) > TEXTS else ""
            what = f"{'; '.join(bad[:TEXTS])}{more}, and the rows to train on have numbers"
            raise DataError(what, where=where, hint=NO_NUMBER)

    def said(self) -> list[str]:
        """A line for each column."""
        lines = []
        for (name, what), (count, texts) in self._found.items():
            named = ", ".join(map(repr, list(texts)[:TEXTS])) + ", …" * (len(texts) > TEXTS)
            lines.append(f"column {name!r}: {count} of {self.rows} rows have {what} ({named})")
        return lines

    def _look_at(self, feature: Feature, raw: RawColumn, before: int) -> Iterator[str]:
        """What is wrong with a column; what is only strange is noted."""
        encoder = feature.encoder
        if not isinstance(encoder, Number):
            mask, texts = encoder.unknown(raw)
            self._note(raw.name, UNSEEN, int(mask.sum()), texts)
        elif raw.categories is not None:
            values, odd = raw.read(encoder.format)
            if odd.any():
                yield first_odd(raw, odd, before)
            marked = np.isnan(values) & (raw.values >= 0) & ~odd
            texts = [str(raw.categories[code]) for code in np.unique(raw.values[marked])]
            self._note(raw.name, MARKED, int(marked.sum()), texts)

    def _note(self, name: str, what: str, count: int, texts: list[str]) -> None:
        if count:
            before, known = self._found.get((name, what), (0, {}))
            self._found[name, what] = before + count, {**known, **dict.fromkeys(texts)}


UNSEEN = "a category that the training rows did not have, and count as none of theirs"
MARKED = "no number, and count as missing"


def feature_names(recipe: Recipe) -> list[str]:
    """The column of each number of a row, where there are columns."""
    if isinstance(recipe, OfColumns):
        return [feature.name for feature in recipe.features for _ in feature.names]
    return list(recipe.names) if isinstance(recipe, OfArray) else []


def _names(recipe: Recipe) -> list[str]:
    if isinstance(recipe, OfColumns):
        return [feature.name for feature in recipe.features]
    return list(recipe.names) if isinstance(recipe, OfArray) else [recipe.name]


def _chosen(frame: pd.DataFrame, names: list[str], where: str) -> pd.DataFrame:
    """Those columns, in that order."""
    known = [str(name) for name in frame.columns]
    missing = [name for name in names if name not in known]
    if missing:
        many = "columns" if len(missing) > 1 else "column"
        more = ", …" if len(missing) > 10 else ""
        raise DataError(
            f"no {many} {', '.join(map(repr, missing[:10]))}{more}",
            where=where,
            hint=f"the network needs them; {nearest(missing[0], known)}",
        )
    check_unique([name for name in known if name in set(names)], where)
    found = frame.iloc[:, [known.index(name) for name in names]]
    return found.set_axis(names, axis=1)


def _numbers(recipe: OfArray, rows: Any, where: str, before: int) -> NDArray[Any]:
    if is_frame(rows):
        size = math.prod(recipe.shape)
        if len(recipe.names) == size:
            rows = _chosen(rows, list(recipe.names), where)
        elif rows.shape[1] != size:
            raise DataError(
                f"{rows.shape[1]} columns, and a row of the network has {size} numbers",
                where=where,
                hint="give one column for each, in the order of the training; they have no names",
            )
        columns = raw_columns(rows, where)
        return np.stack([numbers(column, where, None, before) for column in columns], axis=1)
    try:
        x = np.asarray(rows)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"do not make an array: {error}", where=where) from error
    if x.dtype.kind not in "biuf" or x.ndim < 1:
        raise DataError(f"are of type {x.dtype}, and not numbers", where=where)
    return x
