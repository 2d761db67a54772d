"""The keys of a study file, the forms of a parameter, and the sampling of a configuration."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from typing import Any, Protocol

from tuner.errors import StudyFileError, TrainingError, nearest

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


def distinguishable(values: Sequence[Any]) -> list[str]:
    """Values for people, with so many digits that no two different ones read the same.

    >>> distinguishable([0.12345671, 0.12345672, 0.5])
    ['0.12345671', '0.12345672', '0.5']
    """
    for digits in range(4, 18):
        texts = [format_value(value, digits) for value in values]
        first: dict[str, Any] = {}
        if all(same(first.setdefault(t, v), v) for t, v in zip(texts, values, strict=True)):
            break
    return texts


def shown(value: Any) -> str:
    """A value as a message shows it: in short, and booleans as a file spells them."""
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


# A key of a study file is declared once, as a leaf. A parameter is a value, a range, a switch or a
# choice.
#
# A study is a sequence of nodes. Each node is one leaf with the value it has or the values that it
# may take. Sampling walks the nodes and asks anything that has Optuna's ``suggest_*`` methods.


Config = dict[str, Any]
"""One configuration: the value of every leaf by its name in the database."""


class Suggest(Protocol):
    """Suggests values: ``optuna.Trial`` and everything that looks like it."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float: ...

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int: ...

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...


KINDS: Mapping[type, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a string",
    list: "a list",
    dict: "a table",
}
BOUNDS: Mapping[str, tuple[Callable[[Any, Any], bool], str]] = {
    "minimum": (operator.ge, "of at least"),
    "above": (operator.gt, "above"),
    "maximum": (operator.le, "of at most"),
    "below": (operator.lt, "below"),
}
"""The bounds of a leaf: the comparison of a value with the bound, and the words for it."""


@dataclass(frozen=True)
class Leaf:
    """One key of a study file: a parameter, an option of a sampler or pruner, or a setting.

    Args:
        name: the key; a parameter has this name in the database, too.
        kind: the type of its values; ``object`` where a function of its own reads them.
        default: the value if the study file has none; for a technique the same as ``off``.
        minimum, maximum, above, below: bounds of the value; the last two are excluded.
        off: the value at which a technique does nothing.
        search: a range or a choice to search that a practitioner would begin with.
        options: for names: the known ones, with the leaves that each brings.
        aliases: other names of some of them, each with what it stands for: the name, and words.
        items: for a list: the type of its values, each within the bounds.
        static: it decides shapes or code, so trials that differ in it cannot share one step.
        doc: a short description, for errors, tables and the JSON schema.
    """

    name: str
    kind: type
    default: Any
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    below: float | None = None
    off: Value | None = None
    search: Range | tuple[Value, ...] | None = None
    options: Mapping[str, tuple[Leaf, ...]] | None = None
    aliases: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    items: type | None = None
    static: bool = False
    doc: str = ""
    unit: str = ""
    source: str = ""

    def read(self, value: Any, where: str) -> Any:
        """The value, a whole number made a float where one is wanted, a list made a tuple.

        Args:
            where: its place in the study file, dotted.

        Raises:
            StudyFileError: it is not allowed.
        """
        if self.items is not None and matches(list, value):
            return tuple(self.item.read(each, f"{where}[{i}]") for i, each in enumerate(value))
        value = self.meant(value)
        if self.allows(value):
            return float(value) if self.kind is float else value
        if self.options is not None and isinstance(value, str):
            hint = nearest(value, self.options)
            raise StudyFileError(f"unknown {self.name} {shown(value)}", where=where, hint=hint)
        what = f"found {shown(value)}, which is not {self.allowed()}"
        raise StudyFileError(what, where=where, hint=self.doc)

    def meant(self, value: Any) -> Any:
        """The name that an alias stands for; any other value as it is."""
        return self.aliases[value][0] if isinstance(value, str) and value in self.aliases else value

    @property
    def item(self) -> Leaf:
        """A value of a list, as a leaf."""
        return replace(self, kind=self.items or object, items=None)

    @property
    def bounds(self) -> dict[str, float]:
        """The bounds that it has, in the order of ``BOUNDS``."""
        bounds = {name: getattr(self, name) for name in BOUNDS}
        return {name: bound for name, bound in bounds.items() if bound is not None}

    def allows(self, value: Any) -> bool:
        if not matches(self.kind, value):
            return False
        if self.items is not None:
            return all(map(self.item.allows, value))
        if self.options is not None:
            return value in self.options
        if self.kind not in (int, float) or (self.off is not None and value == self.off):
            return True
        inside = all(BOUNDS[name][0](value, bound) for name, bound in self.bounds.items())
        return inside and abs(value) < math.inf

    def allowed(self) -> str:
        """The allowed values in words, for messages."""
        if self.options is not None:
            return "one of " + ", ".join(self.options)
        if self.items is not None:
            return KINDS[list]
        ends = " and ".join(f"{bound:g}" for bound in self.bounds.values())
        words = " and ".join(f"{BOUNDS[name][1]} {bound:g}" for name, bound in self.bounds.items())
        if tuple(self.bounds) == ("minimum", "maximum"):
            words = f"between {ends}"
        elif tuple(self.bounds) == ("above", "below"):
            words = f"between {ends} (bounds excluded)"
        return f"{KINDS[self.kind]} {words}".rstrip()


