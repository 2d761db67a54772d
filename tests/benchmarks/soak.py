"""The service under load for a quarter of an hour: does anything grow, leak or get lost?

A dashboard is polled every second, eight workers serve studies that are handed in all the time,
studies are paused and resumed, and half of the workers are killed now and then (the other half live
to the end, so that their memory can be watched). All on one real PostgreSQL, through the commands
that people use. Prints one JSON line; exits with 1 if a budget is not exact or something is left.

    python tests/benchmarks/soak.py [--minutes 15] [--workers 8]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from optuna.trial import TrialState
from server import started
from sqlalchemy import text

from tuner.run.prepare import stored_studies
from tuner.storage import open_storage

STUDY = """\
metric = "accuracy"
[data]
source = "sklearn.datasets:load_iris"
[model]
family = "mlp"
depth = { low = 1, high = 2 }
width = { choices = [8, 16] }
[regularization]
dropout = { off = 0.0, low = 0.05, high = 0.5 }
[training]
epochs = 60
batch_size = 16
learning_rate = { low = 1e-3, high = 1e-1, log = true }
[search]
pruner = "hyperband"
"""
TUNER = Path(sys.executable).with_name("tuner")
SUBMIT, PAUSE, KILL, ASK, POLL, SAMPLE = 20.0, 15.0, 10.0, 45.0, 1.0, 5.0
"""Seconds between two of each kind."""
BUDGET, AT_ONCE = 25, 6


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Service:
    """A dashboard, and workers of which the first half is never killed."""

    def __init__(self, folder: Path, url: str, workers: int) -> None:
        self.folder, self.workers = folder, workers
        spool = str(folder / "spool")
        self.environment = {**os.environ, "TUNER_STORAGE": url, "TUNER_SPOOL": spool}
        self.environment |= {"TUNER_LEASE": "3"}
        self.port = free_port()
        words = ("dashboard", "--port", str(self.port), "--no-open")
        self.dashboard = self.command(*words)
        self.crew = [self.command("worker") for _ in range(workers)]
        self.kills, self.asked, self.exits = 0, 0, [0]
        self.paused: list[str] = []
        self.latency: dict[str, list[float]] = defaultdict(list)
        self.failures: list[str] = []

    def command(self, *words: str) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{words[0]}.log").open("ab")
        return subprocess.Popen(
            [TUNER, *words], env=self.environment, cwd=self.folder, stdout=log, stderr=log
        )

    def done(self, *words: str) -> None:
        """Runs a command to its end."""
        code = self.command(*words).wait()
        if code:
            self.failures.append(f"{' '.join(words)} ended with {code}")

    def end_one(self, how: signal.Signals) -> None:
        """Ends one of the second half, and puts another in its place."""
        place = random.randrange(self.workers // 2, self.workers)
        worker = self.crew[place]
        worker.send_signal(how)
        code = worker.wait(30)
        if how == signal.SIGTERM:
            self.exits.append(code)
            self.asked += 1
        else:
            self.kills += 1
        self.crew[place] = self.command("worker")

    def poll(self, study_id: int | None) -> None:
        """What an open page and a scraper ask."""
        paths = ["/healthz", "/metrics", "/api/studies"]
        if study_id is not None:
            paths.append(f"/api/studies/{study_id}?after=0")
        for path in paths:
            before = time.monotonic()
            try:
                with urllib.request.urlopen(
                    f"http://127.0.0.1:{self.port}{path}", timeout=30
                ) as said:
                    said.read()
            except OSError as error:
                self.failures.append(f"{path}: {error}")
            self.latency[path.split("?")[0].rstrip("0123456789")].append(time.monotonic() - before)

    def end(self) -> None:
        """Asks all to leave; what stays is killed."""
        everybody = [*self.crew, self.dashboard]
        for process in everybody:
            process.terminate()
        for process in everybody:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                self.failures.append("a process did not leave")
                process.kill()
                process.wait()


class Memory:
    """Resident megabytes of the processes that live to the end, and of the server's."""

    def __init__(self, service: Service, server: int) -> None:
        self.server = psutil.Process(server)
        steady = service.crew[: service.workers // 2]
        self.watched = {f"worker {i}": psutil.Process(p.pid) for i, p in enumerate(steady)}
        self.watched["dashboard"] = psutil.Process(service.dashboard.pid)
        self.seen: dict[str, list[float]] = defaultdict(list)
        self.connections: list[int] = []

    def sample(self) -> None:
        for name, process in self.watched.items():
            self.seen[name].append(process.memory_info().rss / 2**20)
        backends = self.server.children(recursive=True)
        self.connections.append(len(backends))
        private = sum(p.memory_info().rss - p.memory_info().shared for p in backends)
        self.seen["server, private"].append(private / 2**20)

    def growth(self) -> dict[str, dict[str, float]]:
        """Of each process its second quarter's median beside its last quarter's."""
        found = {}
        for name, seen in self.seen.items():
            quarter = max(1, len(seen) // 4)
            early, late = (
                statistics.median(seen[quarter : 2 * quarter]),
                statistics.median(seen[-quarter:]),
            )
            found[name] = {"early MB": round(early), "late MB": round(late)}
        return found


def every(seconds: float, act: Callable[[], None]) -> Callable[[float], None]:
    """Calls `act` when asked at a time that is so long after the last call."""
    due = [time.monotonic() + seconds]

    def at(now: float) -> None:
        if now >= due[0]:
            due[0] = now + seconds
            act()

    return at


def load(service: Service, memory: Memory, storage: Any, seconds: float) -> int:
    """Keeps everything busy for so long; how many studies were handed in."""
    (service.folder / "studies").mkdir()
    submitted: list[str] = []

    def submit() -> None:
        if len(storage.open_studies()) >= AT_ONCE:
            return
        name = f"soak{len(submitted)}"
        (service.folder / "studies" / f"{name}.toml").write_text(STUDY)
        submitted.append(name)
        service.done("submit", "--study", name, "--trials", str(BUDGET))

    def pause() -> None:
        if service.paused:
            service.done("resume", "--study", service.paused.pop())
        elif storage.open_studies():
            service.paused.append(random.choice(list(storage.open_studies())))
            service.done("pause", "--study", service.paused[-1])

    def poll() -> None:
        service.poll(next(iter(storage.open_studies().values()), None))

    submit()
    acts = [every(SUBMIT, submit), every(PAUSE, pause), every(POLL, poll)]
    acts += [every(KILL, lambda: service.end_one(signal.SIGKILL))]
    acts += [every(ASK, lambda: service.end_one(signal.SIGTERM)), every(SAMPLE, memory.sample)]
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for act in acts:
            act(time.monotonic())
        time.sleep(0.05)
    for name in service.paused:
        service.done("resume", "--study", name)
    return len(submitted)


def left(storage: Any) -> list[str]:
    """What is wrong when all studies are at their end."""
    wrong = []
    for name, study_id in stored_studies(storage).items():
        progress = storage.progress(study_id)
        if (progress.finished, progress.running) != (BUDGET, 0):
            wrong.append(f"{name}: {progress}")
        running = storage.get_all_trials(study_id, states=(TrialState.RUNNING,))
        wrong += [f"{name}: trial {trial.number} is still running" for trial in running]
    with storage.database.read() as connection:
        for table in ("tuner_leases", "tuner_checkpoints"):
            rows = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar()
            wrong += [f"{table} has {rows} rows left"] if rows else []
    return wrong


def finish(storage: Any, seconds: float) -> None:
    """Waits until every study has its budget."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        progress = [storage.progress(i) for i in stored_studies(storage).values()]
        if all(each.met and not each.running and not each.interrupted for each in progress):
            return
        time.sleep(0.5)


def run(folder: Path, server: Any, options: argparse.Namespace) -> dict[str, Any]:
    url = server.create()
    storage = open_storage(url)
    service = Service(folder, url, options.workers)
    memory = Memory(service, server.pid)
    try:
        time.sleep(10)
        studies = load(service, memory, storage, 60 * options.minutes)
        finish(storage, 300)
    finally:
        service.end()
    said = (folder / "worker.log").read_text() + (folder / "dashboard.log").read_text()
    return {
        "minutes": options.minutes,
        "workers": options.workers,
        "studies": studies,
        "trials": studies * BUDGET,
        "killed": service.kills,
        "asked to leave": service.asked,
        "their exit codes": sorted(set(service.exits)),
        "memory": memory.growth(),
        "server processes": {"early": memory.connections[len(memory.connections) // 4]}
        | {"late": memory.connections[-1], "most": max(memory.connections)},
        "seconds, median and highest": {
            path: [round(statistics.median(found), 3), round(max(found), 3)]
            for path, found in service.latency.items()
        },
        "tracebacks": said.count("Traceback"),
        "failures": service.failures[:10],
        "wrong": left(storage),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--workers", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "s").mkdir()
        server = started(folder / "s")
        try:
            found = run(folder, server, options)
        finally:
            server.kill()
    print(json.dumps(found))
    return int(bool(found["wrong"] or found["failures"]))


if __name__ == "__main__":
    sys.exit(main())
