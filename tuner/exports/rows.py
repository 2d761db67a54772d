"""Raw rows for a prediction: from a frame or an array to what a recipe takes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tuner.data.raw import raw_columns
from tuner.data.recipe import OfArray, OfColumns, Recipe
from tuner.data.table import Table, Text, check_unique, is_frame, strings
from tuner.errors import DataError, nearest

if TYPE_CHECKING:
    import pandas as pd

NOTHING: NDArray[Any] = np.empty(0)


def as_table(recipe: Recipe, rows: Any, where: str) -> Table:
    """Rows in the form that a recipe takes.

    Args:
        rows: a pandas frame; or an array-like [N, *shape], where the network learned from one.

    Raises:
        DataError: a column is missing, or is neither numbers nor text; rows of another size.
    """
    if isinstance(recipe, OfArray):
        return Table(_numbers(recipe, rows, where), NOTHING, (), (), where)
    if not is_frame(rows):
        names = ", ".join(_names(recipe))
        raise DataError("is no table with named columns", where=where, hint=f"columns: {names}")
    if isinstance(recipe, OfColumns):
        columns = raw_columns(_chosen(rows, _names(recipe), where), where)
        return Table(None, NOTHING, (), (), where, columns)
    text = strings(_chosen(rows, [recipe.name], where).iloc[:, 0])
    return Table(None, NOTHING, (), (), where, text=Text(recipe.name, text))


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


def _numbers(recipe: OfArray, rows: Any, where: str) -> NDArray[Any]:
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
        text = [column.name for column in columns if column.categories is not None]
        if text:
            what = f"column {text[0]!r} is text, and the network learned from numbers"
            raise DataError(what, where=where)
        return np.stack([column.values for column in columns], axis=1)
    try:
        x = np.asarray(rows)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"do not make an array: {error}", where=where) from error
    if x.dtype.kind not in "biuf" or x.ndim < 1:
        raise DataError(f"are of type {x.dtype}, and not numbers", where=where)
    return x
