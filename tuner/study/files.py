"""Finding and reading study files."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from tuner.errors import StudyFileError, nearest
from tuner.study.parse import parse
from tuner.study.record import Study

FOLDER = Path("studies")


def shipped() -> dict[str, Path]:
    """The study files that come with the package, by name."""
    package = Path(str(resources.files("tuner")))
    installed, checkout = package / "shipped", package.parent / "studies"
    folder = installed if installed.is_dir() else checkout
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def local() -> dict[str, Path]:
    """The study files in ``studies/`` below the working directory, by name."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.toml"))}


def find(name: str) -> Path | None:
    """The file of a study: a path, or a name in ``studies/``, or one that ships."""
    path = Path(name)
    if path.suffix == ".toml":
        if not path.is_file():
            raise StudyFileError("no such file", where=str(path.absolute()))
        return path
    return {**shipped(), **local()}.get(name)


def load(name: str) -> Study:
    """Reads a study by name or path.

    Raises:
        StudyFileError: there is none (the known ones are listed), or it cannot be.
    """
    path = find(name)
    if path is None:
        known = {**shipped(), **local()}
        raise StudyFileError(f"no study is called {name!r}", hint=nearest(name, known))
    try:
        return parse(path.stem, read(path), path.parent)
    except StudyFileError as error:
        where = f"{path}: {error.where}".removesuffix(": ")
        raise StudyFileError(error.what, where=where, hint=error.hint) from None


def read(path: Path) -> dict[str, Any]:
    """What a TOML file says; StudyFileError with the line where it is not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise StudyFileError(f"is not TOML: {error}", where=str(path)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise StudyFileError(f"cannot be read: {error}", where=str(path)) from None
