"""Encodes labels as class indices or numbers, of one target or several, and leaves out rows without
one."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.data.numbers import COMMA, PLAIN, Format, are_digits, is_gap, recognize
from tuner.data.prepare import DIGITS, PAIRS
from tuner.data.spec import DIVISIONS, DataSpec
from tuner.data.tables import NUMERIC, Table, only
from tuner.errors import DataError
from tuner.lazy_torch import Tensor
from tuner.metrics import Task

Index = NDArray[np.signedinteger[Any]]

FEW = 20  # "auto" takes at most so many distinct whole numbers for classes


@dataclass(frozen=True)
class Labels:
    """Labels of all rows.

    Attributes:
        task: classification, multilabel or regression.
        values: int64 [N], the index of the class; or float64 [N] in the target's unit; of several
            targets float64 [N, K], of labels 0 and 1.
        classes: the classes' names by index, in the order of the labels; empty for the others.
        format: how quantities were written, where they were text.
        names: of several targets.
        formats: the format of each of them.
    """

    task: Task
    values: NDArray[Any]
    classes: tuple[str, ...]
    format: Format | None = None
    names: tuple[str, ...] = ()
    formats: tuple[Format | None, ...] = ()


# The scale on which a quantity is learned.


@dataclass(frozen=True)
class Scale:
    """A function of a quantity in the target's unit, and its inverse.

    Attributes:
        inverse: the method of a tensor that turns it back; empty for none.
        above: what every target has to be above.
        hint: for whom a target is not.
    """

    forward: Callable[[NDArray[Any]], NDArray[Any]]
    inverse: str = ""
    above: float = -np.inf
    hint: str = ""

    def back(self, values: Tensor) -> Tensor:
        """Numbers of this scale in the target's unit."""
        unit: Tensor = getattr(values, self.inverse)() if self.inverse else values
        return unit


SCALES: Mapping[str, Scale] = {
    "linear": Scale(lambda values: values),
    "log": Scale(np.log, "exp", 0.0, 'for counts with zeros: target_scale = "log1p"'),
    "log1p": Scale(np.log1p, "expm1", -1.0, "remove target_scale"),
}


def check_scale(table: Table, labels: Labels, name: str) -> None:
    """DataError for quantities that have no place on a scale."""
    scale = SCALES[name]
    values = labels.values.reshape(len(labels.values), -1)
    bad = values <= scale.above
    if labels.task == "regression" and bad.any():
        row, k = (int(each[0]) for each in np.nonzero(bad))
        of = f" of {labels.names[k]!r}" if labels.names else ""
        raise DataError(
            f"{name} needs targets above {scale.above:g}, and {int(bad.sum())} of {values.size} "
            f"are not, the first in {table.row(row)}{of}: {values[row, k]:g}",
            where="data.target_scale",
            hint=scale.hint,
        )


def scaled(labels: Labels, name: str) -> NDArray[Any]:
    """Quantities on a scale."""
    return SCALES[name].forward(labels.values)


# Labels as indices of classes, or as quantities.


def encode(table: Table, task: str, rule: int = DIVISIONS[-1]) -> Labels:
    """The labels of a table as indices or numbers.

    "auto" takes text and booleans for classes, and whole numbers where there are at most 20
    distinct ones, each twice on average; all else for a quantity. Text may be numbers, too, but
    for the first rule of DIVISIONS, by which each text is a class.

    Raises:
        DataError: missing or infinite labels, a single class or value, text in a regression.
    """
    if table.targets:
        return _several(table, task, rule)
    if task == "multilabel":
        raise DataError(
            "multilabel needs several targets, and there is one label a row",
            where=table.where,
            hint='name the columns of the labels: target = ["a", "b"]; or return y of shape [N, '
            'K]; where one column holds all of them: labels_separator = ";"',
        )
    _check_present(table)
    y = _plain(table.y, table.where)
    number_format = None
    if y.dtype.kind == "U" and task != "classification" and rule > 1:
        y, number_format = _from_text(y, table, task)
    _check_finite(y, table.where)
    if task == "auto":
        task = _guess(y)
    if task != "classification":
        return _numbers(y, table, number_format)
    if rule > 1:
        _refuse_gaps(y, table)
    return _classes(y, table)


