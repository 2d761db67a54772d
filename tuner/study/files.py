"""Finds and reads study files, and builds studies in Python."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from tuner.errors import StudyFileError, UsageError, nearest
from tuner.metrics import Direction
from tuner.space import shown
from tuner.study.parse import parse
from tuner.study.record import NetworkStudy, Study

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
    """The file of a study: a name in ``studies/``, or one that ships, or a path."""
    known = {**shipped(), **local()}
    if name in known:
        return known[name]
    path = Path(name)
    try:
        if path.is_file():
            return path
    except OSError as error:
        raise StudyFileError(f"cannot be read: {error.strerror}", where=shown(name)) from None
    if path.suffix == ".toml":
        what = "is a directory, not a study file" if path.is_dir() else "no such file"
        raise StudyFileError(what, where=str(path.absolute()))
    return None


def load_study(name: str) -> Study:
    """Reads a study by name or path.

    Raises:
        StudyFileError: there is none (the known ones are listed), or it is wrong.
        DataError: its section ``[data]`` is wrong.
    """
    path = find(name)
    if path is None:
        if name and Path(name).is_dir():
            raise StudyFileError("is a directory, not a study file", where=name)
        known = {**shipped(), **local()}
        raise StudyFileError(f"no study is called {name!r}", hint=nearest(name, known))
    try:
        return parse(path.stem, read(path), path.parent)
    except UsageError as error:
        where = f"{path}: {error.where}".removesuffix(": ")
        raise type(error)(error.message, where=where, hint=error.hint) from None


def read(path: Path) -> dict[str, Any]:
    """The document in a TOML file; StudyFileError with the line where it is not TOML."""
    try:
        # Windows editors may begin a file with a byte order mark.
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        what = f"is not UTF-8 text: byte {error.start} is 0x{error.object[error.start]:02x}"
    except OSError as error:
        what = f"cannot be read: {error.strerror}"
    except RecursionError:
        what = "is not TOML: lists or tables are nested too deeply"
    except ValueError as error:  # also from int(), for thousands of digits
        what = f"is not TOML: {error}"
    raise StudyFileError(what)


# A study built in Python.


def define_study(
    name: str,
    *,
    data: Mapping[str, Any],
    model: Mapping[str, Any] | None = None,
    regularization: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    search: Mapping[str, Any] | None = None,
    metric: str | Mapping[str, Any] | None = None,
    direction: Direction | None = None,
    description: str = "",
    folder: Path | None = None,
) -> NetworkStudy:
    """The study that a file with these sections would give.

    A leaf has a value as in a file, or a ``Range`` or ``Choice``, also within tables and lists.

    Args:
        name: the study's name in the database.
        direction: of a metric that is a function of your own.
        folder: where relative paths of the data are looked for first; by default the working
            directory.

    Raises:
        StudyFileError, DataError: with the dotted path, what was found and what is allowed.

    Examples:
        >>> from tuner.space import Range, walk
        >>> mine = define_study(
        ...     "mine",
        ...     data={"source": "sklearn.datasets:load_digits"},
        ...     regularization={"dropout": Range(0.05, 0.6, off=0.0)},
        ...     training={
        ...         "epochs": 5,
        ...         "optimizer": {
        ...             "choices": ["adam", {"name": "sgd", "momentum": Range(0.0, 0.99)}]
        ...         },
        ...     },
        ... )
        >>> [node.name for node in walk(mine.nodes) if node.searched]
        ['dropout', 'optimizer', 'sgd.momentum']
    """
    if not isinstance(name, str) or not name:
        what = f"found {shown(name)}, which is not a name for a study"
        raise StudyFileError(what, where="name", hint="allowed: a non-empty string")
    document = {
        "description": description or None,
        "metric": metric,
        "direction": direction,
        "data": data,
        "model": model,
        "regularization": regularization,
        "training": training,
        "search": search,
    }
    sections = {key: value for key, value in document.items() if value is not None}
    study = parse(name, sections, Path() if folder is None else folder)
    assert isinstance(study, NetworkStudy)  # it has no objective
    return study