def declare(kind: type, default: Any, doc: str, **more: Any) -> Any:
    """A field of a dataclass that is a section of a study file: a leaf with the field's name.

    Args:
        kind, default, doc, more: of the leaf; a table is empty by default.
    """
    made = {"leaf": Leaf("", kind, default, doc=doc, **more)}
    if kind is dict:
        return field(default_factory=dict, metadata=made)
    return field(default=default, metadata=made)


def declared(section: type) -> dict[str, Leaf]:
    """The leaves that are fields of a dataclass, by name."""
    leaves = {each.name: each.metadata.get("leaf") for each in fields(section)}
    return {name: replace(leaf, name=name) for name, leaf in leaves.items() if leaf is not None}


def check_keys(path: str, table: Mapping[str, Any], known: Collection[str]) -> None:
    """Raises StudyFileError for a key that is not known, with the nearest that is."""
    for key in table:
        if key not in known:
            where = f"{path}.{key}" if path else key
            hint = nearest(key, known) if known else "nothing is allowed here"
            raise StudyFileError("unknown key", where=where, hint=hint)


@dataclass(frozen=True)
class Option:
    """A named choice that has its own parameters, sampled only if it is chosen."""

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
    """One leaf of a study: its name in the database, its value or values, and its dotted path."""

    name: str
    leaf: Leaf = field(repr=False)
    value: Value | Range | Choice | Option
    path: str = field(default="", repr=False, compare=False)

    @property
    def searched(self) -> bool:
        return isinstance(self.value, Range | Choice)

    @property
    def off(self) -> bool:
        """Whether it has one value, which is the leaf's off."""
        return not isinstance(self.value, Range | Choice) and label(self.value) == self.leaf.off


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


# From the nodes of a study to one configuration and back.


SWITCH = ".on"
"""A switch is two parameters in the database: ``NAME.on`` and, where it is on, ``NAME``."""
GRID_LIMIT = 10_000
"""The most values of one parameter that a grid may have."""


def sample(nodes: Sequence[Node], suggest: Suggest) -> Config:
    """Suggests a value for every searched leaf, in order, and returns the value of every leaf.

    A leaf of an option that is not chosen is neither suggested nor in the result.
    """
    config: Config = {}
    for node in nodes:
        chosen = _sample_value(node.name, node.value, suggest)
        config[node.name] = label(chosen)
        if isinstance(chosen, Option):
            config.update(sample(chosen.nodes, suggest))
    return config


