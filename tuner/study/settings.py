"""Reads ``[data]`` and ``[search]``, which are not part of a trial's configuration."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from tuner.data import DataSpec
from tuner.data.spec import FOLDS, OF_TEXT
from tuner.errors import StudyFileError
from tuner.search.options import split
from tuner.search.pruners import check_pruner
from tuner.search.samplers import check_sampler
from tuner.space import (
    Node,
    baseline_value,
    check_keys,
    check_listable,
    config_of,
    matches,
    params_of,
    shown,
    walk,
)
from tuner.study.catalogue import DATA, SEARCH
from tuner.study.record import UNLIMITED, SearchSettings, flat

DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d)?")
SECONDS = {None: 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def read_data(table: Mapping[str, Any]) -> DataSpec:
    """``[data]``, whose keys are known; raises StudyFileError or DataError."""
    given = dict(table)
    folds = given.pop("validation") if isinstance(given.get("validation"), Mapping) else None
    several = given.pop("target") if isinstance(given.get("target"), list) else None
    values = {key: DATA[key].read(each, f"data.{key}") for key, each in given.items()}
    if several is not None:
        read = DATA["target"].read
        names = [read(name, f"data.target[{i}]") for i, name in enumerate(several)]
        values["target"] = tuple(names)
    if folds is not None:
        values["folds"] = _read_folds(folds)
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
    return DataSpec(**values)


def _read_folds(table: Mapping[str, Any]) -> Any:
    """``validation = { folds = 5 }``."""
    check_keys("data.validation", table, [FOLDS.name])
    if FOLDS.name not in table:
        hint = "allowed: a share, or { folds = 5 }"
        raise StudyFileError("found {}", where="data.validation", hint=hint)
    return FOLDS.read(table[FOLDS.name], "data.validation.folds")


def seconds(path: str, raw: Any) -> float:
    """A duration: seconds as a number, or "90s", "10m", "2h", "1d"."""
    match = DURATION.fullmatch(raw.strip()) if isinstance(raw, str) else None
    number = raw if matches(float, raw) else float(match[1]) * SECONDS[match[2]] if match else 0
    if not 0 < number < math.inf:
        raise StudyFileError(
            f"found {shown(raw)}, which is not a duration above 0",
            where=path,
            hint='allowed: seconds as a number, or such as "90s", "10m", "2h", "1d"',
        )
    return float(number)


def read_search(table: Mapping[str, Any], nodes: tuple[Node, ...]) -> SearchSettings:
    """``[search]``, whose keys are known; StudyFileError for a value outside the space."""
    values = {key: SEARCH[key].read(each, f"search.{key}") for key, each in table.items()}
    for key, check in (("sampler", check_sampler), ("pruner", check_pruner)):
        if key in values:
            values[key] = split(values[key], f"search.{key}")
            check(*values[key])
    for key in ("timeout", "trial_timeout"):
        if key in values:
            values[key] = seconds(f"search.{key}", values[key])
    if values.get("epochs") is not None:
        values.setdefault("trials", UNLIMITED)
    values["baseline"] = _read_config("search.baseline", values.get("baseline", {}), nodes)
    values["enqueue"] = tuple(
        _read_config(f"search.enqueue[{i}]", each, nodes)
        for i, each in enumerate(values.get("enqueue", ()))
    )
    settings = SearchSettings(**values)
    if settings.sampler[0] == "grid":
        check_listable(nodes)
    return settings


def _read_config(path: str, raw: Mapping[str, Any], nodes: tuple[Node, ...]) -> dict[str, Any]:
    """A configuration by leaf name, checked against the space."""
    wanted = flat(raw)  # TOML reads sgd.momentum = 0.9 as a table within a table
    leaves = {node.name: node.leaf for node in walk(nodes)}
    check_keys(path, wanted, leaves)
    wanted = {name: leaves[name].meant(value) for name, value in wanted.items()}
    try:
        config = config_of(nodes, params_of(nodes, wanted, baseline_value))
    except StudyFileError as error:
        raise StudyFileError(
            error.message, where=f"{path}.{error.where}", hint=error.hint
        ) from None
    for name in wanted:
        if name not in config:
            owner = name.rpartition(".")[0]
            raise StudyFileError(
                f"belongs to {owner}, which this configuration does not choose",
                where=f"{path}.{name}",
                hint="leave it out, or choose the option that it belongs to",
            )
    return wanted
