"""Numbers that are written as text, and what only looks like them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tuner.data import DataSpec, load
from tuner.data.encoders import Number, encoder_from_json
from tuner.data.numbers import Format, Recognized, is_gap, is_mark, recognize
from tuner.data.prepare import Wishes, encode_column
from tuner.data.raw import RawColumn, raw_columns
from tuner.errors import DataError

RNG = np.random.default_rng(0)
PRICES = [f"{value:,.2f}" for value in RNG.uniform(900, 9000, 60)]


def found(cells: Sequence[str], comma: bool = False) -> Recognized | None:
    counts = Counter(cells)
    return recognize(list(counts), np.array(list(counts.values())), comma)


def format_of(cells: Sequence[str], comma: bool = False) -> Format:
    told = found(cells, comma)
    assert told is not None
    assert told.format is not None
    return told.format


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (["1,234.50", "12", "1,000,000"], [1234.5, 12, 1e6]),
        (["1.234,50", "12", "1.000.000"], [1234.5, 12, 1e6]),
        (["1,5", "2,25", "-3"], [1.5, 2.25, -3]),
        (["1,5", "1,234", "2"], [1.5, 1.234, 2]),
        (["1,234", "950", "12,000"], [1234, 950, 12000]),
        (["1,234", "5,678"], [1234, 5678]),
        (["1'234.50", "12’000"], [1234.5, 12000]),
        (["1 234,5", "12\u202f000", "7\u00a0000,25"], [1234.5, 12000, 7000.25]),
        (["1,23,456", "12,34,567", "5,000"], [123456, 1234567, 5000]),
        (["$5", "-$5", "$-6", "($7.50)", "$ 1,200"], [5, -5, -6, -7.5, 1200]),
        (["5 €", "7,50 €", "1.234 €", "0"], [5, 7.5, 1234, 0]),
        (["1.234 €", "5.678 €"], [1234, 5678]),
        (["£1", "£2.5"], [1, 2.5]),
        (["¥1,000", "￥2,500"], [1000, 2500]),
        (["USD 5", "usd 7.5", "USD 1,000"], [5, 7.5, 1000]),
        (["CHF 1'000.00", "CHF 20.00"], [1000, 20]),
        (["8.4%", "12 %", "−3%"], [8.4, 12, -3]),
        (["70 kg", "1,200 kg", "0.5 kg"], [70, 1200, 0.5]),
        (["1,200 m²", "85 m²"], [1200, 85]),
        (["30 m2", "45 m2"], [30, 45]),
        (["5 km/h", "7.5 km/h"], [5, 7.5]),
        (["1 year", "2 years"], [1, 2]),
        (["20 °C", "−5 °C"], [20, -5]),
        (["−5.5", "–3", "+4"], [-5.5, -3, 4]),
        (["1e-3", "2.5E+04", "-7e2"], [1e-3, 2.5e4, -7e2]),
        (["(5)", "6", "7.5-"], [-5, 6, -7.5]),
        (["１２", "٣٫٥"], [12, 3.5]),
        ([".5", "5.", " 7 "], [0.5, 5, 7]),
        (["€ 5,-", "€ 1.250,-", "7,50 €"], [5, 1250, 7.5]),
        (["CHF 5.-", "CHF 12.--", "-CHF 1'000.—"], [5, 12, -1000]),
        (["5.50-", "6.25"], [-5.5, 6.25]),
        (["30 m^2", "45 m^2"], [30, 45]),
        (['="5.25"', '="-7"'], [5.25, -7]),
        (["'5.25'", '"1,250.00"'], [5.25, 1250]),
    ],
)
def test_notations(cells: list[str], numbers: list[float]) -> None:
    values, odd = format_of(cells).values(cells)
    assert not odd.any()
    assert values.tolist() == pytest.approx(numbers)


@pytest.mark.parametrize(
    "cells",
    [
        ["007", "012", "113"],
        ["01234", "98765", "?"],
        ["1.2.3", "1.2.4", "2.0.0"],
        ["+49 170 123 456", "+49 171 223 456"],
        ["170 123 456", "171 223 456"],
        ["555-1234", "555-4321"],
        ["10.0.0.1", "10.0.0.2"],
        ["2022-06-28", "2022-06-29"],
        ["28.06.2022", "29.06.2022"],
        ["12:30", "14:05"],
        ["3/4", "1/2"],
        ["10-20", "20-30"],
        ["A12", "B13"],
        ["Room 5", "Room 7"],
        ['="007"', '="012"'],
        ["1", "2", "3", "A"],
        ["500 g", "1 kg", "2 kg"],
        ["S", "M", "L"],
        ["?", "-"],
        ["good film", "bad film", "5"],
    ],
)
def test_what_only_looks_like_numbers(cells: list[str]) -> None:
    assert found(cells * 3) is None


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        (
            [f"{i + 0.5} {'kg' if i % 2 else 'g'}" for i in range(40)],
            "several units .'0.5 g', '1.5 kg'",
        ),
        ([f"{'$' if i % 2 else '€'}{i}.50" for i in range(40)], "several units"),
        ([f"{i}{'.' if i % 2 else ','}5" for i in range(40)], "several ways"),
        ([f"{i}.234 kg" for i in range(1, 40)] + ["950 kg"], "'1.234 kg' may be 1234 or 1.234"),
    ],
)
def test_what_is_no_single_quantity(cells: list[str], says: str) -> None:
    told = found(cells)
    assert told is not None
    assert told.format is None
    assert says.replace("units .", "units (") in told.remark


@pytest.mark.parametrize(
    ("cells", "comma", "thousands"),
    [
        (["1,234", "5,678"], True, ""),
        (["1,234", "5,678"], False, ","),
        ([f"{i},234" for i in range(1, 60)] + ["950"], True, ","),
        ([f"{i}.234" for i in range(1, 60)] + ["950"], False, "."),
        (["1.234", "5.678", "?"], False, ""),
        (["1.234", "5678", "?"], False, ""),
    ],
)
def test_three_digits_by_what_stands_beside(cells: list[str], comma: bool, thousands: str) -> None:
    assert format_of(cells, comma).thousands == thousands


def test_limits_and_footnotes_are_numbers_where_they_are_few() -> None:
    how = format_of(["0.75", "1.25", "2.5", "3.1", "<0.5", "≥9", "4.25*", "~2"])
    assert [how.read(text) for text in ("<0.5", "4.25*", "~2")] == [0.5, 4.25, 2]
    assert recognize(["<18", "18", ">65"], np.array([5, 5, 5])) is None
    found = recognize(["1", "2", "<3", "4"], np.array([5, 5, 5, 5]))
    assert found is not None
    assert found.remark == "'<3' is 3"


def test_amounts_of_which_some_name_the_currency() -> None:
    how = format_of(["$1,200", "$5", "$7.50"])
    assert [how.read(text) for text in ("1200", "6", "€6")] == [1200, 6, None]
    assert format_of(["5", "6", "7", "$1,200", "$8"]).unit == "$"
    percent = format_of(["5%", "6%", "7.5%"])
    assert percent.read("0.05") is None


@pytest.mark.parametrize(
    ("first", "cells", "value"),
    [
        ("0,5", ["950", "1.107", "12.340"], 1107),  # a comma before decimals
        ("1", ["950", "1.107", "12.340"], 1107),
        ("0,5", ["950", "1.107", "12.3"], 1.107),
        ("1", ["2.950", "1.107", "12.340"], 1.107),  # decimals alone
    ],
)
def test_thousands_in_a_file_with_semicolons(
    tmp_path: Path, first: str, cells: list[str], value: float
) -> None:
    rows = [f"{first};{cells[i % 3]};{'ab'[i % 2]}" for i in range(30)]
    spec = DataSpec(path=written(tmp_path, ["x;c;y", *rows]), target="y", preprocessing="none")
    values = {round(each, 3) for each in load(spec).train.x[:, -1].tolist()}
    assert value in values


@pytest.mark.parametrize(
    "mark", ["?", "-", "#DIV/0!", "missing", ".", "err", "n/a", "–", " ", "N.A."]
)
def test_marks(mark: str) -> None:
    how = format_of(["1", "2.5", mark])
    assert np.isnan(how.values([mark])[0][0])
    assert is_mark(mark)


def test_a_text_of_no_known_meaning_among_many_numbers() -> None:
    how = format_of([*PRICES, "broken"])
    assert how.marks == ("broken",)
    values, odd = how.values(["broken", "thirty", "1,5"])
    assert np.isnan(values).all()
    assert odd.tolist() == [False, True, True]
    assert Format.from_json(how.to_json()) == how


def test_numbers_with_a_unit_are_no_codes() -> None:
    weights = [f"{1000 + 37 * i} kg" for i in range(40)]
    assert format_of([*weights, "sold out"]).marks == ("sold out",)
    assert found([weight.removesuffix(" kg") for weight in weights] + ["sold out"]) is None


def test_marks_that_may_be_classes() -> None:
    assert [is_gap(text) for text in ("?", "#N/A", " ", "-", "+", "unknown")] == [True] * 3 + [
        False
    ] * 3


def column(cells: Sequence[object]) -> RawColumn:
    (raw,) = raw_columns(pd.DataFrame({"hp": pd.Series(cells, dtype=object)}), "here")
    return raw


def test_a_column_of_numbers_that_are_text() -> None:
    raw = column([*PRICES, "?", "broken", None])
    made = encode_column(raw, np.arange(63), "here")
    assert (made.column.kind, made.column.decision) == ("numeric", "filled")
    assert "missing in 3 of 63 training rows" in made.column.reason
    assert "not numbers, so missing: '?' (1), 'broken' (1)" in made.column.reason
    assert f"{PRICES[0]!r} is {PRICES[0].replace(',', '')}"[:12] in made.column.reason
    again = encoder_from_json(made.encoder.to_json())
    assert again == made.encoder
    values, write = again.bind(column(["2,000.00", "?", "9"]), "there")
    assert write(values)[[0, 2], 0].tolist() == [2000, 9]
    assert encoder_from_json({"kind": "number", "median": 1.0, "flag": False}) == Number(1.0)


def test_digits_that_a_program_gives_as_text_are_categories() -> None:
    raw = column(["1", "2", "3"] * 9)
    assert encode_column(raw, np.arange(27), "here").column.decision == "one-hot"


def test_by_the_first_rule_text_is_categories_whatever_it_says() -> None:
    for cells in (
        ["10%", "20%", "35%"] * 20,
        pd.date_range("2021", periods=30).astype(str)[[*range(30)] * 2],
    ):
        raw, rows = column(list(cells)), np.arange(60)
        first = encode_column(raw, rows, "here", Wishes(rule=1))
        assert (first.column.decision, len(first.names)) == ("one-hot", len(set(cells)))
        second = encode_column(raw, rows, "here", Wishes(rule=2))
        assert second.column.decision in ("kept", "dropped")


def written(folder: Path, lines: Sequence[str], name: str = "t.csv") -> str:
    (folder / name).write_text("\n".join(lines), encoding="utf-8")
    return str(folder / name)


def test_a_target_that_is_text(tmp_path: Path) -> None:
    path = written(tmp_path, ["a,y", *(f'{i},"${i + 999:,}.50"' for i in range(30))])
    data = load(DataSpec(path=path, target="y"))
    assert data.target.task == "regression"
    assert 999 < data.target.mean < 1030
    path = written(tmp_path, ["a,y", *(f"{i},{'?' if i == 7 else i * 1.5}" for i in range(30))])
    with pytest.raises(
        DataError, match=r"1 of 30 labels are not numbers \('\?'\), the first in row 9"
    ):
        load(DataSpec(path=path, target="y", unlabelled="refuse"))
    path = written(tmp_path, ["a,y", *(f"{i},{'?' if i == 7 else 'ab'[i % 2]}" for i in range(30))])
    with pytest.raises(
        DataError, match=r"1 of 30 labels are missing \('\?'\), the first in row 9 \(the header is"
    ):
        load(DataSpec(path=path, target="y", unlabelled="refuse"))
    path = written(tmp_path, ["a,y", *(f"{i},{'+-'[i % 2]}" for i in range(30))])
    assert load(DataSpec(path=path, target="y")).target.classes == ("+", "-")
    path = written(tmp_path, ["a,y", *(f"{i},{i} {'kg' if i % 2 else 'g'}" for i in range(50))])
    with pytest.raises(DataError, match="the target: numbers in several units"):
        load(DataSpec(path=path, target="y"))


def test_test_rows_elsewhere_are_read_alike(tmp_path: Path) -> None:
    rows = [f"{i % 5 + 1}.{i:03},50;{i}.000,5" for i in range(100, 160)]
    path = written(tmp_path, ["a;y", *rows])
    test = written(tmp_path, ["a;y", "1.234;5.678", "2.345;6.789"], "test.csv")
    data = load(DataSpec(path=path, target="y", test_path=test, preprocessing="none"), final=True)
    assert data.validation.x.flatten().tolist() == [1234, 2345]
    target = data.target
    values = data.validation.y.double() * target.scale + target.mean
    assert values.tolist() == pytest.approx([5678, 6789], rel=1e-4)
