"""A report's file: whole or not at all."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Any

from tuner.errors import UsageError


def check_place(path: Path) -> None:
    """Raises UsageError where no file could be written."""
    if is_stream(path):
        return
    where, folder = str(path), path.absolute().parent
    if path.is_dir():
        hint = f"name a file: {path / 'report.html'}"
        raise UsageError("is a folder, not a file", where=where, hint=hint)
    if not folder.is_dir():
        hint = f"mkdir -p {quote(str(path.parent))}"
        raise UsageError("its folder does not exist", where=where, hint=hint)
    if not os.access(folder, os.W_OK):
        hint = "change its permissions, or name another place"
        raise UsageError("cannot be written", where=str(folder), hint=hint)


def is_stream(path: Path) -> bool:
    """Whether a pipe or a device such as /dev/null is there: written to, and never replaced."""
    return path.exists() and not path.is_file() and not path.is_dir()


def write(path: Path, text: str) -> Path:
    """Writes a file beside its place and moves it there, so that no reader sees half of it.

    Raises:
        UsageError: it cannot be written.
    """
    check_place(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        target = path if is_stream(path) else beside
        target.write_text(text, encoding="utf-8", newline="\n")
        if target is beside:
            beside.replace(path)
    except OSError as error:
        raise UsageError(f"cannot be written: {error.strerror}", where=str(path)) from None
    finally:
        beside.unlink(missing_ok=True)
    return path


def finite(value: Any) -> Any:
    """JSON has no infinity and no NaN: these become null."""
    if isinstance(value, Mapping):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