def _refuse_gaps(y: NDArray[Any], table: Table) -> None:
    """DataError for classes that can only be marks of missing labels, such as "?"."""
    if y.dtype.kind == "U":
        texts, index = np.unique(y, return_inverse=True)
        gaps = np.array([is_gap(text) for text in texts.tolist()], dtype=bool)
        _refuse_rows(gaps[index], y, "are missing", table)


def _from_text(y: NDArray[Any], table: Table, task: str) -> tuple[NDArray[Any], Format | None]:
    """Labels that are text, as numbers with their format where they are a quantity, else unchanged.

    Raises:
        DataError: some are missing, or they are in several units.
    """
    texts, index, counts = np.unique(y, return_inverse=True, return_counts=True)
    recognized = None if are_digits(texts) else recognize(texts, counts, table.comma)
    if recognized is None:
        return y, None
    if recognized.format is None:
        raise DataError(
            f"the target: {recognized.remark}",
            where=table.where,
            hint='use one unit and one notation, or set task = "classification"',
        )
    values, _ = recognized.format.values(texts)
    _refuse_rows(np.isnan(values)[index], y, "are not numbers", table)
    quantity = task == "regression" or _guess(values[index]) == "regression"
    return (values[index], recognized.format) if quantity else (y, None)


def _refuse_rows(bad: NDArray[np.bool_], y: NDArray[Any], what: str, table: Table) -> None:
    """DataError for labels that count as missing; names the first."""
    if bad.any():
        texts = sorted(set(y[bad].tolist()))
        named = ", ".join(map(repr, texts[:3])) + (", …" if len(texts) > 3 else "")
        raise DataError(
            f"{int(bad.sum())} of {len(y)} labels {what} ({named}), the first in "
            f"{table.row(int(bad.argmax()))}",
            where=table.where,
            hint="remove these rows, or repair them",
        )


def encode_like(table: Table, known: Labels) -> NDArray[Any]:
    """The labels of another table, the test rows, encoded as those of the first.

    Raises:
        DataError: a class that is not known; missing or infinite labels; text in a regression.
    """
    if known.names:
        return _several_like(table, known)
    _check_present(table)
    y = _plain(table.y, table.where)
    if known.task == "regression":
        return _quantities(y, table, known.format)
    y = _whole(y)
    distinct, index = np.unique(y, return_inverse=True)
    names = _names(distinct, table)
    unseen = [name for name in names if name not in known.classes]
    if unseen:
        raise DataError(
            f"class {unseen[0]!r} does not occur in the training rows",
            where=table.where,
            hint=f"known classes: {', '.join(known.classes[:20])}; remove these rows, or add "
            "training rows of this class",
        )
    place = np.array([known.classes.index(name) for name in names], dtype=np.int64)
    return place[index]


def _check_present(table: Table) -> None:
    missing = _missing(table.y)
    count = int(missing.sum())
    if count:
        raise DataError(
            f"{count} of {len(missing)} labels are missing (NaN), "
            f"the first in {table.row(int(missing.argmax()))}",
            where=table.where,
            hint="remove these rows; in a file, empty cells, NA, None and null are missing",
        )


def _check_finite(y: NDArray[Any], where: str) -> None:
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise DataError(f"{np.isinf(y).sum()} labels are infinite", where=where)


def _missing(y: NDArray[Any]) -> NDArray[np.bool_]:
    missing = np.zeros(len(y), dtype=bool)
    if y.dtype.kind == "f":
        missing[:] = np.isnan(y)
    elif y.dtype.kind == "O":
        missing[:] = [v is None or (isinstance(v, float) and v != v) for v in y]
    elif y.dtype.kind == "U":
        missing[:] = y == "nan"  # NumPy turns NaN among text into this
    return missing


