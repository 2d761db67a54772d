"""What a trial costs beyond its training, on SQLite and PostgreSQL and beside plain Optuna.

A trial has ten mixed parameters and thirty reported epochs, each followed by a median pruning
rule read from memory, and is told. The sampler's own time is not counted. Updates are written
every ten epochs, as an outbox does when ten epochs take half a second. Prints one JSON line,
times in milliseconds.

    python tests/benchmarks/storage_cost.py [--trials 60] [--plain 20]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
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

from tuner.storage import Lease, Outbox, Storage, Update, open_storage
from tuner.storage.rows import Head
from tuner.storage.writes import content, insert_trial

EPOCHS, EVERY = 30, 10
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
        else:
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
    storage.write([Update(lease, losses(EPOCHS - 1)) for lease in others])


def losses(epochs: int) -> dict[int, float]:
    return {epoch: _random.random() for epoch in range(epochs)}


def claim(storage: Storage, study_id: int, holder: str) -> Lease:
    lease = storage.claim(study_id, holder, propose)
    assert lease is not None
    return lease


def one(storage: Storage, outbox: Outbox, study_id: int, every: int) -> None:
    """A worker's trial without the training."""
    lease = claim(storage, study_id, "me")
    for epoch, loss in losses(EPOCHS).items():
        outbox.put(Update(lease, {epoch: loss}))
        below, reached = storage.rank(study_id, epoch, loss)
        _ = reached > 5 and below > reached / 2  # the median rule; the trial goes on all the same
        if (epoch + 1) % every == 0 and epoch + 1 < EPOCHS:
            outbox.flush()
    outbox.put(Update(lease, state=TrialState.COMPLETE, value=loss))
    outbox.flush()


def measure(url: str, finished: int, running: int, trials: int, every: int = EVERY) -> float:
    """Median milliseconds of a trial."""
    filler = open_storage(url)
    study_id = join(filler, f"{finished}-{running}-{every}")
    fill(filler, study_id, finished, running)
    filler.close()
    storage = open_storage(url)
    storage.refresh_interval = 0.5
    outbox = Outbox(storage, flush_seconds=600)
    times = []
    for _ in range(trials):
        start = time.perf_counter()
        one(storage, outbox, study_id, every)
        times.append(1000 * (time.perf_counter() - start))
    outbox.close()
    storage.close()
    return round(statistics.median(times[3:]), 2)


def plain(url: str, finished: int, trials: int) -> float:
    """The same with Optuna's own storage, random sampler and median pruner."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler, pruner = optuna.samplers.RandomSampler(seed=0), optuna.pruners.MedianPruner()
    study = optuna.create_study(storage=url, sampler=sampler, pruner=pruner)
    done = [
        create_trial(value=1.0, params=t.params, distributions=KINDS, intermediate_values=v)
        for t, v in ((propose(0, None), losses(EPOCHS)) for _ in range(finished))
    ]
    study.add_trials(done)
    times = []
    for _ in range(trials):
        start = time.perf_counter()
        trial = study.ask()
        for name, kind in KINDS.items():
            trial._suggest(name, kind)
        for epoch, loss in losses(EPOCHS).items():
            trial.report(loss, epoch)
            trial.should_prune()
        study.tell(trial, loss)
        times.append(1000 * (time.perf_counter() - start))
    return round(statistics.median(times[1:]), 2)


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


def figures(url: str, trials: int) -> dict[str, Any]:
    found = {
        "0 trials": measure(url, 0, 0, trials),
        "100 trials": measure(url, 100, 0, trials),
        "5000 trials": measure(url, 5000, 0, trials),
        "32 running": measure(url, 100, 32, trials),
        "100 trials, written every epoch": measure(url, 100, 0, trials, every=1),
    }
    return found | {"joining 5000 trials, s": joining(url, f"5000-0-{EVERY}")}


def postgres_server(folder: Path) -> Any:
    """The server of the tests."""
    path = Path(__file__).parents[1] / "conftest.py"
    spec = importlib.util.spec_from_file_location("tests_conftest", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    server = module.PostgresServer(folder)
    server.start()
    return server


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=60, help="measured for each figure")
    parser.add_argument("--plain", type=int, default=20, help="measured with plain Optuna")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cost", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "pg").mkdir()
        server = postgres_server(folder / "pg")
        found = {"unit": "ms a trial", "epochs": EPOCHS, "written every": EVERY}
        try:
            found["sqlite"] = figures(f"sqlite:///{folder}/tuner.db", arguments.trials)
            found["postgresql"] = figures(server.create(), arguments.trials)
        finally:
            server.kill()
        found["optuna on sqlite, 100 trials"] = plain(
            f"sqlite:///{folder}/plain.db", 100, arguments.plain
        )
        ratio = found["optuna on sqlite, 100 trials"] / found["sqlite"]["100 trials"]
        print(json.dumps(found | {"times less than optuna": round(ratio, 1)}))


if __name__ == "__main__":
    main()
