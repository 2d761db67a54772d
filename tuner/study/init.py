"""Writes a first study file for a user's data, with a reason for each line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from operator import le
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import numpy as np

from tuner.data import DataSet, DataSpec, arrays, load
from tuner.data.dates import are_dates, are_days
from tuner.data.images import proposed
from tuner.data.memory import uncollected
from tuner.data.numbers import Recognized, are_digits, recognize
from tuner.data.prepare import CATEGORIES, IDENTIFIER, ROWS
from tuner.data.raw import writes_comma
from tuner.data.sources import read_frame
from tuner.data.splits import times_of
from tuner.data.text import word_count
from tuner.errors import DataError, UsageError, nearest
from tuner.metrics import METRICS, lookup
from tuner.output import one_line, toml
from tuner.study.describe import balance
from tuner.study.proposal import Line, Space, is_slow, search, size_of

if TYPE_CHECKING:
    import pandas as pd


# Inspecting the data before there is a study.


SAMPLE = 1000
"""Values that decide whether a column is dates or text."""
WORDS = 4
"""A column of at least so many words, half of its values different, is text."""
OTHERS = 2
"""Beside at most so many other columns, a text becomes the only feature."""
SEPARATORS = (";", "|", ",")
"""What may stand between labels in one column."""
SHARE, LABELS, REPEATED = 0.1, 100, 3
"""Labels in one column: at least such a share of rows has several, there are at most so many
different ones, and each occurs so often."""
SOME = 20
"""Columns that are named in a message."""
LARGE = 100_000
"""From so many rows on, a tenth is enough to validate, and to test."""


@dataclass(frozen=True)
class Survey:
    """The inspection of a user's data.

    Attributes:
        spec: how a study should read the data; its path is absolute.
        data: the rows, as a search would see them.
        rows: their number, without those of test files.
        missing: gaps of each column that has some.
        dropped: columns that a study should drop, and why.
        hints: keys of ``[data]`` that may be right: key, column and why.
    """

    spec: DataSpec
    data: DataSet
    rows: int
    missing: Mapping[str, int]
    dropped: Mapping[str, str]
    hints: tuple[tuple[str, str, str], ...] = ()


@uncollected()
def survey(file: Path, target: str | Sequence[str] | None) -> Survey:
    """Reads a table, an archive of arrays, or a folder.

    Args:
        target: a column of a table, or several; the array of labels.

    Raises:
        UsageError: no target for a table, or one that it lacks, or several that are no columns.
        DataError: it cannot be read, or nothing can be learned from it.
    """
    frame = read_frame(file)
    if frame is None:
        if target is not None and file.is_dir():
            raise UsageError("a folder has no columns", where="--target", hint="remove --target")
        if target is not None and not isinstance(target, str):
            hint = "one array holds them all, of shape [N, K]: name that"
            raise UsageError("several targets need a table", where="--target", hint=hint)
        archive = file.name.lower().endswith(".npz")
        spec = proposed(file) if file.is_dir() else DataSpec(path=str(file), target=target)
        spec = arrays.proposed(file, target) if archive else spec
        return _loaded(Survey(spec, _NONE, 0, {}, {}), None)
    frame.columns = frame.columns.map(str).astype(object)  # other types are slow for each name
    names = list(frame.columns)
    if target is None:
        hint = f"--target COLUMN; columns: {some_of(names)}"
        raise UsageError("no target given", where=str(file), hint=hint)
    targets = (target,) if isinstance(target, str) else tuple(target)
    for each in targets:
        if each not in names:
            raise UsageError(f"no column {each!r}", where="--target", hint=_columns_of(each, names))
    seen = _Columns(writes_comma(frame))
    for name, series in frame.items():
        seen.count_gaps(str(name), series)
        if name not in targets and series.dtype != np.float64:  # floats are never identifiers
            seen.look(str(name), series)
    text = seen.text_to_learn_from(len(names) - len(targets))
    only = targets[0] if len(targets) == 1 else targets
    between = None if len(targets) > 1 else seen.separator(frame[targets[0]])
    spec = DataSpec(
        path=str(file),
        target=only,
        labels_separator=between,
        text=text,
        drop=tuple(seen.dropped),
    )
    hints = tuple(seen.hints)
    return _loaded(Survey(spec, _NONE, len(frame), seen.missing, seen.dropped, hints), frame)


def _columns_of(text: str, names: Sequence[str]) -> str:
    """What to do where a text is no column: perhaps it names several."""
    several = [each.strip() for each in text.split(",")]
    if len(several) > 1 and set(several) <= set(names):
        return "for several: " + " ".join(f"--target {quote(each)}" for each in several)
    return nearest(text, names)


_NONE: Any = None


def _loaded(survey: Survey, frame: pd.DataFrame | None) -> Survey:
    """The survey with its data loaded, and larger shares to train on where there are many rows."""
    spec = survey.spec
    if survey.rows >= LARGE:
        spec = replace(spec, validation=0.1, test=0.1)
    data = load(spec, frame=frame)
    rows = len(data.train) + len(data.validation) + (data.test or 0)
    columns = tuple(
        replace(each, reason=survey.dropped[each.name])
        if each.decision == "dropped" and each.name in survey.dropped
        else each
        for each in data.columns
    )
    return replace(survey, spec=spec, data=replace(data, columns=columns), rows=rows)


def some_of(names: Sequence[str], between: str = ", ") -> str:
    """The first names for a message, and how many more there are."""
    more = f" and {len(names) - SOME} more" if len(names) > SOME else ""
    return between.join(names[:SOME]) + more


class _Columns:
    """Inspects the columns of a table, one after the other.

    Attributes:
        missing: gaps of each column; those that are marked in numbers that are text are added.
        dropped: columns to drop, and why.
        hints: as in a survey.
        texts: columns of text.
    """

    def __init__(self, comma: bool) -> None:
        self._comma = comma
        self.missing: dict[str, int] = {}
        self.dropped: dict[str, str] = {}
        self.hints: list[tuple[str, str, str]] = []
        self.texts: list[str] = []

    def count_gaps(self, name: str, series: pd.Series[Any]) -> None:
        """Counts the gaps of the next column."""
        values = series.to_numpy()
        missing = values != values if values.dtype == np.float64 else series.isna()
        if missing.any():
            self.missing[name] = int(missing.sum())

    def look(self, name: str, series: pd.Series[Any]) -> None:
        """Inspects the next column, and decides whether a study should drop it."""
        if series.dtype.kind == "O":
            self._look_at_text(name, series)
        elif series.dtype.kind == "M":
            self._propose_time(name, series)
        elif series.dtype.kind not in "biuf":
            self.dropped[name] = f"{series.dtype} is neither number nor text"
        elif are_days(series.to_numpy()):
            self._propose_time(name, series)
        elif _repeats(name, series):
            self._drop_group(name)

    def _look_at_text(self, name: str, series: pd.Series[Any]) -> None:
        counts = series.astype(object).value_counts()
        texts = [str(each) for each in counts.index]
        recognized = self._numbers(texts, counts)
        if recognized is not None and recognized.format is not None:
            values, _ = recognized.format.values(texts)
            marked = int(counts.to_numpy()[np.isnan(values)].sum())
            if marked:
                self.missing[name] = self.missing.get(name, 0) + marked
        elif recognized is not None:
            self.dropped[name] = recognized.remark
        elif are_dates(texts[:SAMPLE]):
            self._propose_time(name, series)
        elif _is_text(texts[:SAMPLE], len(series)):
            self.texts.append(name)
        elif _repeats(name, series):
            self._drop_group(name)
        elif len(texts) > CATEGORIES:
            self.dropped[name] = f"{len(texts)} categories are too many"

    def _numbers(self, texts: list[str], counts: pd.Series[Any]) -> Recognized | None:
        return None if are_digits(texts) else recognize(texts, counts.to_numpy(), self._comma)

    def _propose_time(self, name: str, series: pd.Series[Any]) -> None:
        if series.isna().any():
            return
        try:
            times_of(series.head(SAMPLE), name)
        except DataError:
            return
        why = "if the future is to be predicted from the past: no feature then"
        self.hints.append(("time", name, why))

    def _drop_group(self, name: str) -> None:
        self.dropped[name] = "an identifier by its name, and its values repeat"
        self.hints.append(("group", name, "if its rows belong together"))

    def separator(self, target: pd.Series[Any]) -> str | None:
        """What stands between labels, where a target clearly holds several: few different ones, in
        many combinations."""
        if target.dtype.kind != "O":
            return None
        counts = target.dropna().astype(str).value_counts()
        texts = list(counts.index)
        if self._numbers(texts, counts) is not None or are_dates(texts[:SAMPLE]):
            return None
        return next((each for each in SEPARATORS if _are_labels(counts, each)), None)

    def text_to_learn_from(self, count: int) -> str | None:
        """The column of text to learn from, if few of the `count` features are left beside it.

        Otherwise all columns of text are dropped.
        """
        usable = count - len(self.dropped) - len(self.texts)
        if self.texts and usable <= OTHERS:
            return self.texts[0]
        for name in self.texts:
            self.dropped[name] = "text beside columns of other kinds"
            self.hints.append(
                ("text", name, "to use this text as the only feature; see the study sentiment")
            )
        return None


def _are_labels(counts: pd.Series[Any], separator: str) -> bool:
    """Whether texts, of which each has a count, are labels with a separator between them."""
    several = sum(count for text, count in counts.items() if separator in str(text))
    labels: dict[str, int] = {}
    for text, count in counts.items():
        for label in {part.strip() for part in str(text).split(separator)} - {""}:
            labels[label] = labels.get(label, 0) + int(count)
    enough = several >= SHARE * counts.sum() and 2 <= len(labels) <= min(LABELS, len(counts))
    return enough and min(labels.values()) >= REPEATED


def _is_text(texts: Sequence[str], rows: int) -> bool:
    """Whether the different texts of so many rows are prose, not categories."""
    if not texts:
        return False
    words = sorted(map(word_count, texts))[len(texts) // 2]
    return words >= WORDS and 2 * len(texts) > min(rows, SAMPLE)


def _repeats(name: str, series: pd.Series[Any]) -> bool:
    if not IDENTIFIER.search(name) or series.dtype.kind in "bf":
        return False
    return bool(ROWS < series.nunique() < series.notna().sum())


# The study file: a practitioner's first choice, with reasons.


HEAVY = 8.0
"""A column with a value so many deviations from the mean has a long tail."""
RARE = 2 / 3
"""A class with less than this part of an even share is rare."""
EVEN = 0.8
"""Classes are of similar size if each has at least this part of an even share."""
FEW_ROWS, FEW_ROWS_IN_TIME = 1_000, 3_000
"""Of so many rows to train on, those for validation decide little: a table has folds. With a budget
in time, more rows have them: there are as many trials as it has room for."""
FOLDS = 5
PREPARED = (1_000, 5_000_000)
"""Up to so many columns and numbers to train on, they may be preprocessed in several ways."""
NAMED = 20
"""Columns left out that the file names, each in a line of its own."""


def draft(
    survey: Survey,
    named: Callable[[str], str],
    metric: str | None = None,
    budget: str | None = None,
) -> tuple[Line, ...]:
    """The lines of a study file, in order.

    Args:
        survey: of the data.
        named: from a path to how the study file should name it.
        metric: its name; by default the one that suits the classes.
        budget: of a search in time, such as "10m"; by default it is in trials.

    Raises:
        StudyFileError: no metric has that name, or it does not fit the data.
    """
    data = survey.data
    metric, why, rare = _metric(data) if metric is None else _given_metric(data, metric)
    counts = (len(data.numbers), len(data.train) * prod(data.shape))
    prepared = counts[0] > 0 and all(map(le, counts, PREPARED))
    space = Space(data, size_of(data), METRICS[metric].judges, rare, prepared)
    clip = Line("data", "target_clip", "true", "no prediction beyond the training rows")
    return (
        Line("", "metric", toml(metric), why),
        *_data(survey, named, FEW_ROWS if budget is None else FEW_ROWS_IN_TIME),
        *_preprocessing(data, prepared),
        *((clip,) if data.target.task == "regression" else ()),
        *space.lines(),
        *search(space, budget),
    )


def file_text(name: str, survey: Survey, lines: Sequence[Line]) -> str:
    """The study file's text."""
    rows = f"{survey.rows:,} rows"
    text = [f"# Written by tuner init from {rows}. Edit it where you know better, then run:"]
    text += [f"# tuner check --study {name}; tuner optimize --study {name}"]
    section = ""
    for line in lines:
        if line.section != section:
            section = line.section
            text += ["", f"[{section}]"]
        text.append(str(line))
    return "\n".join(text) + "\n"


