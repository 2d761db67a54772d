"""Parses numbers written as text: finds the notation of a column and reads its cells.

A column has one notation and one unit, found in its training rows and kept in the recipe; cells are
never read one by one. 1,234 is 1234 beside 950 and 12,000, and 1.234 beside 1,5. A text that is no
number in the column's notation is missing. Codes (007, 1.2.3, +49 170 123 456) are no numbers.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MARKS = """
? ?? ??? - -- --- . .. ... * ** / // # ## ### n/a na n.a. n.a #n/a nan null nul nil none void empty
blank missing unknown unk undefined undef unspecified unavailable err error invalid tbd tba k.a. k.a
s/d n/d nd n.d. #div/0! #value! #ref! #num! #name? #null! #error! #error #nv #wert! #bezug! #zahl!
(null) (blank) <na> <null> [null] not_available not_applicable not_known not_given not_recorded
no_data no_value no_answer to_be_determined keine_angabe not_a_number
"""
MARKS = frozenset(mark.replace("_", " ") for mark in _MARKS.split()) | {"", "\\"}
"""Texts that mark a missing number, in lower case."""
CURRENCIES = "$€£¥₹₽₩₺₫₪฿₴₦₱₡₲₵₸₼₾¢"
_CODES = """
USD EUR GBP JPY CHF CNY RMB INR AUD CAD NZD SEK NOK DKK PLN CZK HUF RON BRL MXN ARS CLP COP ZAR KRW
SGD HKD TWD RUB TRY ILS THB IDR MYR PHP VND AED SAR EGP NGN KES PKR BTC ETH
"""
CODES = tuple(_CODES.split())
SAME = str.maketrans(
    {
        **dict.fromkeys("\u00a0\u2002\u2003\u2007\u2008\u2009\u200a\u202f\u3000", " "),
        **dict.fromkeys("\u2212\u2010\u2011\u2012\u2013\u2014\ufe63\uff0d", "-"),
        **dict.fromkeys("\u2019\u2018\u02bc\u00b4`\uff07", "'"),
        **dict.fromkeys("\u200b\u200e\u200f\u2060\ufeff", None),
        **dict(zip("，．％（）＄￥￡＋：／٫٬\u03bc", ",.%()$¥£+:/.,µ", strict=True)),
    }
)
"""Signs of other scripts and of typesetters, and the signs of a keyboard that replace them."""

_MONEY = rf"[A-Z]{{0,3}}[{re.escape(CURRENCIES)}]|(?i:{'|'.join(CODES)}|rs\.?|s?fr\.|kr\.?)"
CELL = re.compile(
    rf"""
    (?P<about>(?:[<>]=?|[≤≥≈~±]|ca?\.)?)
    (?P<signs>[-+(\s]*) (?P<before>{_MONEY})? (?P<more>[-+(\s]*)
    (?P<body>(?:[0-9]|[.,](?=[0-9]))(?:[0-9.,' ]*[0-9.,])?) (?P<exponent>[eE][-+]?[0-9]+)?
    \s* (?P<after>(?:[^\W\d_]|[%‰°/"″′{re.escape(CURRENCIES)}])
        (?:[^\d()+-]{{0,19}}(?:(?<=[^\W\d_]|\^)[23])?)?)?
    \s* (?P<closed>\)?) \s* (?P<minus>-?) (?P<note>(?:\*{{1,3}}|[†‡])?)
    """,
    re.VERBOSE,
)
"""One number, perhaps with a sign, a currency, an exponent, a unit, a limit (<0.5) or a footnote
(5*); in brackets it is negative, as accountants write it."""
WHOLE = re.compile(r"(?<=[0-9])[.,]-{1,2}(?!-)")
"""Dashes in place of decimals, as in prices: 5,- and 5.-- are 5."""
QUOTED = re.compile(r"""=?(["'])([^"']+)\1""")
"""A text in quotes that the reader of the file left there, also as a formula: ="5"."""
GROUPED = re.compile(r"[1-9][0-9]{0,2}[.,][0-9]{3}")
"""Either 1000 or more with a sign between thousands, or a number with three decimals."""
CODE = re.compile(r"0[0-9]+")

SAMPLE = 5000
"""Different texts that decide whether a column is numbers."""
NUMBERS = 0.9
"""The share of cells that are numbers, where a column is; marked ones are not counted."""
DISTINCT = 10
"""From so many different numbers on, other texts in a column count as missing numbers."""
FEW = 20
"""So many different texts in several units may be categories."""
CERTAIN = 40
"""So many numbers with three decimals each, and others with none, are no chance: thousands."""
NAMED = 5


@dataclass(frozen=True)
class Format:
    """The format of the numbers of a column.

    Attributes:
        decimal: the sign before the decimals.
        thousands: the sign between groups of three digits; empty without.
        unit: beside each number: a currency, kg, %; empty without.
        marks: texts besides MARKS that stand for missing numbers in the training rows.
    """

    decimal: str = "."
    thousands: str = ""
    unit: str = ""
    marks: tuple[str, ...] = ()

    def read(self, text: str) -> float | None:
        """The number; NaN for one that is marked as missing, None for anything else."""
        cell = _parsed(text)
        if cell is not None and _digits(self).fullmatch(cell.body):
            value = _value(self, cell)
            if _has_unit(self.unit, cell):
                return value
        return np.nan if is_mark(text) or text.strip() in self.marks else None

    def values(self, texts: Iterable[Any]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """The numbers [n], NaN where there is none; and where [n] the text is neither a number nor
        marked as missing."""
        numbers = [self.read(str(text)) for text in texts]
        odd = np.array([value is None for value in numbers], dtype=bool)
        return np.array([np.nan if v is None else v for v in numbers], dtype=np.float64), odd

    def to_json(self) -> dict[str, Any]:
        signs = {"decimal": self.decimal, "thousands": self.thousands, "unit": self.unit}
        return {**signs, "marks": list(self.marks)}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Format:
        marks = tuple(record["marks"])
        return cls(record["decimal"], record["thousands"], record["unit"], marks)


PLAIN, COMMA = Format("."), Format(",")
NOTATIONS = (
    PLAIN,
    COMMA,
    Format(".", ","),
    Format(",", "."),
    Format(".", "'"),
    Format(",", "'"),
    Format(".", " "),
    Format(",", " "),
)
"""The plainest first: of two that read a column alike, the first is taken."""


@dataclass(frozen=True)
class Recognized:
    """A column of text that holds numbers.

    Attributes:
        format: of its numbers; None where they are no single quantity.
        remark: for people: an example of a number, or why there is no format.
    """

    format: Format | None
    remark: str


def is_mark(text: str) -> bool:
    """Whether a text stands for a number that is missing."""
    return _clean(text).lower() in MARKS


def is_limit(text: str) -> bool:
    """Whether a text is a number with a limit or a footnote: <0.5, 5*."""
    cell = _parsed(text)
    return cell is not None and cell.noted


def is_gap(text: str) -> bool:
    """Whether a text can only mark a missing value, even among classes."""
    return is_mark(text) and text.strip()[:1] in ("", "?", "#", "(", "<", "[")


def are_digits(texts: Iterable[Any]) -> bool:
    """Whether all are digits alone: a reader makes these numbers, so if they are text, the source
    means text."""
    return all(text.isascii() and text.isdigit() for text in map(str, texts))


def recognize(
    texts: Sequence[Any] | NDArray[Any], counts: NDArray[Any], comma: bool = False
) -> Recognized | None:
    """The format of the numbers of a column; None for a column that is not of numbers.

    Args:
        texts: each different text once.
        counts: how often each stands in the column.
        comma: decimals are known to be written with a comma elsewhere in the file.
    """
    some = np.linspace(0, len(texts) - 1, min(len(texts), SAMPLE)).astype(np.int64)
    column = _Column([str(texts[i]) for i in some], [int(counts[i]) for i in some])
    numbers, present = column.weight(column.cells), column.present
    if not numbers or numbers < NUMBERS * present or column.codes or column.noted > numbers / 2:
        return None
    unit = Counter[str]()
    for text, cell in column.cells.items():
        unit[cell.unit] += column.counts[text]
    common = [each for each, _ in unit.most_common()]
    wanted = common[0] or next(filter(_is_money, common), "")
    of_unit = {text: cell for text, cell in column.cells.items() if _has_unit(wanted, cell)}
    fitting = _best_notations(of_unit, column)
    readable = column.weight(of_unit) if fitting else 0
    if fitting:
        readable = column.weight(_read_by(fitting[0], of_unit))
    if readable < NUMBERS * present:
        return column.mixed()
    chosen = _choose(fitting, of_unit, comma, _is_money(wanted))
    if isinstance(chosen, str):
        return Recognized(None, chosen)
    return _accepted(chosen, wanted, of_unit, column)


@dataclass(frozen=True)
class _Cell:
    body: str
    exponent: str
    negative: bool
    unit: str
    noted: bool


class _Column:
    """The texts of a column: numbers in any notation, marks, and others."""

    def __init__(self, texts: list[str], counts: list[int]) -> None:
        self.counts = dict(zip(texts, counts, strict=True))
        parsed = {text: _parsed(text) for text in texts}
        self.cells = {
            text: cell
            for text, cell in parsed.items()
            if cell is not None and any(_digits(each).fullmatch(cell.body) for each in NOTATIONS)
        }
        self.odd = [t for t in texts if t not in self.cells and not is_mark(t)]
        self.present = self.weight(self.cells) + self.weight(self.odd)

    def weight(self, texts: Iterable[str]) -> int:
        """In how many cells these stand."""
        return sum(self.counts[text] for text in texts)

    @property
    def codes(self) -> bool:
        """Whether the digits are codes: numbers begin with no zero, and do not have all nine digits
        in groups, as telephones have."""
        bodies = [cell.body for cell in self.cells.values()]
        if any(CODE.fullmatch(body) for body in bodies):
            return True
        digits = [body.replace(" ", "") for body in bodies]
        spaced = len(bodies) > 1 and all(" " in body for body in bodies)
        return spaced and _fixed_width(digits) and len(digits[0]) > 6

    @property
    def noted(self) -> int:
        """How many numbers are limits or have a footnote: where most do, they are categories."""
        return self.weight(text for text, cell in self.cells.items() if cell.noted)

    def mixed(self) -> Recognized | None:
        """Why the numbers are no single quantity; None for few, which may be categories."""
        if len(self.cells) <= FEW:
            return None
        of_unit: dict[str, str] = {}
        for text, cell in self.cells.items():
            of_unit.setdefault(cell.unit, text)
        several = len(of_unit) > 1
        shown = list(of_unit.values()) if several else _several_ways(self.cells)
        what = "units" if several else "ways"
        named = ", ".join(map(repr, shown[:NAMED]))
        return Recognized(None, f"numbers in several {what} ({named}): not a single quantity")


def _several_ways(cells: Mapping[str, _Cell]) -> list[str]:
    """One text for each notation that is needed."""
    examples: dict[Format, str] = {}
    for text, cell in cells.items():
        first = next(each for each in NOTATIONS if _digits(each).fullmatch(cell.body))
        examples.setdefault(first, text)
    return list(examples.values())


def _best_notations(cells: Mapping[str, _Cell], column: _Column) -> list[Format]:
    """The notations that read the most cells, the plainest first."""
    read = {each: column.weight(_read_by(each, cells)) for each in NOTATIONS}
    most = max(read.values())
    return [each for each, count in read.items() if count == most > 0]


def _read_by(notation: Format, cells: Mapping[str, _Cell]) -> list[str]:
    pattern = _digits(notation)
    return [text for text, cell in cells.items() if pattern.fullmatch(cell.body)]


def _choose(
    fitting: list[Format], cells: Mapping[str, _Cell], comma: bool, money: bool
) -> Format | str:
    """The notation of the column, or why there is none; where two read every cell but differ, the
    one with which the column is consistent."""
    first = fitting[0]
    bodies = [cells[text].body + cells[text].exponent for text in _read_by(first, cells)]
    sign = first.decimal
    other = next((each for each in fitting if each.thousands == sign), None)
    marked = [body for body in bodies if sign in body]
    if other is None or not marked or not all(GROUPED.fullmatch(body) for body in marked):
        return first
    bare = [body for body in bodies if sign not in body]
    if any(len(body) > 3 for body in bare):
        return first  # some thousands have no sign, so the sign marks decimals
    if money:
        return other  # amounts of money have no three decimals
    if sign == ",":
        certain = bool(bare) and len(marked) >= CERTAIN
        return first if comma and not certain else other
    if not bare and not comma:
        return first  # every number has three decimals
    if bare and (comma or len(marked) >= CERTAIN):
        return other
    text = next(text for text, cell in cells.items() if cell.body == marked[0])
    thousand, small = _value(other, cells[text]), _value(first, cells[text])
    return f"{text!r} may be {thousand:g} or {small:g}, and no other number in the column decides"


def _accepted(
    notation: Format, unit: str, cells: Mapping[str, _Cell], column: _Column
) -> Recognized | None:
    """The format; None where other texts stand beside few numbers, or beside codes."""
    read = _read_by(notation, cells)
    odd = [text for text in column.counts if text not in read and not is_mark(text)]
    codes = not unit and _fixed_width([cells[text].body for text in read])
    if odd and (len(read) < DISTINCT or codes):
        return None
    odd.sort(key=lambda text: -column.counts[text])
    marks = tuple(text.strip() for text in odd[:FEW])
    number_format = Format(notation.decimal, notation.thousands, unit, marks)
    noted = [text for text in read if cells[text].noted]
    example = next((t for t in noted or read if not cells[t].body.isdigit()), (noted or read)[0])
    value = _value(number_format, cells[example])
    remark = (
        ""
        if number_format.unit == number_format.thousands == ""
        and number_format.decimal == "."
        and not noted
        else (f"{example.strip()!r} is {value:.10g}")
    )
    return Recognized(number_format, remark)


def _fixed_width(bodies: Sequence[str]) -> bool:
    """Whether all have the same number of digits, as codes have."""
    return all(map(str.isdigit, bodies)) and len(bodies[0]) > 3 and len(set(map(len, bodies))) == 1


def _is_money(unit: str) -> bool:
    return any(sign in unit for sign in CURRENCIES) or unit in CODES


def _has_unit(unit: str, cell: _Cell) -> bool:
    """Whether a number has that unit. A bare number has it where it is 0, or the unit is money; a
    bare 0.05 beside 5% may be on another scale."""
    bare = not cell.unit and (_is_money(unit) or not cell.body.strip("0.,"))
    return cell.unit == unit or bare


def _value(notation: Format, cell: _Cell) -> float:
    body = cell.body.replace(notation.thousands, "") if notation.thousands else cell.body
    value = float(body.replace(notation.decimal, ".") + cell.exponent)
    return -value if cell.negative else value


@cache
def _pattern(decimal: str, thousands: str) -> re.Pattern[str]:
    point, group = re.escape(decimal), re.escape(thousands)
    plain = rf"[0-9]+(?:{point}[0-9]*)?|{point}[0-9]+"
    if not thousands:
        return re.compile(plain)
    whole = rf"[1-9][0-9]{{0,2}}(?:{group}[0-9]{{3}})+"
    if thousands == ",":
        whole += r"|[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3}"  # lakh and crore
    return re.compile(rf"(?:{whole})(?:{point}[0-9]*)?|{plain}")


def _digits(of: Format) -> re.Pattern[str]:
    """The pattern of a number's digits in this notation."""
    return _pattern(of.decimal, of.thousands)


def _parsed(text: str) -> _Cell | None:
    """A number with its unit, in any notation; None for other texts."""
    if len(text) > 60:
        return None
    match = CELL.fullmatch(WHOLE.sub("", _clean(text)))
    if match is None:
        return None
    signs = "".join((match["signs"] + match["more"]).split()) + match["minus"]
    brackets = signs.count("(")
    spaced = "+" in signs and " " in match["body"]  # as in telephone numbers
    if len(signs) > 1 or brackets != len(match["closed"]) or spaced:
        return None
    noted = bool(match["about"] or match["note"])
    return _Cell(match["body"], match["exponent"] or "", signs in ("-", "("), _unit(match), noted)


def _unit(match: re.Match[str]) -> str:
    """The unit before and after a number, in one form: codes of currencies in capitals, words in
    the singular."""
    parts = []
    for part in (match["before"], match["after"]):
        part = " ".join((part or "").split())
        if part.upper() in CODES:
            part = part.upper()
        if len(part) > 3 and part.isalpha() and part.endswith("s"):
            part = part[:-1]
        parts += [part] if part else []
    return " ".join(parts)


def _clean(text: str) -> str:
    text = text.strip()
    if not text.isascii():
        text = text.translate(SAME)
        digits = ((str(unicodedata.decimal(c)) if c.isdecimal() else c) for c in text)
        text = "".join(digits).strip()
    quoted = QUOTED.fullmatch(text)
    return quoted[2].strip() if quoted else text
