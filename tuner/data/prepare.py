"""Decides by the training rows what becomes of each column, and how numbers are scaled."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tuner.data import dates
from tuner.data.dates import Times, are_dates
from tuner.data.encoders import Date, Encoder, Flag, Number, OneHot
from tuner.data.memory import let_go
from tuner.data.numbers import Recognized, are_digits, is_mark, recognize
from tuner.data.raw import RawColumn, coded, counted, first_odd
from tuner.data.spec import DIVISIONS, DataSpec
from tuner.errors import DataError, nearest

# Preprocessing: statistics of the training rows, applied to all.
#
# A new kind is one function and one line in STATISTICS. Rows are read in chunks: no copy is made.


Array = NDArray[Any]
Index = NDArray[np.signedinteger[Any]]

CHUNK = 2**19
"""Numbers that are processed at a time."""
LANDMARKS = 1000
"""The most values of a feature between which ranks are interpolated."""
CLIP = 3.0
"""What robust preprocessing lets no number reach."""


class Transform(Protocol):
    """A function of rows that was learned from the training rows."""

    def __call__(self, values: Array) -> Array:
        """Rows [n, *shape] to numbers of the same shape."""

    def to_json(self) -> dict[str, Any]:
        """The record as plain values, with its `kind`."""


@dataclass(frozen=True, eq=False)
class Shifted:
    """(value - mean) / scale, each float64 [1, ...] that goes with [n, *shape]."""

    mean: Array
    scale: Array

    def __call__(self, values: Array) -> Array:
        # Wide enough that integers and large offsets keep their digits.
        wide = np.result_type(values.dtype, np.float32)
        shifted: Array = values - self.mean.astype(wide)
        shifted /= self.scale.astype(wide)
        return shifted

    def to_json(self) -> dict[str, Any]:
        return {"kind": "standard", "mean": self.mean.tolist(), "scale": self.scale.tolist()}


@dataclass(frozen=True, eq=False)
class Clipped:
    """z / sqrt(1 + (z / 3)²) with z = (value - centre) / scale, float64 [1, n]: within (-3, 3)."""

    centre: Array
    scale: Array

    def __call__(self, values: Array) -> Array:
        z = (values - self.centre) / self.scale
        clipped: Array = z / np.sqrt(1 + np.square(z / CLIP))
        return clipped

    def to_json(self) -> dict[str, Any]:
        return {"kind": "robust", "centre": self.centre.tolist(), "scale": self.scale.tolist()}


@dataclass(frozen=True)
class Unchanged:
    """The numbers as they are."""

    def __call__(self, values: Array) -> Array:
        return values

    def to_json(self) -> dict[str, Any]:
        return {"kind": "none"}


@dataclass(frozen=True, eq=False)
class Ranked:
    """A score of the rank in (0, 1) among the training rows, interpolated between landmarks.

    Attributes:
        score: a name of SCORES.
        known: of each feature, ascending values and the rank of each.
    """

    score: str
    known: tuple[tuple[Array, Array], ...]

    def __call__(self, values: Array) -> Array:
        scores, score = np.empty(values.shape), SCORES[self.score]
        for j, (value, rank) in enumerate(self.known):
            scores[:, j] = score(np.interp(values[:, j], value, rank))
        return scores

    def to_json(self) -> dict[str, Any]:
        known = [{"values": v.tolist(), "ranks": r.tolist()} for v, r in self.known]
        return {"kind": self.score, "features": known}


def transform_from_json(record: Mapping[str, Any]) -> Transform:
    """The transform of a record by `to_json`; KeyError for anything else."""
    if record["kind"] == "none":
        return Unchanged()
    if record["kind"] == "standard":
        return Shifted(np.asarray(record["mean"], float), np.asarray(record["scale"], float))
    if record["kind"] == "robust":
        return Clipped(np.asarray(record["centre"], float), np.asarray(record["scale"], float))
    SCORES[record["kind"]]
    known = [
        (np.asarray(k["values"], float), np.asarray(k["ranks"], float)) for k in record["features"]
    ]
    return Ranked(record["kind"], tuple(known))


def chunks(x: Array, rows: Index, numbers: int = CHUNK) -> Iterator[tuple[slice, Array]]:
    """Those rows of x, so many numbers at a time, each with its place among ``rows``."""
    size = max(1, numbers // max(1, x[0].size))
    if 0 < len(rows) <= size:
        yield slice(0, len(rows)), x[rows]
        return let_go(x)
    for start in range(0, len(rows), size):
        place = slice(start, start + size)
        yield place, x[rows[place]]
        let_go(x)


def _parts(x: Array, rows: Index) -> Callable[[], Iterable[Array]]:
    """Those rows of x in chunks, as often as they are asked for; few are read once."""
    if len(rows) * x[0].size <= CHUNK:
        few = [x[rows]]
        return lambda: few
    return lambda: (part for _, part in chunks(x, rows))


def standard(x: Array, rows: Index) -> Transform:
    """Mean 0 and deviation 1 of each feature; of each channel, for rows [C, H, W].

    A feature that does not vary has deviation 1, and so becomes 0.
    """
    axes = (0, 2, 3) if x.ndim == 4 else (0,)
    count = len(rows) * (x[0, 0].size if x.ndim == 4 else 1)
    parts = _parts(x, rows)
    total = sum(part.sum(axis=axes, dtype=np.float64, keepdims=True) for part in parts())
    mean = np.asarray(total / count)
    squares = sum(np.square(part - mean).sum(axis=axes, keepdims=True) for part in parts())
    deviation = np.sqrt(squares / count)
    # Rounding errors of a constant are no deviation.
    varies = deviation > 10 * np.finfo(np.float64).eps * np.abs(mean)
    return Shifted(mean, np.where(varies, deviation, 1.0))


def none(x: Array, rows: Index) -> Transform:
    """The numbers as they are."""
    return Unchanged()


def robust(x: Array, rows: Index) -> Transform:
    """Median 0 and quartiles 1 apart, then a smooth clip to (-3, 3) (Holzmüller et al. 2024).

    Where the quartiles of a feature are equal, its whole range becomes 2; one that does not vary
    becomes 0.
    """
    _check_table(x, "medians")
    each = np.array([_centre_and_scale(x[rows, j]) for j in range(x.shape[1])])
    return Clipped(*each.T[:, None])


def _centre_and_scale(column: Array) -> tuple[float, float]:
    numbers = column.astype(np.float64)
    low, quartile, median, upper, high = np.quantile(numbers, (0, 0.25, 0.5, 0.75, 1)).tolist()
    return median, (upper - quartile) or (high - low) / 2 or 1.0


def uniform(x: Array, rows: Index) -> Transform:
    """Ranks among the training rows, scaled to mean 0 and deviation 1: in (-1.74, 1.74)."""
    return _ranked(x, rows, "uniform")


def quantile(x: Array, rows: Index) -> Transform:
    """Normal scores: the normal distribution's quantile at the rank among the training rows.

    Hazen 1914 for the ranks, (i - 0.5) / n; Conover 1999, section 5.10, for the scores.
    """
    return _ranked(x, rows, "quantile")


def _ndtri(rank: Array) -> Array:
    from scipy.special import ndtri

    return np.asarray(ndtri(rank))


SCORES: Mapping[str, Callable[[Array], Array]] = {
    "uniform": lambda rank: (rank - 0.5) * np.sqrt(12),
    "quantile": _ndtri,
}


def _check_table(x: Array, what: str) -> None:
    if x.ndim != 2:
        raise DataError(
            f"{what} need a table, but a row has shape {list(x.shape[1:])}",
            where="data.preprocessing",
            hint='set preprocessing = "standard" or "none"',
        )


def _ranked(x: Array, rows: Index, score: str) -> Transform:
    _check_table(x, "ranks")
    return Ranked(score, tuple(_ranks(x[rows, j]) for j in range(x.shape[1])))


def _ranks(column: Array) -> tuple[Array, Array]:
    """Distinct values and their ranks in (0, 1), the mean rank where several rows are equal."""
    values, counts = np.unique(column.astype(np.float64), return_counts=True)
    ranks = (np.cumsum(counts) - counts / 2) / len(column)
    landmarks = (
        np.linspace(0, len(values) - 1, min(LANDMARKS, len(values))).round().astype(np.int64)
    )
    return values[landmarks], ranks[landmarks]


STATISTICS: Mapping[str, Callable[[Array, Index], Transform]] = {
    "standard": standard,
    "robust": robust,
    "quantile": quantile,
    "uniform": uniform,
    "none": none,
}


def lookup(name: str) -> Callable[[Array, Index], Transform]:
    """The statistics of that name: from all rows [N, *shape] and the places of those for training
    to a transform."""
    if name not in STATISTICS:
        raise DataError(
            f"unknown preprocessing {name!r}",
            where="data.preprocessing",
            hint=nearest(name, STATISTICS),
        )
    return STATISTICS[name]


def apply(transform: Transform, x: Array, rows: Index) -> NDArray[np.float32]:
    """Those rows as float32 [len(rows), *shape]."""
    prepared = np.empty((len(rows), *x.shape[1:]), dtype=np.float32)
    for place, chunk in chunks(x, rows):
        prepared[place] = transform(chunk)
    return prepared


# The decision about each column of a table: kept, filled, one-hot or dropped, and why.
#
# Everything is learned from the training rows.


IDENTIFIER = re.compile(
    r"(?i:(^|[\W_])(id|ids|uuid|guid|index|idx|key|row|rowid|rownames?|nr|no|sno|number))$|[a-z]I[Dd]$|^#$"
)
EARLIER = re.compile(r"(?i:(^|[\W_])(id|uuid|guid|index|key|row|nr|no|number))$|[a-z]I[Dd]$")
"""Names of identifiers by the first of DIVISIONS."""
INDEX = re.compile(r"(Unnamed: \d+(_level_\d+)?(\.\d+)?|__index_level_\d+__|level_\d+|)")
"""A column without a name, as `to_csv` saves the index of a frame."""
CATEGORIES = 1000
"""A column with more is refused: each would be an input of the network."""
SOME = 100
"""Texts that are looked at first: where less than half are dates, the column is not of dates."""
ROWS = 20
"""With fewer rows, distinct values do not show an identifier."""


@dataclass(frozen=True)
class Column:
    """The decision about a column of the source.

    Attributes:
        name: in the source.
        kind: numeric, boolean, categorical, date, text; target; weight; or group, time, split for
            one that divides rows.
        decision: kept, filled, one-hot, calendar, words, dropped, target, weight or division.
        reason: for people, with numbers.
    """

    name: str
    kind: str
    decision: str
    reason: str


@dataclass(frozen=True)
class Encoded:
    """How a column becomes features.

    Attributes:
        column: the decision.
        names: of the features it gives; none where it was dropped.
        scaled: whether the first one is a quantity, to be preprocessed.
        encoder: values [n] to numbers [n, len(names)].
    """

    column: Column
    names: tuple[str, ...] = ()
    scaled: bool = False
    encoder: Encoder = field(default_factory=Number)


@dataclass(frozen=True)
class Wishes:
    """What a study file says of a column, over what its values look like.

    Attributes:
        keep: it is no identifier, and numbers are no dates.
        category: each of its values is a category.
        day_first: 1/2/2024 is in February, or in January; None: the column decides.
        rule: of DIVISIONS; by the first a column of text is one of categories.
    """

    keep: bool = False
    category: bool = False
    day_first: bool | None = None
    rule: int = DIVISIONS[-1]

    @classmethod
    def of(cls, name: str, spec: DataSpec) -> Wishes:
        """What a specification says of that column."""
        first = True if name in spec.day_first else False if name in spec.month_first else None
        return cls(name in spec.keep, name in spec.categories, first, spec.division)


def encode_column(raw: RawColumn, rows: Index, where: str, wishes: Wishes | None = None) -> Encoded:
    """Decides about a column by its training rows; DataError for one with too many categories, and
    for one that the study file wrongly says is of dates."""
    train, wishes = raw.values[rows], wishes or Wishes()
    if wishes.day_first is not None and raw.categories is None and not dates.are_days(raw.values):
        key = "day_first" if wishes.day_first else "month_first"
        text = f"column {raw.name!r} has numbers that are no dates"
        raise DataError(text, where=f"data.{key}", hint="remove it there")
    if wishes.category:
        return _encode_chosen(raw, rows, where)
    if raw.categories is not None and wishes.rule > 1:
        return _encode_text(raw, raw.categories, rows, where, wishes)
    if raw.categories is not None:
        return _encode_categories(raw, raw.categories, train, where, wishes.keep)
    if raw.kind == "boolean":
        booleans = np.array(["False", "True"], dtype=object)
        words = _pair_of(booleans) if wishes.rule > 2 else None
        if words is not None:
            return _encode_flag(raw, booleans, train + 0, words)
        return _encode_categories(raw, booleans, train + 0, where)
    if wishes.rule > 2 and not wishes.keep and dates.are_days(raw.values):
        return _encode_days(raw, rows)
    return _encode_numbers(raw, train, wishes.keep, wishes.rule)


def _encode_chosen(raw: RawColumn, rows: Index, where: str) -> Encoded:
    """Categories because the study file says so, also of numbers."""
    codes, texts = coded(raw)
    encoded = _encode_categories(raw, np.array(texts, dtype=object), codes[rows], where, keep=True)
    reason = f"{encoded.column.reason}; listed in data.categories"
    return replace(encoded, column=replace(encoded.column, reason=reason))


def _encode_days(raw: RawColumn, rows: Index) -> Encoded:
    """Numbers such as 20210131, which are dates."""
    codes, texts = coded(raw)
    encoded = _encode_dates(
        RawColumn(raw.name, codes, np.array(texts, dtype=object)), codes[rows], None
    )
    reason = f"{encoded.column.reason}; numbers where data.keep lists it"
    return replace(encoded, column=replace(encoded.column, reason=reason))


def _encode_numbers(
    raw: RawColumn, train: NDArray[Any], keep: bool, rule: int = DIVISIONS[-1]
) -> Encoded:
    missing = np.isnan(train) if train.dtype.kind == "f" else np.zeros(len(train), dtype=bool)
    present = train[~missing]
    if not len(present):
        return _dropped(raw, "no training row has a value")
    if not missing.any() and (present == present[0]).all():
        return _dropped(raw, f"constant: {present[0]} in every training row")
    why = "" if keep else _identifier(raw.name, present, rule)
    if why:
        return _dropped(raw, why)
    return _encode_quantity(raw, present, missing)


def _encode_text(
    raw: RawColumn, categories: NDArray[np.object_], rows: Index, where: str, wishes: Wishes
) -> Encoded:
    """A column of text: numbers, dates, or categories."""
    train = raw.values[rows]
    seen, counts = np.unique(train[train >= 0], return_counts=True)
    texts = categories[seen]
    keep, dated = wishes.keep, wishes.day_first is not None
    typed = raw.kind == "boolean" or dated or are_digits(categories)
    recognized = None if typed else recognize(texts, counts, raw.comma)
    if recognized is not None and recognized.format is not None:
        return _encode_written(raw, categories, recognized, rows, keep)
    if dated or (wishes.rule > 2 and _holds_dates(raw, [str(text) for text in texts], seen)):
        return _encode_dates(raw, train, wishes.day_first)
    words = _pair_of(texts) if wishes.rule > 2 else None
    if words is not None:
        return _encode_flag(raw, categories, train, words)
    if keep or raw.kind == "boolean":
        return _encode_categories(raw, categories, train, where, keep)
    if recognized is not None:
        return _dropped(raw, recognized.remark)
    if len(seen) >= ROWS and are_dates(texts):
        return _dropped(raw, f"{len(seen)} dates or times, such as {texts[0]!r}: not a quantity")
    return _encode_categories(raw, categories, train, where, keep)


PAIRS = (
    ("true t wahr vrai", "false f falsch faux"),
    ("yes y", "no n"),
    ("ja j", "nein nee n"),
    ("oui o", "non n"),
    ("sí si s", "no n"),
    ("sim s", "não nao n"),
    ("on", "off"),
)
"""Words for yes and for no."""
DIGITS = (("1", "1.0"), ("0", "0.0"))
"""Other names for yes and for no."""


def _pair_of(texts: NDArray[np.object_]) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """The words for yes and for no, where all texts but marks of missing values are some, of both
    kinds."""
    if len(texts) > SOME:
        return None
    words = {str(text).strip().lower() for text in texts if not is_mark(str(text))}
    for pair in PAIRS:
        yes, no = (tuple(each.split()) for each in pair)
        if words <= {*yes, *no} and words & {*yes} and words & {*no}:
            return (*yes, *DIGITS[0]), (*no, *DIGITS[1])
    return None


def _encode_flag(
    raw: RawColumn,
    categories: NDArray[np.object_],
    train: NDArray[Any],
    words: tuple[tuple[str, ...], tuple[str, ...]],
) -> Encoded:
    """A column of two words, such as yes and no."""
    encoder = Flag(*words)
    values = np.array([*(encoder.value(str(text)) for text in categories), np.nan])
    missing = np.isnan(values)[train]
    present = values[train][~missing]
    if not missing.any() and (present == present[0]).all():
        return _dropped(raw, f"constant: {str(categories[train[0]])!r} in every training row")
    first = reversed([*zip(categories, values, strict=False)])
    shown = {value: str(text) for text, value in first}
    reasons = [f"{shown[1]!r} is 1, {shown[0]!r} is 0"]
    if missing.any():
        reasons.append(
            f"missing in {missing.sum()} of {len(train)} training rows, "
            "which are 0.5 and marked by a column"
        )
    names = (raw.name, *[f"{raw.name} is missing"] * bool(missing.any()))
    column = Column(raw.name, "boolean", "kept", "; ".join(reasons))
    return Encoded(column, names, False, replace(encoder, missing=bool(missing.any())))


def _holds_dates(raw: RawColumn, texts: list[str], seen: NDArray[Any]) -> bool:
    """Whether the texts of these codes are dates; a few of them only with years of four digits."""
    present = [text for text in texts if not is_mark(text)]
    some = present[:SOME]
    if len(present) < 2 or 2 * dates.count(some) < len(some):
        return False
    if len(present) < ROWS and not all(re.search(r"\d{4}", text) for text in present):
        return False
    known = dates.times(raw.dates, dates.order_of(raw.dates).day_first).known[seen]
    return int(known.sum()) >= dates.DATES * len(present)


def _encode_dates(raw: RawColumn, train: NDArray[Any], wished: bool | None) -> Encoded:
    """A column of dates, as the parts of the calendar that differ between the training rows."""
    order = dates.order_of(raw.dates) if wished is None else dates.Order(wished)
    every = dates.times(raw.dates, order.day_first)
    rows = Times(np.append(every.days, np.nan)[train], np.append(every.hours, np.nan)[train])
    dropped = Column(raw.name, "date", "dropped", "no training row has a date")
    if not rows.known.any():
        return Encoded(dropped)
    example = _texts_of(raw, train[rows.known][:1])[0]
    parts = dates.varying(rows)
    if not parts:
        return Encoded(replace(dropped, reason=f"constant: {example!r} is the only date"))
    days, flag = rows.days[~np.isnan(rows.days)], not rows.known.all()
    newest, oldest = (float(days.max()), float(days.min())) if len(days) else (0.0, 0.0)
    fill = float(np.floor(_median(days))) if len(days) else 0.0
    span = float(max(1, dates.year_of(newest) - dates.year_of(oldest)))
    names = (*dates.names_of(parts, raw.name), *[f"{raw.name} is missing"] * flag)
    reason = "; ".join(_about_dates(raw, train, rows, parts, order, example))
    column = Column(raw.name, "date", "calendar", reason)
    encoder = Date(parts, order.day_first, newest, fill, span, flag)
    return Encoded(column, names, "age" in parts, encoder)


def _about_dates(
    raw: RawColumn,
    train: NDArray[Any],
    rows: Times,
    parts: tuple[str, ...],
    order: dates.Order,
    example: str,
) -> Iterator[str]:
    """What is read of a column of dates, in words."""
    yield f"dates such as {example!r}: {', '.join(map(dates.named, parts))}"
    asked = np.flatnonzero(~np.isnan(raw.dates.one))
    if len(asked):
        first, second = ("day", "month") if order.day_first else ("month", "day")
        text = f"the {first} comes before the {second}, as in {str(raw.categories[asked[0]])!r}"  # type: ignore[index]
        guess = f", a guess: nothing in the column tells, and data.{second}_first changes it"
        yield text + guess * order.open
    gaps = ~rows.known
    if gaps.any():
        yield f"missing in {gaps.sum()} of {len(gaps)} training rows, which a column marks"
    odd = Counter(text for text in _texts_of(raw, train[gaps & (train >= 0)]))
    if odd:
        yield f"no dates, so missing: {_counted(odd)}"


def _texts_of(raw: RawColumn, codes: NDArray[Any]) -> list[str]:
    assert raw.categories is not None
    return [str(text) for text in raw.categories[codes]]


def _counted(texts: Counter[str]) -> str:
    """The most frequent texts and how often each stands there."""
    named = ", ".join(f"{text!r} ({count})" for text, count in texts.most_common(3))
    return named + (", …" if len(texts) > 3 else "")


def _encode_written(
    raw: RawColumn, categories: NDArray[np.object_], recognized: Recognized, rows: Index, keep: bool
) -> Encoded:
    """A column of text whose texts are numbers; the reason names the texts for missing ones."""
    number_format, codes = recognized.format, raw.values[rows]
    assert number_format is not None
    values = raw.read(number_format)[0][rows]
    quantity = bool(number_format.unit or number_format.thousands)  # and no identifier
    encoded = _encode_numbers(RawColumn(raw.name, values), values, keep or quantity)
    if not isinstance(encoded.encoder, Number) or not encoded.names:
        return encoded
    remarks = [recognized.remark] if recognized.remark else []
    marks = Counter(str(categories[code]) for code in codes[np.isnan(values)] if code >= 0)
    if marks:
        remarks.append(f"not numbers, so missing: {_counted(marks)}")
    reason = "; ".join((encoded.column.reason, *remarks))
    column = replace(encoded.column, reason=reason)
    return replace(encoded, column=column, encoder=replace(encoded.encoder, format=number_format))


def plain_column(raw: RawColumn, where: str, row: Callable[[int], str] = counted) -> Encoded:
    """A column of numbers without encoding: a place in a row of a given shape, such as a pixel.

    Args:
        row: names a row in words.
    """
    if raw.categories is not None:
        odd = raw.read(None)[1]
        example = f"{first_odd(raw, odd, row)}; " if odd.any() else ""
        raise DataError(
            f"column {raw.name!r} is not numeric, but data.shape takes numbers",
            where=where,
            hint=f"{example}remove the column, or data.shape",
        )
    return Encoded(Column(raw.name, raw.kind, "kept", "a number of data.shape"), (raw.name,), True)


def _dropped(raw: RawColumn, reason: str) -> Encoded:
    return Encoded(Column(raw.name, raw.kind, "dropped", reason))


def _identifier(name: str, present: NDArray[Any], rule: int) -> str:
    """Why a column of numbers looks like an identifier; empty if it does not.

    Whole numbers that are all different are one by their name, or where they lie so close that
    drawn at random some would be equal: n from a range of R are all different with probability
    exp(-n^2 / 2R) (the birthday problem), and below a millionth is no chance.
    """
    count = len(present)
    if present.dtype.kind not in "iuf" or not np.isfinite(present).all():
        return ""
    if (present != np.floor(present)).any():
        return ""
    if rule > 1 and INDEX.fullmatch(name) and present.min() >= 0:
        return "an identifier: row numbers, such as the saved index of a frame"
    if count < ROWS:
        counting = rule > 1 and _counts_rows(name, present)
        return "an identifier: it counts the rows" if counting else ""
    if len(np.unique(present)) < count:
        return ""
    if (IDENTIFIER if rule > 1 else EARLIER).search(name):
        return "an identifier by its name: whole numbers, all different"
    width = float(present.max()) - float(present.min()) + 1
    if count**2 > 28 * width:
        return f"an identifier: {count} whole numbers, all different, in a range of {width:.0f}"
    return ""


def _counts_rows(name: str, present: NDArray[Any]) -> bool:
    """Whether a column with an identifier's name rises from row to row."""
    named = IDENTIFIER.search(name) is not None and len(present) > 2
    return named and bool((present[1:] > present[:-1]).all())


