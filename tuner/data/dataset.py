"""Makes a prepared data set from a specification: tensors for training and validation, by fold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tuner.data import prepare, sequences, sources
from tuner.data.encoders import Number
from tuner.data.file_rows import rows_in_file
from tuner.data.identity import Identity, RowHashes, file_digest, first_alike, identify
from tuner.data.labels import (
    Labels,
    LeftOut,
    check_scale,
    encode_like,
    scaled,
    separated,
    usable,
    usable_test,
)
from tuner.data.memory import fresh, give_back, let_go, put_away, uncollected
from tuner.data.prepare import Column, Shifted, Transform, Unchanged
from tuner.data.raw import RawColumn, coded, numbers
from tuner.data.recipe import Feature, Learned, OfArray, OfColumns, Recipe, learn
from tuner.data.rows import Gathered, RowSource, SharedRows
from tuner.data.spec import WISHES, DataSpec
from tuner.data.splits import (
    Places,
    Rows,
    among,
    are_alike_by_chance,
    divisions,
    divisions_of_copies,
    final_rows,
)
from tuner.data.streamed import Stream, of_arrays
from tuner.data.tables import Table, Text, check_weights, columns_of
from tuner.data.target import Target
from tuner.data.text import SPECIAL, Vocabulary, read_vectors
from tuner.errors import DataError, nearest
from tuner.lazy_torch import Tensor, torch

if TYPE_CHECKING:
    import pandas as pd

# One fold's numbers from another's, where they differ by a shift and a scale alone.


Numbers = NDArray[np.float64]
Statistics = tuple[Numbers, Numbers]
"""Mean and scale."""


def relative(of: Recipe, base: Recipe, table: Table) -> tuple[Tensor, Tensor] | None:
    """Shift and scale: the numbers of a row by ``of`` are (those by ``base`` - shift) / scale.

    Exact but for rounding. None where no shift and scale do that: for ranks, gaps that each fills
    with its own median, other columns or categories, texts.
    """
    ours, theirs = _statistics(of), _statistics(base)
    if ours is None or theirs is None or not _alike(of, base, table):
        return None
    (mean, scale), (base_mean, base_scale) = ours, theirs
    shift = (mean - base_mean) / base_scale
    tensors = (
        torch.from_numpy(np.asarray(each, np.float32)) for each in (shift, scale / base_scale)
    )
    return next(tensors), next(tensors)


def _statistics(recipe: Recipe) -> Statistics | None:
    """Mean and scale of each number of a row; None where a transform is of another kind."""
    if isinstance(recipe, OfArray):
        return _mean_and_scale(recipe.transform)
    if not isinstance(recipe, OfColumns):
        return None
    means, scales = [], []
    for feature in recipe.features:
        statistics = _mean_and_scale(
            Unchanged() if feature.transform is None else feature.transform
        )
        if statistics is None:
            return None
        others = len(feature.names) - 1  # marks of missing values, or categories: 0 and 1
        means += [float(statistics[0].item()), *[0.0] * others]
        scales += [float(statistics[1].item()), *[1.0] * others]
    shape = (1, *recipe.shape)
    return np.reshape(means, shape), np.reshape(scales, shape)


def _mean_and_scale(transform: Transform) -> Statistics | None:
    if isinstance(transform, Unchanged):
        return np.zeros(1), np.ones(1)
    return (transform.mean, transform.scale) if isinstance(transform, Shifted) else None


def _alike(of: Recipe, base: Recipe, table: Table) -> bool:
    """Whether both encode a row as the same numbers, before these are transformed."""
    if isinstance(of, OfColumns) and isinstance(base, OfColumns):
        known = {raw.name: raw for raw in table.columns}
        pairs = zip(of.features, base.features, strict=False)
        return len(of.features) == len(base.features) and all(
            a.names == b.names and _encoded_alike(a, b, known[a.name]) for a, b in pairs
        )
    return type(of) is type(base) and of.shape == base.shape


def _encoded_alike(a: Feature, b: Feature, raw: RawColumn) -> bool:
    if isinstance(a.encoder, Number) and isinstance(b.encoder, Number):
        if a.encoder == b.encoder:
            return True
        gaps = _has_gaps(a.encoder.bind(raw, "")[0])
        let_go(raw.values)
        return a.encoder.format == b.encoder.format and not gaps
    return a.encoder == b.encoder


def _has_gaps(values: NDArray[np.generic]) -> bool:
    return values.dtype.kind == "f" and bool(np.isnan(values.min()))


# A prepared data set: tensors for training and validation, and the meaning of the target.


@dataclass(frozen=True)
class Split:
    """Rows of one kind.

    Attributes:
        x: float32 [N, *shape]; of a text int32 [N, L], filled up with 0 at the end. Folds may share
            them; then rows are copied as they are taken, ``x[rows]``.
        y: int64 [N], the index of the class; or float32 [N], standardised; of several quantities,
            or of labels as 0 and 1, float32 [N, O].
        weight: float32 [N], how much each row counts in loss and metric, 1 in the mean over these
            rows; None where all count the same.
    """

    x: RowSource
    y: Tensor
    weight: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    def to(self, device: torch.device | str) -> Split:
        """The same rows on a device; no copy where they are there already."""
        weight = None if self.weight is None else self.weight.to(device)
        return replace(self, x=self.x.to(device), y=self.y.to(device), weight=weight)


def relative_weights(weight: NDArray[np.float64] | None) -> Tensor | None:
    """Weights of rows as those of a ``Split``: their mean is 1, and equal ones are none."""
    if weight is None or (weight == weight[:1]).all():
        return None
    return torch.from_numpy((weight / weight.mean()).astype(np.float32))


@dataclass(frozen=True)
class DataSet:
    """The rows that a search may see, never the test rows; or, for a final number, all of them to
    train on, and the test rows as `validation`.

    Attributes:
        train, validation: the rows.
        shape: of one row, without the batch.
        target: the meaning of the outputs.
        features: names of the numbers of a row, or empty.
        columns: the decision about each column of a table, or empty.
        vocabulary: the words of the numbers of a text, and their vectors; None for all else.
        positions: where the rows of train and of validation are in the source, ascending; rows of a
            second file come after those of the first.
        test: how many rows are set aside; None where they are in a file or a
            Dataset of their own.
        recipe: how raw rows became these; None where they did not come from a source.
        note: for people, where the rows were rearranged; else empty.
        rest: the other folds, where there are any, in their order: this is the last. Each was
            prepared by its own training rows alone, so that shapes may differ.
        identity: which rows these are, before preprocessing; None where they did not come from a
            source.
    """

    train: Split
    validation: Split
    shape: tuple[int, ...]
    target: Target
    features: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    vocabulary: Vocabulary | None = None
    positions: tuple[Places, ...] = ()
    test: int | None = None
    recipe: Recipe | None = None
    note: str = ""
    rest: tuple[DataSet, ...] = ()
    identity: Identity | None = field(default=None, repr=False, compare=False)

    @property
    def folds(self) -> tuple[DataSet, ...]:
        """All folds in their order; this alone where there are no others."""
        return (*self.rest, self)

    @property
    def categories(self) -> tuple[range, ...]:
        """Where the numbers of each categorical column stand in a row; empty where none is one."""
        return () if self.recipe is None else self.recipe.categories

    @property
    def numbers(self) -> tuple[int, ...]:
        """Where the quantities of a table stand in a row; empty where it has none."""
        return () if self.recipe is None else self.recipe.numbers

    @property
    def padded(self) -> bool:
        """Whether rows are sequences of different lengths, with NaN after the end."""
        return isinstance(self.recipe, OfArray) and self.recipe.padded

    @property
    def outputs(self) -> int:
        """How many numbers a network gives for a row."""
        return self.target.outputs

    def to(self, device: torch.device | str) -> DataSet:
        """The same data set on a device; no copy where it is there already."""
        train, validation = self.train.to(device), self.validation.to(device)
        rest = tuple(fold.to(device) for fold in self.rest)
        return replace(self, train=train, validation=validation, rest=rest)


# From a specification to a data set.


@uncollected()
def load(
    spec: DataSpec,
    *,
    folder: Path = Path(),
    final: bool = False,
    everything: bool = False,
    frame: pd.DataFrame | None = None,
) -> DataSet:
    """Read, divide and prepare; the same specification and rows give the same data set.

    The test rows are set aside: their features are in no statistic and no tensor of the result, and
    in no check but whether those in a file of their own fit the others. Labels are used to know the
    classes and to divide each class alike; of those in a file of their own, not even that.

    Args:
        spec: the section ``[data]``.
        folder: the study file's, where relative paths and private modules are looked for first.
        final: for the final number, when the search is over. `train` of the result is then all
            rows for training and validation, and `validation` is the test rows. All is learned
            from `train`.
        everything: of a final data set, `train` has the test rows as well: for a network to use,
            and not to measure.
        frame: the table in `spec.path`, where it was read already.

    With folds there is a data set for each, with statistics of its own. They share one copy of the
    rows where their numbers differ by a shift and a scale alone; else each has a copy.

    Raises:
        DataError: the data does not exist, cannot be read, or does not fit; the test rows of a file
            of their own have another class or lack a column; with `final`, there are no test rows.
    """
    prepare.lookup(spec.preprocessing)
    table = _read(spec, folder, frame)
    _check_named(table, spec)
    table, labels, left_out = usable(table, spec)
    check_scale(table, labels, spec.target_scale)
    check_weights(table)
    hashed = RowHashes.of(table, labels)
    folds, together = _divisions(table, labels, spec, hashed)
    test = _read_test(table, spec, folder) if table.held else None
    if test is not None:
        test, left_out = usable_test(test, spec, left_out)
        check_weights(test)
    tested = None if test is None else RowHashes.of(test, check_fits(table, labels, test))
    identity = identify(table, hashed, folds, tested)
    if (vectors := _vectors_of(spec, folder)) is not None:
        identity = replace(identity, vectors=file_digest(vectors))
    if final:
        rows = folds[-1]
        if test is not None:
            check_scale(test, check_fits(table, labels, test), spec.target_scale)
            table, labels, rows = append(table, labels, rows, test)
        folds = (final_rows(rows, everything),)
    del test
    columns, table = list(table.columns), replace(table, columns=())  # never in memory twice
    places: Places = np.arange(len(labels.values))
    if columns and spec.path is not None:
        places = folds[-1].searched
        if table.folder is None:
            without_test(columns, places)
        else:
            columns = list(columns_of(replace(table, columns=tuple(columns)), places))
    table = replace(table, columns=tuple(columns), rows=left_out.places(places))
    given = table.held or (table.parts is not None and len(folds[-1].test) > 0)
    elsewhere = given and not final
    left_out = replace(left_out, notes=(*left_out.notes, together))
    aside = _set_aside(table, spec)
    source = _Source(aside, labels, table.weight, spec, folder, elsewhere, left_out)
    learned = [learn(table, spec, each.train, each.validation) for each in _in_table(folds, places)]
    give_back()  # before there are the tensors as well
    rows_of: Iterable[Pair]
    if table.folder is None:
        rows_of = _rows(table, learned, folds, places)
    else:
        rows_of = _rows_of_file(table, learned, folds, places, identity)
    del table, columns  # _rows alone holds them, and frees them when it can
    *rest, last = map(partial(_data_set, source), folds, learned, rows_of)
    return replace(last, rest=tuple(rest), identity=identity)


def _divisions(
    table: Table, labels: Labels, spec: DataSpec, hashed: RowHashes
) -> tuple[tuple[Rows, ...], str]:
    """The rows of each kind, and a note on rows that are equal, which stay in one split."""
    wanted = spec.division > 2 and spec.copies == "together"
    wanted = wanted and not spec.dividing and table.parts is None
    first = first_alike(hashed.rows) if wanted else None
    if first is None:
        return divisions(table, labels, spec), ""
    count = len(first) - len(np.unique(first))
    copies = f"{count:,} of {len(first):,} rows are copies of others"
    by_chance = are_alike_by_chance(first)
    if not by_chance:
        with suppress(DataError):  # too few rows are left of a class
            folds = divisions_of_copies(table, labels, spec, first)
            return (
                folds,
                f'{copies} and in the same split; copies = "apart" divides them anew',
            )
    why = "so many that they are alike by chance" if by_chance else "too many for their class"
    return divisions(table, labels, spec), f"{copies}, {why}: they are divided like others"


def _vectors_of(spec: DataSpec, folder: Path) -> Path | None:
    """The file with the word vectors, where one is named."""
    given = spec.vectors or ""
    path = sources.expanded(given, "data.vectors", folder)
    return sources.find_path(given, "data.vectors", folder) if path else None


@dataclass(frozen=True)
class _Source:
    """What all divisions have in common besides the rows.

    Attributes:
        aside: the columns that are no features.
        weight: of all rows.
        elsewhere: the test rows are in a file or a Dataset of their own.
        left_out: the rows of the source that are not used.
    """

    aside: tuple[Column, ...]
    labels: Labels
    weight: NDArray[np.float64] | None
    spec: DataSpec
    folder: Path
    elsewhere: bool
    left_out: LeftOut


Pair = tuple[RowSource, RowSource]
"""Rows for training and for validation."""


def _in_table(folds: tuple[Rows, ...], places: Places) -> Iterable[Rows]:
    """Each division's rows, counted among those in the table; only one is in memory at a time."""
    return (among(places, rows) for rows in folds)


