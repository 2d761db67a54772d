"""Tables from functions: `module:function`, called without arguments.

A new form of result is one function and one line in FORMS.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tuner.data.table import Table, from_arrays, from_frame, is_frame
from tuner.errors import DataError
from tuner.imports import function

LOADERS = ("load_", "fetch_")
"""How the functions of `sklearn.datasets` begin that anybody's study may name."""


def read(
    source: str,
    target: str | None,
    folder: Path,
    aside: Sequence[str] = (),
    text: str | None = None,
    drop: Sequence[str] = (),
) -> Table:
    """The table that a function returns.

    Args:
        source: "module:function"; see `tuner.imports` for which modules may be named.
        target: the column with the labels, where the function returns a frame.
        folder: the study file's.
        aside: columns of a frame that divide rows and are no features.
        text: the column of a frame that holds text.
        drop: columns of a frame that are no features.

    Raises:
        DataError: no such module or function, it is not allowed, it raises, or it returns
            something else.
    """
    found = function(source, "data.source", DataError, folder=folder, trusted=is_loader)
    value = _call(found, source)
    if is_frame(value):
        return from_frame(value, target, source, aside, text, drop)
    if aside:
        raise DataError(
            f"no column {aside[0]!r}: only a frame has columns",
            where=source,
            hint="return a pandas frame, and name the target",
        )
    for form in FORMS:
        table = form(value, target, source)
        if table is not None:
            return table
    raise DataError(
        f"returned {_describe(value)}",
        where=source,
        hint="return (X, y), an object with .data and .target, or a pandas frame",
    )


def is_loader(module: str, name: str) -> bool:
    """Whether it reads one of scikit-learn's own data sets."""
    return module == "sklearn.datasets" and name.startswith(LOADERS)


def bunch(value: Any, target: str | None, where: str) -> Table | None:
    """An object with `data` and `target`, as scikit-learn's loaders return."""
    if not (hasattr(value, "data") and hasattr(value, "target")):
        return None
    _no_target(target, where)
    names, classes = getattr(value, "feature_names", None), getattr(value, "target_names", None)
    return from_arrays(
        value.data,
        value.target,
        where,
        names=() if names is None else names,
        classes=() if classes is None else classes,
    )


def pair(value: Any, target: str | None, where: str) -> Table | None:
    """A pair (X, y)."""
    if not (isinstance(value, tuple | list) and len(value) == 2):
        return None
    _no_target(target, where)
    return from_arrays(value[0], value[1], where)


FORMS: tuple[Callable[[Any, str | None, str], Table | None], ...] = (bunch, pair)


def _call(function: Callable[..., Any], source: str) -> Any:
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise DataError(
            f"cannot be called without arguments: {error}",
            where=source,
            hint="wrap it in a function without parameters",
        ) from error
    except ValueError:  # a built-in without a signature: the call itself will tell
        pass
    try:
        return function()
    except Exception as error:
        raise DataError(f"raised {type(error).__name__}: {error}", where=source) from error


def _no_target(target: str | None, where: str) -> None:
    if target is not None:
        raise DataError(
            f"target = {target!r}, but the function returns its labels apart",
            where=where,
            hint="remove target",
        )


def _describe(value: object) -> str:
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return "nothing" if value is None else f"something of type {type(value).__name__}"
