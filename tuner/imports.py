"""Functions that a study names as "module:function"."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from tuner.allowed import VARIABLE, Allowed, allowed, is_module, spec_of
from tuner.errors import UsageError, nearest

DISTRIBUTIONS: Mapping[str, str] = {
    "PIL": "pillow",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
"""What to install for a module of another name."""

Kind = type[UsageError]


def function(
    reference: str,
    where: str,
    kind: Kind = UsageError,
    *,
    folder: Path = Path(),
    trusted: Callable[[str, str], bool] = lambda module, name: False,
) -> Callable[..., Any]:
    """The function that a reference names; its module is imported if that is allowed here.

    Args:
        reference: "package.module:function".
        where: the key of the study file, for messages.
        kind: of the errors.
        folder: the study file's; it counts where nobody said what is allowed.
        trusted: whether a module's function may be used by any study.

    Raises:
        UsageError: of the kind: no such module or function, or it is not allowed.
    """
    module_name, name = parts(reference, where, kind)
    rules = allowed(folder)
    with rules.on_path():
        if not trusted(module_name, name) and not rules.has(module_name):
            raise _refused(module_name, rules, reference, kind)
        return _attribute(_imported(module_name, reference, kind), name, reference, kind)


def parts(reference: str, where: str, kind: Kind = UsageError) -> tuple[str, str]:
    """Module and function of a reference; imports nothing.

    Raises:
        UsageError: of the kind: it is not "module:function".
    """
    module, colon, name = reference.partition(":")
    if not (colon and is_module(module) and name.isidentifier()):
        hint = 'such as "sklearn.datasets:load_digits"'
        raise kind(f"{reference!r} is not module:function", where=where, hint=hint)
    return module, name


def _refused(name: str, rules: Allowed, reference: str, kind: Kind) -> UsageError:
    top = name.partition(".")[0]
    if spec_of(top) is None:
        return _missing(top, f" and --allow {top}", bool(rules.folders), reference, kind)
    return kind(
        f"the module {name!r} is not allowed here, and was not imported",
        where=reference,
        hint=f"if you trust its code: --allow {top}, or {VARIABLE}={top}",
    )


def _imported(name: str, reference: str, kind: Kind) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        if f"{name}.".startswith(f"{missing}."):
            raise _missing(missing, "", True, reference, kind) from error
        hint = f"pip install {distribution(missing)}"
        raise kind(f"{name} needs the module {missing!r}", where=reference, hint=hint) from error
    except Exception as error:
        what = f"importing {name} raised {type(error).__name__}: {error}"
        raise kind(what, where=reference) from error


def _missing(name: str, also: str, beside: bool, reference: str, kind: Kind) -> UsageError:
    place = ", or put it beside the study file" if beside else ""
    hint = f"pip install {distribution(name)}{also}{place}"
    return kind(f"no module {name!r}", where=reference, hint=hint)


def distribution(module: str) -> str:
    """What to install for a module."""
    top = module.partition(".")[0]
    return DISTRIBUTIONS.get(top, top.replace("_", "-"))


def _attribute(module: ModuleType, name: str, reference: str, kind: Kind) -> Callable[..., Any]:
    value = getattr(module, name, None)
    if not callable(value):
        known = [n for n in dir(module) if not n.startswith("_") and callable(getattr(module, n))]
        problem = "no function" if value is None else "not a function:"
        what = f"{problem} {name!r} in {module.__name__}"
        raise kind(what, where=reference, hint=nearest(name, known))
    found: Callable[..., Any] = value
    return found