def _rows(
    table: Table, learned: list[Learned], folds: tuple[Rows, ...], places: Places
) -> Iterable[Pair]:
    """Each division's rows; folds share one copy where they differ by shifts and scales alone."""
    if table.stream is not None:
        for each, rows in zip(learned, folds, strict=True):
            assert isinstance(each.recipe, OfArray)
            stream, recipe = table.stream, each.recipe
            yield stream.rows(recipe, rows.train), stream.rows(recipe, rows.validation)
        return
    base = learned[-1].recipe
    maps = [relative(each.recipe, base, table) for each in learned[:-1]]
    if not maps or None in maps:
        for each, rows in zip(learned, _in_table(folds, places), strict=True):
            both = each.recipe.rows(table, np.concatenate((rows.train, rows.validation)))
            count = len(rows.train)
            yield torch.from_numpy(both[:count]), torch.from_numpy(both[count:])
        return
    every = folds[-1].searched
    pool = SharedRows(torch.from_numpy(base.rows(table, np.searchsorted(places, every))))
    del table  # in memory no longer when there are the labels of each fold
    for rows, map_of in zip(folds, (*maps, None), strict=True):
        positions = (np.searchsorted(every, kind) for kind in (rows.train, rows.validation))
        train, validation = (torch.from_numpy(place.astype(np.int32)) for place in positions)
        yield Gathered(pool, train, *(map_of or ())), Gathered(pool, validation, *(map_of or ()))


