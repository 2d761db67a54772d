"""``tuner predict``: raw rows in, classes with probabilities or values out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from tuner.data.table import is_frame
from tuner.errors import DataError
from tuner.exports.read import read
from tuner.exports.rows import as_table, read_rows
from tuner.exports.run import runnable
from tuner.training.evaluate import in_units
from tuner.training.evaluate import predict as outputs_of

if TYPE_CHECKING:
    import pandas as pd


def predict(folder: str | Path, rows: pd.DataFrame | NDArray[Any]) -> pd.DataFrame:
    """What an exported network says of raw rows.

    A number that is missing becomes the median of the training rows, and a category that they
    did not have is none of theirs, as in the training.

    Args:
        folder: of the export.
        rows: a frame with the columns of the training, in any order, and any others; or, for a
            network that learned from an array, an array [N, *shape].

    Returns:
        A row for each: `class`, and `probability NAME` for each class; or `value`, in the
        target's unit.

    Raises:
        UsageError: the folder is no export, or is damaged.
        DataError: a column is missing or not of its kind, or numbers are not finite.
    """
    return _predicted(Path(folder), rows, "rows")


def predict_file(folder: Path, file: Path) -> pd.DataFrame:
    """The same for the rows of a file: CSV, TSV, Parquet, or an archive of arrays."""
    read(folder)  # before a large file is
    return _predicted(folder, read_rows(file), str(file))


def _predicted(folder: Path, rows: Any, where: str) -> pd.DataFrame:
    import pandas as pd

    model = read(folder)
    table = as_table(model.recipe, rows, where)
    count = len(rows)
    if count == 0:
        raise DataError("no rows", where=where)
    prepared = model.recipe.rows(table, np.arange(count))
    _check_finite(prepared, where)
    outputs = outputs_of(runnable(folder), torch.from_numpy(prepared)).double()
    index = rows.index if is_frame(rows) else None
    target = model.target
    if target.task == "regression":
        return pd.DataFrame({"value": in_units(outputs.squeeze(1), target).numpy()}, index=index)
    shares = outputs.softmax(1).numpy()
    named = np.array(target.classes, dtype=object)[shares.argmax(1)]
    each = {f"probability {name}": shares[:, i] for i, name in enumerate(target.classes)}
    return pd.DataFrame({"class": named, **each}, index=index)


def _check_finite(x: NDArray[Any], where: str) -> None:
    good = np.isfinite(x).reshape(len(x), -1).all(axis=1)
    if not good.all():
        raise DataError(
            f"NaN, infinite or too large numbers in {int((~good).sum())} rows, the first is row "
            f"{int(good.argmin())} counted from 0",
            where=where,
            hint="remove these rows, or fill them with a number",
        )
