"""What the JSON schema of a study file is put together from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuner.space import Leaf
from tuner.study.catalogue import FAMILY

Schema = dict[str, Any]
TYPES: Mapping[type, str] = {int: "integer", float: "number", bool: "boolean", str: "string"}
REFERENCE = r"^[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*$"
"""Of "package.module:function"."""


def table(properties: Mapping[str, Schema], required: list[str] | None = None) -> Schema:
    found: Schema = {"type": "object", "properties": dict(properties)}
    if required:
        found["required"] = required
    return {**found, "additionalProperties": False}


def scalar(leaf: Leaf) -> Schema:
    """One value of a leaf."""
    if leaf.name == FAMILY.name:
        return {"anyOf": [{"enum": list(leaf.options or {})}, NAMED]}
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


NAMED: Schema = {"type": "string", "pattern": REFERENCE}
_ALONE: list[Schema] = [
    NAMED,
    {"type": ["object"], "required": ["name"], "properties": {"name": NAMED}},
]
_AMONG: Schema = {"choices": {"type": "array", "contains": {"anyOf": _ALONE}}}
OWN_FAMILY: Schema = {
    "required": ["family"],
    "properties": {
        "family": {
            "anyOf": [*_ALONE, {"type": ["object"], "required": ["choices"], "properties": _AMONG}]
        }
    },
}
"""``[model]`` that names a factory of somebody's own."""


def own_leaf() -> Schema:
    """A parameter of somebody's own factory, of which only its file knows more."""
    number: Schema = {"type": "number"}
    plain: Schema = {"type": ["number", "string", "boolean"]}
    listed: Schema = {"type": "array", "items": plain, "minItems": 1, "uniqueItems": True}
    bounds = {"low": number, "high": number, "step": number, "off": number}
    bounds["log"] = {"type": "boolean"}
    return {
        "description": "a parameter of the factory",
        "anyOf": [plain, table(bounds, ["low", "high"]), table({"choices": listed}, ["choices"])],
    }