def _rows_of_file(
    table: Table, learned: list[Learned], folds: tuple[Rows, ...], places: Places, known: Identity
) -> Iterable[Pair]:
    """The same of a table whose columns are in a file: rows in a file too."""
    base = learned[-1].recipe
    maps = [relative(each.recipe, base, table) for each in learned[:-1]]
    every = folds[-1].searched
    at = np.searchsorted(places, every)
    for each, rows, map_of in zip(learned, folds, (*maps, None), strict=True):
        recipe = each.recipe if map_of is None else base
        held = rows_in_file(table, recipe, at, known.inputs, every)
        train, validation = (np.searchsorted(every, kind) for kind in (rows.train, rows.validation))
        yield held.part(train, *(map_of or ())), held.part(validation, *(map_of or ()))


def _data_set(source: _Source, rows: Rows, features: Learned, of: Pair) -> DataSet:
    """A division's data set."""
    target, y = _target(source.labels, rows, source.spec)

    def split(x: RowSource, places: Places) -> Split:
        weight = None if source.weight is None else source.weight[places]
        return Split(x, torch.from_numpy(y[places]), relative_weights(weight))

    train, validation = of
    return DataSet(
        train=split(train, rows.train),
        validation=split(validation, rows.validation),
        shape=features.recipe.shape,
        target=target,
        features=features.names,
        columns=(*features.columns, *source.aside),
        vocabulary=_with_vectors(features.vocabulary, source.spec, source.folder),
        positions=tuple(source.left_out.places(each) for each in (rows.train, rows.validation)),
        test=None if source.elsewhere else len(rows.test),
        recipe=features.recipe,
        note="; ".join(note for note in (*source.left_out.notes, features.note) if note),
    )


