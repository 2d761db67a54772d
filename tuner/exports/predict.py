"""Predicts raw rows with an export, and writes predictions as CSV."""

from __future__ import annotations

import shutil
import sys
import tempfile
import tomllib
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from gzip import GzipFile
from io import TextIOWrapper
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tuner.data import sequences
from tuner.data.raw import Naming, counted
from tuner.data.recipe import OfArray, OfColumns, Recipe
from tuner.data.tables import is_frame
from tuner.errors import DataError, UsageError
from tuner.exports.folder import PROGRAM
from tuner.exports.inputs import UnknownCells, as_table, feature_names, read_pieces
from tuner.exports.read import AGAIN, Model, network, read
from tuner.imports import Allowed
from tuner.logs import Say
from tuner.models.factory import is_factory
from tuner.output import replacing
from tuner.training.evaluate import predict as outputs_of
from tuner.training.trainer import one_thread

if TYPE_CHECKING:
    import pandas as pd


# The module that predicts: the network of an export, or its program.


def runnable(model: Model) -> nn.Module:
    """The network of an export; for a user's own family its program, which needs no other code.

    No module of the folder is imported. For a family of tuner only values are read; torch may run
    code of a program as it loads it.

    Raises:
        UsageError: a file is damaged.

    Shape:
        ``[B, *shape]`` to ``[B, outputs]``.
    """
    if not any(is_factory(_family(file)) for file in model.studies):
        return network(model, Allowed())
    file = model.folder / PROGRAM
    try:
        return Program(torch.export.load(file).module())
    except Exception as error:  # of many kinds: it is an archive of several formats
        message = f"is damaged: {type(error).__name__}: {error}"
        raise UsageError(message, where=str(file), hint=AGAIN) from error


