"""Dates and times that are text, as numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tuner.data import DataSpec, load
from tuner.data.dates import Calendar, are_days, order_of, times, written
from tuner.data.encoders import encoder_from_json
from tuner.data.prepare import Encoded, Wishes, encode_column
from tuner.data.raw import RawColumn, raw_columns
from tuner.errors import DataError

DAYS = pd.date_range("2021-01-01 06:30", periods=900, freq="17h")


def column(cells: Sequence[Any]) -> RawColumn:
    return raw_columns(pd.DataFrame({"when": pd.Series(cells, dtype=object)}), "here")[0]


def encoded(cells: Sequence[Any], **wishes: Any) -> Encoded:
    return encode_column(column(cells), np.arange(len(cells)), "here", Wishes(**wishes))


def read(text: str, day_first: bool = True) -> tuple[str | None, float | None]:
    """A date and an hour; None where there is none."""
    found = times(written([text]), day_first)
    (day,), (hour,) = found.days.tolist(), found.hours.tolist()
    date = None if day != day else str(np.int64(day).astype("M8[D]"))
    return date, None if hour != hour else hour


@pytest.mark.parametrize(
    ("text", "day", "hour"),
    [
        ("2024-02-29", "2024-02-29", 0),
        ("2024-02-29T13:45:00Z", "2024-02-29", 13.75),
        ("2024-2-9 13:45", "2024-02-09", 13.75),
        (" 2024/02/29 ", "2024-02-29", 0),
        ("2024-02-29 23:30:00.5+02:00", "2024-02-29", 23.5 + 0.5 / 3600),
        ("31.12.2024", "2024-12-31", 0),
        ("31/12/99 1:45 pm", "1999-12-31", 13.75),
        ("1-2-68 12:00 a.m.", "2068-02-01", 0),
        ("Mon, 5 Jan 2024", "2024-01-05", 0),
        ("March 5th, 2024", "2024-03-05", 0),
        ("5. März 2024", "2024-03-05", 0),
        ("5-Dez-24", "2024-12-05", 0),
        ("Okt 2024", "2024-10-01", 0),
        ("2024-may-03", "2024-05-03", 0),
        ("2024年1月5日", "2024-01-05", 0),
        ("2024-05", "2024-05-01", 0),
        ("20240229", "2024-02-29", 0),
        ("20240229.0", "2024-02-29", 0),
        ("20230229", None, None),
        ("18240229", None, None),
        ("13:45", None, 13.75),
        ("1:30 PM", None, 13.5),
        ("2023-02-29", None, None),
        ("2024-13-01", None, None),
        ("25:00", None, None),
        ("2024-01-05 13:75", None, None),
        ("13:00 pm", None, None),
        ("soon", None, None),
        ("2024-21", None, None),
    ],
)
def test_forms(text: str, day: str | None, hour: float | None) -> None:
    found = read(text)
    assert found == (day, None if hour is None else pytest.approx(hour))


def test_the_month_may_come_first() -> None:
    assert read("1/2/2024", day_first=False) == ("2024-01-02", 0)
    assert read("31/2/2024", day_first=False) == (None, None)


@pytest.mark.parametrize(
    ("texts", "day_first", "guess"),
    [
        (["1/2/2024", "13/2/2024"], True, False),
        (["1/2/2024", "1/13/2024"], False, False),
        (["1.2.2024", "2.1.2024"], True, False),
        (["1/2/2024", "2/1/2024"], False, True),
        (["1/1/2024", "2/1/2024", "3/1/2024"], False, False),
        (["1-1-2024", "1-2-2024", "1-3-2024"], True, False),
        (["2024-01-02"], False, False),
    ],
)
def test_the_order_of_a_column(texts: list[str], day_first: bool, guess: bool) -> None:
    order = order_of(written(texts))
    assert (order.day_first, order.open) == (day_first, guess)


def test_the_calendar_is_that_of_pandas() -> None:
    found = Calendar.of(times(written(map(str, DAYS)), True))
    assert found.year.tolist() == DAYS.year.tolist()
    assert (found.month + 1).tolist() == DAYS.month.tolist()
    assert found.weekday.tolist() == DAYS.day_of_week.tolist()
    assert (found.day + 1).tolist() == DAYS.day_of_year.tolist()
    np.testing.assert_allclose(found.hour, DAYS.hour + DAYS.minute / 60)


@pytest.mark.parametrize(
    "form", ["%b %d, %Y", "%d.%m.%Y", "%d %B %Y", "%m/%d/%y %H:%M", "%Y-%m-%dT%H:%M:%SZ", None]
)
def test_a_column_of_dates(form: str | None) -> None:
    cells = DAYS.tolist() if form is None else DAYS.strftime(form).tolist()
    raw = column(cells) if form else raw_columns(pd.DataFrame({"when": DAYS}), "here")[0]
    found = encode_column(raw, np.arange(600), "here")
    clock = form is None or "%H" in form
    assert (found.column.kind, found.column.decision, found.scaled) == ("date", "calendar", True)
    parts = ["age", "year"]
    for part in ("month", "weekday", "day of year", *["hour"] * clock):
        parts += [f"{part} sin", f"{part} cos"]
    assert found.names == tuple(f"when {part}" for part in parts)
    values, write = found.encoder.bind(raw, "here")
    rows = write(values)
    newest = DAYS[599].normalize()
    assert rows[:, 0].tolist() == [(newest - each.normalize()).days for each in DAYS]
    assert rows[599, 0] == 0 > rows[-1, 0]
    angle = 2 * np.pi * DAYS.day_of_week / 7
    np.testing.assert_allclose(rows[:, 4], np.sin(angle), atol=1e-12)
    np.testing.assert_allclose(rows[:, 5], np.cos(angle), atol=1e-12)
    span = DAYS[599].year - 2021
    np.testing.assert_allclose(rows[:, 1], (DAYS.year - DAYS[599].year) / span)


def test_only_what_varies_is_a_feature() -> None:
    assert encoded([f"{day:02}:00" for day in range(24)]).names == (
        "when hour sin",
        "when hour cos",
    )
    months = encoded([f"2024-{month:02}-01" for month in range(1, 13)])
    assert [name for name in months.names if "day of year" in name or "year" in name] == []
    same = encoded(["2024-01-01", "1.1.2024"] * 20)
    assert (same.column.decision, same.names) == ("dropped", ())
    assert same.column.reason == "constant: '2024-01-01' is the only date"


def test_missing_dates_and_texts_that_are_none() -> None:
    cells: list[Any] = DAYS[:100].strftime("%Y-%m-%d").tolist()
    cells[3], cells[4], cells[5] = None, "soon", "?"
    found = encoded(cells)
    assert found.names[-1] == "when is missing"
    assert "missing in 3 of 100 training rows" in found.column.reason
    assert "no dates, so missing: 'soon' (1), '?' (1)" in found.column.reason
    raw = column([*cells, "never", "2031-01-01"])
    values, write = found.encoder.bind(raw, "here")
    rows = write(values)
    assert rows[[3, 4, 5, 100], 2:].tolist() == [rows[3, 2:].tolist()] * 4
    assert rows[3, -1] == 1
    assert not rows[3, 2:-1].any()
    assert rows[3, 0] == np.floor(rows[3, 0])
    assert 0 < rows[3, 0] < rows[0, 0]
    assert rows[101, 0] < 0 == rows[101, -1]
    mask, texts = found.encoder.unknown(raw)  # type: ignore[union-attr]
    assert (np.flatnonzero(mask).tolist(), texts) == ([4, 5, 100], ["soon", "?", "never"])


def test_the_record_of_a_column_of_dates() -> None:
    encoder = encoded(DAYS.strftime("%d/%m/%Y").tolist()).encoder
    assert encoder_from_json(json.loads(json.dumps(encoder.to_json()))) == encoder


def test_what_a_study_file_says_of_dates() -> None:
    cells = [f"{1 + i % 12}/{1 + i % 11}/2024" for i in range(100)]
    guess = encoded(cells)
    assert "the month comes before the day, as in '1/1/2024', a guess" in guess.column.reason
    assert "data.day_first changes it" in guess.column.reason
    said = encoded(cells, day_first=True)
    assert said.encoder.day_first  # type: ignore[union-attr]
    assert "guess" not in said.column.reason
    assert not encoded(cells, day_first=False).encoder.day_first  # type: ignore[union-attr]
    chosen = encoded(cells, category=True)
    assert (chosen.column.decision, len(chosen.names)) == ("one-hot", 132 - 32)
    nothing = encoded(["a", "b"] * 20, day_first=True)
    assert (nothing.names, nothing.column.reason) == ((), "no training row has a date")


@pytest.mark.parametrize(
    "cells", [["10-12-14", "10-12-15"], ["a 2024-01-01", "b"], ["1:20", "2:10"]]
)
def test_few_texts_that_may_be_something_else_are_categories(cells: list[str]) -> None:
    assert encoded(cells * 20).column.decision == "one-hot"


def test_before_the_third_rule_dates_are_dropped() -> None:
    for form in ("%b %d, %Y", "%d.%m.%Y", "%Y-%m-%dT%H:%M:%SZ"):
        made = encoded(DAYS[:60].strftime(form).tolist(), rule=2)
        assert (made.column.decision, "dates" in made.column.reason) == ("dropped", True)


def test_numbers_may_be_categories(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("zone,a,y\n" + "".join(f"{i % 3},{i % 7},{i % 2}\n" for i in range(60)))
    data = load(DataSpec(path=str(file), target="y", categories=("zone",)))
    assert data.features == ("zone = 0", "zone = 1", "zone = 2", "a")
    assert data.columns[0].reason.endswith("listed in data.categories")
    for key, wrong in (("categories", "zoen"), ("day_first", "b"), ("month_first", "y")):
        with pytest.raises(DataError, match=rf"data\.{key}: no column"):
            load(DataSpec(path=str(file), target="y", **{key: (wrong,)}))
    with pytest.raises(DataError, match=r"data\.day_first: column 'a' is in categories too"):
        DataSpec(path=str(file), target="y", categories=("a",), day_first=("a",))


# Dates that are numbers, such as 20210131.


def days(count: int = 30) -> np.ndarray[Any, Any]:
    return np.array([int(day.strftime("%Y%m%d")) for day in DAYS[:count]])


@pytest.mark.parametrize("gap", [False, True])
def test_numbers_that_are_dates_are_read_like_their_texts(gap: bool) -> None:
    numbers = days().astype(float) if gap else days()
    texts = [f"{day.date()}" for day in DAYS[:30]]
    if gap:
        numbers[3], texts[3] = np.nan, None  # type: ignore[call-overload]
    found = encode_column(RawColumn("when", numbers), np.arange(30), "here")
    expected = encoded(texts)
    assert found.names == expected.names
    assert found.encoder == expected.encoder
    assert found.column.reason.endswith("; numbers where data.keep lists it")
    rows = np.arange(30)
    for raw in (RawColumn("when", numbers), column([f"{x:.0f}" for x in days()])):
        codes, encode = found.encoder.bind(raw, "here")
        again, other = expected.encoder.bind(column(texts), "here")
        some = rows[rows != 3]
        np.testing.assert_array_equal(encode(codes[some]), other(again[some]))


@pytest.mark.parametrize(
    "numbers",
    [
        [*days(29), 20210230],
        [*days(29), 20210131.5],
        [*days(29), 7],
        [*days(29), 20210131e3],
        days(4),
        days() - 10_000_000,
        np.full(30, np.nan),
        [],
        days() > 0,
    ],
)
def test_numbers_that_only_look_like_dates_stay_numbers(numbers: Any) -> None:
    assert not are_days(np.array(numbers))


def test_numbers_of_dates_stay_numbers_on_request_and_in_earlier_studies() -> None:
    raw = RawColumn("when", days())
    for wishes in (Wishes(keep=True), Wishes(rule=2, keep=True)):
        found = encode_column(raw, np.arange(30), "here", wishes)
        assert (found.column.kind, found.names) == ("numeric", ("when",))
    earlier = encode_column(raw, np.arange(30), "here", Wishes(rule=2))
    assert earlier.column.kind != "date"


@pytest.mark.parametrize("key", ["day_first", "month_first"])
def test_a_column_of_other_numbers_has_no_order_of_days(key: str) -> None:
    wishes = Wishes(day_first=key == "day_first")
    raw = RawColumn("when", np.arange(40.0))
    with pytest.raises(DataError, match=f"data.{key}: column 'when' has numbers that are no dates"):
        encode_column(raw, np.arange(40), "here", wishes)
    assert encode_column(RawColumn("when", days(40)), np.arange(40), "here", wishes).names
