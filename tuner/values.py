"""Values of a leaf: of what kind they are, how they read, and ranges of numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

Value = float | int | bool | str
BEYOND = 1e300
"""No value of a leaf is as large; a larger whole number may not even be a float."""


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included; with ``off``, a switch.

    Two integers make a range of integers. A switch is either at ``off`` or within the range.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    off: Value | None = None

    @property
    def integer(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    def __str__(self) -> str:
        marks = [f"{self.low:g} to {self.high:g}"]
        marks += ["log"] if self.log else []
        marks += [f"step {self.step:g}"] if self.step else []
        switch = f"{format_value(self.off)}, or " if self.off is not None else ""
        return switch + ", ".join(marks)

    def contains(self, value: Any) -> bool:
        if not matches(float, value):
            return False
        if self.off is not None and value == self.off:
            return True
        if not self._within(value) or (self.integer and value != int(value)):
            return False
        steps = (value - self.low) / (self.step or 1)
        return not self.step or abs(steps - round(steps)) < 1e-8

    def _within(self, value: float) -> bool:
        """Samplers round, so a bound may be missed by the last digits of a number."""
        if self.low <= value <= self.high:
            return True
        if self.integer or not abs(value) < BEYOND:
            return False
        slack = {"rel_tol": 1e-9, "abs_tol": 1e-8 * (self.step or 0.0)}
        return any(math.isclose(value, end, **slack) for end in (self.low, self.high))

    def count(self) -> float:
        """How many values there are; infinite for a range of floats without a step."""
        return self._numbers() + (self.off is not None)

    def number(self, place: int) -> float:
        """The value at a place of a range that can be listed (``off`` has none)."""
        return self._number(place)

    def place(self, value: float) -> int:
        """The place, from 0, of a value that such a range contains."""
        return round((value - self.low) / (self.step or 1))

    def nearest(self, value: float) -> float:
        """The value of the range that is closest (``off`` is not looked at)."""
        inside = min(max(value, self.low), self.high)
        if not self.integer and not self.step:
            return float(inside)
        index = round((inside - self.low) / (self.step or 1))
        return self._number(min(index, int(self._numbers()) - 1))

    def _numbers(self) -> float:
        if self.low == self.high:
            return 1
        if not self.integer and not self.step:
            return math.inf
        steps = (self.high - self.low) / (self.step or 1) + 1e-9
        return math.floor(steps) + 1 if math.isfinite(steps) else math.inf

    def _number(self, index: int) -> float:
        # Decimals, so that the third value of 0.1, 0.2, … is 0.3.
        number = Decimal(repr(self.low)) + index * Decimal(repr(self.step or 1))
        return int(number) if self.integer else float(number)


def matches(kind: type, value: Any) -> bool:
    """Whether a value read from a file is of the kind; a whole number may stand for a float."""
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)


def same(a: Any, b: Any) -> bool:
    """Equality in which ``True`` is not ``1``."""
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)


def format_value(value: Any, digits: int = 4) -> str:
    """A value for people: so many digits of a number, or up to six where they are all of it.

    >>> format_value(0.0123456789), format_value(1.2341e-4), format_value(True)
    ('0.01235', '0.00012341', 'true')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, float):
        return str(value)
    whole = f"{value:.6g}"
    return whole if float(whole) == value else f"{value:.{digits}g}"


def told_apart(values: Sequence[Any]) -> list[str]:
    """Values for people, with so many digits that no two different ones read the same.

    >>> told_apart([0.12345671, 0.12345672, 0.5])
    ['0.12345671', '0.12345672', '0.5']
    """
    for digits in range(4, 18):
        texts = [format_value(value, digits) for value in values]
        first: dict[str, Any] = {}
        if all(same(first.setdefault(t, v), v) for t, v in zip(texts, values, strict=True)):
            break
    return texts


def quoted(text: str) -> str:
    """A text as TOML spells it: any sign as it is but for those that steer a terminal.

    JSON's way of writing an emoji, as two halves, is none of TOML's.
    """
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def shown(value: Any) -> str:
    """A value as a message shows it: in short, and booleans as a file spells them."""
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
