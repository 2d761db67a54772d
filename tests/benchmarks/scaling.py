"""What saturates first with 1,000 and 10,000 workers: measured costs, and a simulation with them.

First the server's own processor time (of its processes, as the system accounts for it) of what a
worker asks of a real PostgreSQL: a trial that is claimed, told and has its epochs reported, another
worker's trial that is read, a lease that is renewed; how long a claim locks its study, and what a
connection takes. Then a simulation of a closed system: each worker trains, claims, and reads what
others finished; the server has some cores, and a study is claimed from by one worker at a time.
Prints one JSON line.

    python tests/benchmarks/scaling.py [--cores 4] [--studies 1] [--delay 0.0005]
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import psutil
from optuna.trial import TrialState
from server import started
from sqlalchemy import event
from storage_cost import claim, fill, join, losses

from tuner.storage import Storage, Update, open_storage

EPOCHS, TRIALS, RUNNING = 30, 300, 1000
FLUSH, RENEW = 0.5, 10.0
"""Seconds between two writes of a worker's reports, and two renewals of its leases."""


@dataclass(frozen=True)
class Costs:
    """Of one server.

    Attributes:
        claim, flush, read, renew: milliseconds of its processors: of a trial's claim and end, of
            writing some epochs, of reading another worker's trial whole (once by each worker that
            learns from it), of a renewal.
        seen: what a claim takes in addition for each trial that is running.
        locked: milliseconds that a claim keeps others from the study, beside its round trips;
            `crowded` for each trial that is running.
        trips: round trips meanwhile.
        connection: megabytes of memory.
    """

    claim: float
    flush: float
    read: float
    renew: float
    seen: float
    locked: float
    crowded: float
    trips: float
    connection: float


class Meter:
    """Processor time of a server's processes."""

    def __init__(self, pid: int) -> None:
        self.server = psutil.Process(pid)

    def _spent(self) -> dict[int, float]:
        everybody = [self.server, *self.server.children(recursive=True)]
        times = {process.pid: process.cpu_times() for process in everybody}
        return {pid: 1000 * (found.user + found.system) for pid, found in times.items()}

    def __enter__(self) -> Meter:
        self.before = self._spent()
        return self

    def __exit__(self, *_: object) -> None:
        after = self._spent()
        self.ms = sum(spent - self.before.get(pid, 0.0) for pid, spent in after.items())

    def backend(self) -> float:
        """Megabytes that a connection has to itself, on average."""
        found = [process.memory_info() for process in self.server.children(recursive=True)]
        return sum(each.rss - each.shared for each in found) / len(found) / 2**20


class Locked:
    """How long transactions that lock a study last from the lock on, and their statements."""

    def __init__(self, storage: Storage) -> None:
        self.seconds: list[float] = []
        self.statements = 0
        self._since: float | None = None
        engine = storage.database.engine
        event.listen(engine, "after_cursor_execute", self._executed)
        event.listen(engine, "commit", self._committed)

    def _executed(self, _: Any, __: Any, statement: str, *___: Any) -> None:
        if self._since is not None:
            self.statements += 1
        elif "FOR UPDATE" in statement and "tuner_studies" in statement:
            self._since = time.perf_counter()

    @property
    def trips(self) -> float:
        """Round trips of a transaction from the lock on."""
        return self.statements / len(self.seconds)

    def _committed(self, _: Any) -> None:
        if self._since is not None:
            self.seconds.append(time.perf_counter() - self._since)
            self.statements += 1
        self._since = None


def one(storage: Storage, study_id: int, flushes: int) -> None:
    """A trial, whose epochs are written in so many parts."""
    lease = claim(storage, study_id, "me")
    reports = losses(EPOCHS)
    for part in range(flushes):
        some = {epoch: reports[epoch] for epoch in range(part, EPOCHS, flushes)}
        storage.writer.write([Update(lease, some)], durable=False)
    storage.writer.write([Update(lease, state=TrialState.COMPLETE, value=1.0)])


def claims(storage: Storage, study_id: int, meter: Meter) -> tuple[float, float, float]:
    """Milliseconds of the server, milliseconds and round trips under the lock, of a whole trial."""
    locked = Locked(storage)
    with meter:
        for _ in range(TRIALS):
            one(storage, study_id, 1)
    return meter.ms / TRIALS, 1000 * statistics.median(locked.seconds), locked.trips


