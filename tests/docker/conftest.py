"""What the files in ``docker/`` say."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from dockerfile_parse import DockerfileParser

DOCKER = Path(__file__).parents[2] / "docker"


@dataclass(frozen=True)
class Container:
    """What an engine would run.

    Attributes:
        args: of the image's entry point.
        user: uid and gid.
        places: the folders in which it may write; the root file system is read-only.
    """

    args: tuple[str, ...]
    environment: Mapping[str, str]
    user: tuple[int, int]
    places: tuple[str, ...]


class Dockerfile:
    """The image's own words."""

    def __init__(self) -> None:
        self._parser = DockerfileParser(fileobj=(DOCKER / "Dockerfile").open("rb"))

    @property
    def environment(self) -> dict[str, str]:
        return dict(self._parser.envs)

    @property
    def build(self) -> list[tuple[str, str]]:
        """The instructions of the first stage, and what they say."""
        found = [(each["instruction"], each["value"]) for each in self._parser.structure]
        _, end = [i for i, (instruction, _) in enumerate(found) if instruction == "FROM"]
        return found[:end]

    def every(self, instruction: str) -> list[str]:
        """What the instructions of a kind say, in all stages."""
        found = self._parser.structure
        return [str(each["value"]) for each in found if each["instruction"] == instruction]

    def last(self, instruction: str) -> str:
        return self.every(instruction)[-1]


def compose(service: str) -> Container:
    found = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"][service]
    assert found["read_only"]
    last = Dockerfile().last
    uid, gid = str(found.get("user", last("USER"))).split(":")
    volumes = [each.split(":")[1] for each in found.get("volumes", ())]
    places = (found["tmpfs"], last("VOLUME"), *volumes)
    return Container(tuple(found["command"]), found["environment"], (int(uid), int(gid)), places)


def kubernetes(file: str) -> Container:
    found = pod(file)
    (inside,) = found["containers"]
    assert inside["securityContext"]["readOnlyRootFilesystem"]
    environment = {each["name"]: each["value"] for each in inside["env"]}
    user = (found["securityContext"]["runAsUser"], found["securityContext"]["runAsGroup"])
    mounts = [each for each in inside["volumeMounts"] if not each.get("readOnly")]
    places = tuple(each["mountPath"] for each in mounts)
    return Container(tuple(inside["args"]), environment, user, places)


def pod(file: str) -> Any:
    """The pod of the first document of a manifest."""
    return documents(file)[0]["spec"]["template"]["spec"]


def documents(file: str) -> list[Any]:
    return list(yaml.safe_load_all((DOCKER / "kubernetes" / file).read_text()))


@pytest.fixture
def containers() -> Callable[[str, str], Container]:
    """The container of a service of compose, or of a manifest."""
    return lambda engine, name: {"compose": compose, "kubernetes": kubernetes}[engine](name)


@pytest.fixture(name="documents")
def _documents() -> Callable[[str], list[Any]]:
    return documents


@pytest.fixture(name="pod")
def _pod() -> Callable[[str], Any]:
    return pod


@pytest.fixture
def needed() -> Callable[..., None]:
    """What a package needs, and what that needs, as the benchmark of the image's size finds it."""
    path = Path(__file__).parents[1] / "benchmarks" / "image_size.py"
    spec = importlib.util.spec_from_file_location("image_size", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Callable[..., None] = module.needed
    return found


@pytest.fixture
def dockerfile() -> Dockerfile:
    return Dockerfile()
