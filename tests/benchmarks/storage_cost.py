"""What a trial costs beyond its training, on SQLite and PostgreSQL and beside plain Optuna.

A trial has ten mixed parameters and thirty reported epochs, each followed by the median pruner that
a worker asks, and is told. The sampler's own time is not counted. Updates are written
every ten epochs, as an outbox does when ten epochs take half a second. All cases take turns, a
trial each, so that whatever else the machine does meets them alike. Prints one JSON line: medians
in milliseconds, and of them what this process computed itself.

    python tests/benchmarks/storage_cost.py [--trials 60]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial
from server import started

from tuner.search.propose import Draft
from tuner.search.prune import CachedPercentilePruner, PruningStudy
from tuner.storage import Lease, Outbox, Storage, Update, open_storage
from tuner.storage.rows import Head
from tuner.storage.writes import content, insert_trial

EPOCHS, EVERY, WARM_UP = 30, 10, 5
KINDS = {
    **{f"float{i}": FloatDistribution(1e-5, 1.0, log=i % 2 == 0) for i in range(5)},
    **{f"int{i}": IntDistribution(1, 256, log=i == 0) for i in range(2)},
    **{f"choice{i}": CategoricalDistribution([True, False, "a"]) for i in range(3)},
}
_random = random.Random(0)


def propose(number: int, fixed: Mapping[str, Any] | None) -> FrozenTrial:
    params: dict[str, Any] = {}
    for name, kind in KINDS.items():
        if isinstance(kind, CategoricalDistribution):
            params[name] = _random.choice(kind.choices)
        elif isinstance(kind, IntDistribution):
            params[name] = _random.randint(kind.low, kind.high)
        elif isinstance(kind, FloatDistribution):
            params[name] = _random.uniform(kind.low, kind.high)
    return create_trial(state=TrialState.RUNNING, params=params, distributions=KINDS)


def join(storage: Storage, name: str) -> int:
    return storage.join(
        name, direction="minimize", metric="loss", spec="{}", fingerprint="", budget=10**6
    )


def fill(storage: Storage, study_id: int, finished: int, running: int) -> None:
    """Finished trials with all their epochs, and running ones of another worker with most."""
    now = datetime.now(UTC).replace(tzinfo=None)
    with storage.database.write() as connection:
        for number in range(finished):
            head = Head(0, number, TrialState.COMPLETE, now, now)
            trial = propose(number, None)
            trial.intermediate_values, trial.values = losses(EPOCHS), [1.0]
            insert_trial(connection, study_id, head, partial(content, trial=trial))
    others = [claim(storage, study_id, "other") for _ in range(running)]
    storage.writer.write([Update(lease, losses(EPOCHS - 1)) for lease in others])


def losses(epochs: int) -> dict[int, float]:
    return {epoch: _random.random() for epoch in range(epochs)}


def claim(storage: Storage, study_id: int, holder: str) -> Lease:
    lease = storage.claims.claim(study_id, holder, propose)
    assert lease is not None
    return lease


class Case:
    """A study of one size, and a worker's way of doing one trial of it."""

    def __init__(self, url: str, finished: int, running: int, every: int = EVERY) -> None:
        self.storage = open_storage(url, lease_seconds=86400)  # nobody renews the others' leases
        self.name = f"{finished}-{running}-{every}"
        self.study_id = join(self.storage, self.name)
        fill(self.storage, self.study_id, finished, running)
        self.storage.close()
        self.storage = open_storage(url)
        self.storage.mirrors.refresh_interval = 0.5
        self.outbox = Outbox(self.storage, flush_seconds=600)
        self.pruning = PruningStudy(self.storage, self.name, CachedPercentilePruner(50.0))
        self.every = every

    def one(self) -> None:
        """A worker's trial without the training."""
        lease = claim(self.storage, self.study_id, "me")
        run = Draft(lease.trial)
        for epoch, loss in losses(EPOCHS).items():
            run.write(reports={epoch: loss})
            self.outbox.put(Update(lease, {epoch: loss}))
            self.pruning.should_prune(run)  # it goes on anyway
            if (epoch + 1) % self.every == 0 and epoch + 1 < EPOCHS:
                self.outbox.flush()
        self.outbox.put(Update(lease, state=TrialState.COMPLETE, value=loss))
        self.outbox.flush()

    def close(self) -> None:
        self.outbox.close()
        self.storage.close()


