"""Reads dates and times that are written as text, and makes numbers of them.

A column has one order of day and month, found over all its texts. The clock is taken as it is
written: an offset from UTC, such as +02:00, changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.data.numbers import is_mark

Numbers = NDArray[np.float64]

_MONTH = (
    "(?:january?|jan|february?|februar|feb|march|märz|mar|mär|mrz|april|apr|may|mai|june|juni|jun|"
    "july|juli|jul|august|aug|september|sept|sep|october|oktober|oct|okt|november|nov|december|"
    r"dezember|dec|dez)\.?"
)
_NAMES = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
MONTHS: Mapping[str, int] = {
    **{name: i for i, name in enumerate(_NAMES, 1)},
    "mär": 3,
    "mrz": 3,
    "mai": 5,
    "okt": 10,
    "dez": 12,
}
"""The first three letters of a month."""
_YEAR = r"\d{4}|\d\d"
_CLOCK = (
    r"(?P<hour_{0}>\d\d?):(?P<minute_{0}>\d\d)(?::(?P<second_{0}>\d\d(?:[.,]\d+)?))?"
    r"(?: ?(?P<half_{0}>[ap])\.?m\.?)?(?: ?(?:Z|UTC|GMT|[-+]\d\d:?\d\d))?"
)
_DAYS = (
    r"(?P<year_0>\d{4})[-/.](?P<month_0>\d\d?)[-/.](?P<day_0>\d\d?)",
    rf"(?P<one>\d\d?)[./-](?P<two>\d\d?)[./-](?P<year_1>{_YEAR})",
    rf"(?P<name_2>{_MONTH}) (?P<day_2>\d\d?)(?:st|nd|rd|th)?,? (?P<year_2>\d{{4}})",
    rf"(?P<day_3>\d\d?)(?:st|nd|rd|th|\.)?[ -](?P<name_3>{_MONTH}),?[ -](?P<year_3>{_YEAR})",
    rf"(?P<name_4>{_MONTH}),? (?P<year_4>\d{{4}})",
    rf"(?P<year_5>\d{{4}})[- ](?P<name_5>{_MONTH})[- ](?P<day_5>\d\d?)",
    r"(?P<year_6>\d{4})年(?P<month_6>\d\d?)月(?P<day_6>\d\d?)日",
)
DATE = re.compile(
    rf"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,? )?(?:{'|'.join(_DAYS)})"
    rf"(?:(?:T|,? +){_CLOCK.format(0)})?|{_CLOCK.format(1)}",
    re.IGNORECASE,
)
"""A date, with or without the time of day, or a time of day alone."""
PERIOD = re.compile(r"((?:19|20)\d\d)-(0[1-9]|1[0-2])")
"""A month of a year."""
DAY = re.compile(r"((?:19|20)\d\d)(\d\d)(\d\d)(?:\.0)?")
"""A date without signs, as a number is written."""
FEWEST = 5
"""So many different numbers have to be dates: one in 28 in their range is one by chance."""
ISO = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d(?:\.\d+)?))?)?")
"""The form that most programs write; read by itself, since that is faster."""
DATES = 0.95
"""The share of texts that are dates, where a column is; marks of missing values are not counted."""
CENTURY = 69
"""Two digits from here on are a year of the twentieth century, as POSIX has it."""


def are_dates(texts: Iterable[Any]) -> bool:
    """Whether texts look like dates or times of day, but for some marked as missing."""
    present = [text for text in map(str, texts) if not is_mark(text)]
    dates = sum(DATE.fullmatch(text.strip()) is not None for text in present)
    return dates > 0 and dates >= DATES * len(present)


def are_days(numbers: NDArray[Any]) -> bool:
    """Whether all numbers [n] are dates such as 20210131, but for NaN, and different enough to be
    no chance."""
    if numbers.dtype.kind not in "iuf":
        return False
    present = numbers[~np.isnan(numbers)] if numbers.dtype.kind == "f" else numbers
    if not len(present) or present.min() < 19000101 or present.max() > 20991231:
        return False
    distinct = np.unique(present).astype(np.float64)
    days = days_of(distinct // 10000, distinct // 100 % 100, distinct % 100)
    return len(distinct) >= FEWEST and not bool(np.isnan(days).any() or (distinct % 1).any())


def count(texts: Iterable[str]) -> int:
    """How many texts look like dates, months of a year among them."""
    each = (text.strip() for text in texts)
    return sum((DATE.fullmatch(text) or PERIOD.fullmatch(text)) is not None for text in each)


@dataclass(frozen=True)
class Written:
    """Dates and times as they are written, [n] each, NaN for what a text lacks.

    Attributes:
        year: 2024 of '1/2/2024'.
        month, day: where the text decides which is which.
        one, two: day and month in an order that the text does not tell.
        hour: of the day, with fractions; 0 of a date alone.
        pointed: whether a point stands between `one` and `two`.
    """

    year: Numbers
    month: Numbers
    day: Numbers
    one: Numbers
    two: Numbers
    hour: Numbers
    pointed: NDArray[np.bool_]


@dataclass(frozen=True)
class Times:
    """Dates and times, [n] each.

    Attributes:
        days: since 1970, whole; NaN for a time of day alone, and for what is no date.
        hours: of the day, with fractions; NaN for what is neither.
    """

    days: Numbers
    hours: Numbers

    @property
    def known(self) -> NDArray[np.bool_]:
        """Where [n] there is a date or a time of day."""
        return ~np.isnan(self.hours)


def written(texts: Iterable[Any]) -> Written:
    """The parts of each text."""
    rows = [_parts(str(text).strip()) for text in texts]
    values = np.array([row[:6] for row in rows], dtype=np.float64).reshape(len(rows), 6)
    year, month, day, one, two, hour = values.T
    pointed = np.array([row[6] for row in rows], dtype=bool)
    return Written(year, month, day, one, two, hour, pointed)


_Parts = tuple[float, float, float, float, float, float, bool]
_NAN = float("nan")
_NOTHING: _Parts = (_NAN, _NAN, _NAN, _NAN, _NAN, _NAN, False)


def _parts(text: str) -> _Parts:
    """Year, month, day, the two numbers of an unknown order, hour, whether a point divides them."""
    plain = ISO.fullmatch(text)
    if plain is not None:
        y, m, d, *clock = (float(part or 0) for part in plain.groups())
        return (y, m, d, _NAN, _NAN, _of_clock(*clock), False)
    match = DATE.fullmatch(text)
    if match is None:
        period, plain = PERIOD.fullmatch(text), DAY.fullmatch(text)
        if plain is not None:
            y, m, d = map(float, plain.groups())
            return (y, m, d, _NAN, _NAN, 0.0, False)
        return _NOTHING if period is None else _of_month(*map(float, period.groups()))
    if match["hour_1"] is not None:
        return (*_NOTHING[:5], _hour(match, 1), False)
    hour = 0.0 if match["hour_0"] is None else _hour(match, 0)
    if match["one"] is not None:
        pointed = text[match.end("one")] == "."
        numbers = float(match["one"]), float(match["two"])
        return (_year(match["year_1"]), _NAN, _NAN, *numbers, hour, pointed)
    form = next(i for i in (0, 2, 3, 4, 5, 6) if match[f"year_{i}"] is not None)
    known = match.groupdict()
    name, day = known.get(f"name_{form}"), known.get(f"day_{form}", "1")
    month = float(MONTHS[name.lower()[:3]] if name else known[f"month_{form}"])
    return (_year(known[f"year_{form}"]), month, float(day), _NAN, _NAN, hour, False)


def _of_month(year: float, month: float) -> _Parts:
    return (year, month, 1.0, _NAN, _NAN, 0.0, False)


def _year(text: str) -> float:
    year = int(text)
    return float(year if len(text) == 4 else year + (1900 if year >= CENTURY else 2000))


def _hour(match: re.Match[str], which: int) -> float:
    """The hour of the day with its fraction; NaN for one that no clock shows."""
    hour, half = int(match[f"hour_{which}"]), match[f"half_{which}"]
    minute, second = int(match[f"minute_{which}"]), match[f"second_{which}"]
    if half is not None:
        hour = hour % 12 + (12 if half.lower() == "p" else 0) if hour <= 12 else 24
    return _of_clock(hour, minute, float((second or "0").replace(",", ".")))


def _of_clock(hour: float, minute: float, second: float) -> float:
    return hour + minute / 60 + second / 3600 if hour < 24 and minute < 60 else _NAN


# Which of two numbers is the day.


@dataclass(frozen=True)
class Order:
    """The order of day and month in a column.

    Attributes:
        day_first: 1/2/2024 is in February.
        open: nothing in the column tells the order, so that this one is a guess.
    """

    day_first: bool
    open: bool = False


def order_of(dates: Written) -> Order:
    """The order of all texts of a column: by numbers above 12, else by the number that is always
    the same, which is the day; else a point comes after the day and another sign after the month.
    """
    asked = ~np.isnan(dates.one)
    one, two, pointed = dates.one[asked], dates.two[asked], dates.pointed[asked]
    if not len(one):
        return Order(day_first=False)
    above = int((one > 12).sum()), int((two > 12).sum())
    if above[0] != above[1]:
        return Order(above[0] > above[1])
    varied = len(np.unique(one)), len(np.unique(two))
    if min(varied) == 1 < max(varied):
        return Order(varied[0] == 1)
    return Order(bool(pointed.mean() > 0.5), open=not pointed.all())


def times(dates: Written, day_first: bool) -> Times:
    """The dates, read in that order; what the calendar lacks is no date."""
    first, second = (dates.one, dates.two) if day_first else (dates.two, dates.one)
    day = np.where(np.isnan(dates.day), first, dates.day)
    month = np.where(np.isnan(dates.month), second, dates.month)
    days = np.where(np.isnan(dates.hour), np.nan, days_of(dates.year, month, day))
    hours = np.where(np.isnan(days) & ~np.isnan(dates.year), np.nan, dates.hour)
    return Times(days, hours)


def days_of(year: Numbers, month: Numbers, day: Numbers) -> Numbers:
    """Days since 1970 [n] of dates; NaN for what the calendar lacks."""
    good = (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31) & (year > 0)
    months = np.where(good, (year - 1970) * 12 + month - 1, 0).astype(np.int64)
    start = months.astype("M8[M]").astype("M8[D]").astype(np.int64)
    after = (months + 1).astype("M8[M]").astype("M8[D]").astype(np.int64)
    days = start + np.where(good, day, 1).astype(np.int64) - 1
    return np.where(good & (days < after), days, np.nan)


# Numbers of dates: how old they are, and where they stand in the year, the week and the day.


YEAR = 365.2425
"""Days."""


@dataclass(frozen=True)
class Calendar:
    """Dates and times by the parts of the calendar, [n] each, NaN where there is none."""

    year: Numbers
    month: Numbers
    weekday: Numbers
    day: Numbers
    hour: Numbers

    @classmethod
    def of(cls, moments: Times) -> Calendar:
        """Month and day of the year from 0, weekday from 0 for Monday."""
        known = ~np.isnan(moments.days)
        days = np.where(known, moments.days, 0).astype(np.int64).astype("M8[D]")
        years, months = days.astype("M8[Y]").astype(np.int64), days.astype("M8[M]")
        first = years.astype("M8[Y]").astype("M8[D]")
        parts = (
            years + 1970,
            months.astype(np.int64) % 12,
            (days.astype(np.int64) + 3) % 7,
            (days - first).astype(np.int64),
        )
        year, month, weekday, day = (np.where(known, part, np.nan) for part in parts)
        return cls(year, month, weekday, day, moments.hours)


CYCLES: Mapping[str, float] = {"month": 12.0, "weekday": 7.0, "day": YEAR, "hour": 24.0}
"""Parts of the calendar that begin anew, and after how much."""


def varying(moments: Times) -> tuple[str, ...]:
    """The parts that differ between dates: age, year, and those of CYCLES. The day of the year is
    one only where dates are more than months, and the hour where they are more than days."""
    calendar = Calendar.of(moments)

    def varies(values: Numbers) -> bool:
        present = values[~np.isnan(values)]
        return len(present) > 1 and bool((present != present[0]).any())

    shown = {
        "age": varies(moments.days),
        "year": varies(calendar.year),
        "month": varies(calendar.month),
        "weekday": varies(calendar.weekday),
        "day": varies(_day_of_month(moments.days)),
        "hour": varies(calendar.hour),
    }
    return tuple(name for name, kept in shown.items() if kept)


def _day_of_month(days: Numbers) -> Numbers:
    known = ~np.isnan(days)
    dates = np.where(known, days, 0).astype(np.int64).astype("M8[D]")
    return np.where(known, (dates - dates.astype("M8[M]")).astype(np.int64), np.nan)


def features(
    moments: Times, parts: Sequence[str], newest: float, fill: float, span: float
) -> Numbers:
    """The numbers [n, k] of the parts; of those that begin anew 0 where there is no date.

    Args:
        newest: the day since 1970 from which ages are counted.
        fill: the day that gives age and year where there is none.
        span: years between the oldest and the newest date, the unit of the part year.
    """
    calendar, columns = Calendar.of(moments), []
    days = np.where(np.isnan(moments.days), fill, moments.days)
    for part in parts:
        if part in CYCLES:
            angle = 2 * np.pi * getattr(calendar, part) / CYCLES[part]
            columns += [np.nan_to_num(np.sin(angle)), np.nan_to_num(np.cos(angle))]
        elif part == "age":
            columns.append(newest - days)
        else:
            years = Calendar.of(Times(days, moments.hours)).year
            columns.append((years - year_of(newest)) / span)
    return np.stack(columns, axis=1)


def year_of(day: float) -> int:
    """The year of a day since 1970."""
    return int(np.int64(day).astype("M8[D]").astype("M8[Y]").astype(np.int64)) + 1970


def named(part: str) -> str:
    """A part in words."""
    return "day of year" if part == "day" else part


def names_of(parts: Sequence[str], column: str) -> tuple[str, ...]:
    """The names of the numbers of a column: two of a part that begins anew, one of any other."""
    names = []
    for part in parts:
        text = f"{column} {named(part)}"
        names += [f"{text} sin", f"{text} cos"] if part in CYCLES else [text]
    return tuple(names)
