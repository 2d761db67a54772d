"""Parses a study file into a Study; each error names the dotted path of the mistake."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from tuner.errors import StudyFileError
from tuner.imports import is_reference, parts
from tuner.metrics import lookup as lookup_metric
from tuner.models import FAMILIES
from tuner.models.factory import is_factory
from tuner.search.options import resolve, split
from tuner.search.samplers import build_sampler
from tuner.space import (
    Choice,
    Leaf,
    Node,
    Option,
    Range,
    Value,
    baseline_value,
    check_keys,
    label,
    matches,
    same,
    shown,
    walk,
)
from tuner.study.catalogue import (
    DATA,
    DATA_LEAVES,
    FAMILY,
    FUNCTIONS,
    LEARNING_RATE,
    OPTIMIZER,
    SEARCH,
    SECTIONS,
    STANDARD,
    STANDARD_OF_TEXT,
    TEXT_FAMILY,
    TOP,
    model_leaves,
)
from tuner.study.factories import with_factories, with_functions
from tuner.study.objective import check_direction, read_objective
from tuner.study.record import NetworkStudy, Study
from tuner.study.settings import read_data, read_search

# From a document to a study, section by section.


def parse(name: str, document: Mapping[str, Any], folder: Path = Path()) -> Study:
    """A study from the document of its file.

    Args:
        name: the study's name in the database.
        document: values as TOML or JSON gives them; leaves may be ``Range`` and ``Choice``.
        folder: where relative paths of the data are looked for first.

    Raises:
        StudyFileError, DataError: with the dotted path, what was found and what is allowed.
    """
    check_name(name)
    document = Leaf("document", dict, {}).read(plain(document), where="")
    _check_places("", document, TOP)
    for key, value in document.items():
        TOP[key].read(value, key)
    own = "objective" in document
    read = _objective_study if own else _network_study
    study = read(name, document, folder)
    _check_search(study)
    return study


def _objective_study(name: str, document: Mapping[str, Any], folder: Path) -> Study:
    _check_places("search", document.get("search", {}), SEARCH)
    return read_objective(name, document, folder)


def _network_study(name: str, document: Mapping[str, Any], folder: Path) -> NetworkStudy:
    """A study of tuner's networks."""
    metric, options = read_metric(document)
    if "data" not in document:
        raise StudyFileError(
            "the study has no data section",
            where="data",
            hint='[data] source = "sklearn.datasets:load_digits", or path and target',
        )
    _check_places("data", document["data"], DATA)
    _check_places("search", document.get("search", {}), SEARCH)
    nodes = read_nodes(document)
    return NetworkStudy(
        name=name,
        description=document.get("description", ""),
        metric=metric,
        metric_options=options,
        direction=document.get("direction"),
        data=read_data(_fixed(document["data"], nodes)),
        nodes=nodes,
        search=read_search(document.get("search", {}), nodes),
        document=document,
        folder=folder,
    )


