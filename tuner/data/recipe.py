"""From raw rows to the numbers that a network is given: what was learned, as plain values.

The same records prepare the rows of a search and, read from a file, those of a prediction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tuner.data import encoders, preprocessing
from tuner.data.encoders import Encoder, Number, OneHot
from tuner.data.preprocessing import Transform
from tuner.data.raw import RawColumn
from tuner.data.table import Table
from tuner.data.vocabulary import Vocabulary
from tuner.errors import DataError, nearest

Index = NDArray[np.signedinteger[Any]]
WRITTEN = 2**16
"""Rows of a column that are written at a time."""


@dataclass(frozen=True)
class Feature:
    """A column of a table that is used.

    Attributes:
        name: as the source calls it.
        kind: numeric, boolean or categorical.
        names: of the numbers that it becomes.
        encoder: how.
        transform: what is done with the first of them; None for one-hot columns.
    """

    name: str
    kind: str
    names: tuple[str, ...]
    encoder: Encoder
    transform: Transform | None

    @property
    def of_text(self) -> bool:
        """Whether the column was text in the training, numbers or categories."""
        written = isinstance(self.encoder, Number) and self.encoder.format is not None
        return written or self.kind == "categorical"

    def write(self, found: NDArray[np.float32], raw: RawColumn, rows: Index, where: str) -> None:
        """Those rows of a column into [len(rows), len(names)]."""
        values, encode = self.encoder.bind(raw, where)
        for place, some in preprocessing.chunks(values, rows, WRITTEN):
            written = encode(some)
            found[place] = written
            if self.transform is not None:
                found[place, :1] = self.transform(written[:, :1])

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "kind": self.kind,
            "features": list(self.names),
            "encoder": self.encoder.to_json(),
            "transform": None if self.transform is None else self.transform.to_json(),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Feature:
        transform = record["transform"]
        return cls(
            record["name"],
            record["kind"],
            tuple(record["features"]),
            encoders.from_json(record["encoder"]),
            None if transform is None else preprocessing.from_json(transform),
        )


@dataclass(frozen=True)
class OfColumns:
    """A table by its columns, whatever their order is; others are not looked at."""

    kind: ClassVar[str] = "columns"
    shape: tuple[int, ...]
    features: tuple[Feature, ...]

    @property
    def categories(self) -> tuple[range, ...]:
        """Where the numbers of each categorical column stand in a row."""
        ends = list(accumulate(len(feature.names) for feature in self.features))
        return tuple(
            range(end - len(feature.names), end)
            for feature, end in zip(self.features, ends, strict=True)
            if isinstance(feature.encoder, OneHot)
        )

    def rows(self, table: Table, wanted: Index) -> NDArray[Any]:
        """float32 [len(wanted), *shape]; DataError where a column is missing or holds text."""
        known = {raw.name: raw for raw in table.columns}
        found = np.empty((len(wanted), math.prod(self.shape)), dtype=np.float32)
        at = 0
        for feature in self.features:
            if feature.name not in known:
                hint = nearest(feature.name, known)
                raise DataError(f"no column {feature.name!r}", where=table.where, hint=hint)
            end = at + len(feature.names)
            feature.write(found[:, at:end], known[feature.name], wanted, table.where)
            at = end
        return found.reshape(len(wanted), *self.shape)

    def to_json(self) -> dict[str, Any]:
        columns = [feature.to_json() for feature in self.features]
        return {"kind": self.kind, "shape": list(self.shape), "columns": columns}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> OfColumns:
        return cls(tuple(record["shape"]), tuple(map(Feature.from_json, record["columns"])))


@dataclass(frozen=True)
class OfArray:
    """An array of numbers; its columns may have names."""

    kind: ClassVar[str] = "array"
    categories: ClassVar[tuple[range, ...]] = ()
    shape: tuple[int, ...]
    names: tuple[str, ...]
    transform: Transform

    def rows(self, table: Table, wanted: Index) -> NDArray[Any]:
        """float32 [len(wanted), *shape]; DataError for rows of another size."""
        x = table.x
        if x is None or math.prod(x.shape[1:]) != math.prod(self.shape):
            given = "columns" if x is None else f"rows of shape {list(x.shape[1:])}"
            raise DataError(f"{given}, and the network takes {list(self.shape)}", where=table.where)
        return preprocessing.apply(self.transform, arranged(x, self.shape), wanted)

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "shape": list(self.shape),
            "names": list(self.names),
            "transform": self.transform.to_json(),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> OfArray:
        transform = preprocessing.from_json(record["transform"])
        return cls(tuple(record["shape"]), tuple(record["names"]), transform)


@dataclass(frozen=True)
class OfText:
    """A column of text as words' numbers."""

    kind: ClassVar[str] = "text"
    categories: ClassVar[tuple[range, ...]] = ()
    name: str
    vocabulary: Vocabulary

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.vocabulary.length,)

    def rows(self, table: Table, wanted: Index) -> NDArray[Any]:
        """int32 [len(wanted), L]; DataError where there is no text."""
        if table.text is None:
            raise DataError(f"no column {self.name!r} of text", where=table.where)
        return self.vocabulary.encode(table.text.values[wanted])

    def to_json(self) -> dict[str, Any]:
        words = list(self.vocabulary.words)
        known = {"kind": self.kind, "column": self.name, "shape": list(self.shape), "words": words}
        return {**known, "cut": self.vocabulary.cut}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> OfText:
        (length,) = record["shape"]
        cut = bool(record.get("cut", False))  # an older export does not
        return cls(record["column"], Vocabulary(tuple(record["words"]), length, cut=cut))


CHANNELS = (1, 3, 4)
"""Grey, RGB, and RGB with opacity."""


def channels_first(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a row as [C, H, W], where it is [H, W, C]: only the last axis has 1, 3 or 4
    places, and both others have more. Any other stays: of [3, 3, 3] the first are the channels.

    >>> channels_first((28, 28, 3)), channels_first((3, 28, 28)), channels_first((512, 4, 4))
    ((3, 28, 28), (3, 28, 28), (512, 4, 4))
    """
    *size, last = shape
    images = len(size) == 2 and last in CHANNELS and size[0] not in CHANNELS
    return (last, *size) if images and min(size) > last else shape


def is_turned(given: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether rows that are given as [H, W, C] are to be [C, H, W]."""
    return given != shape and len(given) == len(shape) == 3 and (given[2], *given[:2]) == shape


def arranged(x: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Rows of an array in a shape of as many numbers: turned, or in the order of the numbers."""
    if is_turned(tuple(x.shape[1:]), shape):
        return x.transpose(0, 3, 1, 2)
    return x.reshape(len(x), *shape)


Recipe = OfColumns | OfArray | OfText
RECIPES: Mapping[str, type[Recipe]] = {each.kind: each for each in (OfColumns, OfArray, OfText)}


def from_json(record: Mapping[str, Any]) -> Recipe:
    """What `to_json` of a recipe gave; KeyError for anything else."""
    return RECIPES[record["kind"]].from_json(record)
