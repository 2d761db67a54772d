"""From a specification to a data set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tuner.data import files, preprocessing, sources, vectors
from tuner.data.affine import relative
from tuner.data.columns import Column
from tuner.data.dataset import DataSet, Split, Target
from tuner.data.features import Features as Learned
from tuner.data.features import learn
from tuner.data.folding import divisions
from tuner.data.gathered import Features, Gathered, Pool
from tuner.data.held import among, append, check_fits, final_rows, without_test
from tuner.data.identity import Identity, file_digest, identify
from tuner.data.labels import Labels, encode
from tuner.data.narrow import give_back
from tuner.data.spec import DataSpec
from tuner.data.splits import Places, Rows
from tuner.data.table import Table
from tuner.data.vocabulary import SPECIAL, Vocabulary
from tuner.errors import DataError, nearest


def load(spec: DataSpec, *, folder: Path = Path(), final: bool = False) -> DataSet:
    """Read, divide and prepare; the same specification and rows give the same data set.

    The test rows are set aside: their features are in no statistic and no tensor of the result, and
    in no check but whether those in a file of their own fit the others. Labels are used to know the
    classes and to divide each class alike; of those in a file of their own, not even that.

    Args:
        spec: what a study file says.
        folder: the study file's, where relative paths and private modules are looked for first.
        final: for the final number, when the search is over. `train` of the result is then all
            rows for training and validation, and `validation` is the test rows. All is learned
            from `train`.

    With folds there is a data set for each, with statistics of its own. They share one copy of the
    rows where their numbers differ by a shift and a scale alone; else each has a copy.

    Raises:
        DataError: the data does not exist, cannot be read, or does not fit; the test rows of a file
            of their own have another class or lack a column; with `final`, there are no test rows.
    """
    preprocessing.lookup(spec.preprocessing)
    table = _read(spec, folder)
    _check_named(table, spec)
    labels = encode(table, spec.task)
    folds = divisions(table, labels, spec)
    test = files.read_test(spec, folder, _texts(table, spec)) if table.held else None
    identity = _identity(table, labels, folds, test, spec, folder)
    if final:
        rows = folds[-1]
        if test is not None:
            table, labels, rows = append(table, labels, rows, test)
        folds = (final_rows(rows),)
    del test
    columns, table = list(table.columns), replace(table, columns=())  # never in memory twice
    kept: Places = np.arange(len(labels.values))
    if columns and spec.path is not None:
        kept = folds[-1].searched
        without_test(columns, kept)
    table = replace(table, columns=tuple(columns))
    source = _Source(_set_aside(table, spec), labels, spec, folder, table.held and not final)
    learned = [learn(table, spec, each.train, each.validation) for each in _counted(folds, kept)]
    give_back()  # before there are the tensors as well
    rows_of = _rows(table, learned, folds, kept)
    del table, columns  # _rows has them, and lets go of them first
    *rest, last = map(partial(_prepared, source), folds, learned, rows_of)
    return replace(last, rest=tuple(rest), identity=identity)


def _identity(
    table: Table,
    labels: Labels,
    folds: tuple[Rows, ...],
    test: Table | None,
    spec: DataSpec,
    folder: Path,
) -> Identity:
    """Of the rows as they were read, and of the word vectors."""
    held = None if test is None else (test, check_fits(table, labels, test))
    found, named = identify(table, labels, folds, held), _vectors_of(spec, folder)
    return found if named is None else replace(found, vectors=file_digest(named))


def _vectors_of(spec: DataSpec, folder: Path) -> Path | None:
    """The file with the word vectors, where one is named."""
    given = spec.vectors or ""
    named = files.expanded(given, "data.vectors", folder)
    return files.find(given, "data.vectors", folder) if named else None


@dataclass(frozen=True)
class _Source:
    """What all divisions have in common, but the rows; and whether the test rows are in a file of
    their own."""

    aside: tuple[Column, ...]
    labels: Labels
    spec: DataSpec
    folder: Path
    elsewhere: bool


Pair = tuple[Features, Features]
"""Rows for training and for validation."""


def _counted(folds: tuple[Rows, ...], kept: Places) -> Iterable[Rows]:
    """Each division's rows among those that the table keeps; only one at a time is in memory."""
    return (among(kept, rows) for rows in folds)


