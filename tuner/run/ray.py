"""Runs workers on a Ray cluster, which places them on its nodes."""

from __future__ import annotations

import importlib
import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuner.errors import StorageError, TrainingError, UsageError
from tuner.logs import Say
from tuner.run.errand import Errand, ErrandResult, run
from tuner.run.options import RunOptions
from tuner.run.pool import LEAVE_SECONDS, Order, Toll
from tuner.storage import redact
from tuner.storage.database import parse_url

# The number of workers for which the nodes of a cluster have resources.


CPUS = 1.0
"""The CPUs of a node that each worker takes."""


def check_gpus(gpus: float) -> None:
    """A part of one GPU, or whole ones."""
    if gpus < 0 or not math.isfinite(gpus) or (gpus > 1 and gpus != int(gpus)):
        raise UsageError(
            f"{gpus:g} is not a number of GPUs",
            where="--gpus-per-worker",
            hint="give a fraction of one, such as 0.25, or a whole number",
        )


def workers_of(options: RunOptions, has: Sequence[Mapping[str, float]], say: Say) -> int:
    """The number of workers to start; says if not all of them have a place yet.

    Args:
        has: the resources of each node.

    Raises:
        UsageError: no node has room for a worker, or the number of workers is wrong.
    """
    gpus = options.gpus_per_worker
    room = sum(places(node, gpus) for node in has)
    total = {kind: sum(node.get(kind, 0) for node in has) for kind in ("CPU", "GPU")}
    cluster = f"the cluster has {total['CPU']:g} CPUs and {total['GPU']:g} GPUs"
    if room == 0:
        each = f"{CPUS:g} CPU" + (f" and {gpus:g} GPUs" if gpus else "")
        where = "--gpus-per-worker" if gpus else "--on ray"
        raise UsageError(
            f"no node has the resources for a worker with {each}", where=where, hint=cluster
        )
    if options.workers == "auto":
        return room
    count = int(options.workers)
    if count < 1:
        raise UsageError(
            f"{count!r} is not a number of workers",
            where="--workers",
            hint="give a number of at least 1, or auto",
        )
    if count > room:
        say(f"{room} of {count} workers can start now, the others when there is room: {cluster}")
    return count


