"""``tuner predict``: raw rows in, classes with probabilities or values out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from tuner.data.table import is_frame
from tuner.errors import DataError
from tuner.exports.inputs import read_pieces
from tuner.exports.read import read
from tuner.exports.rows import as_table
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
    return Predictor(Path(folder))(rows, "rows")


def predict_file(folder: Path, file: Path, keep: Sequence[str] = ()) -> Iterator[pd.DataFrame]:
    """The same for the rows of a file or the images of a folder, some at a time.

    Args:
        keep: columns of a table that stand before the predictions.
    """
    import pandas as pd

    predictor, count = Predictor(folder), 0
    for rows in read_pieces(file, predictor.model, keep):
        if not len(rows.values):
            continue
        found = predictor(rows.values, str(file), count)
        twice = [name for name in rows.beside.columns if name in found.columns]
        if twice:
            what = f"the predictions have a column {twice[0]!r} too"
            raise DataError(what, where="--keep", hint="rename the column in the input")
        count += len(found)
        beside = (rows.beside.reset_index(drop=True), found.reset_index(drop=True))
        yield pd.concat(beside, axis=1)
    if count == 0:
        raise DataError("no rows", where=str(file))


class Predictor:
    """An export, read once, for any number of calls."""

    def __init__(self, folder: Path) -> None:
        self.model = read(folder)
        self.network = runnable(self.model)

    def __call__(self, rows: Any, where: str, first: int = 0) -> pd.DataFrame:
        """What the network says of raw rows, of which `first` came before."""
        import pandas as pd

        recipe, target = self.model.recipe, self.model.target
        table = as_table(recipe, rows, where)
        count = len(rows)
        if count == 0:
            raise DataError("no rows", where=where)
        prepared = recipe.rows(table, np.arange(count))
        _check_finite(prepared, where, first)
        outputs = outputs_of(self.network, torch.from_numpy(prepared)).double()
        index = rows.index if is_frame(rows) else None
        if target.task == "regression":
            values = in_units(outputs.squeeze(1), target).numpy()
            return pd.DataFrame({"value": values}, index=index)
        shares = outputs.softmax(1).numpy()
        named = np.array(target.classes, dtype=object)[shares.argmax(1)]
        each = {f"probability {name}": shares[:, i] for i, name in enumerate(target.classes)}
        return pd.DataFrame({"class": named, **each}, index=index)


def _check_finite(x: NDArray[Any], where: str, first: int) -> None:
    good = np.isfinite(x).reshape(len(x), -1).all(axis=1)
    if not good.all():
        raise DataError(
            f"NaN, infinite or too large numbers in {int((~good).sum())} rows, the first is row "
            f"{first + int(good.argmin())} counted from 0",
            where=where,
            hint="remove these rows, or fill them with a number",
        )
