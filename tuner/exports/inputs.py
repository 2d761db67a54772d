"""Reads raw rows for a prediction from files, frames and arrays."""

from __future__ import annotations

import math
import tomllib
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tuner.data import images, items, sequences, tables
from tuner.data.arrays import open_member, read_idx
from tuner.data.encoders import Date, Flag, Number, OneHot
from tuner.data.memory import CELLS
from tuner.data.numbers import is_limit
from tuner.data.raw import (
    NO_NUMBER,
    Naming,
    RawColumn,
    counted,
    first_odd,
    in_file,
    numbers,
    raw_columns,
)
from tuner.data.recipe import Feature, OfArray, OfColumns, OfText, Recipe
from tuner.data.sources import FRAMES, returned
from tuner.data.tables import Table, Text, check_unique, is_frame, read_text, strings
from tuner.errors import DataError, nearest
from tuner.exports.read import Model
from tuner.imports import function, is_reference

if TYPE_CHECKING:
    import pandas as pd


# Raw rows for a prediction: from a frame or an array to what a recipe takes.


TEXTS = 5
"""The most texts, or columns, that a message names."""
NOTHING: NDArray[Any] = np.empty(0)


def as_table(recipe: Recipe, rows: Any, where: str, row: Naming = counted) -> Table:
    """Rows in the form that a recipe takes.

    Args:
        rows: a pandas frame; or an array-like [N, *shape], where the network learned from one; of
            sequences a list of them, each with a length of its own, does too.
        row: names a row in words.

    Raises:
        DataError: a column is missing, or is neither numbers nor text; rows of another size.
    """
    if isinstance(recipe, OfArray):
        x = _numbers(recipe, rows, where, row)
        return Table(x, NOTHING, (), (), where, named=row)
    if not is_frame(rows):
        names = ", ".join(_names(recipe))
        raise DataError("is not a table with named columns", where=where, hint=f"columns: {names}")
    if isinstance(recipe, OfColumns):
        columns = raw_columns(_chosen(rows, _names(recipe), where), where)
        return Table(None, NOTHING, (), (), where, columns)
    text = strings(_chosen(rows, [recipe.name], where).iloc[:, 0])
    return Table(None, NOTHING, (), (), where, text=Text(recipe.name, text))


@dataclass
class UnknownCells:
    """Cells unlike those of the training that the network accepts nevertheless, by column.

    Attributes:
        rows: the number of rows that were checked.
    """

    rows: int = 0
    _cells: dict[tuple[str, str], tuple[int, dict[str, None]]] = field(default_factory=dict)

    def check(self, recipe: Recipe, table: Table, count: int, where: str, row: Naming) -> None:
        """Checks the next rows.

        Args:
            row: names one of them in words.

        Raises:
            DataError: a text where the rows to train on had numbers, with its row.
        """
        self.rows += count
        if not isinstance(recipe, OfColumns):
            return
        known = {raw.name: raw for raw in table.columns}
        bad = [
            message
            for feature in recipe.features
            for message in self._check_column(feature, known[feature.name], row)
        ]
        if bad:
            more = f"; and {len(bad) - TEXTS} more columns" if len(bad) > TEXTS else ""
            text = f"{'; '.join(bad[:TEXTS])}{more}, and the rows to train on have numbers"
            raise DataError(text, where=where, hint=NO_NUMBER)

    def lines(self) -> list[str]:
        """A line for each column."""
        lines = []
        for (name, kind), (count, texts) in self._cells.items():
            named = ", ".join(map(repr, list(texts)[:TEXTS])) + ", …" * (len(texts) > TEXTS)
            lines.append(f"column {name!r}: {count} of {self.rows} rows have {kind} ({named})")
        return lines

    def _check_column(self, feature: Feature, raw: RawColumn, row: Naming) -> Iterator[str]:
        """Yields the errors of a column; notes its cells that are acceptable."""
        encoder = feature.encoder
        if not isinstance(encoder, Number):
            mask, texts = encoder.unknown(raw)
            self._note(raw.name, STRANGE[type(encoder)], int(mask.sum()), texts)
        elif raw.categories is not None:
            values, odd = raw.read(encoder.format)
            if odd.any():
                unit = encoder.format.unit if encoder.format is not None else ""
                instead = f" instead of a number in {unit!r}" * bool(unit)
                yield first_odd(raw, odd, row) + instead
            marked = np.isnan(values) & (raw.values >= 0) & ~odd
            limits = np.array([*(is_limit(str(each)) for each in raw.categories), False])
            for kind, mask in ((MARKED, marked), (LIMITS, limits[raw.values] & ~marked & ~odd)):
                texts = [str(raw.categories[code]) for code in np.unique(raw.values[mask])]
                self._note(raw.name, kind, int(mask.sum()), texts)

    def _note(self, name: str, kind: str, count: int, texts: list[str]) -> None:
        if count:
            before, known = self._cells.get((name, kind), (0, {}))
            self._cells[name, kind] = before + count, {**known, **dict.fromkeys(texts)}


