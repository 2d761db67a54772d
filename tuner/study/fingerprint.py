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
    """Every value by its dotted path; lists and leaves of a trial as they are."""
    values: dict[str, Any] = {}
    for key, value in document.items():
        where = f"{path}.{key}" if path else key
        values.update(flat(value, where) if isinstance(value, Mapping) else {where: value})
    return values


def essence(document: Mapping[str, Any]) -> dict[str, Any]:
    """What must not change: everything but the budget and the description."""
    return {key: value for key, value in flat(document).items() if key not in BUDGET}


def fingerprint(document: Mapping[str, Any]) -> str:
    """The same for documents that describe the same search."""
    return hashlib.sha256(canonical(essence(document)).encode()).hexdigest()


def changed_keys(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The dotted paths whose values differ."""
    old, new = essence(before), essence(after)
    return sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
