"""Predictions as CSV: written at once or not at all, however many pieces they come in."""

from __future__ import annotations

import gzip
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tuner.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

ENDINGS = (".csv", ".csv.gz")


def check(output: Path, file: Path) -> None:
    """Raises UsageError where the predictions for a file may not be written there."""
    if output.resolve() == file.resolve():
        raise UsageError("is the input too", where=str(output), hint="name another --output")
    if not output.name.lower().endswith(ENDINGS):
        hint = f"name a file that ends in {' or '.join(ENDINGS)}"
        raise UsageError("predictions are written as CSV", where=str(output), hint=hint)
    if output.exists() and not output.is_file():
        raise UsageError("is there, and is no file", where=str(output), hint="name another")


def to_stdout(pieces: Iterable[pd.DataFrame]) -> None:
    """Nothing is shown where a later piece cannot be had."""
    with tempfile.TemporaryFile("w+", newline="", encoding="utf-8") as whole:
        _write(pieces, whole)
        whole.seek(0)
        shutil.copyfileobj(whole, sys.stdout)


def to_file(pieces: Iterable[pd.DataFrame], output: Path) -> int:
    """How many rows were written.

    Raises:
        UsageError: it cannot be written.
    """
    part = output.with_name(f".{output.name}.part")
    opened = gzip.open if output.name.lower().endswith(".gz") else open
    try:
        with opened(part, "wt", newline="", encoding="utf-8") as stream:
            rows = _write(pieces, stream)
        part.replace(output)
    except OSError as error:
        raise UsageError(f"cannot be written: {error}", where=str(output)) from error
    finally:
        if part.parent.is_dir():
            part.unlink(missing_ok=True)
    return rows


def _write(pieces: Iterable[pd.DataFrame], stream: IO[str]) -> int:
    rows = 0
    for piece in pieces:
        piece.to_csv(stream, index=False, header=rows == 0, lineterminator="\n")
        rows += len(piece)
    return rows
