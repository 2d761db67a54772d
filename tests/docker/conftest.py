"""What the files in ``docker/`` say, and how it is run here, where no engine runs containers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from dockerfile_parse import DockerfileParser

from tuner.run import submit
from tuner.run.prepare import stored_study
from tuner.storage import Storage, open_storage

DOCKER = Path(__file__).parents[2] / "docker"
BIN = Path(sys.executable).parent
PASSWORD = "planted-secret"
STUDY = """\
[data]
source = "sklearn.datasets:load_iris"
[model]
family = "linear"
[training]
epochs = {epochs}
[search]
trials = 2
sampler = "random"
"""


@dataclass(frozen=True)
class Container:
    """What an engine would run: arguments of the image's entry point, and its environment."""

    args: tuple[str, ...]
    environment: Mapping[str, str]


def compose(service: str) -> Container:
    found = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"][service]
    return Container(tuple(found["command"]), found["environment"])


def kubernetes(file: str) -> Container:
    (found,) = pod(file)["containers"]
    environment = {each["name"]: each["value"] for each in found["env"]}
    return Container(tuple(found["args"]), environment)


def pod(file: str) -> Any:
    """The pod of the first document of a manifest."""
    return documents(file)[0]["spec"]["template"]["spec"]


def documents(file: str) -> list[Any]:
    return list(yaml.safe_load_all((DOCKER / "kubernetes" / file).read_text()))


class Image:
    """The image's entry point, run on this machine: its paths are folders of a test."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url.replace("tuner@", f"tuner:{PASSWORD}@")
        self.secrets = folder / "secrets"
        self.secrets.mkdir()
        (self.secrets / "storage").write_text(f"{self.url}\n")
        for name in ("dashboard-password", "dashboard_password"):
            (self.secrets / name).write_text("let me in\n")
        dockerfile = DockerfileParser(fileobj=(DOCKER / "Dockerfile").open("rb"))
        entry = [each for each in dockerfile.structure if each["instruction"] == "ENTRYPOINT"]
        self.entry = json.loads(entry[-1]["value"])
        self.processes: list[subprocess.Popen[str]] = []
        self._storage: Storage | None = None

    def run(self, container: Container, *more: str) -> subprocess.Popen[str]:
        return self.start([*self.entry, *container.args, *more], container.environment)

    def start(self, words: list[str], environment: Mapping[str, str]) -> subprocess.Popen[str]:
        """A process with this environment and none of the tests', but for where programs are."""
        here = {name: self._here(value) for name, value in environment.items()}
        process = subprocess.Popen(
            words,
            cwd=self.folder,
            env={"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(self.folder)}
            | {"TUNER_SPOOL": str(self.folder / "spool"), **here},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def _here(self, value: str) -> str:
        for place in ("/run/secrets/tuner/", "/run/secrets/"):
            value = value.replace(place, f"{self.secrets}/")
        return value

    def submit(self, name: str, epochs: int) -> None:
        path = self.folder / f"{name}.toml"
        path.write_text(STUDY.format(epochs=epochs))
        submit(str(path), self.url)
        path.unlink()

    @property
    def storage(self) -> Storage:
        self._storage = self._storage or open_storage(self.url)
        return self._storage

    def progress(self, name: str) -> Any:
        return self.storage.progress(stored_study(self.storage, name)[1])

    def holders(self) -> list[str]:
        with self.storage.database.read() as connection:
            found = connection.exec_driver_sql("SELECT holder FROM tuner_leases")
            return [row[0] for row in found]


@pytest.fixture
def image(tmp_path: Path, postgres_url: str) -> Iterator[Image]:
    made = Image(tmp_path, postgres_url)
    yield made
    for process in made.processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


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