def _median(values: NDArray[Any]) -> float:
    """The median, twenty times as fast for a short column as `numpy.median`."""
    first, last = (len(values) - 1) // 2, len(values) // 2
    ordered = np.partition(values, (first, last))
    return (float(ordered[first]) + float(ordered[last])) / 2


def _encode_quantity(raw: RawColumn, present: NDArray[Any], missing: NDArray[np.bool_]) -> Encoded:
    median = _median(present)
    if not missing.any():
        column = Column(raw.name, raw.kind, "kept", "a number in every training row")
        return Encoded(column, (raw.name,), True, Number(median))
    gaps = f"missing in {missing.sum()} of {len(missing)} training rows: the median {median:g} "
    column = Column(raw.name, raw.kind, "filled", f"{gaps}and a column that marks them")
    return Encoded(column, (raw.name, f"{raw.name} is missing"), True, Number(median, flag=True))


def _encode_categories(
    raw: RawColumn,
    categories: NDArray[np.object_],
    train: NDArray[Any],
    where: str,
    keep: bool = False,
) -> Encoded:
    seen, counts = np.unique(train, return_counts=True)
    absent = seen[0] == -1
    known = seen[seen >= 0]
    if not len(known):
        return _dropped(raw, "no training row has a value")
    if len(seen) == 1:
        return _dropped(raw, f"constant: {categories[known[0]]!r} in every training row")
    if not keep and len(known) >= ROWS and counts[-len(known) :].max() == 1:
        return _dropped(raw, f"an identifier: {len(known)} texts, all different")
    if len(known) > CATEGORIES:
        raise DataError(
            f"column {raw.name!r} has {len(known)} categories in {len(train)} training rows, "
            f"but at most {CATEGORIES} are allowed",
            where=where,
            hint=f"drop = [{raw.name!r}], or group its values",
        )
    # Sorted by text, whichever rows come first.
    known = known[np.argsort(categories[known].astype(str), kind="stable")]
    texts = tuple(str(categories[code]) for code in known)
    names = tuple(f"{raw.name} = {text}" for text in texts)
    if absent:
        names = (*names, f"{raw.name} is missing")
    reason = f"{len(known)} categories in the training rows" + (
        ", and missing values" if absent else ""
    )
    column = Column(raw.name, raw.kind, "one-hot", reason)
    return Encoded(column, names, False, OneHot(texts, bool(absent)))
