"""Writes files whole or not at all, and formats JSON and TOML."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


def is_stream(path: Path) -> bool:
    """Whether the path is a pipe or a device such as /dev/null, which is never replaced."""
    return path.exists() and not path.is_file() and not path.is_dir()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary file beside the path, which replaces it at the end of the block.

    No reader sees half a file, and if the block fails, the old file stays. A pipe or a device is
    written to directly.
    """
    if is_stream(path):
        yield path
        return
    part = path.with_name(f".{path.name[:50]}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    finally:
        with suppress(OSError):  # an error of the block matters more
            part.unlink(missing_ok=True)


def one_line(text: str) -> str:
    """Text for a comment: on one line, and without what TOML cannot hold."""
    return "".join(sign for sign in " ".join(text.split()) if sign.isprintable())


def write(path: Path, text: str) -> None:
    """Writes a text as UTF-8; its line ends stay as they are.

    Raises:
        OSError: it cannot be written.
    """
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def to_json(document: Any) -> str:
    """A document for people and programs; JSON has no infinity and no NaN: these become null.

    >>> to_json({"value": float("nan")})
    '{\\n  "value": null\\n}'
    """
    return json.dumps(_finite(document), indent=2, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


# TOML: study files, and parts of them.


def toml(value: Any) -> str:
    """A value as TOML on one line, floats at full precision.

    >>> toml(True), toml(1e-05), toml("😀"), toml({"name": "sgd", "momentum": 0.9})
    ('true', '1e-05', '"😀"', '{ name = "sgd", momentum = 0.9 }')
    """
    import tomlkit

    # tomlkit's own inline tables have no spaces within their braces.
    if isinstance(value, Mapping):
        return "{ " + ", ".join(toml_rows(value)) + " }" if value else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    text: str = tomlkit.item(value).as_string()
    return text


def toml_key(name: str) -> str:
    """A key as TOML: bare where it may be."""
    import tomlkit

    text: str = tomlkit.key(name).as_string()
    return text


def toml_rows(table: Mapping[str, Any]) -> list[str]:
    """``key = value`` for each."""
    return [f"{toml_key(name)} = {toml(value)}" for name, value in table.items()]


def toml_table(name: str, table: Mapping[str, Any]) -> str:
    """A section: its header, and a line for each key."""
    return "\n".join([f"[{toml_key(name)}]", *toml_rows(table)])


def toml_document(document: Mapping[str, Any]) -> str:
    """A file: the keys outside any section, then the sections."""
    top = {name: value for name, value in document.items() if not isinstance(value, Mapping)}
    tables = [toml_table(k, v) for k, v in document.items() if isinstance(v, Mapping)]
    return "\n\n".join(["\n".join(toml_rows(top)), *tables] if top else tables)
