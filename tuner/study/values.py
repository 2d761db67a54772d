"""Reads the values of a study file: values, ranges, switches, choices and named options."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any

from tuner.errors import StudyFileError, nearest
from tuner.space import Choice, Leaf, Node, Option, Range, Value, label, matches, same, shown

# What a study file says as plain JSON values; ranges and choices may stand there as objects.


DEPTH = 32
UNFIT = ("Cc", "Cs", "Zl", "Zp")
"""Categories of characters that no study's name holds: control, halves of one, breaks."""
LARGEST = 2**53
"""Whole numbers beyond it are not the same as a float, which is how a database keeps them."""


def check_name(name: str) -> None:
    """Raises StudyFileError for a study's name that is not one line of text."""
    if not name.strip():
        what = f"found {shown(name)}, which holds no letter"
        raise StudyFileError(what, where="the study's name", hint="give it one")
    if any(unicodedata.category(letter) in UNFIT for letter in name):
        what = f"found {shown(name)}, which holds a line break or a control character"
        raise StudyFileError(what, where="the study's name", hint="rename it")


def plain(value: Any, path: str = "", depth: int = 0) -> Any:
    """A copy in which everything is a dict, a list, a string, a finite number or a boolean.

    Args:
        value: values as TOML or JSON gives them; a ``Range``, ``Choice`` or ``Option`` becomes the
            table that a study file would have, a tuple a list.
        path: where it stands, dotted, for messages.

    Raises:
        StudyFileError: something else, such as a date, ``nan`` or an integer beyond 2**53.
    """
    if depth > DEPTH:
        raise StudyFileError("tables or lists are nested too deeply", where=path)
    value = _table(value)
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise StudyFileError(f"found {shown(key)} as a key, not a string", where=path)
        return {k: plain(v, f"{path}.{k}" if path else k, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each, f"{path}[{i}]", depth + 1) for i, each in enumerate(value)]
    _check_scalar(value, path)
    return value


def _table(value: Any) -> Any:
    """The table of a study file that an object stands for; anything else as it is."""
    if isinstance(value, Range):
        table = {f.name: getattr(value, f.name) for f in fields(Range)}
        return {key: each for key, each in table.items() if each is not None and each is not False}
    if isinstance(value, Choice):
        return {"choices": value.options}
    if isinstance(value, Option):
        own = {node.name.removeprefix(f"{value.name}."): node.value for node in value.nodes}
        return {"name": value.name, **own}
    return value