def _check_named(table: Table, spec: DataSpec) -> None:
    """DataError where the source lacks a column that the study file names."""
    if spec.text is not None and table.text is None:
        raise DataError(
            f"no column {spec.text!r}: only a table has columns",
            where=table.where,
            hint="remove text, or give a table or a function that returns a pandas frame",
        )
    if spec.resize is not None and not table.images:
        raise DataError(
            "only a folder of images is resized", where="data.resize", hint="remove resize"
        )
    if spec.weight is not None and table.weight is None:
        what = f"no column {spec.weight!r}: only a table has columns"
        hint = "remove weight; a function may return (X, y, weight)"
        raise DataError(what, where="data.weight", hint=hint)
    for key in ("group", "time", "split"):
        name = getattr(spec, key)
        if name is not None and name not in table.aside:
            what = f"no column {name!r}: only a table has columns"
            raise DataError(what, where=f"data.{key}", hint=f"remove {key}")
    known = [raw.name for raw in table.columns]
    listed = [(key, getattr(spec, key)) for key in ("keep", *WISHES)]
    for key, names in (*listed, ("drop", () if known or table.text else spec.drop)):
        for name in names:
            if name not in known:
                hint = nearest(name, known) if known else "only a table has named columns"
                raise DataError(f"no column {name!r}", where=f"data.{key}", hint=hint)


