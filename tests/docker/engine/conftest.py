"""How what ``docker/`` says is run here, where no engine runs containers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tuner.run.prepare import stored_study, submit
from tuner.storage import Storage, open_storage

BIN = Path(sys.executable).parent
HOME = str(Path("/home", "tuner"))  # where useradd makes it in the image
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


@cache
def becoming(user: tuple[int, int]) -> tuple[str, ...]:
    """The words before a command that run it as a user; none where only oneself is possible.

    Such a process may read what root may, since the interpreter can lie under /root, and writes
    only where the user may.
    """
    uid, gid = map(str, user)
    plain = ("setpriv", "--reuid", uid, "--regid", gid, "--clear-groups", "--no-new-privs")
    reads = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    bounded = "--bounding-set=-all,+dac_read_search"
    if os.geteuid() == 0 and shutil.which("setpriv"):
        for words in ((*plain, *reads, bounded), plain):
            tried = [*words, sys.executable, "-c", "import yaml"]
            if subprocess.run(tried, capture_output=True, check=False).returncode == 0:
                return words
    warnings.warn(f"the commands of docker/ run as oneself, not as {uid}:{gid}", stacklevel=2)
    return ()


class Image:
    """The image, run on this machine: its root is a folder of a test."""

    def __init__(self, folder: Path, url: str, dockerfile: Any) -> None:
        self.last = dockerfile.last
        self.folder, self.url = folder, url.replace("tuner@", f"tuner:{PASSWORD}@")
        self.root = folder / "root"
        for name in (HOME, self.last("WORKDIR"), "/run/secrets/tuner"):
            self.at(name).mkdir(parents=True)
        for secrets in (self.at("/run/secrets"), self.at("/run/secrets/tuner")):
            (secrets / "storage").write_text(f"{self.url}\n")
            for name in ("dashboard-password", "dashboard_password"):
                (secrets / name).write_text("let me in\n")
            for path in filter(Path.is_file, secrets.iterdir()):
                path.chmod(0o400)
        self.environment = {**dockerfile.environment, "PATH": f"{BIN}:{os.environ['PATH']}"}
        self.processes: list[subprocess.Popen[str]] = []
        self._storage: Storage | None = None

    @property
    def health(self) -> str:
        """The command of the image's health check, in JSON."""
        return self.last("HEALTHCHECK").partition(" CMD ")[2]

    def at(self, path: str) -> Path:
        """Where a path of the container is here."""
        return self.root / path.lstrip("/")

    def run(self, container: Any, *more: str) -> subprocess.Popen[str]:
        """The image's entry point with the container's arguments."""
        return self.execute(
            container, [*json.loads(self.last("ENTRYPOINT")), *container.args, *more]
        )

    def execute(self, container: Any, words: Sequence[str]) -> subprocess.Popen[str]:
        """A command in a container, as its user, with its root and its environment."""
        as_user = becoming(container.user)
        for name in container.places:
            self.at(name).mkdir(parents=True, exist_ok=True)
        theirs = [self.at(name) for name in container.places]
        for path in (*theirs, *filter(Path.is_file, self.at("/run/secrets").rglob("*"))):
            if as_user:
                os.chown(path, *container.user)
        for folder in (self.root, *(each for each in self.root.rglob("*") if each.is_dir())):
            inside = any(folder.is_relative_to(self.at(name)) for name in container.places)
            folder.chmod(0o755 if inside else 0o555)
        environment = {"HOME": HOME, "TMPDIR": "/tmp", **self.environment, **container.environment}
        here = {
            name: str(self.at(value)) if value.startswith("/") and name != "PATH" else value
            for name, value in environment.items()
        }
        return self.start([*as_user, *words], here, self.at(self.last("WORKDIR")))

    def start(
        self, words: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> subprocess.Popen[str]:
        """A process with this environment and none of the tests'."""
        process = subprocess.Popen(
            words,
            cwd=folder,
            env={"PATH": self.environment["PATH"], **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def files(self, container: Any) -> dict[Path, int]:
        """What lies outside the places where a container may write, and when it was changed."""
        places = [self.at(name) for name in container.places]
        return {
            path: path.stat().st_mtime_ns
            for path in self.root.rglob("*")
            if not any(path.is_relative_to(place) for place in places)
            if not (path.is_dir() and any(place.is_relative_to(path) for place in places))
        }

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
def image(postgres_url: str, dockerfile: Any) -> Iterator[Image]:
    # Not tmp_path, which lies in a folder where nobody else may look.
    with tempfile.TemporaryDirectory(prefix="image", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        made = Image(Path(name), postgres_url, dockerfile)
        yield made
        for process in made.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()


@pytest.fixture
def uids() -> Callable[[Any], tuple[int, int]]:
    """The uid and gid that a container's process is to have here."""
    return lambda container: (
        container.user if becoming(container.user) else (os.getuid(), os.getgid())
    )
