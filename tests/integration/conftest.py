"""Small studies, and real worker processes to send real signals to."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sklearn.datasets  # here, and not in every forked child
import torch

from tuner.errors import TunerError
from tuner.run.prepare import stored_study, submit
from tuner.run.serve import serve
from tuner.storage import Storage, open_storage

STUDY = """\
metric = "accuracy"
[data]
source = "{source}"
[model]
family = "mlp"
depth = 1
width = 8
[regularization]
dropout = {{ off = 0.0, low = 0.05, high = 0.5 }}
[training]
epochs = {epochs}
batch_size = 16
learning_rate = {{ low = 1e-3, high = 1e-1, log = true }}
[search]
trials = {trials}
sampler = "{sampler}"
pruner = "none"
{search}
"""
assert sklearn.datasets
torch.set_num_threads(1)  # a forked child must not inherit a pool of threads
TUNER = Path(sys.executable).with_name("tuner")
PR_SET_PDEATHSIG = 1  # of Linux, where processes fork


class Shared:
    """A study in a database, and the processes that work on it."""

    def __init__(self, folder: Path, url: str, name: str, tuner: Path) -> None:
        self.folder, self.url, self.name = folder, url, name
        self._warm_tuner = tuner
        self.environment = {
            "TUNER_LEASE": "1.0",
            "TUNER_SPOOL": str(folder / "spool"),
            "TUNER_STORAGE": url,
        }
        self.processes: list[Any] = []
        self._context = multiprocessing.get_context("fork")
        self._storage: Storage | None = None

    @property
    def path(self) -> Path:
        return self.folder / f"{self.name}.toml"

    def write(self, **changes: Any) -> Shared:
        """The study file, in the database too."""
        values = {"source": "sklearn.datasets:load_iris", "epochs": 3, "trials": 4}
        values |= {"sampler": "random", "search": "", **changes}
        self.path.write_text(STUDY.format(**values))
        return self

    def submit(self, **changes: Any) -> Shared:
        submit(str(self.write(**changes).path), self.url)
        return self

    @property
    def storage(self) -> Storage:
        if self._storage is None:
            self._storage = open_storage(self.url)
        return self._storage

    @property
    def study_id(self) -> int:
        return stored_study(self.storage, self.name)[1]

    @property
    def progress(self) -> Any:
        return self.storage.progress(self.study_id)

    def trials(self) -> list[Any]:
        return self.storage.get_all_trials(self.study_id)

    def tokens(self) -> list[tuple[int, str, int]]:
        """Trial id, holder and token of each lease."""
        with self.storage.database.read() as connection:
            found = connection.exec_driver_sql(
                "SELECT trial_id, holder, token FROM tuner_leases ORDER BY trial_id"
            )
            return [tuple(row) for row in found]

    def fork(self, target: Callable[..., None], *arguments: Any, **environment: str) -> Any:
        """A child of this process, ended at the end of the test, or with this process."""

        def child() -> None:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            with (self.folder / "stderr").open("ab") as file:
                os.dup2(file.fileno(), 2)
            sys.stderr = os.fdopen(2, "w", buffering=1)
            os.environ |= self.environment | environment
            try:
                target(*arguments)
            except TunerError as error:
                print(f"error: {error}", file=sys.stderr)
                sys.exit(error.exit_code)

        process = self._context.Process(target=child)
        process.start()
        self.processes.append(process)
        return process

    def said(self) -> str:
        """What the children wrote on stderr."""
        return (self.folder / "stderr").read_text()

    def worker(self, say: Callable[[str], None] = lambda _: None, **environment: str) -> Any:
        """A process of ``tuner worker --idle-exit``."""

        def work() -> None:
            serve(self.url, device="cpu", idle_exit=True, say=say)

        return self.fork(work, **environment)

    def command(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        """The command line in a session of its own."""
        return self._start(TUNER, words, environment)

    def warm(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        """The same without the seconds of its imports, where its process does not matter."""
        return self._start(self._warm_tuner, words, environment)

    def _start(
        self, tuner: Path, words: tuple[str, ...], environment: dict[str, str]
    ) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [str(tuner), *words],
            cwd=self.folder,
            env={**os.environ, **self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def finish(self, workers: int = 1, seconds: float = 60) -> None:
        """Workers until the budget is met."""
        for process in [self.worker() for _ in range(workers)]:
            process.join(seconds)
            assert process.exitcode == 0

    def end(self) -> None:
        for process in self.processes:
            running = process.poll() is None if hasattr(process, "poll") else process.is_alive()
            if running:
                process.kill()
            process.wait() if hasattr(process, "wait") else process.join()


@pytest.fixture
def make(tmp_path: Path, warm_tuner: Path) -> Iterator[Callable[..., Shared]]:
    """A study of a name in a database; its processes end with the test."""
    made: list[Shared] = []

    def shared(url: str, name: str = "small") -> Shared:
        made.append(Shared(tmp_path, url, name, warm_tuner))
        return made[-1]

    yield shared
    for each in made:
        each.end()


@pytest.fixture
def until() -> Callable[..., None]:
    """Waits until something is true."""

    def wait(true: Callable[[], Any], seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, "it did not happen"
            time.sleep(0.02)

    return wait
