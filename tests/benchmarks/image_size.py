"""How large the image is that `docker/Dockerfile` makes: what it adds to its base image, added up.

Run it where `pip install 'tuner[postgres]'` put its packages. Bytecode is counted, as the image has
it, also that of the base image's standard library; the base image itself is not.
"""

from __future__ import annotations

import importlib.util
import json
import marshal
import re
import sysconfig
from collections.abc import Iterable
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HEADER = 16
UNUSED = re.compile("/tests/|/testing/_internal/")
"""What the Dockerfile makes no bytecode of."""
TESTS = {"test", "tests", "idle_test", "site-packages"}
"""What of the standard library the base image lacks, or is no part of it."""


def needed(name: str, extra: str, found: dict[str, Distribution]) -> None:
    """Adds what a package with an extra needs, and what these need."""
    for text in distribution(name).requires or []:
        requirement = Requirement(text)
        marker = requirement.marker
        wanted = marker is None or any(marker.evaluate({"extra": each}) for each in ("", extra))
        key = canonicalize_name(requirement.name)
        if wanted and key not in found:
            found[key] = distribution(requirement.name)
            needed(requirement.name, next(iter(requirement.extras), ""), found)


def files(package: Distribution) -> list[Path]:
    found = [Path(str(file.locate())) for file in package.files or [] if file.suffix != ".pyc"]
    return [path for path in found if path.exists()]


def bytecode(modules: Iterable[Path]) -> int:
    """Bytes, of what is there already or would be."""
    total = 0
    for path in modules:
        made = Path(importlib.util.cache_from_source(str(path)))
        if made.exists():
            total += made.stat().st_size
        else:
            total += HEADER + len(marshal.dumps(compile(path.read_bytes(), path, "exec")))
    return total


def standard() -> list[Path]:
    folder = Path(sysconfig.get_path("stdlib"))
    every = folder.rglob("*.py")
    return [path for path in every if not TESTS & set(path.relative_to(folder).parts)]


if __name__ == "__main__":
    packages: dict[str, Distribution] = {}
    needed("tuner", "postgres", packages)
    every = [path for package in packages.values() for path in files(package)]
    modules = [path for path in every if path.suffix == ".py" and not UNUSED.search(str(path))]
    sizes = {
        "files": sum(path.stat().st_size for path in every),
        "their bytecode": bytecode(modules),
        "the standard library's bytecode": bytecode(standard()),
    }
    print(
        json.dumps(
            {
                "packages": len(packages),
                "MB": {name: round(size / 1e6) for name, size in sizes.items()},
                "MB together": round(sum(sizes.values()) / 1e6),
            }
        )
    )