def _metric(data: DataSet) -> tuple[str, str, str]:
    """The metric and why, and the rarest class in words if that is why."""
    counts = balance(data)
    if data.target.task == "multilabel":
        return "label_average_precision", "each label counts alike", ""
    if not counts:
        return "rmse", "in the target's unit", ""
    shares = {name: count / sum(counts.values()) for name, count in counts.items()}
    least, most = (f(shares, key=lambda each: shares[each]) for f in (min, max))
    even = 1 / len(counts)
    if shares[least] >= EVEN * even:
        return "accuracy", "classes are of similar size", ""
    constant = f"always {most} would have an accuracy of {shares[most]:.1%}"
    rarest = one_line(f"{least} is {shares[least]:.1%} of the rows")
    if shares[least] >= RARE * even:
        why = f"{rarest}, {constant}; balanced_accuracy would count each class alike"
        return "accuracy", one_line(why), ""
    return "balanced_accuracy", one_line(f"each class counts alike: {rarest}, {constant}"), rarest


def _given_metric(data: DataSet, name: str) -> tuple[str, str, str]:
    """The same of a metric that is given; classes need weights where it judges them, and more than
    the share of rows that are right."""
    metric = lookup(name)
    metric.check(data.target.task, data.target.classes)
    weighs = metric.judges == "classes" and name != "accuracy"
    return name, "the one given by --metric", _metric(data)[2] if weighs else ""