STRANGE: Mapping[type, str] = {
    OneHot: "a category that the training rows do not have; it counts as unknown",
    Date: "a text that is no date; it counts as missing",
    Flag: "a word that is neither yes nor no; it counts as missing",
}
MARKED = "a value that is not a number; it counts as missing"
LIMITS = "a limit or a footnote beside the number; the number counts as it is"


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
    """The named columns, in the order of the names."""
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
    columns = frame.iloc[:, [known.index(name) for name in names]]
    return columns.set_axis(names, axis=1)


def _numbers(recipe: OfArray, rows: Any, where: str, row: Naming) -> NDArray[Any]:
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
        return np.stack([numbers(column, where, row=row) for column in columns], axis=1)
    x = _as_array(rows, where)
    if x.dtype.kind not in "biuf" or x.ndim < 1:
        raise DataError(f"are of type {x.dtype}, and not numbers", where=where)
    return x


def _as_array(rows: Any, where: str) -> NDArray[Any]:
    try:
        return np.asarray(sequences.of_list(rows, where))
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"do not make an array: {error}", where=where) from error


# Files of raw rows for a prediction, some rows at a time.


ARCHIVE, IDX = ".npz", ("idx3-ubyte", "idx3-ubyte.gz")


@dataclass(frozen=True)
class Piece:
    """Some of the rows of a file.

    Attributes:
        values: a frame, or an array [N, ...].
        beside: columns to write beside the predictions.
        row: names a row in words, by its place in the file.
    """

    values: pd.DataFrame | NDArray[Any]
    beside: pd.DataFrame
    row: Naming = counted


def read_pieces(file: Path, model: Model, keep: Sequence[str] = ()) -> Iterator[Piece]:
    """The rows of a file, or the images of a folder with their names in a column `file`; or those
    that a function returns, as "module:function" names it.

    Args:
        keep: columns of a table to write beside the predictions.

    Raises:
        DataError: there is no such file or column, its format is unknown, or it cannot be read.
    """
    if not file.exists() and is_reference(str(file)):
        value = returned(str(file), "--input")
        datasets = items.datasets(value, str(file))
        if datasets is None:
            yield from _values(value, file, keep)
        else:
            _check_no_columns(keep, file)
            yield from _items(datasets, file, collate_of(model))
        return
    if not file.exists():
        hint = "give --input a file of raw rows, a folder of images, or module:function"
        raise DataError("no such file", where=str(file), hint=hint)
    name = file.name.lower()
    if file.is_dir() or name.endswith(images.ENDINGS):
        _check_no_columns(keep, file)
        yield from _images(file, model)
    elif name.endswith((ARCHIVE, *IDX)):
        _check_no_columns(keep, file)
        npz = name.endswith(ARCHIVE)
        x = np.atleast_1d(_array(file, model.features) if npz else read_idx(file))
        for part in _slices(x, math.prod(x.shape[1:])):
            yield Piece(part, _no_columns(len(part)))
    else:
        for frame in _frames(file, model, keep):
            row = in_file if _reader(file) is read_text else counted
            yield Piece(frame, _columns_to_keep(frame, keep, file), row)


def _values(value: Any, file: Path, keep: Sequence[str]) -> Iterator[Piece]:
    """The rows of a frame or an array; of a form with labels and weights too, of these its rows."""
    if not is_frame(value) and hasattr(value, "target"):  # as scikit-learn's loaders return
        value = getattr(value, "data", value)
    elif isinstance(value, tuple) and len(value) in (2, 3):
        value = value[0]
    if is_frame(value):
        for frame in _slices(value, value.shape[1]):
            yield Piece(frame, _columns_to_keep(frame, keep, file))
        return
    _check_no_columns(keep, file)
    x = np.atleast_1d(_as_array(value, str(file)))
    for part in _slices(x, math.prod(x.shape[1:])):
        yield Piece(part, _no_columns(len(part)))