def places(node: Mapping[str, float], gpus: float) -> int:
    """The number of workers that have room on an idle node with these resources."""
    room = node.get("CPU", 0.0) / CPUS
    if gpus >= 1:
        room = min(room, node.get("GPU", 0.0) // gpus)
    elif gpus > 0:  # a worker's fraction is of one GPU
        room = min(room, node.get("GPU", 0.0) * math.floor(1 / gpus + 1e-9))
    return math.floor(room + 1e-9)


# A warning while the engine runs no worker.


SILENT_SECONDS, LOOK_SECONDS = 60.0, 5.0


class Silence:
    """Warns once if no worker has reported for a minute; again after one was alive in between.

    Args:
        alive: whether any worker is alive, according to the database.
        say: called with a line for people.
        hint: where to look for the reason.
        now: a clock in seconds.
    """

    def __init__(
        self,
        alive: Callable[[], bool],
        say: Say,
        hint: str,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._alive, self._say, self._hint, self._now = alive, say, hint, now
        self._since = self._looked = now()
        self._warned = False

    def look(self) -> None:
        """To be called often: it checks the workers every few seconds."""
        now = self._now()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        if self._alive():
            self._since, self._warned = now, False
        elif now - self._since >= SILENT_SECONDS and not self._warned:
            self._say(f"no worker has reported for {now - self._since:.0f} s; {self._hint}")
            self._warned = True


# Workers as tasks of Ray, replaced when they or their machines die.


MET_SECONDS = 3.0
"""Seconds for workers to see that the budget is complete; on a dead machine they never do."""


class RayCrew:
    """Tasks that run one errand.

    Args:
        ray: the module, connected to a cluster.
        errand: their work; it is stored in Ray's memory, so that no log shows it.
        count: the number of tasks.
        cpus, gpus: the resources that Ray reserves for each.
        silence: warns while none runs.
    """

    def __init__(
        self, ray: Any, errand: Errand, count: int, cpus: float, gpus: float, silence: Silence
    ) -> None:
        self._ray, self._silence = ray, silence
        self._toll = Toll(count)
        self._until: float | None = None
        self._errand = ray.put(errand)
        self._task = ray.remote(run).options(
            name="tuner worker",
            num_cpus=cpus,
            num_gpus=gpus,
            max_retries=0,
            scheduling_strategy="SPREAD",
        )
        self._running = [self._task.remote(self._errand) for _ in range(count)]

    @property
    def spent(self) -> Mapping[str, float]:
        """Seconds of the workers that ended, by what they were spent on."""
        return self._toll.spent

    def wait(self, seconds: float) -> bool:
        """Waits until a worker ends or the time is over; whether any is still running.

        Raises:
            TunerError: an error ended a worker, or too many died.
        """
        self._ray.wait(self._running, timeout=seconds)
        self._silence.look()
        every = len(self._running)
        ended, self._running = self._ray.wait(self._running, num_returns=every, timeout=0)
        for task in ended:
            how = self._receive(task)
            if how and self._toll.error is None:
                self._toll.died(how)
                self._running.append(self._task.remote(self._errand))
        self._toll.check()
        late = self._until is not None and time.monotonic() > self._until
        return bool(self._running) and not late

    def progressed(self) -> None:
        """A trial ended."""
        self._toll.forgive()

    def met(self) -> None:
        """The study needs no more trials: workers that do not leave in ``MET_SECONDS`` have no
        place yet, or are dead."""
        self._until = self._until or time.monotonic() + MET_SECONDS

    def leave(self) -> None:
        """Asks all workers to give their trials back and leave, and waits for them."""
        for task in self._running:
            self._ray.cancel(task)
        if self._running:
            every, limit = len(self._running), LEAVE_SECONDS + MET_SECONDS
            ended, left = self._ray.wait(self._running, num_returns=every, timeout=limit)
            for task in ended:
                self._receive(task)
            for task in left:
                self._ray.cancel(task, force=True)
        self._running = []

    def _receive(self, task: Any) -> str:
        """Takes in the messages of a worker that ended; how it died, or an empty text.

        Raises:
            TrainingError: its machine cannot run workers at all.
        """
        errors = self._ray.exceptions
        try:
            ended: ErrandResult = self._ray.get(task)
        except errors.TaskCancelledError:
            return ""
        except errors.RayTaskError as error:
            raise TrainingError(
                f"a machine of the cluster cannot run workers: {error.cause}",
                where="--on ray",
                hint="install the same version of tuner on all machines",
            ) from None
        except errors.RayError as error:
            return type(error).__name__
        for message in ended.messages:
            self._toll.hear(message)
        return f"exit code {ended.code} on {ended.host}" if ended.code else ""


# The Ray cluster as a place for workers.


ANSWER_SECONDS = 20
HINT = "`ray status` shows the free resources; every machine needs access to the database"


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
        options = self.options
        gpu = "cuda" if options.gpus_per_worker else "cpu"
        device = gpu if options.device == "auto" else options.device
        name, url = order.job.study.name, absolute(order.url)
        errand = Errand(url, name, order.seconds, options.allow, device, options.artifacts)
        count = min(self.workers, order.most)
        silence = Silence(order.alive, self.say, HINT)
        return RayCrew(self.ray, errand, count, CPUS, options.gpus_per_worker, silence)


@contextmanager
def on_ray(options: RunOptions, address: str, say: Say) -> Iterator[OnRay]:
    """The Ray cluster at an address, else at RAY_ADDRESS, else one on this machine, else a new one.

    Raises:
        UsageError: Ray is not installed, the cluster does not answer, or has no place for a worker.
        StorageError: the database is a file, and the cluster is more than this machine.
    """
    check_gpus(options.gpus_per_worker)
    ray = module()
    ours = not ray.is_initialized()  # otherwise the user's script has connected
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
            "Ray is not installed", where="--on ray", hint='pip install "tuner[ray]"'
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
            hint="run this on a node of the cluster, with the same versions",
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
    """Checks that every machine of the cluster can reach the database.

    Raises:
        StorageError: it is a file, and the cluster has other machines than this one.
    """
    if parse_url(url).get_backend_name() != "sqlite" or set(hosts) <= {socket.gethostname()}:
        return
    raise StorageError(
        "an SQLite file cannot be shared by machines",
        where=redact(url),
        hint="--storage postgresql://USER@HOST/NAME, which every node of the cluster reaches",
    )


def absolute(url: str) -> str:
    """The URL as another process of this machine understands it, in whatever folder it runs."""
    parsed = parse_url(url)
    if parsed.get_backend_name() != "sqlite":
        return url
    path = str(Path(str(parsed.database)).absolute())
    return parsed.set(drivername="sqlite", database=path).render_as_string(hide_password=False)
