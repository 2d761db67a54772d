"""A large table from pieces of it, so that it is never in memory as it is read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

from tuner.data.narrow import Grown

if TYPE_CHECKING:
    import pandas as pd

CELLS = 2**17
"""Of a table that are read at a time."""
ROWS = 256
"""That are read at a time however wide a table is: each piece costs some time a column."""


def by_rows(
    pieces: Iterator[pd.DataFrame],
    whole: Callable[[list[int]], pd.DataFrame],
    exact: Collection[str],
) -> pd.DataFrame:
    """A table from pieces of its rows; a table of one piece stays as it is.

    Columns that are numbers in each piece are narrowed. What those hold that are sometimes numbers
    and sometimes not is known only when all was seen: they are read again.

    Args:
        pieces: of some rows each.
        whole: from places of columns to a table of these in one piece.
        exact: the columns that are not to be narrowed.
    """
    import pandas as pd

    first = next(pieces)
    second = next(pieces, None)
    if second is None:
        return first
    names = list(first.columns)
    growing = {at: Growing(name not in exact) for at, name in enumerate(names)}
    for piece in chain([first], [second], pieces):
        odd = [at for at, column in growing.items() if not column.take(piece.iloc[:, at])]
        for at in odd:
            del growing[at]
    rest = [at for at in range(len(names)) if at not in growing]
    others = whole(rest) if rest else first
    found = {
        name: growing.pop(at).whole() if at in growing else others.iloc[:, rest.index(at)]
        for at, name in enumerate(names)
    }
    return pd.DataFrame(found, copy=False)


class Growing:
    """A column whose pieces come one after the other: all of them numbers, or all text."""

    def __init__(self, narrowed: bool) -> None:
        self._numbers = Grown(narrowed)
        self._texts: list[pd.Series[Any]] = []

    def take(self, piece: pd.Series[Any]) -> bool:
        """Whether the next piece is of the same kind as those before."""
        from pandas.api.types import infer_dtype

        if piece.dtype.kind in "if" and not self._texts:
            self._numbers.add(piece.to_numpy())
            return True
        text = not len(self._numbers.values) and infer_dtype(piece, skipna=True) == "string"
        self._texts += [piece] * text
        return text

    def whole(self) -> Any:
        """The column."""
        import pandas as pd

        return pd.concat(self._texts) if self._texts else self._numbers.values


def by_columns(
    read: Callable[[list[str]], pd.DataFrame],
    names: list[str],
    rows: int,
    exact: Collection[str],
) -> pd.DataFrame:
    """A table from pieces of its columns, numbers narrowed; a small one is read as it is.

    Args:
        read: from names to a table of these columns.
        names: of all columns.
        rows: of the table.
        exact: the columns that are not to be narrowed.
    """
    import pandas as pd

    if rows * len(names) <= CELLS:
        return read(names)
    found = {}
    size = max(1, CELLS // rows)
    for start in range(0, len(names), size):
        piece = read(names[start : start + size])
        for at, name in enumerate(piece.columns):
            found[name] = piece.iloc[:, at]
            if str(name) not in exact and found[name].dtype in NUMBERS:
                column = Grown(True)
                column.add(found[name].to_numpy())
                found[name] = pd.Series(column.values, copy=False)
    return pd.DataFrame(found, copy=False)


NUMBERS = ("int64", "int32", "uint64", "uint32", "float64")
