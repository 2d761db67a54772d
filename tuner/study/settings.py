"""``[data]`` and ``[search]``: what is not part of a trial's configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from tuner.data import DataSpec
from tuner.errors import StudyFileError
from tuner.sampling import baseline_value, grid, params_of
from tuner.search.pruners import check_pruner
from tuner.search.samplers import check_sampler
from tuner.space import Node, matches, walk
from tuner.study.record import SearchSettings
from tuner.study.values import check_keys

DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d)?")
SECONDS = {None: 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def check_type(path: str, value: Any, kind: type) -> None:
    """Raises StudyFileError for a value that is not of the kind."""
    if not matches(kind, value):
        names = {str: "a string", int: "a whole number", float: "a number", list: "a list", bool: "true or false"}
        raise StudyFileError(f"found {value!r}, which is not {names[kind]}", where=path)


DATA_KINDS: dict[str, type] = {
    "source": str,
    "path": str,
    "target": str,
    "task": str,
    "validation": float,
    "test": float,
    "seed": int,
    "shape": list,
    "preprocessing": str,
}


def read_data(table: Mapping[str, Any]) -> DataSpec:
    """``[data]``; raises StudyFileError or DataError."""
    check_keys("data", table, list(DATA_KINDS))
    values = dict(table)
    for key, value in table.items():
        check_type(f"data.{key}", value, DATA_KINDS[key])
    for i, side in enumerate(values.get("shape", [])):
        check_type(f"data.shape[{i}]", side, int)
    if "shape" in values:
        values["shape"] = tuple(values["shape"])
    return DataSpec(**values)


def seconds(path: str, raw: Any) -> float:
    """A duration: seconds as a number, or "90s", "10m", "2h", "1d"."""
    if isinstance(raw, int | float) and not isinstance(raw, bool) and raw > 0:
        return float(raw)
    found = DURATION.fullmatch(raw.strip()) if isinstance(raw, str) else None
    if not found or float(found[1]) == 0:
        raise StudyFileError(
            f"found {raw!r}, which is not a duration", where=path, hint='such as "90s", "10m", "2h"'
        )
    return float(found[1]) * SECONDS[found[2]]


def read_search(table: Mapping[str, Any], nodes: tuple[Node, ...]) -> SearchSettings:
    """``[search]``, its configurations checked against the space; raises StudyFileError."""
    check_keys("search", table, [f.name for f in fields(SearchSettings)])
    values: dict[str, Any] = dict(table)
    for key, lowest in (("trials", 1), ("seed", 0)):
        number = values.get(key, lowest)
        check_type(f"search.{key}", number, int)
        if number < lowest:
            raise StudyFileError(f"found {number}, which is below {lowest}", where=f"search.{key}")
    for key, check in (("sampler", check_sampler), ("pruner", check_pruner)):
        if key in values:
            name, options = _named(f"search.{key}", values[key])
            check(name, options)
            values[key] = (name, options)
    for key in ("timeout", "trial_timeout"):
        if key in values:
            values[key] = seconds(f"search.{key}", values[key])
    check_type("search.duplicates", values.get("duplicates", False), bool)
    values["baseline"] = _read_config("search.baseline", values.get("baseline", {}), nodes)
    queue = values.get("enqueue", [])
    check_type("search.enqueue", queue, list)
    values["enqueue"] = tuple(
        _read_config(f"search.enqueue[{i}]", each, nodes) for i, each in enumerate(queue)
    )
    settings = SearchSettings(**values)
    if settings.sampler[0] == "grid":
        grid(nodes)
    return settings


def _named(path: str, raw: Any) -> tuple[str, dict[str, Any]]:
    table = {"name": raw} if isinstance(raw, str) else raw
    if not isinstance(table, Mapping) or not isinstance(table.get("name"), str):
        raise StudyFileError(
            f"found {raw!r}, which is neither a name nor a table with a name", where=path
        )
    return table["name"], {k: v for k, v in table.items() if k != "name"}


def _read_config(path: str, raw: Any, nodes: tuple[Node, ...]) -> dict[str, Any]:
    """A configuration by leaf name, checked against the space."""
    if not isinstance(raw, Mapping):
        raise StudyFileError(f"found {raw!r}, which is not a table", where=path)
    check_keys(path, raw, [node.name for node in walk(nodes)])
    try:
        params_of(nodes, raw, baseline_value)
    except StudyFileError as error:
        raise StudyFileError(error.what, where=f"{path}.{error.where}", hint=error.hint) from None
    return dict(raw)
