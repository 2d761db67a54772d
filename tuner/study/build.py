"""A study built in Python."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tuner.errors import StudyFileError
from tuner.space import shown
from tuner.study.parse import parse
from tuner.study.record import Study


def study(
    name: str,
    *,
    data: Mapping[str, Any],
    model: Mapping[str, Any] | None = None,
    regularization: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    search: Mapping[str, Any] | None = None,
    metric: str | None = None,
    description: str = "",
    folder: Path | None = None,
) -> Study:
    """The study that a file with these sections would give.

    A leaf is what it is in a file, or a ``Range`` or ``Choice``, also within tables and lists.

    Args:
        name: the study's name in the database.
        folder: where relative paths of the data are looked for first; by default the working
            directory.

    Raises:
        StudyFileError, DataError: with the dotted path, what was found and what is allowed.

    >>> from tuner.space import Range, walk
    >>> mine = study(
    ...     "mine",
    ...     data={"source": "sklearn.datasets:load_digits"},
    ...     regularization={"dropout": Range(0.05, 0.6, off=0.0)},
    ...     training={
    ...         "epochs": 5,
    ...         "optimizer": {"choices": ["adam", {"name": "sgd", "momentum": Range(0.0, 0.99)}]},
    ...     },
    ... )
    >>> [node.name for node in walk(mine.nodes) if node.searched]
    ['dropout', 'optimizer', 'sgd.momentum']
    """
    if not isinstance(name, str) or not name:
        what = f"found {shown(name)}, which is no name for a study"
        raise StudyFileError(what, where="name", hint="allowed: a string that is not empty")
    document = {
        "description": description or None,
        "metric": metric,
        "data": data,
        "model": model,
        "regularization": regularization,
        "training": training,
        "search": search,
    }
    said = {key: value for key, value in document.items() if value is not None}
    return parse(name, said, Path() if folder is None else folder)
