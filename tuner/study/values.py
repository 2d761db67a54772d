"""Reading one leaf of a study file: a value, a range, a switch, a choice, or a named option."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, NoReturn

from tuner.errors import StudyFileError, nearest
from tuner.space import Choice, Leaf, Node, Option, Range, Value, label, matches, same

RANGE_KEYS = tuple(f.name for f in fields(Range))


def fail(path: str, found: Any, leaf: Leaf) -> NoReturn:
    hint = f"allowed: {leaf.allowed()}"
    if leaf.options is not None:
        hint = nearest(found, leaf.options) if isinstance(found, str) else hint
    raise StudyFileError(f"found {found!r}, which is not {leaf.allowed()}", where=path, hint=hint)


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
        StudyFileError: a wrong type, an unknown key or name, bounds that cannot be.
    """
    if isinstance(raw, Mapping) and "choices" in raw:
        return _read_choice(path, leaf, raw, beside or {})
    if isinstance(raw, Mapping) and ("low" in raw or "high" in raw):
        return _read_range(path, leaf, raw)
    return _read_single(path, leaf, raw, beside or {})


def _read_single(path: str, leaf: Leaf, raw: Any, beside: Mapping[str, Any]) -> Value | Option:
    if leaf.options is None:
        if not leaf.allows(raw):
            fail(path, dict(raw) if isinstance(raw, Mapping) else raw, leaf)
        return leaf.kind(raw)  # type: ignore[no-any-return]
    table = dict(raw) if isinstance(raw, Mapping) else {"name": raw}
    name = table.pop("name", None)
    if not isinstance(name, str) or name not in leaf.options:
        fail(path, raw if name is None else name, leaf)
    own = leaf.options[name]
    inner = f"{path}.{name}"
    check_keys(inner, table, [each.name for each in own])
    nodes = [_option_node(inner, name, each, table, beside) for each in own]
    return Option(name, tuple(node for node in nodes if node is not None))


def _option_node(
    path: str, owner: str, leaf: Leaf, table: Mapping[str, Any], beside: Mapping[str, Any]
) -> Node | None:
    """A leaf of an option: nested ones carry their owner's name."""
    where = f"{path}.{leaf.name}"
    if leaf.name in table:
        return Node(f"{owner}.{leaf.name}", leaf, read_value(where, leaf, table[leaf.name]))
    if leaf.name in beside:
        return Node(leaf.name, leaf, read_value(f"model.{leaf.name}", leaf, beside[leaf.name]))
    if leaf.name == "learning_rate":
        return None  # an optimizer has the common one unless its table names its own
    return Node(f"{owner}.{leaf.name}", leaf, read_value(where, leaf, leaf.default))


def _read_choice(
    path: str, leaf: Leaf, raw: Mapping[str, Any], beside: Mapping[str, Any]
) -> Choice:
    check_keys(path, raw, ["choices"])
    listed = raw["choices"]
    if not isinstance(listed, Sequence) or isinstance(listed, str):
        raise StudyFileError(f"found {listed!r}, which is not a list", where=f"{path}.choices")
    if not listed:
        raise StudyFileError(
            "there is nothing to choose from", where=f"{path}.choices", hint=leaf.allowed()
        )
    options = tuple(
        _read_single(f"{path}.choices[{i}]", leaf, each, beside) for i, each in enumerate(listed)
    )
    names = [label(option) for option in options]
    twice = next((n for i, n in enumerate(names) if any(same(n, m) for m in names[:i])), None)
    if twice is not None:
        raise StudyFileError(f"{twice!r} stands there twice", where=f"{path}.choices")
    return Choice(options)


def _read_range(path: str, leaf: Leaf, raw: Mapping[str, Any]) -> Range:
    check_keys(path, raw, RANGE_KEYS)
    if leaf.kind not in (int, float):
        fail(path, dict(raw), leaf)
    for key in ("low", "high"):
        if key not in raw:
            raise StudyFileError(f"a range needs {key}", where=path, hint=f"it has {dict(raw)}")
        if not leaf.allows(raw[key]):
            fail(f"{path}.{key}", raw[key], leaf)
    low, high, log, step = leaf.kind(raw["low"]), leaf.kind(raw["high"]), *_shape(path, leaf, raw)
    if low > high:
        raise StudyFileError(f"low = {low:g} is above high = {high:g}", where=path)
    if log and low <= 0:
        raise StudyFileError(
            f"a log range needs bounds above 0, found low = {low:g}",
            where=path,
            hint="take a small positive low; 'off = 0.0' adds the case of none at all",
        )
    if log and step is not None:
        raise StudyFileError("log and step exclude each other", where=path)
    return Range(low, high, log, step, _off(path, leaf, raw, low, high))


def _shape(path: str, leaf: Leaf, raw: Mapping[str, Any]) -> tuple[bool, float | None]:
    log, step = raw.get("log", False), raw.get("step")
    if not isinstance(log, bool):
        raise StudyFileError(f"found {log!r}, which is not true or false", where=f"{path}.log")
    if step is not None and (not matches(leaf.kind, step) or step <= 0):
        raise StudyFileError(f"found {step!r}, which is not a positive step", where=f"{path}.step")
    return log, None if step is None else leaf.kind(step)


def _off(path: str, leaf: Leaf, raw: Mapping[str, Any], low: float, high: float) -> Value | None:
    if raw.get("off") is None:
        return None
    off = raw["off"]
    if leaf.off is None:
        raise StudyFileError("this leaf cannot be switched off", where=f"{path}.off")
    if not matches(leaf.kind, off) or off != leaf.off:
        raise StudyFileError(
            f"found {off!r}, but this technique is off at {leaf.off!r}", where=f"{path}.off"
        )
    if low <= off <= high:
        raise StudyFileError(
            f"off = {off!r} lies within {low:g} to {high:g}",
            where=path,
            hint="start the range above it, or leave out off",
        )
    return leaf.kind(off)  # type: ignore[no-any-return]


def check_keys(path: str, table: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raises StudyFileError for a key that is not known, with the nearest that is."""
    for key in table:
        if key not in known:
            where = f"{path}.{key}" if path else key
            raise StudyFileError("unknown key", where=where, hint=nearest(key, known))
