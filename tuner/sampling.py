"""From the nodes of a study to one configuration and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tuner.errors import StudyFileError, TrainingError, nearest
from tuner.space import (
    Choice,
    Config,
    Node,
    Option,
    Range,
    Suggest,
    Value,
    format_value,
    label,
    same,
    shown,
    told_apart,
    walk,
)

SWITCH = ".on"
"""A switch is two parameters in the database: ``NAME.on`` and, where it is on, ``NAME``."""
GRID_LIMIT = 10_000
"""The most values of one parameter that a grid may have."""


def sample(nodes: Sequence[Node], suggest: Suggest) -> Config:
    """Asks for every searched leaf, in order, and gives the value of every leaf.

    A leaf of an option that is not chosen is neither asked for nor in the result.
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
    """Answers from parameters that are known, as a trial has them, if the study searches them.

    Attributes:
        asked: what was asked for, with the type and the spelling that the study gives it.
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
        raise _foreign(name, recorded, ", ".join(told_apart(choices)))

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
    """Asks somebody else for the parameters of which nothing is known.

    Args:
        known: parameters by name.
        suggest: is asked for all others, and told of those too.

    Raises (also when it asks):
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
    """Known parameters, where a value of a switch says whether it is on."""
    found = dict(known)
    for node in walk(nodes):
        if _is_switch(node) and node.name in known and node.name + SWITCH not in known:
            off = same(node.value.off, known[node.name])  # type: ignore[union-attr]
            found[node.name + SWITCH] = not off
            if off:
                del found[node.name]
    return found


def _is_switch(node: Node) -> bool:
    return isinstance(node.value, Range) and node.value.off is not None


def config_of(
    nodes: Sequence[Node], params: Mapping[str, Any], recorded: Recorded | None = None
) -> Config:
    """The configuration that a trial's parameters stand for.

    Args:
        recorded: what answers, and knows afterwards what was asked.

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
                raise _outside(node, value, ", ".join(told_apart(node.value.labels)))
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
    """What a leaf is in the baseline: off, else its default, else the nearest searched value."""
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
        return sum(size(_within(option)) for option in node.value.options)
    return size(_within(node.value))


def _within(option: Value | Option) -> tuple[Node, ...]:
    """The leaves that an option brings."""
    return option.nodes if isinstance(option, Option) else ()


def params_at(nodes: Sequence[Node], place: int) -> dict[str, Any]:
    """The parameters of one configuration of a finite space, by its place below ``size(nodes)``.

    Each configuration has one place: what is off, or belongs to an option that is not chosen,
    makes no difference between two.
    """
    params: dict[str, Any] = {}
    for node in nodes:
        place, mine = divmod(place, int(_count(node)))
        params.update(_params_at(node, mine))
    return params


def _params_at(node: Node, place: int) -> dict[str, Any]:
    value = node.value
    if isinstance(value, Range):
        if value.off is None:
            return {node.name: value.number(place)}
        on = {node.name: value.number(place - 1)} if place else {}
        return {node.name + SWITCH: bool(place), **on}
    if not isinstance(value, Choice):
        return params_at(_within(value), place)
    for option in value.options:
        inner = _within(option)
        if place < size(inner):
            return {node.name: label(option), **params_at(inner, place)}
        place -= int(size(inner))
    raise AssertionError("a place beyond the last option")


def place_of(nodes: Sequence[Node], params: Mapping[str, Any]) -> int:
    """The place of a configuration by its parameters, which ``config_of`` accepts."""
    place = 0
    for node in reversed(nodes):
        place = place * int(_count(node)) + _place(node, params)
    return place


def _place(node: Node, params: Mapping[str, Any]) -> int:
    value = node.value
    if isinstance(value, Range):
        if value.off is None:
            return value.place(params[node.name])
        return 1 + value.place(params[node.name]) if params[node.name + SWITCH] else 0
    if not isinstance(value, Choice):
        return place_of(_within(value), params)
    before = 0
    for option in value.options:
        if same(label(option), params[node.name]):
            return before + place_of(_within(option), params)
        before += int(size(_within(option)))
    raise AssertionError("an option that the choice does not have")


def narrowed(nodes: Sequence[Node], known: Mapping[str, Any]) -> tuple[Node, ...]:
    """The space that is left where some parameters are known, as ``Prescribed`` accepts them."""
    return tuple(replace(node, value=_narrowed(node, known)) for node in nodes)


def _narrowed(node: Node, known: Mapping[str, Any]) -> Value | Range | Choice | Option:
    value = node.value
    if isinstance(value, Range):
        switch = known.get(node.name + SWITCH)
        if value.off is not None and switch is False:
            return value.off
        off = None if switch is True else value.off
        if not value.contains(known.get(node.name)):
            return replace(value, off=off)
        number = value.number(value.place(known[node.name])) if value.step else known[node.name]
        return Range(number, number, off=off)
    if isinstance(value, Choice):
        if any(same(name, known.get(node.name)) for name in value.labels):
            return _inner(value.option(known[node.name]), known)
        return Choice(tuple(_inner(option, known) for option in value.options))
    return _inner(value, known)


def _inner(option: Value | Option, known: Mapping[str, Any]) -> Value | Option:
    if not isinstance(option, Option):
        return option
    return Option(option.name, narrowed(option.nodes, known))


def check_listable(nodes: Sequence[Node]) -> None:
    """Raises StudyFileError for a range that has no list of values, or a very long one."""
    for node in walk(nodes):
        if isinstance(node.value, Range) and node.value.count() > GRID_LIMIT:
            raise StudyFileError(
                f"found {node.value}, which is too many values for a grid search",
                where=node.path or node.name,
                hint="write { low = …, high = …, step = … } or { choices = […] }",
            )