def measured(url: str, meter: Meter) -> Costs:
    storage = open_storage(url, lease_seconds=86400)
    study_id, busy = join(storage, "measured"), join(storage, "busy")
    storage.claims.register("me", "here", 1, "cpu")
    for _ in range(20):
        one(storage, study_id, 1)
    few, locked, trips = claims(storage, study_id, meter)
    with meter:
        readers = [open_storage(url) for _ in range(10)]  # kept: what ends is not accounted for
        for reader in readers:
            reader.get_all_trials(study_id, deepcopy=False)
    read = meter.ms / len(readers) / (TRIALS + 20)
    with meter:
        for _ in range(TRIALS):
            one(storage, study_id, 10)
    flush = (meter.ms / TRIALS - few) / 9
    with meter:
        for _ in range(TRIALS):
            storage.claims.renew("me")
    renew = meter.ms / TRIALS
    fill(storage, busy, 0, RUNNING)
    one(storage, busy, 1)
    crowd, crowded, _ = claims(storage, busy, meter)
    return Costs(
        claim=few - flush,
        flush=flush,
        read=read,
        renew=renew,
        seen=max(0.0, crowd - few) / RUNNING,
        locked=locked,
        crowded=max(0.0, crowded - locked) / RUNNING,
        trips=trips,
        connection=meter.backend(),
    )


class Station:
    """So many servers, and who waits for them: first come, first served."""

    def __init__(self, servers: int) -> None:
        self.free = [0.0] * servers
        self.busy = 0.0

    def serve(self, at: float, seconds: float) -> float:
        """When a request that comes at a time is done."""
        begun = max(at, heapq.heappop(self.free))
        heapq.heappush(self.free, begun + seconds)
        self.busy += seconds
        return begun + seconds


def simulated(costs: Costs, workers: int, seconds: float, options: Any) -> dict[str, float]:
    """Workers whose trials train so long; how busy they are, and what is at its limit.

    Times are of training without waiting; reports are written beside it, and only load the server.
    """
    chance = random.Random(0)
    cpu, locks = Station(options.cores), [Station(1) for _ in range(options.studies)]
    ready = [(chance.uniform(0, seconds), worker) for worker in range(workers)]
    heapq.heapify(ready)
    finished, seen = [0] * options.studies, [0] * workers
    crowd = workers / options.studies
    lasting = (costs.locked + crowd * costs.crowded) / 1000 + costs.trips * options.delay
    claim = (costs.claim + crowd * costs.seen) / 1000
    trained, until = 0.0, 6 * max(seconds, 60.0)
    flushes = min(EPOCHS, seconds / FLUSH)
    beside = (flushes * costs.flush + seconds / RENEW * costs.renew) / 1000
    while ready[0][0] < until:
        at, worker = heapq.heappop(ready)
        study = worker % options.studies
        fresh = finished[study] - seen[worker] if options.learns else 0
        seen[worker] = finished[study]
        at = cpu.serve(at, fresh * costs.read / 1000 + claim + beside)
        at = locks[study].serve(at, lasting)
        length = seconds * chance.uniform(0.5, 1.5)
        trained += length
        finished[study] += 1
        heapq.heappush(ready, (at + length, worker))
    return {
        "busy": round(min(1.0, trained / workers / until), 3),
        "server": round(min(1.0, cpu.busy / options.cores / until), 3),
        "lock": round(min(1.0, max(lock.busy for lock in locks) / until), 3),
        "trials a second": round(sum(finished) / until, 1),
    }


def curves(costs: Costs, options: Any) -> dict[str, Any]:
    """By sampler, seconds of a trial, and workers."""
    found: dict[str, Any] = {}
    for name, learns in (("random", False), ("tpe", True)):
        options.learns = learns
        found[name] = {
            seconds: {n: simulated(costs, n, seconds, options) for n in options.workers}
            for seconds in options.seconds
        }
    return found


def rounded(costs: Costs) -> Costs:
    return replace(costs, **{name: round(value, 4) for name, value in asdict(costs).items()})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cores", type=int, default=4, help="of the simulated server")
    parser.add_argument("--studies", type=int, default=1, help="that the workers share evenly")
    parser.add_argument("--delay", type=float, default=0.0005, help="seconds of a round trip")
    parser.add_argument("--workers", type=int, nargs="*", default=[64, 256, 1000, 4000, 10000])
    parser.add_argument("--seconds", type=float, nargs="*", default=[10.0, 60.0, 600.0, 3600.0])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "s").mkdir()
        server = started(folder / "s")
        try:
            costs = rounded(measured(server.create(), Meter(server.pid)))
        finally:
            server.kill()
    print(json.dumps({"costs": asdict(costs), "cores": options.cores, **curves(costs, options)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
