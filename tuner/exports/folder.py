"""Writes the folder of an export, whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tuner.errors import UsageError
from tuner.study.trials import LeftOut

FORMAT = 1
MARK = "tuner_export"
"""The key of versions.json that marks a folder as an export and holds its format."""
WEIGHTS, PROGRAM, ONNX = "model.safetensors", "program.pt2", "model.onnx"
PREPROCESSING, STUDY, VERSIONS, CARD = (
    "preprocessing.json",
    "study.toml",
    "versions.json",
    "README.md",
)

NAMES = frozenset((WEIGHTS, PROGRAM, ONNX, PREPROCESSING, STUDY, VERSIONS, CARD))
"""The files that an export may hold; no other file is ever removed."""


@dataclass(frozen=True)
class Exported:
    """The folder and files of an export.

    Attributes:
        folder: its path.
        study, number: the trial whose configuration it is.
        metric: the name of the metric.
        value: the metric of this training, on the validation rows; on the test rows, where it was
            trained on all others.
        recorded: the trial's own value, on the validation rows.
        final: whether the validation rows were trained on too.
        files: their names.
        left_out: trials that other programs added and that do not count.
        beaten: what beats the winner of `confirm`, in words; else empty.
    """

    folder: Path
    study: str
    number: int
    metric: str
    value: float
    recorded: float
    final: bool
    files: tuple[str, ...]
    left_out: tuple[LeftOut, ...] = ()
    beaten: str = ""


def is_export(folder: Path) -> bool:
    """Whether the folder is an export."""
    try:
        versions = json.loads((folder / VERSIONS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(versions, dict) and MARK in versions


def check(out: Path, force: bool) -> None:
    """Raises UsageError where no export may be written."""
    if not os.path.lexists(out):
        return _check_writable(out.resolve().parent, out)
    if not force:
        raise UsageError("already exists", where=str(out), hint="use --force to replace it")
    if not is_export(out) or out.is_symlink():
        raise UsageError(
            "is not an export, and is not replaced",
            where=str(out),
            hint="give another folder, or remove it yourself",
        )
    others = sorted({path.name for path in out.iterdir()} - NAMES)
    if others:
        raise UsageError(
            f"holds {', '.join(others[:5])}, which are not part of an export; it is not replaced",
            where=str(out),
            hint="give another folder, or move these files",
        )
    return _check_writable(out.resolve().parent, out)


def _check_writable(parent: Path, out: Path) -> None:
    """Checks, before any training, that the first parent that exists is a writable folder."""
    there = next(folder for folder in (parent, *parent.parents) if os.path.lexists(folder))
    if not there.is_dir():
        raise UsageError(f"cannot be written: {there} is not a folder", where=str(out))
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(f"cannot be written: permission denied in {there}", where=str(out))


def write(out: Path, files: Mapping[str, bytes], force: bool) -> None:
    """Writes the files into a new folder beside `out`, then renames it to `out`.

    Raises:
        UsageError: the folder already exists, or cannot be written.
    """
    out = out.resolve()  # gives `.` a name
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as name:
            made, before = Path(name, "made"), Path(name, "before")
            made.mkdir()
            for file, content in files.items():
                (made / file).write_bytes(content)
            check(out, force)  # again: the training took a while
            if out.exists():
                out.rename(before)
            try:
                made.rename(out)
            except BaseException:
                if before.exists():
                    before.rename(out)
                raise
    except OSError as error:
        raise UsageError(f"cannot be written: {error}", where=str(out)) from error