def _plain(y: NDArray[Any], where: str) -> NDArray[Any]:
    """Labels that are objects as booleans, numbers or text; DataError for other types."""
    if y.dtype.kind == "O":
        if all(isinstance(value, bool | np.bool_) for value in y):
            return y.astype(bool)
        if all(isinstance(value, numbers.Real) for value in y):
            return np.array(y.tolist())
    if y.dtype.kind in "OST":
        return y.astype(str)
    if y.dtype.kind not in NUMERIC + "U":
        raise DataError(
            f"labels of type {y.dtype}", where=where, hint="use numbers, text or booleans"
        )
    return y


def _guess(y: NDArray[Any]) -> Task:
    if y.dtype.kind in "bU":
        return "classification"
    if y.dtype.kind == "f" and (y != np.floor(y)).any():
        return "regression"
    distinct = len(np.unique(y))
    return "classification" if distinct <= FEW and 2 * distinct <= len(y) else "regression"


def _classes(y: NDArray[Any], table: Table) -> Labels:
    distinct, index = np.unique(_whole(y), return_inverse=True)
    names = _names(distinct, table)
    if len(names) == 1:
        raise DataError(
            f"all {len(y)} labels are {names[0]!r}: a classifier needs at least two classes",
            where=table.where,
            hint="add rows of another class, or choose another target",
        )
    if len(names) == len(y) > 5:
        raise DataError(
            f"all {len(y)} labels are different, such as {names[0]!r} and {names[1]!r}",
            where=table.where,
            hint='choose a target with a few classes; for a number, set task = "regression"',
        )
    return Labels("classification", index.astype(np.int64), names)


def _whole(y: NDArray[Any]) -> NDArray[Any]:
    """0.0 and 1.0 in a table are the classes "0" and "1"."""
    if y.dtype.kind != "f" or not ((y == np.floor(y)) & (np.abs(y) < 2.0**63)).all():
        return y
    return y.astype(np.int64)


def _names(distinct: NDArray[Any], table: Table) -> tuple[str, ...]:
    codes = distinct.tolist()
    if distinct.dtype.kind in "iu" and min(codes) >= 0 and max(codes) < len(table.classes):
        return tuple(table.classes[code] for code in codes)
    return tuple(str(code) for code in codes)


def _numbers(y: NDArray[Any], table: Table, number_format: Format | None) -> Labels:
    values = _quantities(y, table)
    if values.min() == values.max():
        raise DataError(
            f"all {len(y)} labels are {values[0]:g}: there is nothing to predict", where=table.where
        )
    return Labels("regression", values, (), number_format)


def _quantities(
    y: NDArray[Any], table: Table, number_format: Format | None = None
) -> NDArray[np.float64]:
    """Labels as numbers, text in the given format; DataError with the first that is no number."""
    if y.dtype.kind == "U":
        values, _ = (number_format or (COMMA if table.comma else PLAIN)).values(y)
        bad = np.isnan(values)
        if bad.any():
            raise DataError(
                f"label {str(y[bad][0])!r} in {table.row(int(bad.argmax()))} is text "
                f"({int(bad.sum())} such rows), but the task is regression",
                where=table.where,
                hint='use numbers, or set task = "classification"',
            )
        y = values
    _check_finite(y, table.where)
    return y.astype(np.float64)


# Several targets: labels, each of them yes or no, or quantities.


YES = frozenset((*(word for yes, _ in PAIRS for word in yes.split()), *DIGITS[0]))
NO = frozenset((*(word for _, no in PAIRS for word in no.split()), *DIGITS[1]))


def single(table: Table, k: int) -> Table:
    """The table with one of its targets."""
    where = f"{table.where}: target {table.targets[k]!r}"
    return replace(table, y=table.y[:, k], where=where, targets=())


def singles(table: Table) -> list[Table]:
    """The table with each of its targets alone."""
    return [single(table, k) for k in range(len(table.targets))]


MOST_LABELS = 1000
"""A target with more labels is refused: each would be an output of the network."""


