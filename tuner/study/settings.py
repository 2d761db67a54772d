"""Reads ``[data]`` and ``[search]``, which are not part of a trial's configuration."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from tuner.data import DataSpec
from tuner.data.prepare import lookup as lookup_preprocessing
from tuner.data.spec import OF_TEXT
from tuner.errors import StudyFileError
from tuner.search.options import split
from tuner.search.pruners import check_pruner
from tuner.search.samplers import check_sampler
from tuner.space import (
    Node,
    baseline_value,
    check_listable,
    config_of,
    matches,
    params_of,
    shown,
    walk,
)
from tuner.study.record import SearchSettings, flat
from tuner.study.values import check_keys

DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d)?")
KINDS = {
    str: "a string",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a table",
}
SEARCH_KEYS = tuple(f.name for f in fields(SearchSettings))
SECONDS = {None: 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def check_type(path: str, value: Any, kind: type) -> None:
    """Raises StudyFileError for a value that is not of the kind."""
    if not matches(kind, value):
        raise StudyFileError(f"found {shown(value)}, which is not {KINDS[kind]}", where=path)


DATA_KINDS: dict[str, type] = {
    "source": str,
    "path": str,
    "target": str,
    "task": str,
    "validation": float,
    "test": float,
    "seed": int,
    "shape": list,
    "features": str,
    "group": str,
    "time": str,
    "split": str,
    "test_path": str,
    "preprocessing": str,
    "text": str,
    "vectors": str,
    "vocabulary": int,
    "min_count": int,
    "max_length": int,
    "drop": list,
    "keep": list,
}


def read_data(table: Mapping[str, Any]) -> DataSpec:
    """``[data]``, whose keys are known; raises StudyFileError or DataError."""
    values = dict(table)
    if isinstance(table.get("validation"), Mapping):
        values["folds"] = _read_folds(values.pop("validation"))
        table = {key: value for key, value in table.items() if key != "validation"}
    for key, value in table.items():
        check_type(f"data.{key}", value, DATA_KINDS[key])
    for key, kind in (("shape", int), ("drop", str), ("keep", str)):
        for i, each in enumerate(values.get(key, [])):
            check_type(f"data.{key}[{i}]", each, kind)
        if key in values:
            values[key] = tuple(values[key])
    for key in ("test_path", "split"):
        if key in table and "test" in table:
            raise StudyFileError(
                f"cannot be combined with {key}, which gives the test rows",
                where="data.test",
                hint=f"remove test, or {key}",
            )
    for key in OF_TEXT:
        if key in table and "text" not in table:
            raise StudyFileError(
                "applies to text, and no column of text is named",
                where=f"data.{key}",
                hint='name the column: text = "review"',
            )
    spec = DataSpec(**values)
    lookup_preprocessing(spec.preprocessing)
    return spec


def _read_folds(table: Mapping[str, Any]) -> int:
    """``validation = { folds = 5 }``."""
    where = "data.validation"
    check_keys(where, table, ["folds"])
    if "folds" not in table:
        raise StudyFileError("found {}", where=where, hint="allowed: a share, or { folds = 5 }")
    check_type(f"{where}.folds", table["folds"], int)
    return int(table["folds"])


def seconds(path: str, raw: Any) -> float:
    """A duration: seconds as a number, or "90s", "10m", "2h", "1d"."""
    found = DURATION.fullmatch(raw.strip()) if isinstance(raw, str) else None
    number = raw if matches(float, raw) else float(found[1]) * SECONDS[found[2]] if found else 0
    if not 0 < number < math.inf:
        raise StudyFileError(
            f"found {shown(raw)}, which is not a duration above 0",
            where=path,
            hint='allowed: seconds as a number, or such as "90s", "10m", "2h", "1d"',
        )
    return float(number)


def read_search(table: Mapping[str, Any], nodes: tuple[Node, ...]) -> SearchSettings:
    """``[search]``, whose keys are known; StudyFileError for a value outside the space."""
    values: dict[str, Any] = dict(table)
    for key, lowest in (("trials", 1), ("seed", 0)):
        number = values.get(key, lowest)
        check_type(f"search.{key}", number, int)
        if number < lowest:
            what = f"found {number}, which is not a whole number of at least {lowest}"
            raise StudyFileError(what, where=f"search.{key}")
    for key, check in (("sampler", check_sampler), ("pruner", check_pruner)):
        if key in values:
            values[key] = split(values[key], f"search.{key}")
            check(*values[key])
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
        check_listable(nodes)
    return settings


def _read_config(path: str, raw: Any, nodes: tuple[Node, ...]) -> dict[str, Any]:
    """A configuration by leaf name, checked against the space."""
    check_type(path, raw, dict)
    wanted = flat(raw)  # TOML reads sgd.momentum = 0.9 as a table within a table
    check_keys(path, wanted, [node.name for node in walk(nodes)])
    try:
        config = config_of(nodes, params_of(nodes, wanted, baseline_value))
    except StudyFileError as error:
        raise StudyFileError(error.what, where=f"{path}.{error.where}", hint=error.hint) from None
    for name in wanted:
        if name not in config:
            owner = name.rpartition(".")[0]
            raise StudyFileError(
                f"belongs to {owner}, which this configuration does not choose",
                where=f"{path}.{name}",
                hint="leave it out, or choose the option that it belongs to",
            )
    return wanted
