"""From the nodes of a study to one configuration and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tuner.errors import StudyFileError, TrainingError
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
    """Answers from parameters that are known, as a finished trial has them."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.params = params

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        return float(self._recorded(name))

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        return int(self._recorded(name))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self._recorded(name)

    def _recorded(self, name: str) -> Any:
        if name not in self.params:
            raise TrainingError(
                "the trial has no such parameter",
                where=name,
                hint="it was not made by this study, or the study has changed since",
            )
        return self.params[name]


def config_of(nodes: Sequence[Node], params: Mapping[str, Any]) -> Config:
    """The configuration that a trial's parameters stand for.

    Raises:
        TrainingError: a parameter that the study needs is missing.
        StudyFileError: a choice that the study does not have.
    """
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
        value = wanted[node.name] if node.name in wanted else default(node)
        chosen: Any = node.value
        if isinstance(node.value, Range):
            params.update(_range_params(node, node.value, value))
        elif isinstance(node.value, Choice):
            if not any(same(name, value) for name in node.value.labels):
                raise _outside(node, value, ", ".join(map(format_value, node.value.labels)))
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
        StudyFileError: a continuous range, which has no list of values, or a very long one.
    """
    values: dict[str, list[Any]] = {}
    for node in walk(nodes):
        if isinstance(node.value, Choice):
            values[node.name] = list(node.value.labels)
        elif isinstance(node.value, Range):
            _check_listable(node, node.value)
            if node.value.off is not None:
                values[node.name + SWITCH] = [False, True]
            values[node.name] = node.value.grid()
    return values


def _check_listable(node: Node, span: Range) -> None:
    if span.count() > GRID_LIMIT:
        raise StudyFileError(
            f"found {span}, which is too many values for a grid search",
            where=node.path or node.name,
            hint="write { low = …, high = …, step = … } or { choices = […] }",
        )