def separated(table: Table, separator: str | None, known: tuple[str, ...] = ()) -> Table:
    """A table with a target for each label in a text such as "red;round", 1 where it applies.

    Args:
        separator: what stands between labels; without it the table stays as it is.
        known: the labels, where another table decides them.

    Raises:
        DataError: the target is no text, has one label or too many, or one that is not known.
    """
    if separator is None:
        return table
    if table.targets or table.y.dtype.kind not in "OUS":
        what = "needs a target that is text, and the labels are "
        what += "several columns" if table.targets else f"of type {table.y.dtype}"
        raise DataError(what, where="data.labels_separator", hint="remove labels_separator")
    written = ["" if gap else str(y) for y, gap in zip(table.y, _missing(table.y), strict=True)]
    each = [{part.strip() for part in text.split(separator)} - {""} for text in written]
    names = known or tuple(sorted(set().union(*each)))
    if not 2 <= len(names) <= MOST_LABELS:
        some = f"{len(names):,} different labels" if len(names) != 1 else f"one label, {names[0]!r}"
        hint = f"{separator!r} is to stand between the labels of a row: check the separator"
        raise DataError(f"the target has {some}", where=table.where, hint=hint)
    place = {name: k for k, name in enumerate(names)}
    y = np.zeros((len(each), len(names)), np.int64)
    for row, labels in enumerate(each):
        strange = sorted(labels - place.keys())
        if strange:
            raise DataError(
                f"label {strange[0]!r} in {table.row(row)} does not occur in the training rows",
                where=table.where,
                hint=f"known labels: {', '.join(names[:20])}",
            )
        y[row, [place[name] for name in labels]] = 1
    return replace(table, y=y, targets=names, classes=())


def _several(table: Table, task: str, rule: int) -> Labels:
    """The labels of several targets: yes and no, or else quantities."""
    if task == "classification":
        raise DataError(
            f"classification needs one target, and there are {len(table.targets)}",
            where=table.where,
            hint='for columns of yes and no: task = "multilabel"',
        )
    each = singles(table)
    for one in each:
        _check_present(one)
    yes = [_yes_or_no(one) for one in each]
    if task == "multilabel" or (task == "auto" and not any(np.isnan(v).any() for v in yes)):
        for one, values in zip(each, yes, strict=True):
            _check_label(one, values)
        return Labels("multilabel", np.column_stack(yes), (), names=table.targets)
    for one, values in zip(each, yes, strict=True):
        _check_quantity(one, values, rule)
    encoded = [encode(one, "regression", rule) for one in each]
    values = np.column_stack([one.values for one in encoded])
    formats = tuple(one.format for one in encoded)
    return Labels("regression", values, (), None, table.targets, formats)


def _several_like(table: Table, known: Labels) -> NDArray[np.float64]:
    """The same for test rows."""
    if table.targets != known.names:
        raise DataError(
            f"the targets are {', '.join(table.targets) or 'one'}, but those of the training rows "
            f"{', '.join(known.names)}",
            where=table.where,
            hint="give the test rows in the same form",
        )
    columns = []
    for k, one in enumerate(singles(table)):
        if known.task == "regression":
            of_one = Labels("regression", known.values[:, k], (), known.formats[k])
            columns.append(encode_like(one, of_one))
            continue
        _check_present(one)
        columns.append(_yes_or_no(one))
        _check_third(one, columns[-1])
    return np.column_stack(columns)


def _yes_or_no(table: Table) -> NDArray[np.float64]:
    """1 for yes and 0 for no [N]; NaN for anything else."""
    y = _plain(table.y, table.where)
    if y.dtype.kind != "U":
        return np.where((y == 0) | (y == 1), y, np.nan).astype(np.float64)
    texts, index = np.unique(y, return_inverse=True)
    words = [text.strip().lower() for text in texts.tolist()]
    meant = [1.0 if word in YES else 0.0 if word in NO else np.nan for word in words]
    return np.array(meant)[index]


def _check_label(table: Table, values: NDArray[np.float64]) -> None:
    """DataError for a label that is not yes or no, or always the same."""
    _check_third(table, values)
    if values.min() == values.max():
        raise DataError(
            f"all {len(values)} labels are {str(table.y[0])!r}: there is nothing to learn",
            where=table.where,
            hint="remove it from the targets, or add rows of the other kind",
        )


