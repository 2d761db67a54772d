"""Writes the folder of an export, whole or not at all."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tuner.errors import UsageError
from tuner.study.trials import LeftOut

FORMAT, OF_ENSEMBLE = 1, 2
"""The formats of a folder with one configuration, and with an ensemble."""
MARK = "tuner_export"
"""The key of versions.json that marks a folder as an export and holds its format."""
WEIGHTS, PROGRAM, ONNX = "model.safetensors", "program.pt2", "model.onnx"
PREPROCESSING, STUDY, VERSIONS, CARD = (
    "preprocessing.json",
    "study.toml",
    "versions.json",
    "README.md",
)
ENSEMBLE = "ensemble.json"
NAMES = frozenset((WEIGHTS, PROGRAM, ONNX, PREPROCESSING, STUDY, VERSIONS, CARD, ENSEMBLE))
"""The files that an export may hold, besides more study files; no other file is ever removed."""


def study_name(index: int) -> str:
    """The name of the study file of an ensemble's configuration.

    >>> study_name(0), study_name(1)
    ('study.toml', 'study-2.toml')
    """
    return STUDY if index == 0 else f"study-{index + 1}.toml"


def is_ours(name: str) -> bool:
    """Whether it is the name of a file that an export may hold."""
    return name in NAMES or re.fullmatch(r"study-[1-9][0-9]*\.toml", name) is not None


@dataclass(frozen=True)
class Exported:
    """The folder and files of an export.

    Attributes:
        folder: its path.
        study, number: the trial whose configuration it is; of an ensemble the heaviest member's.
        metric: the name of the metric.
        value: the metric of this training, on the validation rows; on the test rows, where it was
            trained on all others.
        recorded: that trial's own value, on the validation rows.
        final: whether the validation rows were trained on too.
        files: their names.
        left_out: trials that other programs added and that do not count.
        members: networks that it averages.
        parameters: of all of them.
        slowdown: how many times longer it takes for a batch of rows than its heaviest member does.
        beaten: what beats the winner of `confirm`, in words; else empty.
        probabilities: whether they are calibrated, in words; empty for values.
        all_rows: whether the test rows were trained on too; `value` is of a training without them.
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
    members: int = 1
    parameters: int = 0
    slowdown: float = 1.0
    beaten: str = ""
    probabilities: str = ""
    all_rows: bool = False


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
    others = sorted(path.name for path in out.iterdir() if not is_ours(path.name))
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
