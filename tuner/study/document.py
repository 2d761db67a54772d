"""What a study file says as plain JSON values; ranges and choices may stand there as objects."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from tuner.errors import StudyFileError
from tuner.space import Choice, Option, Range, shown

DEPTH = 32
UNFIT = ("Cc", "Cs", "Zl", "Zp")
"""Categories of characters that no study's name holds: control, halves of one, breaks."""
LARGEST = 2**53
"""Whole numbers beyond it are not the same as a float, which is how a database keeps them."""


def check_name(name: str) -> None:
    """Raises StudyFileError for a study's name that is not one line of text."""
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