def _sample_value(name: str, value: Any, suggest: Suggest) -> Value | Option:
    if isinstance(value, Choice):
        return value.option(suggest.suggest_categorical(name, value.labels))
    if not isinstance(value, Range):
        return value  # type: ignore[no-any-return]
    if value.off is not None and not suggest.suggest_categorical(name + SWITCH, (False, True)):
        return value.off
    if value.integer:
        step = int(value.step or 1)
        return suggest.suggest_int(name, int(value.low), int(value.high), step=step, log=value.log)
    return suggest.suggest_float(name, value.low, value.high, step=value.step, log=value.log)


class Recorded:
    """Suggests the parameters that a trial has, if the study searches their values.

    Attributes:
        asked: the parameters suggested so far, with the type and the spelling of the study.
    """

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.params = params
        self.asked: dict[str, Any] = {}

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        value = float(self._within(name, Range(float(low), float(high), log, step)))
        self.asked[name] = value
        return value

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        value = int(self._within(name, Range(low, high, log, step)))
        self.asked[name] = value
        return value

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        recorded = self._recorded(name)
        for choice in choices:
            if same(choice, recorded):
                self.asked[name] = choice
                return choice
        raise _foreign(name, recorded, ", ".join(distinguishable(choices)))

    def _within(self, name: str, span: Range) -> float:
        recorded = self._recorded(name)
        if not span.contains(recorded):
            raise _foreign(name, recorded, str(replace(span, step=None)))
        return recorded  # type: ignore[no-any-return]

    def _recorded(self, name: str) -> Any:
        if name not in self.params:
            raise TrainingError(
                "the trial has no such parameter",
                where=name,
                hint="it was not made by this study, or the study has changed since",
            )
        return self.params[name]


class Prescribed:
    """Uses known parameters, and asks `suggest` for all others.

    Args:
        known: parameters by name.
        suggest: is asked for every parameter, also for the known ones.

    Raises (also from each ``suggest_*`` method):
        TrainingError: a known one is none of the study's, or has a value that it does not search.
    """

    def __init__(self, nodes: Sequence[Node], known: Mapping[str, Any], suggest: Suggest) -> None:
        check_names(nodes, known)
        self._known, self._suggest = Recorded(known), suggest

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        if name in self._known.params:
            self._known.suggest_float(name, low, high, step=step, log=log)
        return self._suggest.suggest_float(name, low, high, step=step, log=log)

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        if name in self._known.params:
            self._known.suggest_int(name, low, high, step=step, log=log)
        return self._suggest.suggest_int(name, low, high, step=step, log=log)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        if name in self._known.params:
            self._known.suggest_categorical(name, choices)
        return self._suggest.suggest_categorical(name, choices)


def with_switches(nodes: Sequence[Node], known: Mapping[str, Any]) -> dict[str, Any]:
    """Known parameters, with ``NAME.on`` added for each switch whose value is known."""
    params = dict(known)
    for node in walk(nodes):
        if _is_switch(node) and node.name in known and node.name + SWITCH not in known:
            off = same(node.value.off, known[node.name])  # type: ignore[union-attr]
            params[node.name + SWITCH] = not off
            if off:
                del params[node.name]
    return params


def _is_switch(node: Node) -> bool:
    return isinstance(node.value, Range) and node.value.off is not None


def config_of(
    nodes: Sequence[Node], params: Mapping[str, Any], recorded: Recorded | None = None
) -> Config:
    """The configuration that a trial's parameters stand for.

    Args:
        recorded: suggests the parameters, and holds afterwards which were asked for.

    Raises:
        TrainingError: it stands for none: a parameter is missing, the study has none of that
            name, or it does not search the value.
    """
    recorded = recorded or Recorded(params)
    config = sample(nodes, recorded)
    if len(recorded.asked) < len(params):
        check_names(nodes, params)
    return config


