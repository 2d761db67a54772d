"""Parameters of a user's functions: of a family of networks, read from the study file and completed
by the factory; of a loss, an optimizer or a schedule, as the study file has them.

Reading a file imports nothing, so that a study can be read anywhere; ``resolved`` imports.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from tuner.errors import StudyFileError, nearest
from tuner.imports import is_reference, parts
from tuner.models import FAMILIES
from tuner.models.factory import GIVEN as GIVEN_TO_FACTORIES
from tuner.models.factory import KINDS, Factory, factory, is_factory
from tuner.space import Choice, Leaf, Node, Option, Range, format_value, shown
from tuner.study.record import NetworkStudy


def with_factories(leaf: Leaf, table: Mapping[str, Any], others: Mapping[str, str]) -> Leaf:
    """The leaf ``family`` with the factories that a file names as further options.

    Args:
        table: ``[model]``.
        others: names that are leaves elsewhere in a study file, and where they stand.

    Raises:
        StudyFileError: a wrong reference or parameter.
    """
    families = list(_named(table.get(leaf.name)))
    known = [FAMILIES[name] for name, _ in families if isinstance(name, str) and name in FAMILIES]
    taken = {each.name for family in known for each in family.leaves}
    taken |= {name for name, home in others.items() if home == "[model]"}
    beside = {k: raw for k, raw in table.items() if k != leaf.name and k not in taken}
    options = dict(leaf.options or {})
    for name, own in families:
        if not is_factory(name):
            continue
        parts(name, "model.family", StudyFileError)
        for key in beside:
            _check_place(name, key, others)
        leaves = [_leaf(f"model.{k}", name, k, raw) for k, raw in beside.items() if k not in own]
        leaves += [_leaf(f"model.family.{name}.{k}", name, k, raw) for k, raw in own.items()]
        options[name] = tuple(leaves)
    return replace(leaf, options=options)


def with_functions(
    leaf: Leaf, table: Mapping[str, Any], given: Collection[str], common: tuple[Leaf, ...] = ()
) -> Leaf:
    """A leaf of names with the user's functions that a file names as further options.

    Args:
        table: ``[training]``.
        given: the arguments that tuner passes to such a function.
        common: the leaves that every option of the leaf has.

    Raises:
        StudyFileError: a wrong reference or parameter.
    """
    options = dict(leaf.options or {})
    shared = {each.name for each in common}
    for name, own in _named(table.get(leaf.name)):
        if is_reference(name):
            parts(name, f"training.{leaf.name}", StudyFileError)
            place = f"training.{leaf.name}.{name}"
            leaves = [
                _leaf(f"{place}.{k}", name, k, raw, given)
                for k, raw in own.items()
                if k not in shared
            ]
            options[name] = (*leaves, *common)
    return replace(leaf, options=options)


def _named(raw: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Each name that such a leaf has in a file, with the parameters in its table."""
    if isinstance(raw, Mapping) and isinstance(raw.get("choices"), list):
        for each in raw["choices"]:
            yield from _named(each)
    elif isinstance(raw, Mapping):
        yield raw.get("name"), {k: v for k, v in raw.items() if k not in ("name", "choices")}
    elif isinstance(raw, str):
        yield raw, {}


def _check_place(owner: str, key: str, others: Mapping[str, str]) -> None:
    if key in others:
        raise StudyFileError(
            f"is a parameter of {others[key]}, and cannot stand here",
            where=f"model.{key}",
            hint=f'for a parameter of the factory: family = {{ name = "{owner}", {key} = … }}',
        )


def _leaf(
    path: str, owner: str, key: str, raw: Any, given: Collection[str] = GIVEN_TO_FACTORIES
) -> Leaf:
    """A leaf of the kind of the values that a file gives it."""
    if key in given:
        raise StudyFileError(
            "is an argument that tuner passes to the function, not a parameter of the study",
            where=path,
        )
    values = [raw]
    if isinstance(raw, Mapping):
        ends = [raw[each] for each in ("low", "high") if each in raw]
        values = raw["choices"] if isinstance(raw.get("choices"), list) else ends or [0.0]
    kinds = {type(each) for each in values}
    kind = float if kinds == {int, float} else next(iter(kinds), str)
    if kind not in KINDS or (len(kinds) > 1 and kinds != {int, float}):
        hint = "allowed: numbers, strings, true and false; a range, or choices of one kind"
        raise StudyFileError(f"found {shown(raw)}", where=path, hint=hint)
    off = raw.get("off") if isinstance(raw, Mapping) else None
    if isinstance(off, bool) or not isinstance(off, int | float):
        off = None
    doc = f"parameter of {owner}"
    return Leaf(key, kind, values[0] if off is None else off, off=off, static=True, doc=doc)


def resolved(study: NetworkStudy) -> NetworkStudy:
    """The study with the defaults and the other parameters of its factories.

    Raises:
        StudyFileError: no such factory, it is not allowed here, or it has no such parameter.
    """
    nodes = tuple(
        replace(node, value=_resolved(node, study)) if node.name == "family" else node
        for node in study.nodes
    )
    return study if nodes == study.nodes else replace(study, nodes=nodes)


def _resolved(node: Node, study: NetworkStudy) -> Any:
    def completed(option: Any) -> Any:
        own = isinstance(option, Option) and is_factory(option.name)
        return _completed(option, factory(option.name, study.folder)) if own else option

    if isinstance(node.value, Choice):
        return Choice(tuple(completed(option) for option in node.value.options))
    return completed(node.value)


def _completed(option: Option, factory: Factory) -> Option:
    """The option with a leaf for every parameter of its factory."""
    nodes = [_with_default(node, factory) for node in option.nodes]
    names = {node.leaf.name for node in nodes}
    for name, parameter in factory.parameters.items():
        if name in names:
            continue
        if parameter.default is parameter.empty:
            hint = f"give it a value: [model] {name} = …"
            raise StudyFileError(f"the factory needs {name!r}", where=option.name, hint=hint)
        if type(parameter.default) in KINDS:
            doc = f"parameter of {option.name}"
            kind = type(parameter.default)
            leaf = Leaf(name, kind, parameter.default, static=True, doc=doc)
            nodes.append(Node(f"{option.name}.{name}", leaf, parameter.default))
    return Option(option.name, tuple(nodes))


def _with_default(node: Node, factory: Factory) -> Node:
    """A leaf with the default of the factory's parameter; StudyFileError where it does not fit."""
    name, where = node.leaf.name, node.path
    if name not in factory.parameters and not factory.open:
        hint = nearest(name, factory.parameters) if factory.parameters else "it takes no parameters"
        raise StudyFileError(f"{factory.name} has no such parameter", where=where, hint=hint)
    kind, value = factory.kind(name), node.value
    exact = kind is None or node.leaf.kind is kind
    if not exact and not (kind is float and node.leaf.kind is int and not isinstance(value, Range)):
        form = value if isinstance(value, Range | Choice) else format_value(value)
        raise StudyFileError(
            f"found {form}, but the parameter is of type {getattr(kind, '__name__', kind)}",
            where=where,
            hint="two whole numbers make a range of whole numbers: write 1.0 for others",
        )
    parameter = factory.parameters.get(name)
    if parameter is None or type(parameter.default) not in KINDS:
        return node
    return replace(node, leaf=replace(node.leaf, default=parameter.default))
