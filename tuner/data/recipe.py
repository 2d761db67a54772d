"""Learns from the training rows what to do with each row, keeps it as a recipe, and applies it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate, islice
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tuner.data import prepare, sequences
from tuner.data.encoders import Encoder, Number, OneHot, encoder_from_json
from tuner.data.memory import let_go
from tuner.data.prepare import Column, Encoded, Transform, Wishes, encode_column, plain_column
from tuner.data.raw import Naming, RawColumn
from tuner.data.sequences import extended
from tuner.data.spec import DataSpec
from tuner.data.tables import Table, Text
from tuner.data.text import Vocabulary, learn_vocabulary
from tuner.errors import DataError, nearest

if TYPE_CHECKING:
    from tuner.data.streamed import Stream

# From raw rows to a network's inputs: what was learned, as plain values.
#
# The same records prepare the rows of a search and, read from a file, those of a prediction.


Index = NDArray[np.signedinteger[Any]]
WRITTEN = 2**16
"""Rows of a column that are written at a time."""


@dataclass(frozen=True)
class Feature:
    """A column of a table that a network uses.

    Attributes:
        name: in the source.
        kind: numeric, boolean, categorical or date.
        names: of its numbers in a row.
        encoder: from its values to these numbers.
        transform: applied to the first of them; None for one-hot columns.
    """

    name: str
    kind: str
    names: tuple[str, ...]
    encoder: Encoder
    transform: Transform | None

    @property
    def of_text(self) -> bool:
        """Whether the column was text in the training: numbers, dates or categories."""
        written = isinstance(self.encoder, Number) and self.encoder.format is not None
        return written or self.kind in ("categorical", "date")

    def write(self, out: NDArray[np.float32], raw: RawColumn, rows: Index, where: str) -> None:
        """Those rows of a column into [len(rows), len(names)]."""
        values, encode = self.encoder.bind(raw, where)
        for place, some in prepare.chunks(values, rows, WRITTEN):
            written = encode(some)
            out[place] = written
            if self.transform is not None:
                out[place, :1] = self.transform(written[:, :1])

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
            encoder_from_json(record["encoder"]),
            None if transform is None else prepare.transform_from_json(transform),
        )


@dataclass(frozen=True)
class OfColumns:
    """The recipe of a table: its columns by name, in any order; other columns are ignored."""

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

    @property
    def numbers(self) -> tuple[int, ...]:
        """Where the quantities stand in a row; empty where it is an image."""
        starts = accumulate((len(feature.names) for feature in self.features), initial=0)
        return tuple(
            start
            for feature, start in zip(self.features, starts, strict=False)
            if isinstance(feature.encoder, Number) and len(self.shape) == 1
        )

    def rows(self, table: Table, wanted: Index) -> NDArray[Any]:
        """float32 [len(wanted), *shape]; DataError where a column is missing or holds text."""
        known = {raw.name: raw for raw in table.columns}
        out = np.empty((len(wanted), math.prod(self.shape)), dtype=np.float32)
        at = 0
        for feature in self.features:
            if feature.name not in known:
                hint = nearest(feature.name, known)
                raise DataError(f"no column {feature.name!r}", where=table.where, hint=hint)
            end = at + len(feature.names)
            feature.write(out[:, at:end], known[feature.name], wanted, table.where)
            at = end
        return out.reshape(len(wanted), *self.shape)

    def to_json(self) -> dict[str, Any]:
        columns = [feature.to_json() for feature in self.features]
        return {"kind": self.kind, "shape": list(self.shape), "columns": columns}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> OfColumns:
        return cls(tuple(record["shape"]), tuple(map(Feature.from_json, record["columns"])))


@dataclass(frozen=True)
class OfArray:
    """The recipe of an array of numbers, whose columns may have names.

    Attributes:
        turns: whether rows [H, W, C] are turned to a shape [C, H, W]; by the first of DIVISIONS
            numbers stay in their order.
        padded: whether rows are sequences, with NaN after the end of shorter ones.
        resize: the height and width to which files of images are resized; None where they are not.
    """

    kind: ClassVar[str] = "array"
    categories: ClassVar[tuple[range, ...]] = ()
    shape: tuple[int, ...]
    names: tuple[str, ...]
    transform: Transform
    turns: bool = True
    resize: tuple[int, ...] | None = None
    padded: bool = False

    @property
    def numbers(self) -> tuple[int, ...]:
        """Where the quantities stand in a row; empty where it is an image, or a sequence."""
        return tuple(range(self.shape[0])) if len(self.shape) == 1 and not self.padded else ()

    def rows(self, table: Table, wanted: Index) -> NDArray[Any]:
        """float32 [len(wanted), *shape]; DataError for rows of another size."""
        x = table.x
        if self.padded and x is not None:
            x = self.extended(x, table.where, table.row)
        if x is None or math.prod(x.shape[1:]) != math.prod(self.shape):
            given = "columns" if x is None else f"rows of shape {list(x.shape[1:])}"
            raise DataError(f"{given}, but the network takes {list(self.shape)}", where=table.where)
        return prepare.apply(self.transform, arranged(x, self.shape, self.turns), wanted)

    def extended(self, x: NDArray[Any], where: str, row: Naming) -> NDArray[Any]:
        """Sequences, as long as the longest of the study; DataError for longer ones.

        Numbers that are stored in rows are steps first.
        """
        shape = self.shape
        if x.ndim == 2 and len(shape) == 2 and x.shape[1] % shape[1] == 0:
            x = x.reshape(len(x), -1, shape[1])
        if x.ndim == 1 + len(shape) and x.shape[2:] == shape[1:] and x.dtype.kind in "iuf":
            x = x if x.dtype.kind == "f" else x.astype(np.float64)
            counts = sequences.lengths(x) if x.shape[1] > shape[0] else np.zeros(1)
            if counts.max() > shape[0]:
                first = int((counts > shape[0]).argmax())
                what = f"{row(first)} has {counts[first]} steps, and the longest of the study"
                hint = f"cut it to {shape[0]} steps"
                raise DataError(f"{what} {shape[0]}", where=where, hint=hint)
            x = extended(x[:, : shape[0]], shape[0])
        return x

    def to_json(self) -> dict[str, Any]:
        known: dict[str, Any] = {
            "kind": self.kind,
            "shape": list(self.shape),
            "names": list(self.names),
            "transform": self.transform.to_json(),
        }
        if self.resize is not None:
            known["resize"] = list(self.resize)
        if self.padded:
            known["padded"] = True
        return known if self.turns else {**known, "turns": False}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> OfArray:
        transform = prepare.transform_from_json(record["transform"])
        shape, names = tuple(record["shape"]), tuple(record["names"])
        resize = tuple(record["resize"]) if "resize" in record else None
        padded = bool(record.get("padded", False))
        return cls(shape, names, transform, record.get("turns", True), resize, padded)


@dataclass(frozen=True)
class OfText:
    """The recipe of a column of text: the numbers of its words."""

    kind: ClassVar[str] = "text"
    categories: ClassVar[tuple[range, ...]] = ()
    numbers: ClassVar[tuple[int, ...]] = ()
    name: str
    vocabulary: Vocabulary

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.vocabulary.length,)

    def rows(self, table: Table, wanted: Index) -> NDArray[Any]:
        """int32 [len(wanted), L]; DataError where there is no text."""
        if table.text is None:
            raise DataError(f"no text column {self.name!r}", where=table.where)
        return self.vocabulary.encode(table.text.values[wanted])

    def to_json(self) -> dict[str, Any]:
        words = list(self.vocabulary.words)
        known = {"kind": self.kind, "column": self.name, "shape": list(self.shape), "words": words}
        return {**known, "cut": self.vocabulary.cut}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> OfText:
        (length,) = record["shape"]
        cut = bool(record.get("cut", False))  # older exports do not have it
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


def arranged(x: NDArray[Any], shape: tuple[int, ...], turns: bool) -> NDArray[Any]:
    """Rows of an array in a shape of as many numbers: turned, or in the order of the numbers."""
    if turns and is_turned(tuple(x.shape[1:]), shape):
        return x.transpose(0, 3, 1, 2)
    return x.reshape(len(x), *shape)


Recipe = OfColumns | OfArray | OfText
RECIPES: Mapping[str, type[Recipe]] = {each.kind: each for each in (OfColumns, OfArray, OfText)}


def from_json(record: Mapping[str, Any]) -> Recipe:
    """The recipe of a record by `to_json`; KeyError for anything else."""
    return RECIPES[record["kind"]].from_json(record)


# From a table to float32 features, learned from the training rows and applied to any.


LARGEST = np.finfo(np.float32).max


@dataclass(frozen=True)
class Learned:
    """What was learned from the training rows.

    Attributes:
        names: of the features, or empty.
        columns: the decision about each column of a frame.
        recipe: from rows of the table to float32 [n, *shape]; to int32 for text.
        vocabulary: of a text.
        note: for people, where the rows were rearranged; else empty.
    """

    names: tuple[str, ...]
    columns: tuple[Column, ...]
    recipe: Recipe
    vocabulary: Vocabulary | None = None
    note: str = ""


def learn(table: Table, spec: DataSpec, train: Index, validation: Index) -> Learned:
    """Decides about each column and learns the preprocessing from the training rows.

    Raises:
        DataError: numbers that are not finite among the rows for training and validation, a column
            of too many categories, no column left, training rows that are all the same, a shape
            that does not fit.
    """
    together = np.concatenate((train, validation))
    if table.text is not None:
        return _learn_text(table.text, spec, train, table.where)
    if table.x is not None:
        return _learn_array(table, table.x, spec, train, together)
    if table.stream is not None:
        return _learn_stream(table, table.stream, spec, train, together)
    if spec.shape is None:
        encoded = [_encoded(raw, train, table.where, spec) for raw in table.columns]
        if spec.division > 2:
            _drop_copies(table, encoded, train, spec.keep)
    else:
        encoded = [plain_column(raw, table.where, table.row) for raw in table.columns]
    _check_columns(table, encoded, together, spec.shape is None)
    return _learn_columns(table, encoded, spec, train)


def _encoded(raw: RawColumn, train: Index, where: str, spec: DataSpec) -> Encoded:
    encoded = encode_column(raw, train, where, Wishes.of(raw.name, spec))
    let_go(raw.values)
    return encoded


def _drop_copies(table: Table, encoded: list[Encoded], train: Index, keep: tuple[str, ...]) -> None:
    """Drops each column that says in every training row the same as one before it.

    Numbers are compared; of texts, which rows have the same one, so that m and f say the same as
    male and female.
    """
    alike: dict[Any, list[int]] = {}
    for at, each in enumerate(encoded):
        if each.names:
            encoder = each.encoder
            # Of numbers the median is known already, and tells most columns apart.
            key = encoder.fill if isinstance(encoder, Number) else (type(encoder), len(each.names))
            alike.setdefault(key, []).append(at)
    for places in alike.values():
        known: dict[bytes, str] = {}
        for at in places if len(places) > 1 else ():
            raw, column = table.columns[at], encoded[at].column
            values = encoded[at].encoder.bind(raw, table.where)[0][train].astype(np.float64)
            let_go(raw.values)
            first = known.setdefault(hashlib.blake2b((values + 0.0).tobytes()).digest(), raw.name)
            if first != raw.name and raw.name not in keep:
                reason = f"says the same as {first!r} in every training row"
                encoded[at] = Encoded(replace(column, decision="dropped", reason=reason))


def _learn_text(text: Text, spec: DataSpec, train: Index, where: str) -> Learned:
    """The numbers of the words, in the order of the text."""
    if len({*text.values[train]}) == 1 < len(train):
        raise _constant(f"column {text.name!r} is {text.values[train[0]][:40]!r}", where)
    most, often, longest = spec.vocabulary, spec.min_count, spec.max_length
    vocabulary = learn_vocabulary(text.values[train], most, often, longest, cut=spec.division > 1)
    why = (
        f"{len(vocabulary.words)} words in the training rows, at most {vocabulary.length} in a row"
    )
    decided = [
        Column(name, "other", "dropped", "only the text is a feature") for name in text.unused
    ]
    columns = (Column(text.name, "text", "words", why), *decided)
    return Learned((), columns, OfText(text.name, vocabulary), vocabulary)


def _learn_array(
    table: Table, given: NDArray[Any], spec: DataSpec, train: Index, together: Index
) -> Learned:
    turns = spec.division > 1
    x = _shaped(table, given, spec.shape, turns)
    counts = _check_array(x, table, together)
    _check_varies(x, train, table.where)
    padded = counts is not None
    statistics = partial(sequences.transform, spec.preprocessing)
    transform = (statistics if padded else prepare.lookup(spec.preprocessing))(x, train)
    shape = tuple(x.shape[1:])
    recipe = OfArray(shape, table.names, transform, turns, spec.resize, padded)
    notes = [_note(table, tuple(given.shape[1:]), recipe)]
    if counts is not None:
        notes.append(sequences.in_words(counts, together, table.row))
    return Learned(table.names, (), recipe, note="; ".join(filter(None, notes)))


def _note(table: Table, given: tuple[int, ...], recipe: OfArray) -> str:
    """What was changed when rows were read, and that their channels come last, where they do."""
    notes = [table.note] if table.note else []
    if recipe.turns and is_turned(given, recipe.shape):
        layout = f"rows of shape {list(given)} have their channels last"
        notes.append(f"{layout} and are transposed to {list(recipe.shape)}")
    return "; ".join(notes)


def _learn_stream(
    table: Table, stream: Stream, spec: DataSpec, train: Index, together: Index
) -> Learned:
    odd = stream.odd(together)
    if len(odd):
        raise _not_finite(f"in {len(odd)} rows, the first {stream.name(odd.min())}", table.where)
    hashes = stream.hashes[train]
    if len(hashes) > 1 and (hashes == hashes[0]).all():
        raise _constant("all numbers are the same", table.where)
    counts = stream.steps[together]
    padded = bool((counts < stream.shape[0]).any())
    transform = stream.transform(spec.preprocessing, train, padded)
    recipe = OfArray(stream.shape, table.names, transform, stream.turns, spec.resize, padded)
    lengths = sequences.in_words(counts, together, stream.name) if padded else ""
    notes = (_note(table, stream.given, recipe), lengths, stream.note)
    return Learned(table.names, (), recipe, note="; ".join(filter(None, notes)))


def _learn_columns(table: Table, encoded: list[Encoded], spec: DataSpec, train: Index) -> Learned:
    """Features in the order of the columns."""
    statistics = prepare.lookup(spec.preprocessing)
    used = [(raw, e) for raw, e in zip(table.columns, encoded, strict=True) if e.names]
    names = tuple(name for _, each in used for name in each.names)
    if not names:
        what = "; ".join(f"{e.column.name}: {e.column.reason}" for e in encoded[:10])
        raise DataError("no column is left to learn from", where=table.where, hint=what)
    shape = spec.shape or (len(names),)
    _check_shape(shape, (len(names),), table.where)
    if spec.shape and all((raw.values[train] == raw.values[train[0]]).all() for raw, _ in used):
        raise _constant("every column is the same number", table.where)
    every = np.arange(len(train))
    features = tuple(
        Feature(
            raw.name,
            each.column.kind,
            each.names,
            each.encoder,
            _transform(raw, each, statistics, train, every, table.where),
        )
        for raw, each in used
    )
    decided = tuple(each.column for each in encoded)
    note = (
        ""
        if table.folder is None
        else "rows are read from a file as they are needed: they are large"
    )
    return Learned(names, decided, OfColumns(shape, features), note=note)


def _transform(
    raw: RawColumn,
    each: Encoded,
    statistics: Callable[[NDArray[Any], Index], prepare.Transform],
    train: Index,
    every: Index,
    where: str,
) -> prepare.Transform | None:
    """The transform of a quantity; None for one-hot columns, which stay 0 and 1.

    Args:
        every: the places of all training rows among themselves.
    """
    if not each.scaled:
        return None
    values, write = each.encoder.bind(raw, where)
    learned = statistics(write(values[train])[:, :1], every)
    let_go(raw.values)
    return learned


def _shaped(
    table: Table, x: NDArray[Any], shape: tuple[int, ...] | None, turns: bool
) -> NDArray[Any]:
    return arranged(x, shape_of(tuple(x.shape[1:]), shape, turns, table.where), turns)


def shape_of(
    given: tuple[int, ...], shape: tuple[int, ...] | None, turns: bool, where: str
) -> tuple[int, ...]:
    """The shape of a row as a network takes it: `shape`, or else as it is given, channels first;
    DataError where that holds another count of numbers."""
    shape = shape or (channels_first(given) if turns else given)
    _check_shape(shape, given, where)
    return shape


def _check_shape(shape: tuple[int, ...], given: tuple[int, ...], where: str) -> None:
    if math.prod(shape) != math.prod(given):
        raise DataError(
            f"shape {list(shape)} holds {math.prod(shape)} numbers, but a row of {where} "
            f"has {math.prod(given)} (shape {list(given)})",
            where="data.shape",
        )


def _check_array(x: NDArray[Any], table: Table, rows: Index) -> NDArray[np.int64] | None:
    """How many steps [len(rows)] sequences have, where some have fewer; DataError for numbers that
    are not finite."""
    if x.dtype.kind != "f":
        return None
    bad, first = np.zeros(x.shape[1:], dtype=np.int64), len(x)
    counts = np.full(len(rows), x.shape[1])
    for at, chunk in prepare.chunks(x, rows):
        odd = sequences.odd(chunk)
        bad += odd.sum(axis=0)
        first = int(rows[at][odd.reshape(len(chunk), -1).any(1)].min(initial=first))
        if x.ndim in (2, 3):
            counts[at] = sequences.lengths(chunk)
    if first == len(x):
        return None if (counts == x.shape[1]).all() else counts
    flat = bad.reshape(-1)
    named = len(table.names) == len(flat)
    _refuse(
        [
            (f"column {table.names[j]!r}" if named else f"feature {j}", int(flat[j]))
            for j in np.flatnonzero(flat).tolist()
        ],
        table.where,
        f", the first in {table.row(first)}",
    )
    return None


def _check_varies(x: NDArray[Any], train: Index, where: str) -> None:
    first = x[train[:1]]
    if len(train) > 1 and all((part == first).all() for _, part in prepare.chunks(x, train)):
        flat = np.unique(first)
        one = f"every number is {flat[0]:g}" if len(flat) == 1 else "all numbers are the same"
        raise _constant(one, where)


def _constant(what: str, where: str) -> DataError:
    return DataError(
        f"{what} in every training row: there is nothing to learn from",
        where=where,
        hint="check the file and how it was made",
    )


def _check_columns(
    table: Table, encoded: list[Encoded], rows: Index, missing_allowed: bool
) -> None:
    """DataError for values that are not finite; checks several columns at a time."""
    bad, size = [], max(1, prepare.CHUNK // max(1, len(rows)))
    bound = (
        (raw.name, each.encoder.bind(raw, table.where)[0])
        for raw, each in zip(table.columns, encoded, strict=True)
        if each.scaled
    )
    floats = ((name, values) for name, values in bound if values.dtype.kind == "f")
    while some := list(islice(floats, size)):
        numbers = np.array([values[rows] for _, values in some])
        for _, values in some:
            let_go(values)
        good = np.abs(numbers) <= LARGEST
        if missing_allowed:
            good |= np.isnan(numbers)
        for at in np.flatnonzero(~good.all(axis=1)).tolist():
            bad.append((f"column {some[at][0]!r}", int((~good[at]).sum())))
    _refuse(bad, table.where)


def _refuse(bad: list[tuple[str, int]], where: str, row: str = "") -> None:
    if not bad:
        return
    named = ", ".join(f"{name} ({count})" for name, count in bad[:10])
    more = f" and {len(bad) - 10} more" if len(bad) > 10 else ""
    raise _not_finite(f"{named}{more}{row}", where)


def _not_finite(named: str, where: str) -> DataError:
    return DataError(
        f"NaN, infinite or too large for float32 in the rows that are used: {named}",
        where=where,
        hint="remove these rows or columns, or fill them with a number",
    )
