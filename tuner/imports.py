"""Decides what this process may import for a study, and imports it.

A study may come from a database that others write to, so the process, not the study, decides which
``module:function`` may be imported: those of named packages, and of modules in some folders.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any

from tuner.errors import UsageError, nearest

VARIABLE = "TUNER_ALLOW"


@dataclass(frozen=True)
class Allowed:
    """What may be imported for a study.

    Args:
        packages: names; a package brings the modules within it.
        folders: modules that lie directly in one of them may be imported by any name.
    """

    packages: tuple[str, ...] = ()
    folders: tuple[Path, ...] = ()

    def has(self, name: str) -> bool:
        """Whether a module is allowed; runs none of its code."""
        if any(f"{name}.".startswith(f"{package}.") for package in self.packages):
            return True
        spec = spec_of(name.partition(".")[0])
        return spec is not None and any(_lies_in(spec, folder) for folder in self.folders)

    @contextmanager
    def on_path(self) -> Iterator[None]:
        """Modules of the folders and of the working directory can be found.

        They stand at the end of the path, so that none shadows a library.
        """
        before = list(sys.path)
        added = dict.fromkeys(str(each) for each in (*self.folders, Path.cwd()))
        sys.path.extend(each for each in added if each not in before)
        try:
            yield
        finally:
            sys.path[:] = before


_ALLOWED: ContextVar[Allowed | None] = ContextVar("allowed", default=None)


def read_packages(texts: Sequence[str]) -> tuple[str, ...]:
    """Names of packages; commas or blanks separate several in one text.

    Raises:
        UsageError: something is not the name of a package.
    """
    names = tuple(dict.fromkeys(" ".join(texts).replace(",", " ").split()))
    for name in names:
        if not is_module(name):
            hint = "give packages or modules, such as mlxtend or mine.networks"
            raise UsageError(f"{name!r} is not the name of a package", where="--allow", hint=hint)
    return names


def of_operator(packages: Sequence[str] = ()) -> Allowed:
    """What a worker may import: the packages that its operator names, else those of TUNER_ALLOW."""
    return Allowed(read_packages(packages or [os.environ.get(VARIABLE, "")]))


def of_person(packages: Sequence[str] = (), folder: Path = Path()) -> Allowed:
    """The same, and the modules of the working directory and of the study file's folder."""
    folders = dict.fromkeys((Path.cwd(), folder.resolve()))
    return Allowed(of_operator(packages).packages, tuple(folders))


def allowed(folder: Path = Path()) -> Allowed:
    """What this process may import now: the rules of `allowing`, or else those of `of_person`."""
    return _ALLOWED.get() or of_person((), folder)


@contextmanager
def allowing(rules: Allowed) -> Iterator[None]:
    """Applies these rules to the imports of studies within the block."""
    token = _ALLOWED.set(rules)
    try:
        with rules.on_path():
            yield
    finally:
        _ALLOWED.reset(token)


def is_module(name: str) -> bool:
    """Whether a text can be the name of a module, with or without dots."""
    return all(part.isidentifier() for part in name.split("."))


def spec_of(top: str) -> ModuleSpec | None:
    """The spec of a module without dots, None if there is no such module; runs none of its code."""
    try:
        spec = importlib.util.find_spec(top)
        if spec is None:  # written a moment ago
            importlib.invalidate_caches()
            spec = importlib.util.find_spec(top)
    except ValueError:  # it is imported and has no spec
        return ModuleSpec(top, None)
    return spec


def _lies_in(spec: ModuleSpec, folder: Path) -> bool:
    """Whether a module lies directly in the folder, not below it or elsewhere."""
    inside = PathFinder.find_spec(spec.name, [str(folder)])
    if inside is None or not _locations(inside):
        return False
    return _locations(inside) == _locations(spec)


def _locations(spec: ModuleSpec) -> set[Path]:
    named = [spec.origin] if spec.origin else spec.submodule_search_locations or []
    return {Path(place).resolve() for place in named}


# Functions that a study names as "module:function".


DISTRIBUTIONS: Mapping[str, str] = {
    "PIL": "pillow",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
"""Distributions to install, by module, where the two names differ."""

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
        folder: the study file's, used only outside `allowing`.
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


def is_reference(name: object) -> bool:
    """Whether a name in a study file stands for a function of the user's."""
    return isinstance(name, str) and ":" in name


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
    """The distribution to install for a module."""
    top = module.partition(".")[0]
    return DISTRIBUTIONS.get(top, top.replace("_", "-"))


def _attribute(module: ModuleType, name: str, reference: str, kind: Kind) -> Callable[..., Any]:
    value = getattr(module, name, None)
    if not callable(value):
        known = [n for n in dir(module) if not n.startswith("_") and callable(getattr(module, n))]
        problem = "no function" if value is None else "not a function:"
        what = f"{problem} {name!r} in {module.__name__}"
        raise kind(what, where=reference, hint=nearest(name, known))
    attribute: Callable[..., Any] = value
    return attribute


PACKAGES = (
    *("tuner", "torch", "optuna", "numpy", "pandas"),
    *("scikit-learn", "scipy", "safetensors"),
)
"""Packages whose versions may decide what a training gives."""


def versions() -> dict[str, str]:
    """The versions of Python and of those of PACKAGES that are installed."""
    installed = {"python": platform.python_version()}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):  # as in a source tree that is not installed
            installed[name] = version(name)
    return installed
