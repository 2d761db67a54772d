"""Files of raw rows for a prediction, some rows at a time."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tuner.data import images, text
from tuner.data.files import FRAMES
from tuner.data.idx import read_array
from tuner.data.mapped import open_member
from tuner.data.pieces import CELLS
from tuner.data.recipe import OfArray, OfText
from tuner.data.text import read_text
from tuner.errors import DataError, nearest

if TYPE_CHECKING:
    import pandas as pd

    from tuner.exports.read import Model

ARCHIVE, IDX = ".npz", ("idx3-ubyte", "idx3-ubyte.gz")


@dataclass(frozen=True)
class Rows:
    """Some of the rows of a file.

    Attributes:
        values: a frame, or an array [N, ...].
        beside: columns that are written beside the predictions.
    """

    values: pd.DataFrame | NDArray[Any]
    beside: pd.DataFrame


def read_pieces(file: Path, model: Model, keep: Sequence[str] = ()) -> Iterator[Rows]:
    """The rows of a file, or the images of a folder with their names in a column `file`.

    Args:
        keep: columns of a table to have beside the predictions.

    Raises:
        DataError: there is no such file or column, its format is unknown, or it cannot be read.
    """
    if not file.exists():
        hint = "--input names a file of raw rows, or a folder of images"
        raise DataError("no such file", where=str(file), hint=hint)
    name = file.name.lower()
    if file.is_dir() or name.endswith(images.ENDINGS):
        _check_no_columns(keep, file)
        yield from _images(file, model)
    elif name.endswith((ARCHIVE, *IDX)):
        _check_no_columns(keep, file)
        npz = name.endswith(ARCHIVE)
        x = np.atleast_1d(_array(file, model.features) if npz else read_array(file))
        yield from (Rows(part, _nothing(len(part))) for part in _slices(x, math.prod(x.shape[1:])))
    else:
        for frame in _frames(file, model, keep):
            yield Rows(frame, _kept(frame, keep, file))


def _frames(file: Path, model: Model, keep: Collection[str]) -> Iterator[pd.DataFrame]:
    for ending, reader in FRAMES.items():
        if file.name.lower().endswith(ending):
            if reader is read_text:
                yield from text.parts(file, _texts(model, keep))
            else:
                frame = reader(file)
                yield from _slices(frame, frame.shape[1])
            return
    raise DataError(
        f"unknown format {file.suffix or file.name!r}",
        where=str(file),
        hint=f"known: {', '.join([*FRAMES, ARCHIVE, *IDX])}; images, or a folder of them",
    )


def _texts(model: Model, keep: Collection[str]) -> set[str]:
    """The columns that were text in the training, whatever they look like here, and those that are
    only to be kept."""
    recipe = model.recipe
    if isinstance(recipe, OfText):
        return {recipe.name, *keep}
    if isinstance(recipe, OfArray):
        return set(keep) - set(recipe.names)
    numbers = {each.name for each in recipe.features if not each.of_text}
    return {each.name for each in recipe.features}.union(keep) - numbers


def _kept(frame: pd.DataFrame, keep: Sequence[str], file: Path) -> pd.DataFrame:
    known = [str(name) for name in frame.columns]
    for name in keep:
        if name not in known:
            where = f"{file}: --keep"
            raise DataError(f"no column {name!r}", where=where, hint=nearest(name, known))
    return frame.iloc[:, [known.index(name) for name in keep]]


def _check_no_columns(keep: Sequence[str], file: Path) -> None:
    if keep:
        raise DataError(f"no column {keep[0]!r}: it is no table", where=f"{file}: --keep")


def _images(place: Path, model: Model) -> Iterator[Rows]:
    import pandas as pd

    if not isinstance(model.recipe, OfArray):
        raise DataError("is no table with named columns", where=str(place))
    files = images.listed(place) if place.is_dir() else [place]
    if not files:
        hint = f"images end in {', '.join(images.ENDINGS)}"
        raise DataError("the folder holds no images", where=str(place), hint=hint)
    shape = model.recipe.shape
    for some in _slices(files, math.prod(shape)):
        names = [str(each.relative_to(place)) if place.is_dir() else each.name for each in some]
        yield Rows(images.stacked(some, shape), pd.DataFrame({"file": names}))


def _array(file: Path, features: str | None) -> NDArray[Any]:
    """The array of the training's name in an archive, else `x`, or its only one."""
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


def _nothing(count: int) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(index=range(count))


def _slices(rows: Any, size: int) -> Iterator[Any]:
    """So many rows at a time that a piece has about as many cells as one of a table of text."""
    each = max(1, CELLS // max(1, size))
    take: Callable[[slice], Any] = getattr(rows, "iloc", rows).__getitem__
    for start in range(0, len(rows), each):
        yield take(slice(start, start + each))