def _data(survey: Survey, named: Callable[[str], str], few_rows: int) -> list[Line]:
    spec = survey.spec
    lines = [Line("data", "path", toml(named(spec.path or "")))]
    if spec.test_path is not None:
        why = "for the final measurement only"
        lines.append(Line("data", "test_path", toml(named(spec.test_path)), why))
    reasons = {
        "features": "the array of rows",
        "shape": "grey images; without it, rows are sequences",
        "resize": "height and width: near the medians, and small enough to be fast",
    }
    given = [(key, why) for key, why in reasons.items() if getattr(spec, key) is not None]
    lines += [Line("data", key, toml(_plain(getattr(spec, key))), why) for key, why in given]
    if spec.split is not None:
        why = "its folders say what is for training, validation and the test"
        return [*lines, Line("data", "split", toml(spec.split), why)]
    if spec.target is not None:
        lines.append(Line("data", "target", toml(_plain(spec.target))))
    if spec.labels_separator is not None:
        why = f"several of {len(survey.data.target.names)} labels may apply to a row"
        lines.append(Line("data", "labels_separator", toml(spec.labels_separator), why))
    if spec.text is not None:
        lines.append(Line("data", "text", toml(spec.text), "the only feature"))
    lines += _validation(survey, few_rows)
    if survey.data.test is not None:
        lines.append(Line("data", "test", toml(spec.test), "for the final measurement only"))
    if survey.dropped:
        why = some_of([f"{name}: {reason}" for name, reason in survey.dropped.items()], "; ")
        value = toml(list(survey.dropped))
        lines.append(Line("data", "drop", value, one_line(why)))
    for name, reason in _dropped_identifiers(survey)[:NAMED]:
        value = toml([name])
        lines.append(Line("data", "keep", value, one_line(f"dropped: {reason}"), active=False))
    for key, column, why in survey.hints[:NAMED]:
        why += "; take it out of drop then" * (column in survey.dropped)
        lines.append(Line("data", key, toml(column), why, active=False))
    return lines


