"""The JSON schema of ``[search]``, with tuner's networks and with an objective of one's own."""

from __future__ import annotations

from collections.abc import Mapping

from tuner.metrics import METRICS
from tuner.search.options import Option
from tuner.search.pruners import PRUNERS
from tuner.search.samplers import SAMPLERS
from tuner.study.catalogue import DATA_LEAVES, SECTIONS, model_leaves
from tuner.study.schema_parts import OWN_FAMILY, TYPES, Schema, scalar, table
from tuner.study.settings import DURATION


def of_objective(sections: list[str]) -> Schema:
    """An objective brings what the sections say, and knows its parameters only when it runs."""
    without: Schema = {"anyOf": [{"required": [name]} for name in sections]}
    names = {"enum": [name for name in SAMPLERS if name != "grid"]}
    sampler = {"anyOf": [names, {"type": ["object"], "properties": {"name": names}}]}
    queue: Schema = {"type": "array", "items": {"type": ["object"]}}
    wanted = {"properties": {"baseline": False, "duplicates": False, "enqueue": queue}}
    wanted["properties"]["sampler"] = sampler
    return {"required": ["direction"], "not": without, "properties": {"search": wanted}}


def of_metric() -> Schema:
    """What tuner knows by name: metrics, and leaves unless a family of somebody's own has more."""
    known = _configuration()
    wanted = {"properties": {"baseline": known, "enqueue": {"type": "array", "items": known}}}
    return {
        "properties": {"metric": {"enum": list(METRICS)}},
        "if": {"required": ["model"], "properties": {"model": OWN_FAMILY}},
        "else": {"properties": {"search": wanted}},
    }


def search() -> Schema:
    seconds: Schema = {"type": "number", "exclusiveMinimum": 0}
    words: Schema = {"type": "string", "pattern": f"^\\s*{DURATION.pattern}\\s*$"}
    duration: Schema = {"anyOf": [seconds, words]}
    samplers = {name: entry.options for name, entry in SAMPLERS.items()}
    pruners = {name: entry.options for name, entry in PRUNERS.items()}
    properties: dict[str, Schema] = {
        "trials": {"type": "integer", "minimum": 1, "default": 60, "description": "the budget"},
        "sampler": {**_chosen(samplers), "default": "tpe"},
        "pruner": {**_chosen(pruners), "default": "hyperband"},
        "seed": {"type": "integer", "minimum": 0, "default": 0},
        "timeout": {**duration, "description": 'of one run, such as "90s", "10m", "2h", "1d"'},
        "trial_timeout": {**duration, "description": "after which a trial is ended as pruned"},
        "duplicates": {"type": "boolean", "default": False, "description": "train the same again"},
        "baseline": {"type": ["object"], "description": "of trial 0, where not the default"},
        "enqueue": {"type": "array", "description": "to try next"},
    }
    return table(properties)


def _chosen(entries: Mapping[str, tuple[Option, ...]]) -> Schema:
    """A name, or a table with the name and its options."""
    tables = [
        table({"name": {"const": name}, **{o.name: _option(o) for o in own}}, ["name"])
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
    return table({name: scalar(leaf) for name, leaf in leaves.items()})