def read_metric(document: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """The metric's name and options; a function of the user's comes with a direction."""
    entry = document.get("metric")
    name, options = (None, {}) if entry is None else split(entry, "metric")
    if is_reference(name):
        assert name is not None
        parts(name, "metric", StudyFileError)
        check_direction(document, "metric")
        for key, value in options.items():
            if isinstance(value, list | dict):
                what = f"found {shown(value)}, which is not an option: a number, text, true, false"
                raise StudyFileError(what, where=f"metric.{key}")
        return name, options
    if "direction" in document:
        hint = 'remove it; it belongs to metric or objective = "package.module:function"'
        raise StudyFileError("the metric has a fixed direction", where="direction", hint=hint)
    if name is not None:
        options = resolve(name, lookup_metric(name).leaves, options, "metric")
    return name, options


def _check_search(study: Study) -> None:
    """Raises StudyFileError for options that do not fit each other or the epochs."""
    (sampler, options), (_, others) = study.search.sampler, study.search.pruner
    if options:
        build_sampler(sampler, options, seed=0, number=0)
    if others:
        study.pruner()


def read_nodes(document: Mapping[str, Any]) -> tuple[Node, ...]:
    """Every leaf of the sections that describe a trial."""
    text = "text" in document.get("data", {})
    data = document.get("data", {})
    if not any(document.get(section) for section in SECTIONS):
        document = _standard(STANDARD_OF_TEXT if text else STANDARD)
    usual = {"family": TEXT_FAMILY} if text else {}
    family = with_factories(FAMILY, document.get("model", {}), _homes())
    nodes: list[Node] = []
    for section, leaves in SECTIONS.items():
        table = dict(document.get(section, {}))
        known = [leaf.name for leaf in leaves]
        beside = {k: v for k, v in table.items() if k not in known} if section == "model" else {}
        if section == "model":
            own = [name for name in (family.options or {}) if is_factory(name)]
            known += [*model_leaves(), *(beside if own else ())]
            leaves = tuple(family if leaf is FAMILY else leaf for leaf in leaves)
        if section == "training":
            leaves = tuple(_with_functions(leaf, table) for leaf in leaves)
        _check_places(section, table, known)
        for leaf in leaves:
            raw = table.get(leaf.name, usual.get(leaf.name, leaf.default))
            path = f"{section}.{leaf.name}"
            nodes.append(Node(leaf.name, leaf, read_value(path, leaf, raw, beside), path))
        _check_used(beside, nodes)
    for leaf in DATA_LEAVES:
        raw, path = data.get(leaf.name, leaf.default), f"data.{leaf.name}"
        nodes.append(Node(leaf.name, leaf, read_value(path, leaf, raw), path))
    return tuple(nodes)


def _with_functions(leaf: Leaf, table: Mapping[str, Any]) -> Leaf:
    """A leaf of ``[training]``, with the user's functions that the table names."""
    if leaf.name not in FUNCTIONS:
        return leaf
    common = (LEARNING_RATE,) if leaf is OPTIMIZER else ()
    return with_functions(leaf, table, FUNCTIONS[leaf.name], common)


def _fixed(data: Mapping[str, Any], nodes: tuple[Node, ...]) -> dict[str, Any]:
    """``[data]`` with the baseline's value at every leaf."""
    names = [leaf.name for leaf in DATA_LEAVES if leaf.name in data]
    return {**data, **{n.name: baseline_value(n) for n in nodes if n.name in names}}


def _check_places(section: str, table: Mapping[str, Any], known: Collection[str]) -> None:
    """Raises StudyFileError for an unknown key; the hint names the section that has it, if any."""
    unknown = [key for key in table if key not in known]
    if not unknown:
        return
    homes = dict.fromkeys(model_leaves(), "in [model]")
    homes |= {name: f"in {place}" for name, place in _homes().items()}
    homes |= dict.fromkeys(SEARCH, "in [search]") | dict.fromkeys(DATA, "in [data]")
    homes["epochs"] = "in [training] and [search]"  # those of a trial, and a budget for all
    homes |= dict.fromkeys(
        (name for name, leaf in TOP.items() if leaf.kind is not dict),
        "at the top, before any [section]",
    )
    if unknown[0] in homes:
        where = f"{section}.{unknown[0]}" if section else unknown[0]
        raise StudyFileError("unknown key", where=where, hint=f"it stands {homes[unknown[0]]}")
    check_keys(section, table, known)


def _homes() -> dict[str, str]:
    """Every leaf that is not of one family, and its section."""
    return {leaf.name: f"[{name}]" for name, leaves in SECTIONS.items() for leaf in leaves}


def _check_used(beside: Mapping[str, Any], nodes: list[Node]) -> None:
    names = {node.name for node in walk(nodes)}
    for key in beside:
        if key not in names:
            owners = [f.name for f in FAMILIES.values() if key in (x.name for x in f.leaves)]
            raise StudyFileError(
                "no family of this study has this parameter, or each has its own in its table",
                where=f"model.{key}",
                hint=f"{key} belongs to {', '.join(owners)}",
            )


def _standard(space: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """A standard space as the document of a study file."""
    known = model_leaves()
    document: dict[str, dict[str, Any]] = {}
    for section, names in space.items():
        leaves = known if section == "model" else {leaf.name: leaf for leaf in SECTIONS[section]}
        document[section] = {name: suggested(leaves[name]) for name in names}
    return document


def suggested(leaf: Leaf) -> Any:
    """The suggested range or choice of a leaf, as in a study file."""
    if leaf.search is None:
        return leaf.default
    return plain(leaf.search if isinstance(leaf.search, Range) else Choice(leaf.search))


# The document of a study file as plain JSON values, from one that may hold ranges and choices.


DEPTH = 32
UNFIT = ("Cc", "Cs", "Zl", "Zp")
"""Categories of characters that no study's name holds: control, halves of one, breaks."""
LARGEST = 2**53
"""Whole numbers beyond it are not the same as a float, which is how a database keeps them."""


def check_name(name: str) -> None:
    """Raises StudyFileError for a study's name that is not one line of text."""
    if not name.strip():
        what = f"found {shown(name)}, which holds no letter"
        raise StudyFileError(what, where="the study's name", hint="give it one")
    if any(unicodedata.category(letter) in UNFIT for letter in name):
        what = f"found {shown(name)}, which holds a line break or a control character"
        raise StudyFileError(what, where="the study's name", hint="rename it")


def plain(value: Any, path: str = "", depth: int = 0) -> Any:
    """A copy in which everything is a dict, a list, a string, a finite number or a boolean.

    Args:
        value: values as TOML or JSON gives them; a ``Range``, ``Choice`` or ``Option`` becomes the
            table that a study file would have, a tuple a list.
        path: its dotted path, for messages.

    Raises:
        StudyFileError: something else, such as a date, ``nan`` or an integer beyond 2**53.
    """
    if depth > DEPTH:
        raise StudyFileError("tables or lists are nested too deeply", where=path)
    value = _table(value)
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise StudyFileError(f"found {shown(key)} as a key, not a string", where=path)
        return {k: plain(v, f"{path}.{k}" if path else k, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each, f"{path}[{i}]", depth + 1) for i, each in enumerate(value)]
    _check_scalar(value, path)
    return value


def _table(value: Any) -> Any:
    """The table of a study file that an object stands for; anything else as it is."""
    if isinstance(value, Range):
        table = {f.name: getattr(value, f.name) for f in fields(Range)}
        return {key: each for key, each in table.items() if each is not None and each is not False}
    if isinstance(value, Choice):
        return {"choices": value.options}
    if isinstance(value, Option):
        own = {node.name.removeprefix(f"{value.name}."): node.value for node in value.nodes}
        return {"name": value.name, **own}
    return value


def _check_scalar(value: Any, path: str) -> None:
    if not isinstance(value, str | bool | int | float):
        raise StudyFileError(
            f"found {shown(value)}, which a study cannot hold",
            where=path,
            hint="allowed: a string, a number, true or false, a list, a table",
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise StudyFileError(f"found {value}, which is not a finite number", where=path)
    if isinstance(value, int) and abs(value) > LARGEST:
        raise StudyFileError(
            f"found a whole number of {value.bit_length()} bits, which is too large",
            where=path,
            hint=f"allowed: up to {LARGEST}",
        )
    if isinstance(value, str) and not _encodable(value):
        raise StudyFileError(f"found {shown(value)}, which is not Unicode text", where=path)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# Reading one parameter of a study file: a value, a range, a switch, a choice, or a named option.


RANGE_KEYS = tuple(f.name for f in fields(Range))
MOST_STEPS = 1_000_000


def read_value(
    path: str, leaf: Leaf, raw: Any, beside: Mapping[str, Any] | None = None
) -> Value | Range | Choice | Option:
    """The value of a leaf, or its range or choice.

    Args:
        path: its dotted path, for messages.
        leaf: the key of the study file.
        raw: its value in the file.
        beside: for a network's family, the keys beside it, whose values its leaves may take.

    Raises:
        StudyFileError: a wrong type, an unknown key or name, wrong bounds.
    """
    if isinstance(raw, Mapping) and "choices" in raw:
        return _read_choice(path, leaf, raw, beside or {})
    if isinstance(raw, Mapping) and leaf.options is None and leaf.kind is not bool:
        return _read_range(path, leaf, raw)
    return _read_single(path, leaf, raw, beside or {})


def _read_single(path: str, leaf: Leaf, raw: Any, beside: Mapping[str, Any]) -> Value | Option:
    if leaf.options is None:
        return leaf.read(raw, path)  # type: ignore[no-any-return]
    table = dict(raw) if isinstance(raw, Mapping) else {"name": raw}
    if "name" not in table:
        hint = f"allowed: {{ name = … }}, with {leaf.allowed()}"
        raise StudyFileError(f"found {shown(raw)}, which has no name", where=path, hint=hint)
    name = leaf.read(table.pop("name"), path)
    own = leaf.options[name]
    inner = f"{path}.{name}"
    check_keys(inner, table, [each.name for each in own])
    nodes = [_option_node(inner, name, each, table, beside) for each in own]
    return Option(name, tuple(node for node in nodes if node is not None))


def _option_node(
    path: str, owner: str, leaf: Leaf, table: Mapping[str, Any], beside: Mapping[str, Any]
) -> Node | None:
    """A leaf of an option: nested ones carry their owner's name."""
    if leaf.name in beside and leaf.name not in table:
        where = f"model.{leaf.name}"
        return Node(leaf.name, leaf, read_value(where, leaf, beside[leaf.name]), where)
    if leaf.name == "learning_rate" and leaf.name not in table:
        return None  # an optimizer has the common one unless its table names its own
    where = f"{path}.{leaf.name}"
    value = read_value(where, leaf, table.get(leaf.name, leaf.default))
    return Node(f"{owner}.{leaf.name}", leaf, value, where)


def _read_choice(
    path: str, leaf: Leaf, raw: Mapping[str, Any], beside: Mapping[str, Any]
) -> Choice:
    check_keys(path, raw, ["choices"])
    listed = raw["choices"]
    if not isinstance(listed, Sequence) or isinstance(listed, str):
        raise StudyFileError(f"found {shown(listed)}, which is not a list", where=f"{path}.choices")
    if not listed:
        raise StudyFileError(
            "found [], which leaves nothing to choose",
            where=f"{path}.choices",
            hint=f"allowed: {leaf.allowed()}",
        )
    options = tuple(
        _read_single(f"{path}.choices[{i}]", leaf, each, beside) for i, each in enumerate(listed)
    )
    names = [label(option) for option in options]
    twice = next((n for i, n in enumerate(names) if any(same(n, m) for m in names[:i])), None)
    if twice is not None:
        raise StudyFileError(f"found {shown(twice)} twice", where=f"{path}.choices")
    return Choice(options)


def _read_range(path: str, leaf: Leaf, raw: Mapping[str, Any]) -> Range:
    check_keys(path, raw, (*RANGE_KEYS, "choices"))
    for key in ("low", "high"):
        if key not in raw:
            what = f"found {shown(raw)}, a range without {key}"
            raise StudyFileError(what, where=path, hint="write { low = …, high = … }")
    low, high = (leaf.read(raw[key], f"{path}.{key}") for key in ("low", "high"))
    if low > high:
        raise StudyFileError(f"low = {low!r} is above high = {high!r}", where=path)
    log, step = _log(path, raw, low), _step(path, leaf, raw, low, high)
    if log and step is not None:
        raise StudyFileError("log and step exclude each other", where=path)
    # Optuna warns of a high that the steps do not meet, at every trial.
    high = high if step is None else Range(low, high, step=step).nearest(high)
    return Range(low, high, log, step, _off(path, leaf, raw, low, high))


def _log(path: str, raw: Mapping[str, Any], low: float) -> bool:
    log = raw.get("log", False)
    if not isinstance(log, bool):
        what = f"found {shown(log)}, which is not true or false"
        raise StudyFileError(what, where=f"{path}.log")
    if log and low <= 0:
        raise StudyFileError(
            f"found low = {low!r}, but a log range is above 0",
            where=path,
            hint="use a small positive low; 'off = 0.0' adds the value 0",
        )
    return log


def _step(path: str, leaf: Leaf, raw: Mapping[str, Any], low: float, high: float) -> float | None:
    if "step" not in raw:
        return None
    step, where = raw["step"], f"{path}.step"
    if not matches(leaf.kind, step) or step <= 0:
        word = "whole number" if leaf.kind is int else "number"
        raise StudyFileError(f"found {shown(step)}, which is not a {word} above 0", where=where)
    if step > high - low:
        what = f"found {step!r}, which is more than from {low!r} to {high!r}"
        raise StudyFileError(what, where=where)
    if (high - low) / step > MOST_STEPS:
        what = f"found {step!r}, which makes more than {MOST_STEPS} values"
        raise StudyFileError(what, where=where, hint="remove step")
    return leaf.kind(step)  # type: ignore[no-any-return]


def _off(path: str, leaf: Leaf, raw: Mapping[str, Any], low: float, high: float) -> Value | None:
    if "off" not in raw:
        return None
    off = raw["off"]
    if leaf.off is None:
        what = f"found {shown(off)}, but {leaf.name} cannot be switched off"
        raise StudyFileError(what, where=f"{path}.off")
    if not matches(leaf.kind, off) or off != leaf.off:
        what = f"found {shown(off)}, but {leaf.name} is off at {leaf.off!r}"
        raise StudyFileError(what, where=f"{path}.off")
    if low <= off <= high:
        raise StudyFileError(
            f"off = {off!r} lies within {low!r} to {high!r}",
            where=path,
            hint="start the range above it, or remove off",
        )
    return leaf.kind(off)  # type: ignore[no-any-return]