def _plain(value: Any) -> Any:
    """A value as TOML has it."""
    return list(value) if isinstance(value, tuple) else value


def _validation(survey: Survey, few_rows: int) -> list[Line]:
    """The rows that judge a trial: of a table with few to train on, all of them in turn."""
    data, spec = survey.data, survey.spec
    share = Line("data", "validation", toml(spec.validation), "for validation during the search")
    if len(data.train) > few_rows:
        return [share]
    for_table = not is_slow(data)
    why = f"{len(data.validation)} rows alone decide little; {FOLDS} trainings a trial"
    folds = Line("data", "validation", f"{{ folds = {FOLDS} }}", why, active=for_table)
    why = f"instead: one training a trial, judged by {len(data.validation)} rows"
    other = replace(share, why=why, active=False)
    return [folds, other] if for_table else [share, replace(folds, why=f"instead: {folds.why}")]


def _dropped_identifiers(survey: Survey) -> list[tuple[str, str]]:
    """Columns that loading drops as identifiers, and why: a user may keep them."""
    return [
        (each.name, each.reason)
        for each in survey.data.columns
        if each.decision == "dropped" and "an identifier" in each.reason
        if each.name not in survey.dropped
    ]


def _preprocessing(data: DataSet, searched: bool) -> list[Line]:
    if data.vocabulary is not None:
        return []
    if len(data.shape) > 1:
        value, why = '"standard"', "mean 0 and deviation 1, by the training rows"
        return [Line("data", "preprocessing", value, why)]
    far = data.train.x[:].abs().amax(0)
    names = data.features or [f"column {k}" for k in range(len(far))]
    heavy = [name for name, most in zip(names, far.tolist(), strict=True) if most > HEAVY]
    tail = f"the long tail of {', '.join(heavy[:3])}"
    if searched:
        value = '{ choices = ["standard", "robust", "quantile"] }'
        why = (
            f"robust or ranks may be better for {tail}"
            if heavy
            else "no column has a long tail: any may do"
        )
    elif heavy:
        value, why = '"quantile"', f"ranks, for {tail}"
    else:
        value, why = '"standard"', "mean 0 and deviation 1: no column has a long tail"
    return [Line("data", "preprocessing", value, one_line(why))]
