"""What is written: files, whole or not there at all; and JSON."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


def is_stream(path: Path) -> bool:
    """Whether a pipe or a device such as /dev/null is there: written to, and never replaced."""
    return path.exists() and not path.is_file() and not path.is_dir()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives the path to write to: a file beside, which takes its place once the block is done.

    No reader sees half of it, and if the block fails, what was there stays. A pipe or a device is
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
        with suppress(OSError):  # the failure to write is the one to tell
            part.unlink(missing_ok=True)


def write(path: Path, text: str) -> None:
    """Writes a text as UTF-8 with the line ends that it has.

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
