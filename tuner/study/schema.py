"""The JSON schema of a study file, made from the catalogue: editors complete and check with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuner.metrics import METRICS
from tuner.search.options import Option
from tuner.search.pruners import PRUNERS
from tuner.search.samplers import SAMPLERS
from tuner.space import Leaf
from tuner.study.catalogue import DATA_LEAVES, SECTIONS, model_leaves
from tuner.study.data_schema import DATA_RULES, data_keys
from tuner.study.parse import suggested
from tuner.study.settings import DURATION

Schema = dict[str, Any]
DRAFT = "https://json-schema.org/draft/2020-12/schema"
TYPES: Mapping[type, str] = {int: "integer", float: "number", bool: "boolean", str: "string"}


def schema() -> Schema:
    """A schema, draft 2020-12, for what a study file says as JSON values.

    It cannot say that low is at most high, nor that a metric fits the data; ``tuner check`` can.
    """
    sections = {name: _section(name, leaves) for name, leaves in SECTIONS.items()}
    metric = {
        "enum": list(METRICS),
        "description": "what is searched for; by default accuracy, or rmse for regression",
    }
    about = {"type": "string", "description": "one line for people"}
    data = {**data_keys(), **{leaf.name: leaf_schema(leaf) for leaf in DATA_LEAVES}}
    properties: dict[str, Schema] = {
        "description": about,
        "metric": metric,
        "data": {**_table(data), **DATA_RULES},
    }
    return {
        "$schema": DRAFT,
        "title": "tuner study",
        "description": "a trial's configuration in which any leaf may be a range or a choice",
        **_table({**properties, **sections, "search": _search()}, required=["data"]),
        "$defs": {leaf.name: {"anyOf": _options(leaf)} for leaf in _with_options()},
    }


def _table(properties: Mapping[str, Schema], required: list[str] | None = None) -> Schema:
    found: Schema = {"type": "object", "properties": dict(properties)}
    if required:
        found["required"] = required
    return {**found, "additionalProperties": False}


def _section(name: str, leaves: tuple[Leaf, ...]) -> Schema:
    found = model_leaves() if name == "model" else {}
    found |= {leaf.name: leaf for leaf in leaves}
    return _table({key: leaf_schema(each) for key, each in found.items()})


def leaf_schema(leaf: Leaf) -> Schema:
    """What may stand at a leaf: a value, a range, a switch, a choice, an option with its leaves."""
    forms = [scalar(leaf)]
    if leaf.options is not None:
        forms.append({"$ref": f"#/$defs/{leaf.name}"})
    each = {"anyOf": list(forms)} if leaf.options else scalar(leaf)
    if leaf.kind in (int, float):
        forms.append(_range(leaf))
    listed = {"type": "array", "items": each, "minItems": 1, "uniqueItems": True}
    forms.append(_table({"choices": listed}, required=["choices"]))
    examples = [] if leaf.search is None else [suggested(leaf)]
    return {**_about(leaf), "default": leaf.default, "examples": examples, "anyOf": forms}


def _about(leaf: Leaf) -> Schema:
    unit = f" ({leaf.unit})" if leaf.unit not in ("", "none", "name") else ""
    source = f"; {leaf.source}" if leaf.source else ""
    return {"description": f"{leaf.doc}{unit}{source}"}


def scalar(leaf: Leaf) -> Schema:
    """One value of a leaf."""
    if leaf.options is not None:
        return {"enum": list(leaf.options)}
    found: Schema = {"type": TYPES[leaf.kind]}
    low, high = ("exclusiveM" if leaf.exclusive else "m") + "inimum", "maximum"
    high = "exclusiveMaximum" if leaf.exclusive else high
    if leaf.minimum is not None:
        found[low] = leaf.minimum
    if leaf.maximum is not None:
        found[high] = leaf.maximum
    return found


def _with_options() -> list[Leaf]:
    """The leaves whose values are names that bring leaves; one name is one leaf."""
    leaves = [
        *model_leaves().values(),
        *(x for own in SECTIONS.values() for x in own),
        *DATA_LEAVES,
    ]
    return [leaf for leaf in leaves if leaf.options is not None]


def _options(leaf: Leaf) -> list[Schema]:
    """The tables of an option: its name and leaves of its own."""
    return [
        _table({"name": {"const": name}, **{x.name: leaf_schema(x) for x in own}}, ["name"])
        for name, own in (leaf.options or {}).items()
    ]


def _range(leaf: Leaf) -> Schema:
    bound = scalar(leaf)
    properties: dict[str, Schema] = {
        "low": {**bound, "description": "the lowest value, included"},
        "high": {**bound, "description": "the highest value, included"},
        "log": {"type": "boolean", "default": False, "description": "uniform in the logarithm"},
        "step": {
            "type": TYPES[leaf.kind],
            "exclusiveMinimum": 0,
            "description": "distance between values",
        },
    }
    if leaf.off is not None:
        properties["off"] = {"const": leaf.off, "description": "a switch: off, or in the range"}
    logarithmic = {"properties": {"log": {"const": True}}, "required": ["log"]}
    return {
        **_table(properties, required=["low", "high"]),
        "if": logarithmic,
        "then": {"properties": {"low": {"exclusiveMinimum": 0}}, "not": {"required": ["step"]}},
    }


def _search() -> Schema:
    seconds: Schema = {"type": "number", "exclusiveMinimum": 0}
    words: Schema = {"type": "string", "pattern": f"^\\s*{DURATION.pattern}\\s*$"}
    duration: Schema = {"anyOf": [seconds, words]}
    samplers = {name: entry.options for name, entry in SAMPLERS.items()}
    pruners = {name: entry.options for name, entry in PRUNERS.items()}
    configuration = _configuration()
    properties: dict[str, Schema] = {
        "trials": {"type": "integer", "minimum": 1, "default": 60, "description": "the budget"},
        "sampler": {**_chosen(samplers), "default": "tpe"},
        "pruner": {**_chosen(pruners), "default": "hyperband"},
        "seed": {"type": "integer", "minimum": 0, "default": 0},
        "timeout": {**duration, "description": 'of one run, such as "90s", "10m", "2h", "1d"'},
        "trial_timeout": {**duration, "description": "after which a trial is ended as pruned"},
        "duplicates": {"type": "boolean", "default": False, "description": "train the same again"},
        "baseline": {**configuration, "description": "of trial 0, where not the default"},
        "enqueue": {"type": "array", "items": configuration, "description": "to try next"},
    }
    return _table(properties)


def _chosen(entries: Mapping[str, tuple[Option, ...]]) -> Schema:
    """A name, or a table with the name and its options."""
    tables = [
        _table({"name": {"const": name}, **{o.name: _option(o) for o in own}}, ["name"])
        for name, own in entries.items()
    ]
    return {"anyOf": [{"enum": list(entries)}, *tables]}


def _option(option: Option) -> Schema:
    found: Schema = {"description": option.doc}
    if option.default is not None:
        found["default"] = option.default
    if option.kind is dict:
        return {**found, "type": ["string", "object"]}
    found["type"] = TYPES[option.kind]
    bounds = {"minimum": option.low, "maximum": option.high, "enum": list(option.choices) or None}
    return {**found, **{key: bound for key, bound in bounds.items() if bound is not None}}


def _configuration() -> Schema:
    """Values by leaf name; a nested leaf carries its option's name."""
    leaves = dict(model_leaves())
    for section in (*SECTIONS.values(), DATA_LEAVES):
        for leaf in section:
            leaves[leaf.name] = leaf
            for name, own in (leaf.options or {}).items():
                leaves |= {f"{name}.{each.name}": each for each in own}
    return _table({name: scalar(leaf) for name, leaf in leaves.items()})