def _check_scalar(value: Any, path: str) -> None:
    if not isinstance(value, str | bool | int | float):
        raise StudyFileError(
            f"found {shown(value)}, which a study cannot hold",
            where=path,
            hint="allowed: a string, a number, true or false, a list, a table",
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise StudyFileError(f"found {value}, which is not a finite number", where=path)
    if isinstance(value, int) and abs(value) > LARGEST:
        raise StudyFileError(
            f"found a whole number of {value.bit_length()} bits, which is too large",
            where=path,
            hint=f"allowed: up to {LARGEST}",
        )
    if isinstance(value, str) and not _encodable(value):
        raise StudyFileError(f"found {shown(value)}, which is not Unicode text", where=path)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# Reading one parameter of a study file: a value, a range, a switch, a choice, or a named option.


RANGE_KEYS = tuple(f.name for f in fields(Range))
MOST_STEPS = 1_000_000


def read_value(
    path: str, leaf: Leaf, raw: Any, beside: Mapping[str, Any] | None = None
) -> Value | Range | Choice | Option:
    """What a leaf is or may be.

    Args:
        path: where it stands, dotted, for messages.
        leaf: what is allowed there.
        raw: what the file says.
        beside: for a network's family, the keys that stand beside it and that its leaves may take.

    Raises:
        StudyFileError: a wrong type, an unknown key or name, wrong bounds.
    """
    if isinstance(raw, Mapping) and "choices" in raw:
        return _read_choice(path, leaf, raw, beside or {})
    if isinstance(raw, Mapping) and leaf.options is None and leaf.kind is not bool:
        return _read_range(path, leaf, raw)
    return _read_single(path, leaf, raw, beside or {})


def _read_single(path: str, leaf: Leaf, raw: Any, beside: Mapping[str, Any]) -> Value | Option:
    if leaf.options is None:
        return leaf.read(raw, path)  # type: ignore[no-any-return]
    table = dict(raw) if isinstance(raw, Mapping) else {"name": raw}
    if "name" not in table:
        hint = f"allowed: {{ name = … }}, with {leaf.allowed()}"
        raise StudyFileError(f"found {shown(raw)}, which has no name", where=path, hint=hint)
    name = leaf.read(table.pop("name"), path)
    own = leaf.options[name]
    inner = f"{path}.{name}"
    check_keys(inner, table, [each.name for each in own])
    nodes = [_option_node(inner, name, each, table, beside) for each in own]
    return Option(name, tuple(node for node in nodes if node is not None))


def _option_node(
    path: str, owner: str, leaf: Leaf, table: Mapping[str, Any], beside: Mapping[str, Any]
) -> Node | None:
    """A leaf of an option: nested ones carry their owner's name."""
    if leaf.name in beside and leaf.name not in table:
        where = f"model.{leaf.name}"
        return Node(leaf.name, leaf, read_value(where, leaf, beside[leaf.name]), where)
    if leaf.name == "learning_rate" and leaf.name not in table:
        return None  # an optimizer has the common one unless its table names its own
    where = f"{path}.{leaf.name}"
    value = read_value(where, leaf, table.get(leaf.name, leaf.default))
    return Node(f"{owner}.{leaf.name}", leaf, value, where)


def _read_choice(
    path: str, leaf: Leaf, raw: Mapping[str, Any], beside: Mapping[str, Any]
) -> Choice:
    check_keys(path, raw, ["choices"])
    listed = raw["choices"]
    if not isinstance(listed, Sequence) or isinstance(listed, str):
        raise StudyFileError(f"found {shown(listed)}, which is not a list", where=f"{path}.choices")
    if not listed:
        raise StudyFileError(
            "found [], which leaves nothing to choose",
            where=f"{path}.choices",
            hint=f"allowed: {leaf.allowed()}",
        )
    options = tuple(
        _read_single(f"{path}.choices[{i}]", leaf, each, beside) for i, each in enumerate(listed)
    )
    names = [label(option) for option in options]
    twice = next((n for i, n in enumerate(names) if any(same(n, m) for m in names[:i])), None)
    if twice is not None:
        raise StudyFileError(f"found {shown(twice)} twice", where=f"{path}.choices")
    return Choice(options)


def _read_range(path: str, leaf: Leaf, raw: Mapping[str, Any]) -> Range:
    check_keys(path, raw, (*RANGE_KEYS, "choices"))
    for key in ("low", "high"):
        if key not in raw:
            what = f"found {shown(raw)}, a range without {key}"
            raise StudyFileError(what, where=path, hint="write { low = …, high = … }")
    low, high = (leaf.read(raw[key], f"{path}.{key}") for key in ("low", "high"))
    if low > high:
        raise StudyFileError(f"low = {low!r} is above high = {high!r}", where=path)
    log, step = _log(path, raw, low), _step(path, leaf, raw, low, high)
    if log and step is not None:
        raise StudyFileError("log and step exclude each other", where=path)
    # Optuna warns of a high that the steps do not meet, at every trial.
    high = high if step is None else Range(low, high, step=step).nearest(high)
    return Range(low, high, log, step, _off(path, leaf, raw, low, high))


def _log(path: str, raw: Mapping[str, Any], low: float) -> bool:
    log = raw.get("log", False)
    if not isinstance(log, bool):
        what = f"found {shown(log)}, which is not true or false"
        raise StudyFileError(what, where=f"{path}.log")
    if log and low <= 0:
        raise StudyFileError(
            f"found low = {low!r}, but a log range is above 0",
            where=path,
            hint="use a small positive low; 'off = 0.0' adds the value 0",
        )
    return log


def _step(path: str, leaf: Leaf, raw: Mapping[str, Any], low: float, high: float) -> float | None:
    if "step" not in raw:
        return None
    step, where = raw["step"], f"{path}.step"
    if not matches(leaf.kind, step) or step <= 0:
        word = "whole number" if leaf.kind is int else "number"
        raise StudyFileError(f"found {shown(step)}, which is not a {word} above 0", where=where)
    if step > high - low:
        what = f"found {step!r}, which is more than from {low!r} to {high!r}"
        raise StudyFileError(what, where=where)
    if (high - low) / step > MOST_STEPS:
        what = f"found {step!r}, which makes more than {MOST_STEPS} values"
        raise StudyFileError(what, where=where, hint="remove step")
    return leaf.kind(step)  # type: ignore[no-any-return]


def _off(path: str, leaf: Leaf, raw: Mapping[str, Any], low: float, high: float) -> Value | None:
    if "off" not in raw:
        return None
    off = raw["off"]
    if leaf.off is None:
        what = f"found {shown(off)}, but {leaf.name} cannot be switched off"
        raise StudyFileError(what, where=f"{path}.off")
    if not matches(leaf.kind, off) or off != leaf.off:
        what = f"found {shown(off)}, but {leaf.name} is off at {leaf.off!r}"
        raise StudyFileError(what, where=f"{path}.off")
    if low <= off <= high:
        raise StudyFileError(
            f"off = {off!r} lies within {low!r} to {high!r}",
            where=path,
            hint="start the range above it, or remove off",
        )
    return leaf.kind(off)  # type: ignore[no-any-return]


def check_keys(path: str, table: Mapping[str, Any], known: Collection[str]) -> None:
    """Raises StudyFileError for a key that is not known, with the nearest that is."""
    for key in table:
        if key not in known:
            where = f"{path}.{key}" if path else key
            hint = nearest(key, known) if known else "nothing is allowed here"
            raise StudyFileError("unknown key", where=where, hint=hint)
