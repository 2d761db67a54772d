"""From the nodes of a study to one configuration and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tuner.errors import StudyFileError
from tuner.space import Choice, Config, Node, Option, Range, Suggest, Value, label, same

SWITCH = ".on"
"""A switch is two parameters in the database: ``NAME.on`` and, where it is on, ``NAME``."""


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
    """Answers from parameters that are known, as a finished trial has them."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.params = params

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        return float(self.params[name])

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        return int(self.params[name])

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self.params[name]


def config_of(nodes: Sequence[Node], params: Mapping[str, Any]) -> Config:
    """The configuration that a trial's parameters stand for."""
    return sample(nodes, Recorded(params))


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
        value = wanted.get(node.name, None)
        value = default(node) if value is None else value
        chosen: Any = node.value
        if isinstance(node.value, Range):
            params.update(_range_params(node, node.value, value))
        elif isinstance(node.value, Choice):
            if not any(same(name, value) for name in node.value.labels):
                raise _outside(node, value, ", ".join(map(str, node.value.labels)))
            params[node.name] = value
            chosen = node.value.option(value)
        elif not same(label(node.value), value):
            raise _outside(node, value, f"it is fixed at {label(node.value)!r}")
        if isinstance(chosen, Option):
            params.update(params_of(chosen.nodes, wanted, default))
    return params


def _range_params(node: Node, span: Range, value: Any) -> dict[str, Any]:
    if not span.contains(value):
        raise _outside(node, value, str(span))
    if span.off is None:
        return {node.name: value}
    if value == span.off:
        return {node.name + SWITCH: False}
    return {node.name + SWITCH: True, node.name: value}


def _outside(node: Node, value: Any, allowed: str) -> StudyFileError:
    return StudyFileError(
        f"{value!r} is not among what the study searches", where=node.name, hint=f"is: {allowed}"
    )


def baseline_value(node: Node) -> Value:
    """What a leaf is in the baseline: off, else its default, else the nearest searched value."""
    value, leaf = node.value, node.leaf
    wanted: Any = leaf.default if leaf.off is None else leaf.off
    if isinstance(value, Choice):
        return value.labels[0] if not any(same(wanted, n) for n in value.labels) else label(wanted)
    if not isinstance(value, Range):
        return label(value)
    if value.off is not None or value.contains(wanted):
        return label(wanted if value.off is None else value.off)
    nearest = float(min(max(wanted, value.low), value.high))
    return round(nearest) if value.integer else nearest


def size(nodes: Sequence[Node]) -> float:
    """How many configurations there are; infinite with a continuous range."""
    total = 1.0
    for node in nodes:
        if isinstance(node.value, Range):
            total *= node.value.count()
        elif isinstance(node.value, Choice):
            total *= sum(size(o.nodes) if isinstance(o, Option) else 1 for o in node.value.options)
        elif isinstance(node.value, Option):
            total *= size(node.value.nodes)
    return total


def grid(nodes: Sequence[Node]) -> dict[str, list[Any]]:
    """The values of every parameter, for a grid search.

    Raises:
        StudyFileError: a continuous range, which has no list of values.
    """
    from tuner.space import walk

    values: dict[str, list[Any]] = {}
    for node in walk(nodes):
        if isinstance(node.value, Choice):
            values[node.name] = list(node.value.labels)
        elif isinstance(node.value, Range):
            if math.isinf(node.value.count()):
                raise StudyFileError(
                    "a grid search needs a step or choices here",
                    where=node.name,
                    hint="write { low = …, high = …, step = … } or { choices = […] }",
                )
            if node.value.off is not None:
                values[node.name + SWITCH] = [False, True]
            values[node.name] = list(node.value.grid())
    return values