NOTHING, EVERYTHING = 0, 2**44
"""MB of rows that are held in memory."""


def _read(spec: DataSpec, folder: Path, frame: pd.DataFrame | None) -> Table:
    table = separated(sources.read(spec, folder, frame), spec.labels_separator)
    return of_arrays(sequences.of_columns(table, spec.shape), spec)


def _read_test(table: Table, spec: DataSpec, folder: Path) -> Table:
    """The test rows in files of their own, in memory where the others are."""
    elsewhere = table.stream is not None or table.folder is not None
    in_memory = NOTHING if elsewhere else EVERYTHING
    spec = replace(spec, in_memory=in_memory)
    test = sources.read_test(spec, folder, _texts(table, spec))
    test = separated(test, spec.labels_separator, table.targets)
    return of_arrays(sequences.alike(table, test), spec)


def _texts(table: Table, spec: DataSpec) -> tuple[str, ...]:
    """The columns that are text in the training rows, and so must be text in the test rows."""
    named = tuple(raw.name for raw in table.columns if raw.kind == "categorical")
    text = table.y.dtype.kind in "OUS" or spec.labels_separator is not None
    return (*named, *spec.targets) if text else named


def _with_vectors(vocabulary: Vocabulary | None, spec: DataSpec, folder: Path) -> Vocabulary | None:
    """The words with their vectors, where a file is named."""
    file = None if vocabulary is None else _vectors_of(spec, folder)
    if vocabulary is None or file is None:
        return vocabulary
    vectors = read_vectors(file, vocabulary.words)
    special = np.zeros((SPECIAL, vectors.shape[1]), dtype=np.float32)
    return replace(vocabulary, vectors=torch.from_numpy(np.concatenate((special, vectors))))


