"""The JSON schema of a study file, made from the catalogue: editors complete and check with it."""

from __future__ import annotations

from tuner.metrics import METRICS
from tuner.space import Leaf
from tuner.study.catalogue import DATA_LEAVES, FAMILY, SECTIONS, model_leaves
from tuner.study.data_schema import DATA_RULES, data_keys
from tuner.study.objective import DIRECTIONS
from tuner.study.parse import suggested
from tuner.study.schema_parts import (
    NAMED,
    OWN_FAMILY,
    TYPES,
    Schema,
    own_leaf,
    scalar,
    table,
)
from tuner.study.search_schema import of_metric, of_objective, search

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> Schema:
    """A schema, draft 2020-12, for what a study file says as JSON values.

    It cannot say that low is at most high, nor that a metric fits the data; ``tuner check`` can.
    """
    sections = {name: _section(name, leaves) for name, leaves in SECTIONS.items()}
    metric = {
        "type": "string",
        "examples": list(METRICS),
        "description": "what is searched for; by default accuracy, or rmse for regression",
    }
    about = {"type": "string", "description": "one line for people"}
    data = {**data_keys(), **{leaf.name: leaf_schema(leaf) for leaf in DATA_LEAVES}}
    properties: dict[str, Schema] = {
        "description": about,
        "metric": metric,
        "objective": {**NAMED, "description": "a function of your own, called with a trial"},
        "direction": {"enum": list(DIRECTIONS), "description": "of what the objective returns"},
        "data": {**table(data), **DATA_RULES},
    }
    return {
        "$schema": DRAFT,
        "title": "tuner study",
        "description": "a trial's configuration in which any leaf may be a range or a choice",
        **table({**properties, **sections, "search": search()}),
        "if": {"required": ["objective"]},
        "then": of_objective([*sections, "data"]),
        "else": {"required": ["data"], "not": {"required": ["direction"]}, **of_metric()},
        "$defs": {leaf.name: {"anyOf": _options(leaf)} for leaf in _with_options()},
    }


def _section(name: str, leaves: tuple[Leaf, ...]) -> Schema:
    found = model_leaves() if name == "model" else {}
    found |= {leaf.name: leaf for leaf in leaves}
    made = table({key: leaf_schema(each) for key, each in found.items()})
    return _with_own(made) if name == "model" else made


def _with_own(model: Schema) -> Schema:
    """``[model]``, in which a family of somebody's own has leaves of its own beside it."""
    known = dict.fromkeys(model["properties"], True)
    return {
        "type": ["object"],
        "properties": model["properties"],
        "if": OWN_FAMILY,
        "then": {"properties": known, "additionalProperties": own_leaf()},
        "else": {"propertyNames": {"enum": list(known)}},
    }


def leaf_schema(leaf: Leaf) -> Schema:
    """What may stand at a leaf: a value, a range, a switch, a choice, an option with its leaves."""
    forms = [scalar(leaf)]
    if leaf.options is not None:
        forms.append({"$ref": f"#/$defs/{leaf.name}"})
    each = {"anyOf": list(forms)} if leaf.options else scalar(leaf)
    if leaf.kind in (int, float):
        forms.append(_range(leaf))
    listed = {"type": "array", "items": each, "minItems": 1, "uniqueItems": True}
    forms.append(table({"choices": listed}, required=["choices"]))
    examples = [] if leaf.search is None else [suggested(leaf)]
    return {**_about(leaf), "default": leaf.default, "examples": examples, "anyOf": forms}


def _about(leaf: Leaf) -> Schema:
    unit = f" ({leaf.unit})" if leaf.unit not in ("", "none", "name") else ""
    source = f"; {leaf.source}" if leaf.source else ""
    return {"description": f"{leaf.doc}{unit}{source}"}


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
    tables = [
        table({"name": {"const": name}, **{x.name: leaf_schema(x) for x in own}}, ["name"])
        for name, own in (leaf.options or {}).items()
    ]
    if leaf.name == FAMILY.name:
        own = {"type": ["object"], "properties": {"name": NAMED}, "required": ["name"]}
        tables.append({**own, "additionalProperties": own_leaf()})
    return tables


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
        **table(properties, required=["low", "high"]),
        "if": logarithmic,
        "then": {"properties": {"low": {"exclusiveMinimum": 0}}, "not": {"required": ["step"]}},
    }
