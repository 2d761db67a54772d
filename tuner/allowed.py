"""What this process may import for a study.

A study may come from a database, so its ``module:function`` is a wish, not an order. What is
allowed is a property of the process: packages by name, and folders whose modules count.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from tuner.errors import UsageError

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
    """Names of packages, several of them between commas or blanks.

    Raises:
        UsageError: something that is no name of a package.
    """
    names = tuple(dict.fromkeys(" ".join(texts).replace(",", " ").split()))
    for name in names:
        if not is_module(name):
            hint = "give packages or modules, such as mlxtend or mine.networks"
            raise UsageError(f"{name!r} is not the name of a package", where="--allow", hint=hint)
    return names


def of_operator(packages: Sequence[str] = ()) -> Allowed:
    """What a worker may import: what its operator named, else what TUNER_ALLOW names."""
    return Allowed(read_packages(packages or [os.environ.get(VARIABLE, "")]))


def of_person(packages: Sequence[str] = (), folder: Path = Path()) -> Allowed:
    """The same, and the modules of the working directory and of the study file's folder."""
    folders = dict.fromkeys((Path.cwd(), folder.resolve()))
    return Allowed(of_operator(packages).packages, tuple(folders))


def allowed(folder: Path = Path()) -> Allowed:
    """What is allowed now: where nobody said, what a person's own process may import."""
    return _ALLOWED.get() or of_person((), folder)


@contextmanager
def allowing(found: Allowed) -> Iterator[None]:
    """Within it, a study's modules are imported by these rules."""
    token = _ALLOWED.set(found)
    try:
        with found.on_path():
            yield
    finally:
        _ALLOWED.reset(token)


def is_module(name: str) -> bool:
    """Whether it is how a module may be called."""
    return all(part.isidentifier() for part in name.split("."))


def spec_of(top: str) -> ModuleSpec | None:
    """Where a module without dots would come from; runs none of its code."""
    try:
        found = importlib.util.find_spec(top)
        if found is None:  # written a moment ago
            importlib.invalidate_caches()
            found = importlib.util.find_spec(top)
    except ValueError:  # it is there, and nobody knows from where
        return ModuleSpec(top, None)
    return found


def _lies_in(spec: ModuleSpec, folder: Path) -> bool:
    """Whether a module is the one that the folder itself has, and not below it or elsewhere."""
    there = PathFinder.find_spec(spec.name, [str(folder)])
    return there is not None and bool(_places(there)) and _places(there) == _places(spec)


def _places(spec: ModuleSpec) -> set[Path]:
    named = [spec.origin] if spec.origin else spec.submodule_search_locations or []
    return {Path(place).resolve() for place in named}