def _check_quantity(table: Table, yes: NDArray[np.float64], rule: int) -> None:
    """DataError for the first text of one of several targets that is no number: where the others
    are labels, one that is neither yes nor no."""
    y = _plain(table.y, table.where)
    if y.dtype.kind != "U" or (rule > 1 and _from_text(y, table, "regression")[1] is not None):
        return
    numbers_of, _ = (COMMA if table.comma else PLAIN).values(y)
    bad = np.isnan(numbers_of)
    if not bad.any():
        return
    strange = bad & np.isnan(yes)
    row = int((strange if strange.any() else bad).argmax())
    count = int((strange if strange.any() else bad).sum())
    raise DataError(
        f"label {str(y[row])!r} in {table.row(row)} is "
        f"{'neither yes nor no, and ' if strange.any() else ''}no number ({count} such rows)",
        where=table.where,
        hint="several targets are labels, each 0 and 1 or yes and no, or all quantities; of more "
        "classes than two name one target",
    )


def _check_third(table: Table, values: NDArray[np.float64]) -> None:
    bad = np.isnan(values)
    if bad.any():
        row = int(bad.argmax())
        raise DataError(
            f"label {str(table.y[row])!r} in {table.row(row)} is neither yes nor no "
            f"({int(bad.sum())} such rows)",
            where=table.where,
            hint='use 0 and 1, or yes and no; for quantities set task = "regression"',
        )


# Rows that nothing can be learned from.


MOST = 0.1
"""The largest share of rows that are left out because their class is rare."""


def unlabelled(table: Table, task: str) -> NDArray[np.bool_]:
    """Where [N] a row has no label: it is missing, or a text that marks it as missing; in a
    quantity that is text, any that is no number; of several targets, one of them."""
    if table.targets:
        kind = "classification" if task == "multilabel" else task
        each = [unlabelled(one, kind) for one in singles(table)]
        return np.asarray(np.any(each, axis=0))
    gaps = _missing(table.y)
    present = np.flatnonzero(~gaps)
    if len(present):
        y = _plain(table.y[present], table.where)
        if y.dtype.kind == "U":
            gaps[present[_marked(y, table, task)]] = True
    return gaps


def _marked(y: NDArray[Any], table: Table, task: str) -> NDArray[np.bool_]:
    texts, index, counts = np.unique(y, return_inverse=True, return_counts=True)
    if task != "classification" and not are_digits(texts):
        recognized = recognize(texts, counts, table.comma)
        if recognized is not None and recognized.format is not None:
            odd = np.isnan(recognized.format.values(texts)[0])
            numbers = recognized.format.values(texts[~odd])[0]
            every = np.repeat(numbers, counts[~odd])
            if task == "regression" or _guess(every) == "regression":
                return np.asarray(odd[index])
    return np.array([is_gap(text) for text in texts.tolist()], dtype=bool)[index]


def without_rare(labels: Labels, need: int) -> tuple[Labels, NDArray[np.intp], tuple[str, ...]]:
    """Labels without the classes of fewer than `need` rows, the places of the rows that are left,
    and the names of these classes; all of them where two classes or most rows would not be left."""
    every = np.arange(len(labels.values))
    counts = np.bincount(labels.values, minlength=len(labels.classes)) if labels.classes else None
    if counts is None:
        return labels, every, ()
    known = counts >= need
    lost = int(counts[~known].sum())
    if not lost or known.sum() < 2 or lost > MOST * len(every):
        return labels, every, ()
    rows = np.flatnonzero(known[labels.values])
    place = np.cumsum(known) - 1
    classes = tuple(name for name, kept in zip(labels.classes, known, strict=True) if kept)
    rare = tuple(name for name, kept in zip(labels.classes, known, strict=True) if not kept)
    return replace(labels, values=place[labels.values[rows]], classes=classes), rows, rare


def of_class(table: Table, names: Collection[str]) -> NDArray[np.bool_]:
    """Where [N] a row is of one of these classes."""
    distinct, index = np.unique(_whole(_plain(table.y, table.where)), return_inverse=True)
    return np.isin(np.array(_names(distinct, table), dtype=object), [*names])[index]