class Plain:
    """The same with Optuna's own storage, random sampler and median pruner."""

    def __init__(self, url: str, finished: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        sampler, pruner = optuna.samplers.RandomSampler(seed=0), optuna.pruners.MedianPruner()
        self.study = optuna.create_study(storage=url, sampler=sampler, pruner=pruner)
        done = [
            create_trial(value=1.0, params=t.params, distributions=KINDS, intermediate_values=v)
            for t, v in ((propose(0, None), losses(EPOCHS)) for _ in range(finished))
        ]
        self.study.add_trials(done)

    def one(self) -> None:
        trial = self.study.ask()
        for name, kind in KINDS.items():
            trial._suggest(name, kind)
        for epoch, loss in losses(EPOCHS).items():
            trial.report(loss, epoch)
            trial.should_prune()
        self.study.tell(trial, loss)

    def close(self) -> None:
        pass


def measure(cases: Mapping[str, Case | Plain], rounds: int) -> dict[str, dict[str, float]]:
    """Median milliseconds of a trial of each case, the first rounds left out."""
    walls: dict[str, list[float]] = {name: [] for name in cases}
    computed: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(WARM_UP + rounds):
        for name, case in cases.items():
            start, cpu = time.perf_counter(), time.process_time()
            case.one()
            computed[name].append(1000 * (time.process_time() - cpu))
            walls[name].append(1000 * (time.perf_counter() - start))
    return {
        name: {
            "ms": round(statistics.median(walls[name][WARM_UP:]), 2),
            "computed": round(statistics.median(computed[name][WARM_UP:]), 2),
        }
        for name in cases
    }


_JOIN = """
import sys, time
start = time.perf_counter()
from tuner.storage import open_storage
imported = time.perf_counter()
storage = open_storage(sys.argv[1])
opened = time.perf_counter()
trials = storage.get_all_trials(storage.get_study_id_from_name(sys.argv[2]), deepcopy=False)
assert len(trials) >= 5000, len(trials)
loaded = time.perf_counter()
print(imported - start, opened - imported, loaded - opened)
"""


def joining(url: str, name: str) -> dict[str, float]:
    """Seconds until a new process knows a study of 5,000 trials."""
    command = [sys.executable, "-c", _JOIN, url, name]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = [round(float(word), 3) for word in done.stdout.split()]
    return dict(zip(("import", "open", "load"), seconds, strict=True))


def cases(url: str) -> dict[str, Case]:
    return {
        "0 trials": Case(url, 0, 0),
        "100 trials": Case(url, 100, 0),
        "5000 trials": Case(url, 5000, 0),
        "32 running": Case(url, 100, 32),
        "100 trials, written every epoch": Case(url, 100, 0, every=1),
    }


def run(folder: Path, server: Any, rounds: int) -> dict[str, Any]:
    urls = {"sqlite": f"sqlite:///{folder}/tuner.db", "postgresql": server.create()}
    made: dict[str, Case | Plain] = {
        f"{kind}, {name}": case for kind, url in urls.items() for name, case in cases(url).items()
    }
    made["optuna on sqlite, 100 trials"] = Plain(f"sqlite:///{folder}/plain.db", 100)
    found = measure(made, rounds)
    for case in made.values():
        case.close()
    seconds = {kind: joining(url, f"5000-0-{EVERY}") for kind, url in urls.items()}
    ratio = found["optuna on sqlite, 100 trials"]["ms"] / found["sqlite, 100 trials"]["ms"]
    return found | {"joining 5000 trials, s": seconds, "times less than optuna": round(ratio, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=60, help="measured of each case")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cost", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "pg").mkdir()
        server = started(folder / "pg")
        try:
            found = run(folder, server, arguments.trials)
        finally:
            server.kill()
    load = [round(each, 1) for each in os.getloadavg()]
    print(
        json.dumps(
            {"unit": "ms a trial", "epochs": EPOCHS, "written every": EVERY}
            | {"load of the machine": load}
            | found
        )
    )


if __name__ == "__main__":
    main()