def check_names(nodes: Sequence[Node], params: Mapping[str, Any]) -> None:
    """Raises TrainingError for a parameter that the study cannot have, whatever is chosen."""
    known = {node.name for node in walk(nodes)}
    known |= {node.name + SWITCH for node in walk(nodes) if _is_switch(node)}
    other = next((name for name in params if name not in known), None)
    if other is not None:
        raise TrainingError(
            "the study has no such parameter",
            where=str(other),
            hint=nearest(str(other), [node.name for node in walk(nodes) if node.searched]),
        )


def _foreign(name: str, value: Any, allowed: str) -> TrainingError:
    return TrainingError(
        f"found {shown(value)}, which the study does not search",
        where=name,
        hint=f"allowed: {allowed}",
    )


def params_of(
    nodes: Sequence[Node], wanted: Mapping[str, Any], default: Callable[[Node], Value]
) -> dict[str, Any]:
    """The parameters of a configuration, as they stand in the database.

    Args:
        nodes: the study's.
        wanted: values by leaf name; a leaf that it does not hold takes ``default(node)``.

    Raises:
        StudyFileError: a value that the study does not search.
    """
    params: dict[str, Any] = {}
    for node in nodes:
        value = wanted[node.name] if node.name in wanted else default(node)
        chosen: Any = node.value
        if isinstance(node.value, Range):
            params.update(_range_params(node, node.value, value))
        elif isinstance(node.value, Choice):
            if not any(same(name, value) for name in node.value.labels):
                raise _outside(node, value, ", ".join(distinguishable(node.value.labels)))
            chosen = node.value.option(value)
            params[node.name] = label(chosen)
        elif not same(label(node.value), value):
            raise _outside(node, value, f"{format_value(label(node.value))}, which is fixed")
        if isinstance(chosen, Option):
            params.update(params_of(chosen.nodes, wanted, default))
    return params


def _range_params(node: Node, span: Range, value: Any) -> dict[str, Any]:
    if not span.contains(value):
        raise _outside(node, value, str(span))
    if span.off is not None and value == span.off:
        return {node.name + SWITCH: False}
    number = {node.name: int(value) if span.integer else float(value)}
    return number if span.off is None else {node.name + SWITCH: True, **number}


def _outside(node: Node, value: Any, allowed: str) -> StudyFileError:
    return StudyFileError(
        f"found {shown(value)}, which the study does not search",
        where=node.name,
        hint=f"allowed: {allowed}",
    )


def baseline_value(node: Node) -> Value:
    """The value of a leaf in the baseline: off, else its default, else the nearest searched one."""
    value, leaf = node.value, node.leaf
    wanted: Any = leaf.default if leaf.off is None else leaf.off
    if isinstance(value, Choice):
        return value.nearest(wanted)
    if not isinstance(value, Range):
        return label(value)
    return value.nearest(wanted) if value.off is None else value.off


def size(nodes: Sequence[Node]) -> float:
    """How many configurations there are; infinite with a continuous range."""
    counts = [_count(node) for node in nodes]
    return math.inf if math.inf in counts else math.prod(counts)


def _count(node: Node) -> float:
    if isinstance(node.value, Range):
        return node.value.count()
    if isinstance(node.value, Choice):
        return sum(size(inner_nodes(option)) for option in node.value.options)
    return size(inner_nodes(node.value))


def inner_nodes(option: Value | Option) -> tuple[Node, ...]:
    """The leaves that an option brings."""
    return option.nodes if isinstance(option, Option) else ()


def check_listable(nodes: Sequence[Node]) -> None:
    """Raises StudyFileError for a range that has no list of values, or a very long one."""
    for node in walk(nodes):
        if isinstance(node.value, Range) and node.value.count() > GRID_LIMIT:
            raise StudyFileError(
                f"found {node.value}, which has too many values for a grid search",
                where=node.path or node.name,
                hint="write { low = …, high = …, step = … } or { choices = […] }",
            )
