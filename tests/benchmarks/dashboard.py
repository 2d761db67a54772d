"""How long does the dashboard take on a large study? One JSON line.

A study of 5,000 trials with ten parameters and 30 epochs each on PostgreSQL, of which eight run, is
asked for over HTTP: the whole of it, then what is new, and the metrics; and the first with
optuna-dashboard on the storage that Optuna itself makes.

    python tests/benchmarks/dashboard.py [--trials 5000] [--epochs 30]
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import threading
import time
import urllib.request
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import optuna_dashboard
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial
from server import started

from tuner.dashboard.serve import CONNECTIONS, Options, address_of, application, create, listen
from tuner.storage import Storage, open_storage, rows, writes

RUNNING = 8


def fill(storage: Storage, trials: int, epochs: int) -> int:
    """The id of a new study."""
    study_id = storage.create_new_study([optuna.study.StudyDirection.MAXIMIZE], "large")
    kinds: dict[str, Any] = {f"leaf {i}": FloatDistribution(0, 1) for i in range(10)}
    with storage.database.write() as connection:
        for number in range(trials):
            ended = number < trials - RUNNING
            trial = create_trial(
                state=TrialState.COMPLETE if ended else TrialState.RUNNING,
                value=random.random() if ended else None,
                params={name: random.random() for name in kinds},
                distributions=kinds,
                user_attrs={"seed": number, "seconds": 1.5, "worker": "host:1", "device": "cpu"},
                intermediate_values={step: random.random() for step in range(1, epochs + 1)},
            )
            now = datetime.now()
            head = rows.Head(-1, number, trial.state, now, now if ended else None)
            writes.insert_trial(connection, study_id, head, partial(writes.content, trial=trial))
    return study_id


class Served:
    """A dashboard that runs in a thread."""

    def __init__(self, app: Any) -> None:
        socket = listen("127.0.0.1", 0)
        self.address = address_of(socket)
        threading.Thread(target=create(app, socket).run, daemon=True).start()

    def seconds(self, path: str) -> tuple[float, int]:
        """How long an answer takes, and its bytes."""
        begun = time.monotonic()
        with urllib.request.urlopen(f"{self.address}{path}") as reply:
            size = len(reply.read())
        return round(time.monotonic() - begun, 3), size


def measured(url: str, study_id: int, trials: int) -> dict[str, Any]:
    storage = open_storage(url, engine_kwargs=CONNECTIONS)
    served = Served(application(storage, Options()))
    study = f"api/studies/{study_id}"
    cpu = time.process_time()
    opening, size = served.seconds(f"{study}?after=0")
    cpu = time.process_time() - cpu
    polls = []
    for _ in range(10):
        polls.append(served.seconds(f"{study}?after={trials - RUNNING}")[0])
        time.sleep(1)  # optuna-dashboard itself looks at the database every ten seconds
    begun, count = time.monotonic(), 0
    while time.monotonic() < begun + 5:
        served.seconds("metrics")
        count += 1
    return {
        "opening a study, seconds": opening,
        "of them on a core": round(cpu, 3),
        "bytes": size,
        "again, seconds": served.seconds(f"{study}?after=0")[0],
        "poll, seconds": max(polls),
        "metrics in a tight loop, a second": round(count / 5),
        "poll meanwhile, seconds": served.seconds(f"{study}?after={trials - RUNNING}")[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=5000)
    parser.add_argument("--epochs", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        folder = Path(name) / "s"
        folder.mkdir()
        server = started(folder)
        try:
            url = server.create()
            storage = open_storage(url)
            study_id = fill(storage, options.trials, options.epochs)
            found = measured(url, study_id, options.trials)
            other = url.replace("postgresql:", "postgresql+psycopg:")
            rival = Served(optuna_dashboard.wsgi(optuna.storages.get_storage(other)))
            rivals = rival.seconds(f"api/studies/{study_id}?after=0")[0]
            print(json.dumps(found | {"opening with Optuna's storage, seconds": rivals}))
        finally:
            server.kill()


if __name__ == "__main__":
    main()