def _set_aside(table: Table, spec: DataSpec) -> tuple[Column, ...]:
    """The columns that are no features."""
    if not (table.columns or table.text) or spec.target is None:
        return ()
    kinds = {"group": spec.group, "time": spec.time, "split": spec.split}
    division = [
        Column(name, kind, "division", f"splits the rows by {kind}; not a feature")
        for kind, name in kinds.items()
        if name is not None
    ]
    dropped = [Column(name, "other", "dropped", "listed in data.drop") for name in spec.drop]
    why = "to be predicted"
    if spec.labels_separator is not None:
        why += (
            f": {len(table.targets)} labels, with {spec.labels_separator!r} between those of a row"
        )
    targets = [Column(name, "target", "target", why) for name in spec.targets]
    weighing = "how much a row counts in loss and metric; not a feature"
    weight = [] if spec.weight is None else [Column(spec.weight, "weight", "weight", weighing)]
    return (*targets, *weight, *division, *dropped)


def _target(labels: Labels, rows: Rows, spec: DataSpec) -> tuple[Target, NDArray[Any]]:
    if labels.task == "classification":
        _check_of_classes(spec)
        return Target("classification", labels.classes), labels.values
    if labels.task == "multilabel":
        _check_of_classes(spec, "labels")
        return Target("multilabel", names=labels.names), labels.values.astype(np.float32)
    values, own = scaled(labels, spec.target_scale), labels.values[rows.train]
    train = values[rows.train]
    if labels.names:
        return _of_several(labels, spec, values, rows)
    mean, scale = float(train.mean()), float(train.std()) or 1.0
    y = ((values - mean) / scale).astype(np.float32)
    limits = (float(own.min()), float(own.max())) if spec.target_clip else None
    return Target("regression", (), mean, scale, spec.target_scale, limits), y


def _of_several(
    labels: Labels, spec: DataSpec, values: NDArray[Any], rows: Rows
) -> tuple[Target, NDArray[Any]]:
    """Several quantities, each standardized by itself."""
    train, own = values[rows.train], labels.values[rows.train]
    mean, scale = train.mean(0), train.std(0)
    scale[scale == 0] = 1.0
    y = ((values - mean) / scale).astype(np.float32)
    ends = tuple(own.min(0).tolist()), tuple(own.max(0).tolist())
    numbers = tuple(mean.tolist()), tuple(scale.tolist())
    limits = ends if spec.target_clip else None
    return Target("regression", (), *numbers, spec.target_scale, limits, labels.names), y


def _check_of_classes(spec: DataSpec, kind: str = "classes") -> None:
    """DataError for a key that is for quantities."""
    for key, off in (("target_scale", "linear"), ("target_clip", False)):
        if getattr(spec, key) != off:
            raise DataError(
                f"is for quantities, and the target is {kind}",
                where=f"data.{key}",
                hint='remove it; for a quantity, set task = "regression"',
            )


# Test rows that are in files of their own, beside the rows of a search.


def check_fits(table: Table, labels: Labels, test: Table) -> Labels:
    """The labels of the rows of a second table, which are to be the test rows of the first.

    Raises:
        DataError: a column or class that is not there, or rows of another kind or shape.
    """
    values = encode_like(test, labels)
    if table.text is not None:
        _check_text(table.text, test)
    elif table.x is not None:
        _check_array(table.x, test)
    elif table.stream is not None:
        _check_stream(table.stream, test)
    for raw in table.columns:
        other = _matching(raw, test)
        if raw.kind == "numeric":
            numbers(other, test.where, row=test.row)
    return replace(labels, values=values)