def _rows(
    table: Table, learned: list[Learned], folds: tuple[Rows, ...], kept: Places
) -> Iterable[Pair]:
    """Each division's rows; of folds that may, without a copy for each."""
    base = learned[-1].recipe
    maps = [relative(each.recipe, base, table) for each in learned[:-1]]
    if not maps or None in maps:
        for each, rows in zip(learned, _counted(folds, kept), strict=True):
            made = (each.recipe.rows(table, kind) for kind in (rows.train, rows.validation))
            train, validation = map(torch.from_numpy, made)
            yield train, validation
        return
    every = folds[-1].searched
    pool = Pool(torch.from_numpy(base.rows(table, np.searchsorted(kept, every))))
    del table  # in memory no longer when there are the labels of each fold
    for rows, map_of in zip(folds, (*maps, None), strict=True):
        places = (np.searchsorted(every, kind) for kind in (rows.train, rows.validation))
        train, validation = (torch.from_numpy(place.astype(np.int32)) for place in places)
        yield Gathered(pool, train, *(map_of or ())), Gathered(pool, validation, *(map_of or ()))


def _prepared(source: _Source, rows: Rows, features: Learned, of: Pair) -> DataSet:
    """A division's data set."""
    target, y = _target(source.labels, rows)
    train, validation = of
    return DataSet(
        train=Split(train, torch.from_numpy(y[rows.train])),
        validation=Split(validation, torch.from_numpy(y[rows.validation])),
        shape=features.recipe.shape,
        target=target,
        features=features.names,
        columns=(*features.columns, *source.aside),
        vocabulary=_with_vectors(features.vocabulary, source.spec, source.folder),
        positions=(rows.train, rows.validation),
        test=None if source.elsewhere else len(rows.test),
        recipe=features.recipe,
        note=features.note,
    )


def _check_named(table: Table, spec: DataSpec) -> None:
    """DataError where a column that is named is none; what a table needs is checked before."""
    if spec.text is not None and table.text is None:
        raise DataError(
            f"no column {spec.text!r}: only a table has columns",
            where=table.where,
            hint="remove text, or give a table or a function that returns a pandas frame",
        )
    for key in ("group", "time", "split"):
        name = getattr(spec, key)
        if name is not None and name not in table.aside:
            what = f"no column {name!r}: only a table has columns"
            raise DataError(what, where=f"data.{key}", hint=f"remove {key}")
    known = [raw.name for raw in table.columns]
    for key, names in (("keep", spec.keep), ("drop", () if known or table.text else spec.drop)):
        for name in names:
            if name not in known:
                hint = nearest(name, known) if known else "only a table has named columns"
                raise DataError(f"no column {name!r}", where=f"data.{key}", hint=hint)


def _read(spec: DataSpec, folder: Path) -> Table:
    if spec.source is not None:
        return sources.read(spec.source, spec.target, folder, spec.dividing, spec.text, spec.drop)
    return files.read(spec, folder)


def _texts(table: Table, spec: DataSpec) -> tuple[str, ...]:
    """The columns that are text in the rows to train on, and so in those of another file."""
    named = tuple(raw.name for raw in table.columns if raw.kind == "categorical")
    text = spec.target is not None and table.y.dtype.kind in "OUS"
    return (*named, spec.target) if text and spec.target is not None else named


def _with_vectors(known: Vocabulary | None, spec: DataSpec, folder: Path) -> Vocabulary | None:
    """The words with their vectors, where a file is named."""
    file = None if known is None else _vectors_of(spec, folder)
    if known is None or file is None:
        return known
    found = vectors.read(file, known.words)
    special = np.zeros((SPECIAL, found.shape[1]), dtype=np.float32)
    return replace(known, vectors=torch.from_numpy(np.concatenate((special, found))))


def _set_aside(table: Table, spec: DataSpec) -> tuple[Column, ...]:
    """The columns that are no features."""
    if not (table.columns or table.text) or spec.target is None:
        return ()
    kinds = {"group": spec.group, "time": spec.time, "split": spec.split}
    division = [
        Column(name, kind, "division", f"divides the rows by {kind}, and is no feature")
        for kind, name in kinds.items()
        if name is not None
    ]
    dropped = [Column(name, "other", "dropped", "data.drop names it") for name in spec.drop]
    target = Column(spec.target, "target", "target", "what is predicted")
    return (target, *division, *dropped)


def _target(labels: Labels, rows: Rows) -> tuple[Target, NDArray[Any]]:
    if labels.task == "classification":
        return Target("classification", labels.classes), labels.values
    train = labels.values[rows.train]
    mean, scale = float(train.mean()), float(train.std()) or 1.0
    y = ((labels.values - mean) / scale).astype(np.float32)
    return Target("regression", (), mean, scale), y
