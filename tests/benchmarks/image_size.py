"""How large the image is that `docker/Dockerfile` makes: what it installs, added up.

Run it where `pip install 'tuner[postgres]'` put its packages. Bytecode is left out, as the image
has none; the base image is not counted.
"""

from __future__ import annotations

import json
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


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


def size(package: Distribution) -> int:
    files = [Path(str(file.locate())) for file in package.files or [] if file.suffix != ".pyc"]
    return sum(file.stat().st_size for file in files if file.exists())


if __name__ == "__main__":
    packages: dict[str, Distribution] = {}
    needed("tuner", "postgres", packages)
    sizes = {name: size(package) / 1e6 for name, package in packages.items()}
    print(json.dumps({"packages": len(sizes), "MB": round(sum(sizes.values()))}))