MOSTLY = 0.9
"""From such a share of 0 and 1 on, quantities may be labels of which some are wrong."""
NAMED = 5
"""Classes that a note names."""


@dataclass(frozen=True)
class LeftOut:
    """The rows of a source that are not used.

    Attributes:
        rows: the places in the source of those that are, rows of a second file after those of the
            first; None where all are.
        count: the number of rows of the first file.
        classes: the names of classes that are too rare.
        notes: which rows are left out and why.
    """

    rows: Index | None
    count: int
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def places(self, rows: Index) -> Index:
        """The places in the source of some of the rows that are used."""
        return rows if self.rows is None else self.rows[rows]


def usable(table: Table, spec: DataSpec) -> tuple[Table, Labels, LeftOut]:
    """A table without the rows that nothing can be learned from, and their labels.

    Raises:
        DataError: as ``encode``.
    """
    count = len(table.y)
    table, rows, notes = _labelled(table, spec, "rows")
    labels = encode(table, spec.task, spec.division)
    rare: tuple[str, ...] = ()
    if spec.division > 2 and spec.rare == "drop" and spec.split is None and table.parts is None:
        need = 2 + (spec.test > 0 and not table.held)
        labels, left, rare = without_rare(labels, need)
        if rare:
            named = ", ".join(map(repr, rare[:NAMED])) + ", …" * (len(rare) > NAMED)
            what = f"{len(rows) - len(left)} rows of classes with fewer than {need} rows ({named})"
            notes.append(f'{what} are left out; rare = "refuse" refuses them')
            table, rows = only(table, left), rows[left]
    left_out = rows if notes else None
    notes += doubts(table, labels, spec.task)
    return table, labels, LeftOut(left_out, count, rare, tuple(notes))


def doubts(table: Table, labels: Labels, task: str) -> list[str]:
    """What may be meant otherwise than "auto" takes several targets, for people."""
    if not labels.names or task != "auto":
        return []
    flags = np.isin(labels.values, (0, 1))
    if labels.task == "multilabel":
        if len(labels.names) < 3 or (labels.values.sum(1) != 1).any():
            return []
        what = (
            "each row has exactly one of the labels: if they exclude each other, they are classes"
        )
        return [f'{what}, and one target says which; task = "multilabel" says that they do not']
    if flags.all() or flags.mean() < MOSTLY:
        return []
    row, k = (int(each[0]) for each in np.nonzero(~flags))
    first = (
        f"the first other is {labels.values[row, k]:g} of {labels.names[k]!r} in {table.row(row)}"
    )
    what = f"the targets are quantities, although {flags.mean():.1%} of them are 0 and 1: {first}"
    return [f'{what}; task = "multilabel" makes them labels, "regression" says that they are none']


def usable_test(test: Table, spec: DataSpec, known: LeftOut) -> tuple[Table, LeftOut]:
    """The test rows of a second file without those that have no label, or a class that is left
    out."""
    test, rows, notes = _labelled(test, spec, "test rows")
    if known.classes:
        odd = of_class(test, known.classes)
        if odd.any() and not odd.all():
            notes.append(f"{int(odd.sum())} test rows of such classes are left out")
            test, rows = only(test, ~odd), rows[~odd]
    if not notes and known.rows is None:
        return test, known
    first = np.arange(known.count) if known.rows is None else known.rows
    every = np.concatenate((first, known.count + rows))
    return test, replace(known, rows=every, notes=(*known.notes, *notes))


def _labelled(table: Table, spec: DataSpec, rows: str) -> tuple[Table, Index, list[str]]:
    """A table without the rows that have no label, the places of the others, and a note."""
    every = np.arange(len(table.y))
    if spec.division < 3 or spec.unlabelled != "drop":
        return table, every, []
    gaps = unlabelled(table, spec.task)
    if not gaps.any() or gaps.all():
        return table, every, []
    note = f"{int(gaps.sum())} of {len(gaps)} {rows} have no label and are left out"
    note += '; unlabelled = "refuse" refuses them'
    return only(table, every[~gaps]), every[~gaps], [note]
