"""What a leaf of a study may be: a value, a range, a switch or a choice; and how it is sampled.

A study is a sequence of nodes. Each node is one leaf with the value it has or the values that it
may take. Sampling walks the nodes and asks anything that has Optuna's ``suggest_*`` methods.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tuner.errors import StudyFileError
from tuner.values import Range, Value, format_value, matches, same, shown, told_apart

__all__ = [
    "Choice",
    "Config",
    "Leaf",
    "Node",
    "Option",
    "Range",
    "Suggest",
    "Value",
    "format_value",
    "label",
    "matches",
    "same",
    "shown",
    "told_apart",
    "walk",
]

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
        inside = low < value < high if self.exclusive else low <= value <= high
        return bool(inside and abs(value) < math.inf)

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
        elif high is not None:
            word += f" below {high:g}" if self.exclusive else f" of at most {high:g}"
        return word + (" (bounds excluded)" if self.exclusive and None not in (low, high) else "")


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
        """The option of a label; StudyFileError where there is none."""
        for option in self.options:
            if same(label(option), chosen):
                return option
        known = ", ".join(map(format_value, self.labels))
        raise StudyFileError(f"found {shown(chosen)}, which is not one of {known}")

    def nearest(self, wanted: Any) -> Value:
        """The label itself, else the closest number, else the first."""
        for name in self.labels:
            if same(name, wanted):
                return name
        if not matches(float, wanted):
            return self.labels[0]
        return min(self.labels, key=lambda name: abs(float(name) - wanted))


@dataclass(frozen=True)
class Node:
    """One leaf of a study: its name in the database, what it is or may be, and its place."""

    name: str
    leaf: Leaf = field(repr=False)
    value: Value | Range | Choice | Option
    path: str = field(default="", repr=False, compare=False)

    @property
    def searched(self) -> bool:
        return isinstance(self.value, Range | Choice)


def label(option: Value | Option) -> Value:
    return option.name if isinstance(option, Option) else option


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
