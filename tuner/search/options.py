"""The options of samplers and pruners, checked when a study file is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tuner.errors import StudyFileError, nearest


@dataclass(frozen=True)
class Option:
    """One option.

    Args:
        name: as in the study file.
        kind: ``int``, ``float``, ``bool``, ``str``, or ``dict`` (a pruner inside a pruner).
        default: used where the study file says nothing; None leaves it to the builder, which
            ``doc`` describes.
        low, high: bounds of a number, both included.
        choices: what a string may be; empty where any may be.
        doc: one line for people.
    """

    name: str
    kind: type[Any]
    default: Any
    doc: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    def check(self, value: Any, where: str) -> Any:
        """The value, an int made a float where one is wanted; raises StudyFileError."""
        if self.kind is float and type(value) is int:
            value = float(value)
        if not self._fits(value):
            known = isinstance(value, str) and self.choices
            hint = nearest(value, self.choices) if known else self.doc
            raise StudyFileError(f"{value!r} is not {self.wanted}", where=where, hint=hint)
        return value

    def _fits(self, value: Any) -> bool:
        if self.kind is dict:
            return isinstance(value, str | Mapping)
        if type(value) is not self.kind or (self.choices and value not in self.choices):
            return False
        low_enough = self.high is None or value <= self.high
        return low_enough and (self.low is None or value >= self.low)

    @property
    def wanted(self) -> str:
        if self.choices:
            return "one of " + ", ".join(self.choices)
        kinds = {int: "an integer", float: "a number", bool: "true or false", str: "a string"}
        bounds = [f"at least {self.low:g}"] if self.low is not None else []
        bounds += [f"at most {self.high:g}"] if self.high is not None else []
        return " ".join([kinds.get(self.kind, "a name or a table"), " and ".join(bounds)]).strip()


def split(entry: object, where: str) -> tuple[str, dict[str, Any]]:
    """``"tpe"`` or ``{ name = "tpe", n_startup_trials = 20 }`` as name and options."""
    if isinstance(entry, str):
        return entry, {}
    if isinstance(entry, Mapping) and isinstance(entry.get("name"), str):
        return entry["name"], {key: value for key, value in entry.items() if key != "name"}
    raise StudyFileError(
        f"{entry!r} is not a name or a table with a name",
        where=where,
        hint=f'for example {where} = {{ name = "...", ... }}',
    )


def resolve(
    name: str, options: tuple[Option, ...], given: Mapping[str, Any], where: str
) -> dict[str, Any]:
    """Every option's value: the given one, checked, else the default."""
    known = {option.name: option for option in options}
    for key in given:
        if key not in known:
            hint = nearest(key, known) if known else f"{name} has no options"
            raise StudyFileError(f"{name} has no option {key!r}", where=f"{where}.{key}", hint=hint)
    return {
        key: option.check(given[key], f"{where}.{key}") if key in given else option.default
        for key, option in known.items()
    }
