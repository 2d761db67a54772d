"""Whether two study files describe the same search."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

BUDGET = ("description", "search.trials", "search.timeout")
"""What may change while a study runs."""


def canonical(document: Mapping[str, Any]) -> str:
    """The document as JSON, for the database."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def flat(document: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Every value by its dotted path; lists and empty tables as they are."""
    values: dict[str, Any] = {}
    for key, value in document.items():
        where = f"{path}.{key}" if path else key
        inner = isinstance(value, Mapping) and value
        values.update(flat(value, where) if inner else {where: value})
    return values


def essence(document: Mapping[str, Any]) -> dict[str, Any]:
    """What must not change: everything but the budget and the description.

    An empty table says nothing, and 1.0 is the same as 1.
    """
    values = {key: _settled(value) for key, value in flat(document).items()}
    return {key: value for key, value in values.items() if key not in BUDGET and value != {}}


def _settled(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _settled(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_settled(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def fingerprint(document: Mapping[str, Any]) -> str:
    """The same for documents that describe the same search."""
    return hashlib.sha256(canonical(essence(document)).encode()).hexdigest()


def changed_keys(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The dotted paths whose values differ."""
    old, new = essence(before), essence(after)
    keys = sorted(old.keys() | new.keys())
    return [key for key in keys if canonical({"": old.get(key)}) != canonical({"": new.get(key)})]
