"""``init``: a study file for somebody's own data."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuner.cli.options import Json
from tuner.cli.output import show, show_json
from tuner.errors import UsageError

if TYPE_CHECKING:
    from tuner.study.survey import Survey

NAME = re.compile(r"[A-Za-z0-9][\w.-]*")

Name = Annotated[str, typer.Argument(metavar="NAME", envvar="TUNER_NAME", help="The study's name.")]
Data = Annotated[
    str,
    typer.Option(
        "--data",
        envvar="TUNER_DATA",
        metavar="FILE",
        help="A table, an archive of arrays, or a folder of images.",
    ),
]
Target = Annotated[
    str | None,
    typer.Option(
        "--target", envvar="TUNER_TARGET", metavar="COLUMN", help="The column to predict."
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        envvar="TUNER_INIT_OUT",
        metavar="FILE",
        help="Where to write.  [default: studies/NAME.toml]",
    ),
]
Force = Annotated[
    bool, typer.Option("--force", envvar="TUNER_INIT_FORCE", help="Replace a file that is there.")
]


def init(
    name: Name,
    data: Data,
    target: Target = None,
    out: Out = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Look at a data set and write a study file for it."""
    if not NAME.fullmatch(name):
        hint = "letters, digits, and _ . - after the first"
        raise UsageError(f"{name!r} cannot name a study", where="NAME", hint=hint)
    file = out or Path("studies") / f"{name}.toml"
    if file.exists() and not force:
        raise UsageError("is there already", where=str(file), hint="--force replaces it")
    if file.exists() and not file.is_file():
        raise UsageError("is there, and is no file", where=str(file), hint="name another")
    from tuner.data.files import find
    from tuner.study.survey import survey
    from tuner.views.start import view

    found = survey(find(data, "--data", Path()), target)
    record = _written(name, file, found)
    return show_json(record) if as_json else show(view(record))


def _written(name: str, file: Path, found: Survey) -> dict[str, Any]:
    """Writes the file, once it is sure that it is a study that fits the data."""
    from tuner.study import describe
    from tuner.study.draft import draft, written
    from tuner.study.parse import parse

    lines = draft(found, lambda path: _named(Path(path), file))
    text = written(name, found, lines)
    study = parse(file.stem, tomllib.loads(text), file.parent)
    study.check_fit(found.data)
    _write(file, text)
    return {
        "name": name,
        "file": str(file),
        "rows": found.rows,
        "missing": dict(found.missing),
        "data": describe.data_set(found.data),
        "decided": [
            {"key": f"{each.section}.{each.key}".removeprefix("."), "value": each.value}
            | {"why": each.why, "suggested": not each.active}
            for each in lines
        ],
    }


def _named(data: Path, study: Path) -> str:
    """A path that the study finds from wherever it runs: below its project, else absolute."""
    folder = study.resolve().parent
    base = folder.parent if folder.name == "studies" else folder
    inside = data.is_relative_to(base) and data != base
    return data.relative_to(base).as_posix() if inside else str(data)


def _write(file: Path, text: str) -> None:
    """The whole file or nothing."""
    part = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UsageError(f"cannot be written: {error.strerror}", where=str(file)) from None
