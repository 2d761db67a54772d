"""The options of samplers and pruners, checked when a study file is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuner.errors import StudyFileError, nearest
from tuner.space import Leaf, shown


def split(entry: object, where: str) -> tuple[str, dict[str, Any]]:
    """``"tpe"`` or ``{ name = "tpe", n_startup_trials = 20 }`` as name and options."""
    if isinstance(entry, str):
        return entry, {}
    if isinstance(entry, Mapping) and isinstance(entry.get("name"), str):
        return entry["name"], {key: value for key, value in entry.items() if key != "name"}
    raise StudyFileError(
        f"found {shown(entry)}, which is not a name or a table with a name",
        where=where,
        hint=f'for example {where} = {{ name = "...", ... }}',
    )


def resolve(
    name: str, options: tuple[Leaf, ...], given: Mapping[str, Any], where: str
) -> dict[str, Any]:
    """Every option's value: the given one, checked, else the default."""
    known = {option.name: option for option in options}
    for key in given:
        if key not in known:
            hint = nearest(key, known) if known else f"{name} has no options"
            raise StudyFileError(f"{name} has no option {key!r}", where=f"{where}.{key}", hint=hint)
    return {
        key: option.read(given[key], f"{where}.{key}") if key in given else option.default
        for key, option in known.items()
    }
