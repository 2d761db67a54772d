"""Workers on a Ray cluster: Ray finds the places, and a worker there is what it is anywhere."""

from __future__ import annotations

import importlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuner.errors import StorageError, UsageError
from tuner.run.options import RunOptions
from tuner.run.places.base import Order, Say
from tuner.run.places.errand import Errand
from tuner.run.places.ray_crew import RayCrew
from tuner.run.places.room import CPUS, check_gpus, workers_of
from tuner.run.places.silence import Silence
from tuner.storage import redact
from tuner.storage.urls import parse

ANSWER_SECONDS = 20
HINT = "`ray status` shows whether there is room; every machine has to reach the database"


@dataclass(frozen=True)
class OnRay:
    """A cluster that this process is connected to.

    Args:
        ray: the module.
        options: of the run.
        workers: to start.
        say: called with a line for people.
    """

    ray: Any
    options: RunOptions
    workers: int
    say: Say

    def start(self, order: Order) -> RayCrew:
        given = self.options
        gpu = "cuda" if given.gpus_per_worker else "cpu"
        device = gpu if given.device == "auto" else given.device
        name, url = order.job.study.name, absolute(order.url)
        errand = Errand(url, name, order.seconds, given.allow, device, given.artifacts)
        count = min(self.workers, order.most)
        silence = Silence(order.alive, self.say, HINT)
        return RayCrew(self.ray, errand, count, CPUS, given.gpus_per_worker, silence)


@contextmanager
def on_ray(options: RunOptions, address: str, say: Say) -> Iterator[OnRay]:
    """The Ray cluster at an address; without one RAY_ADDRESS, the one that runs here, or a new one.

    Raises:
        UsageError: Ray is not installed, the cluster does not answer, or has no place for a worker.
        StorageError: the database is a file, and the cluster is more than this machine.
    """
    check_gpus(options.gpus_per_worker)
    ray = module()
    ours = not ray.is_initialized()  # or else a script has connected
    with redirect_stdout(sys.stderr):  # Ray prints that a node died, until it is shut down
        if ours:
            connect(ray, address or os.environ.get("RAY_ADDRESS", ""))
        try:
            nodes = [node for node in ray.nodes() if node["Alive"]]
            check_shared(options.storage, [node["NodeManagerHostname"] for node in nodes])
            has = [node["Resources"] for node in nodes]
            yield OnRay(ray, options, workers_of(options, has, say), say)
        finally:
            if ours:
                ray.shutdown()


def module() -> Any:
    """Ray, where it is installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        return importlib.import_module("ray")
    except ModuleNotFoundError:
        raise UsageError(
            "Ray is not installed here", where="--on ray", hint='pip install "tuner[ray]"'
        ) from None


def connect(ray: Any, address: str) -> None:
    """Connects this process to a cluster, which answers within ``ANSWER_SECONDS`` or never."""
    if address not in ("", "auto", "local") and not _answers(address):
        raise UsageError(
            "no Ray cluster answers at this address",
            where=f"--on ray:{address}",
            hint="the address is HOST:PORT as `ray status` or `ray start --head` names it",
        )
    try:
        ray.init(address=address or None, logging_level="ERROR", log_to_driver=False)
    except (OSError, RuntimeError, ValueError, ImportError, ray.exceptions.RayError) as error:
        raise UsageError(
            f"cannot connect to Ray: {error}",
            where=f"--on ray:{address}" if address else "--on ray",
            hint="this machine has to be a node of the cluster, with the same versions",
        ) from None


def _answers(address: str) -> bool:
    """Asks in a process that can be ended: some of Ray waits for minutes, or ends the process."""
    if "://" in address:  # Ray's client has a limit of its own
        return True
    if not _listens(address):  # Ray would ask again and again
        return False
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    try:
        done = subprocess.run(command, capture_output=True, timeout=ANSWER_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _listens(address: str) -> bool:
    """Whether a connection to ``HOST:PORT`` is possible at all."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS).close()
    except (OSError, ValueError, OverflowError):
        return False
    return True


def check_shared(url: str, hosts: Sequence[str]) -> None:
    """Every machine of the cluster has to reach the database.

    Raises:
        StorageError: it is a file, and there are others than this machine.
    """
    if parse(url).get_backend_name() != "sqlite" or set(hosts) <= {socket.gethostname()}:
        return
    raise StorageError(
        "an SQLite file cannot be shared by machines",
        where=redact(url),
        hint="--storage postgresql://USER@HOST/NAME, which every node of the cluster reaches",
    )


def absolute(url: str) -> str:
    """The URL as another process of this machine understands it, in whatever folder it runs."""
    parsed = parse(url)
    if parsed.get_backend_name() != "sqlite":
        return url
    path = str(Path(str(parsed.database)).absolute())
    return parsed.set(drivername="sqlite", database=path).render_as_string(hide_password=False)