def collate_of(model: Model) -> items.Collate | None:
    """The function that made batches of items for the training, where the study names one."""
    file = model.studies[0]
    try:
        name = tomllib.loads(file.read_text(encoding="utf-8"))["data"].get("collate")
    except (OSError, ValueError, KeyError, AttributeError):
        return None
    return None if name is None else function(name, f"{file}: data.collate", DataError)


def _items(
    datasets: Mapping[str, Any], file: Path, collate: items.Collate | None
) -> Iterator[Piece]:
    """The rows of a Dataset; of several, those for the test."""
    name = next((name for name in ("", "test") if name in datasets), None)
    if name is None:
        hint = "return one Dataset, or one of the name test"
        raise DataError(f"returned Datasets for {', '.join(datasets)}", where=str(file), hint=hint)
    of = datasets[name]
    collate = collate or getattr(of, "collate_fn", None)
    rows = items.Items({name: of}, str(file), collate)
    first = rows.batch([0], items.MEASURED).x
    for some in _slices(range(len(rows)), first.size):
        yield Piece(rows.batch(some, items.MEASURED).x, _no_columns(len(some)))


def _frames(file: Path, model: Model, keep: Collection[str]) -> Iterator[pd.DataFrame]:
    reader = _reader(file)
    if reader is read_text:
        yield from tables.text_parts(file, _texts(model, keep))
    else:
        frame = reader(file)
        yield from _slices(frame, frame.shape[1])


def _reader(file: Path) -> Callable[..., pd.DataFrame]:
    for ending, reader in FRAMES.items():
        if file.name.lower().endswith(ending):
            return reader
    raise DataError(
        f"unknown format {file.suffix or file.name!r}",
        where=str(file),
        hint=f"known: {', '.join([*FRAMES, ARCHIVE, *IDX])}; images, or a folder of them",
    )


def _texts(model: Model, keep: Collection[str]) -> set[str]:
    """The columns to read as text: those that were text in the training, and those to keep that are
    not inputs."""
    recipe = model.recipe
    if isinstance(recipe, OfText):
        return {recipe.name, *keep}
    if isinstance(recipe, OfArray):
        return set(keep) - set(recipe.names)
    numbers = {each.name for each in recipe.features if not each.of_text}
    return {each.name for each in recipe.features}.union(keep) - numbers


def _columns_to_keep(frame: pd.DataFrame, keep: Sequence[str], file: Path) -> pd.DataFrame:
    known = [str(name) for name in frame.columns]
    for name in keep:
        if name not in known:
            where = f"{file}: --keep"
            raise DataError(f"no column {name!r}", where=where, hint=nearest(name, known))
    return frame.iloc[:, [known.index(name) for name in keep]]


def _check_no_columns(keep: Sequence[str], file: Path) -> None:
    if keep:
        raise DataError(f"no column {keep[0]!r}: it is no table", where=f"{file}: --keep")


def _images(place: Path, model: Model) -> Iterator[Piece]:
    import pandas as pd

    if not isinstance(model.recipe, OfArray):
        raise DataError("is not a table with named columns", where=str(place))
    files = images.listed(place) if place.is_dir() else [place]
    if not files:
        hint = f"images end in {', '.join(images.ENDINGS)}"
        raise DataError("the folder holds no images", where=str(place), hint=hint)
    shape, resize = model.recipe.shape, model.recipe.resize
    for some in _slices(files, math.prod(shape)):
        names = [str(each.relative_to(place)) if place.is_dir() else each.name for each in some]
        yield Piece(images.stacked(some, shape, resize), pd.DataFrame({"file": names}))


def _array(file: Path, features: str | None) -> NDArray[Any]:
    """The array of an archive with the name from the training, else `x`, else its only array."""
    try:
        with np.load(file, allow_pickle=False) as archive:
            names = list(getattr(archive, "files", []))
            tried = [*([features] if features else []), "x", *(names if len(names) == 1 else [])]
            name = next((each for each in tried if each in names), None)
            if name is None:
                hint = f"it holds {', '.join(names) or 'no names'}"
                raise DataError(f"no array {tried[0]!r}", where=str(file), hint=hint)
            large = open_member(file, f"{name}.npy")
            return np.asarray(archive[name]) if large is None else large
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"cannot be read as arrays: {error}", where=str(file)) from error


def _no_columns(count: int) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(index=range(count))


def _slices(rows: Any, size: int) -> Iterator[Any]:
    """Slices of rows, each with about CELLS numbers, as a piece of a text table has."""
    each = max(1, CELLS // max(1, size))
    take: Callable[[slice], Any] = getattr(rows, "iloc", rows).__getitem__
    for start in range(0, len(rows), each):
        yield take(slice(start, start + each))