def append(table: Table, labels: Labels, rows: Rows, test: Table) -> tuple[Table, Labels, Rows]:
    """The rows of a second table after those of the first, as its test rows; errors as those of
    ``check_fits``."""
    count = len(labels.values)
    values = np.concatenate((labels.values, encode_like(test, labels)))
    if table.weight is not None and test.weight is not None:
        table = replace(table, weight=np.concatenate((table.weight, test.weight)))
    if table.text is not None:
        texts = np.concatenate((table.text.values, _check_text(table.text, test)))
        both = replace(table, text=replace(table.text, values=texts), y=values)
    elif table.stream is not None:
        stream = table.stream.joined(_check_stream(table.stream, test))
        both = replace(table, stream=stream, y=values)
    elif table.x is None:
        both = replace(table, columns=_all_joined(table, test), y=values)
    else:
        both = replace(table, x=np.concatenate((table.x, _check_array(table.x, test))), y=values)
    places = np.arange(count, len(values))
    return both, replace(labels, values=values), replace(rows, test=places)


def _check_text(text: Text, test: Table) -> NDArray[np.object_]:
    if test.text is None:  # a table has one where it was asked for
        raise DataError(f"no column {text.name!r}", where=test.where)
    return test.text.values


def _check_array(x: NDArray[Any], test: Table) -> NDArray[Any]:
    if test.x is not None and sequences.fits(x[0], test.x[0]) and test.x.shape[1] < x.shape[1]:
        return sequences.extended(test.x, x.shape[1])
    if test.x is None or test.x.shape[1:] != x.shape[1:]:
        form = "columns" if test.x is None else f"rows of shape {list(test.x.shape[1:])}"
        raise _of_another_form(form, x.shape[1:], test.where)
    return test.x


def _check_stream(stream: Stream, test: Table) -> Stream:
    if test.stream is None or test.stream.given != stream.given:
        form = "columns" if test.stream is None else f"rows of shape {list(test.stream.given)}"
        raise _of_another_form(form, stream.given, test.where)
    return test.stream


def _of_another_form(form: str, shape: tuple[int, ...], where: str) -> DataError:
    return DataError(
        f"{form}, but the training rows have shape {list(shape)}",
        where=where,
        hint="give the test rows in the same form",
    )


def _matching(raw: RawColumn, test: Table) -> RawColumn:
    for other in test.columns:
        if other.name == raw.name:
            return other
    names = [column.name for column in test.columns]
    raise DataError(f"no column {raw.name!r}", where=test.where, hint=nearest(raw.name, names))


def _all_joined(table: Table, test: Table) -> tuple[RawColumn, ...]:
    """The columns and their test rows, in a file where the columns are in one."""
    columns = (_joined(raw, _matching(raw, test), test.where) for raw in table.columns)
    if table.folder is None:
        return tuple(columns)
    known: list[RawColumn] = []

    def values() -> Iterator[NDArray[Any]]:
        for raw in columns:
            known.append(replace(raw, values=raw.values[:0]))
            yield raw.values

    arrays = put_away(values(), table.folder)
    return tuple(replace(raw, values=each) for raw, each in zip(known, arrays, strict=True))


def _joined(raw: RawColumn, other: RawColumn, where: str) -> RawColumn:
    """A column and its test rows; categories that only these have come last."""
    if raw.kind == "numeric":
        return replace(raw, values=np.concatenate((raw.values, numbers(other, where))))
    (codes, texts), (more, meant) = coded(raw), coded(other)
    known = {text: code for code, text in enumerate(texts)}
    for text in meant:
        known.setdefault(text, len(known))
    place = np.array([*(known[text] for text in meant), -1], dtype=np.int64)  # the last: missing
    values = np.concatenate((codes, place[more]))
    return replace(raw, values=values, categories=np.array(list(known), dtype=object))


def without_test(columns: list[RawColumn], places: Places) -> None:
    """Reduces columns to some rows, one after the other, so that only one is copied at a time."""
    for at, raw in enumerate(columns):
        values = fresh(len(places), raw.values.dtype)
        np.take(raw.values, places, out=values, mode="clip")  # the default mode makes a copy
        columns[at] = replace(raw, values=values)