class Program(nn.Module):
    """A program of torch.export, which has no other mode than that for evaluation."""

    def __init__(self, call: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.call = partial(call)  # not a child, whose mode would be set

    def forward(self, x: Tensor) -> Tensor:
        return self.call(x)


def _family(file: Path) -> Any:
    """The name of the family; None for a broken file, for which `network` raises the error."""
    try:
        family = tomllib.loads(file.read_text(encoding="utf-8"))["model"]["family"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return family.get("name") if isinstance(family, dict) else family


# ``tuner predict``: raw rows in, classes with probabilities or values out.


def predict(folder: str | Path, rows: pd.DataFrame | NDArray[Any]) -> pd.DataFrame:
    """Predicts raw rows with an exported network.

    A number that is missing becomes the median of the training rows, and a category that they
    did not have is none of theirs, as in the training; a warning says how many such there are.

    Args:
        folder: of the export.
        rows: a frame with the columns of the training, in any order, and any others; or, for a
            network that learned from an array, an array [N, *shape]; or a list of sequences of
            different lengths, where it learned from such.

    Returns:
        A row for each: `class`, and `probability NAME` for each class; or `value`, in the
        target's unit.

    Raises:
        UsageError: the folder is no export, or is damaged.
        DataError: a column is missing or not of its kind, or numbers are not finite.
    """
    predictor = Predictor(Path(folder))
    predictions = predictor(rows, "rows")
    for line in predictor.unknown.lines():
        warnings.warn(line, stacklevel=2)
    return predictions


def predict_file(
    folder: Path, file: Path, keep: Sequence[str] = (), say: Say = warnings.warn
) -> Iterator[pd.DataFrame]:
    """The same for the rows of a file or the images of a folder, some at a time.

    Args:
        keep: columns of a table that stand before the predictions.
        say: is given each warning at the end.
    """
    import pandas as pd

    predictor, count = Predictor(folder), 0
    for rows in read_pieces(file, predictor.model, keep):
        if not len(rows.values):
            continue
        predictions = predictor(rows.values, str(file), after(count, rows.row))
        twice = [name for name in rows.beside.columns if name in predictions.columns]
        if twice:
            message = f"the predictions have a column {twice[0]!r} too"
            raise DataError(message, where="--keep", hint="rename the column in the input")
        count += len(predictions)
        beside = (rows.beside.reset_index(drop=True), predictions.reset_index(drop=True))
        yield pd.concat(beside, axis=1)
    if count == 0:
        raise DataError("no rows", where=str(file))
    for line in predictor.unknown.lines():
        say(line)


class Predictor:
    """An export, read once, for any number of calls."""

    def __init__(self, folder: Path) -> None:
        self.model = read(folder)
        self.network = runnable(self.model)
        self.unknown = UnknownCells()

    def __call__(self, rows: Any, where: str, row: Naming = counted) -> pd.DataFrame:
        """Predicts raw rows; `row` names one of them in words."""
        import pandas as pd

        recipe, target = self.model.recipe, self.model.target
        table = as_table(recipe, rows, where, row)
        count = len(rows)
        if count == 0:
            raise DataError("no rows", where=where)
        self.unknown.check(recipe, table, count, where, row)
        tables = [table, *(as_table(each, rows, where, row) for each in self.model.more)]
        inputs = []
        for learned, its_table in zip(self.model.recipes, tables, strict=True):
            inputs.append(learned.rows(its_table, np.arange(count)))
            _check_finite(inputs[-1], learned, where, row)
        prepared = inputs[0] if len(inputs) == 1 else np.concatenate(inputs, axis=1)
        with self._threads():
            outputs = outputs_of(self.network, torch.from_numpy(prepared)).double()
        index = rows.index if is_frame(rows) else None
        if target.task == "regression":
            values = target.predicted(outputs).numpy()
            return pd.DataFrame(values, columns=list(target.names or ("value",)), index=index)
        shares = target.probabilities(outputs).numpy()
        if target.task == "multilabel":
            return pd.DataFrame(_labels(target.names, shares), index=index)
        named = np.array(target.classes, dtype=object)[shares.argmax(1)]
        each = {f"probability {name}": shares[:, i] for i, name in enumerate(target.classes)}
        return pd.DataFrame({"class": named, **each}, index=index)

    def _threads(self) -> AbstractContextManager[None]:
        """One thread for tables: on a busy machine several wait for each other in each of the many
        small layers of an ensemble for longer than they work."""
        return one_thread() if isinstance(self.model.recipe, OfColumns) else nullcontext()


def _labels(names: Sequence[str], shares: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    """A column of 0 and 1 for each label, then the probability of each."""
    likely = {name: (shares[:, i] > 0.5).astype(np.int64) for i, name in enumerate(names)}
    return {**likely, **{f"probability {name}": shares[:, i] for i, name in enumerate(names)}}


def after(count: int, row: Naming) -> Naming:
    """Names rows of which so many come before."""
    return lambda at: row(count + at)


def _check_finite(x: NDArray[Any], recipe: Recipe, where: str, row: Naming) -> None:
    padded = isinstance(recipe, OfArray) and recipe.padded
    bad = (sequences.odd(x) if padded else ~np.isfinite(x)).reshape(len(x), -1)
    rows = bad.any(axis=1)
    if rows.any():
        first = int(rows.argmax())
        names = feature_names(recipe)
        at = int(bad[first].argmax())
        named = f", in column {names[at]!r}" if len(names) == bad.shape[1] else ""
        raise DataError(
            f"NaN, infinite or too large numbers in {int(rows.sum())} rows, the first is "
            f"{row(first)}{named}",
            where=where,
            hint="remove these rows, or fill them with a number",
        )


# Predictions as CSV: written whole or not at all, however many pieces they come in.


ENDINGS = (".csv", ".csv.gz")


def check_output(output: Path, file: Path) -> None:
    """Raises UsageError where the predictions for a file may not be written there."""
    if output.resolve() == file.resolve():
        raise UsageError("is also the input", where=str(output), hint="give another --output")
    if not output.name.lower().endswith(ENDINGS):
        hint = f"name a file that ends in {' or '.join(ENDINGS)}"
        raise UsageError("predictions are written as CSV", where=str(output), hint=hint)
    if output.exists() and not output.is_file():
        raise UsageError("exists and is not a file", where=str(output), hint="name another")


def to_stdout(pieces: Iterable[pd.DataFrame]) -> None:
    """Prints predictions; prints nothing if one of the pieces fails."""
    with tempfile.TemporaryFile("w+", newline="", encoding="utf-8") as whole:
        _write(pieces, whole)
        whole.seek(0)
        shutil.copyfileobj(whole, sys.stdout)


def to_file(pieces: Iterable[pd.DataFrame], output: Path) -> int:
    """Writes predictions; returns the number of rows.

    Raises:
        UsageError: it cannot be written.
    """
    packed = output.name.lower().endswith(".gz")
    try:
        with replacing(output) as part, part.open("wb") as raw:
            binary: Any = GzipFile(output.name, "wb", fileobj=raw) if packed else raw
            with TextIOWrapper(binary, newline="", encoding="utf-8") as stream:
                return _write(pieces, stream)
    except OSError as error:
        raise UsageError(f"cannot be written: {error}", where=str(output)) from error


def _write(pieces: Iterable[pd.DataFrame], stream: IO[str]) -> int:
    rows = 0
    for piece in pieces:
        piece.to_csv(stream, index=False, header=rows == 0, lineterminator="\n")
        rows += len(piece)
    return rows
