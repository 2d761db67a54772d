"""What a leaf of a study may be: a value, a range, a switch or a choice; and how it is sampled.

A study is a sequence of nodes. Each node is one leaf with the value it has or the values that it
may take. Sampling walks the nodes and asks anything that has Optuna's ``suggest_*`` methods.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

Value = float | int | bool | str
Config = dict[str, Any]
"""One configuration: the value of every leaf by its name in the database."""


class Suggest(Protocol):
    """What asks for values: ``optuna.Trial`` and everything that looks like it."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float: ...

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int: ...

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...


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
        if self.off is not None and value == self.off and type(value) is not bool:
            return True
        number = isinstance(value, int | float) and not isinstance(value, bool)
        whole = not self.integer or (number and float(value).is_integer())
        return number and whole and bool(self.low <= value <= self.high)

    def count(self) -> float:
        """How many values there are; infinite for a range of floats without a step."""
        extra = self.off is not None
        if self.step:
            return math.floor((self.high - self.low) / self.step + 1e-9) + 1 + extra
        return (self.high - self.low + 1 if self.integer else math.inf) + extra

    def grid(self) -> list[float]:
        """Every value of a range that can be listed (without ``off``)."""
        step = self.step or 1
        count = math.floor((self.high - self.low) / step + 1e-9) + 1
        return [self.low + i * step for i in range(count)]


@dataclass(frozen=True)
class Leaf:
    """What a study file may say at one place, with its default and its source.

    Args:
        name: its key in the study file and its name in the database.
        kind: the type of its values.
        default: what it is when the study file says nothing; for a technique the same as ``off``.
        minimum, maximum: inclusive bounds of what is allowed; ``exclusive`` leaves both out.
        off: the value at which a technique does nothing.
        search: a range or a choice to search that a practitioner would begin with.
        options: for names: the known ones, with the leaves that each brings.
        static: it decides shapes or code, so trials that differ in it cannot share one step.
    """

    name: str
    kind: type
    default: Any
    minimum: float | None = None
    maximum: float | None = None
    exclusive: bool = False
    off: Value | None = None
    search: Range | tuple[Value, ...] | None = None
    options: Mapping[str, tuple[Leaf, ...]] | None = None
    static: bool = False
    doc: str = ""
    unit: str = ""
    source: str = ""

    def allows(self, value: Any) -> bool:
        if not matches(self.kind, value):
            return False
        if self.options is not None:
            return value in self.options
        if self.off is not None and value == self.off:
            return True
        if self.kind in (bool, str):
            return True
        low = -math.inf if self.minimum is None else self.minimum
        high = math.inf if self.maximum is None else self.maximum
        return bool(low < value < high if self.exclusive else low <= value <= high)

    def allowed(self) -> str:
        """In words, for messages."""
        if self.options is not None:
            return "one of " + ", ".join(self.options)
        if self.kind is bool:
            return "true or false"
        word = {int: "a whole number", float: "a number", str: "a string"}[self.kind]
        low, high = self.minimum, self.maximum
        if low is not None and high is not None:
            word += f" between {low:g} and {high:g}"
        elif low is not None:
            word += f" above {low:g}" if self.exclusive else f" of at least {low:g}"
        return word + (" (bounds excluded)" if self.exclusive and high is not None else "")


@dataclass(frozen=True)
class Option:
    """A named choice that brings leaves of its own, sampled only when it is chosen."""

    name: str
    nodes: tuple[Node, ...] = ()


@dataclass(frozen=True)
class Choice:
    """One of several values or options."""

    options: tuple[Value | Option, ...]

    @property
    def labels(self) -> tuple[Value, ...]:
        return tuple(label(o) for o in self.options)

    def option(self, chosen: Any) -> Value | Option:
        return next(o for o in self.options if same(label(o), chosen))


@dataclass(frozen=True)
class Node:
    """One leaf of a study: its name in the database and what it is or may be."""

    name: str
    leaf: Leaf = field(repr=False)
    value: Value | Range | Choice | Option

    @property
    def searched(self) -> bool:
        return isinstance(self.value, Range | Choice)


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


def label(option: Value | Option) -> Value:
    return option.name if isinstance(option, Option) else option


def format_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def walk(nodes: Sequence[Node]) -> Iterator[Node]:
    """Every node, with those of all options, each name once."""
    seen: set[str] = set()
    queue = list(nodes)
    while queue:
        node = queue.pop(0)
        if node.name not in seen:
            seen.add(node.name)
            yield node
        options = node.value.options if isinstance(node.value, Choice) else (node.value,)
        inner = [n for o in options if isinstance(o, Option) for n in o.nodes]
        queue = inner + queue
