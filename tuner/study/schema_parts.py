"""What the JSON schema of a study file is put together from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuner.space import Leaf

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
