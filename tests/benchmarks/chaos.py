"""Workers killed all the time, the server killed too: is every result there, once and right?

A study of short trials; one of the workers is killed with SIGKILL every two seconds and replaced,
and the server twice (once it stays away for long). Triggers in the database write down each
report and checkpoint, so that at the end it can be told whether an epoch was ever reported with
two values, and whether each interrupted trial went on right after its last checkpoint. With
`--pruner promote` trials pause, and with `--budget` the study ends after so many epochs of all
trials together. With `--sampler random`, which does not learn, the study is trained once more by
one worker that nobody kills: an epoch of a trial that both trained has to have the same value.
Prints one JSON line; exits with 1 if anything is wrong.

    python tests/benchmarks/chaos.py [--trials 200] [--workers 8] [--every 2] [--away 1 60]
        [--database postgresql|sqlite] [--pruner hyperband|promote] [--budget EPOCHS]
        [--sampler tpe|random]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sklearn.datasets
import torch
from optuna.trial import FrozenTrial, TrialState
from server import started
from sqlalchemy import text

from tuner.run.optimize import optimize
from tuner.run.options import RunOptions
from tuner.run.prepare import stored_study, submit
from tuner.run.serve import serve
from tuner.search.promote import PAUSED_AT, last_epoch
from tuner.storage import OutageError, Storage, open_storage
from tuner.study.trials import epochs_trained

assert sklearn.datasets  # forked workers have it then
STUDY = """\
metric = "accuracy"
[data]
source = "sklearn.datasets:load_iris"
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
optimizer = {{ choices = ["adam", "sgd"] }}
[search]
{budget}
sampler = "{sampler}"
pruner = {{ name = "{pruner}", min_resource = 20 }}
"""
AUDIT = (
    "CREATE TABLE audit_reports (id {id}, trial_id INTEGER, token INTEGER, step INTEGER, "
    "value DOUBLE PRECISION)",
    "CREATE TABLE audit_tokens (trial_id INTEGER, token INTEGER)",
    "CREATE TABLE audit_checkpoints (id {id}, trial_id INTEGER, token INTEGER, data {bytes})",
)
KINDS = {
    "sqlite": {"id": "INTEGER PRIMARY KEY", "bytes": "BLOB"},
    "postgresql": {"id": "bigserial PRIMARY KEY", "bytes": "bytea"},
}
# A worker can write only while it is the last holder, and the lease goes with the last write.
_HOLDER = "(SELECT max(token) FROM audit_tokens WHERE trial_id = NEW.trial_id)"
WATCHED = {
    "tuner_leases": ("audit_tokens", "", "NEW.token"),
    "trial_intermediate_values": (
        "audit_reports",
        ", step, value",
        f"{_HOLDER}, NEW.step, NEW.intermediate_value",
    ),
    "tuner_checkpoints": ("audit_checkpoints", ", data", f"{_HOLDER}, NEW.data"),
}


def audit(storage: Storage) -> None:
    """Let the database write down each report and checkpoint, with the token of its writer."""
    dialect = storage.database.dialect
    statements = [statement.format(**KINDS[dialect]) for statement in AUDIT]
    for table, (target, columns, values) in WATCHED.items():
        insert = f"INSERT INTO {target} (trial_id, token{columns}) VALUES (NEW.trial_id, {values});"
        if dialect == "sqlite":
            statements += [
                f"CREATE TRIGGER {target}_{event} AFTER {event} ON {table} BEGIN {insert} END"
                for event in ("INSERT", "UPDATE")
            ]
            continue
        statements += [
            f"CREATE FUNCTION write_{target}() RETURNS trigger AS $$ BEGIN {insert} "
            "RETURN NEW; END $$ LANGUAGE plpgsql",
            f"CREATE TRIGGER {target} AFTER INSERT OR UPDATE ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION write_{target}()",
        ]
    with storage.database.write() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def epochs_in(data: bytes) -> int:
    """How many epochs a checkpoint holds: its header is JSON after 8 bytes of length."""
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return int(header["epochs"]["shape"][0])


def violations(storage: Storage, study_id: int, epochs: int) -> tuple[list[str], int]:
    """What is wrong, and how many trials were interrupted."""
    wrong = []
    progress, trials = storage.progress(study_id), storage.get_all_trials(study_id)
    counts = progress.running, progress.paused, progress.interrupted, progress.failed
    if counts != (0, 0, (), 0) or progress.finished != progress.budget:
        wrong.append(f"not exactly its budget: {progress}")
    if progress.epochs is not None and epochs_trained(trials) != progress.epochs:
        wrong.append(f"{epochs_trained(trials)} epochs, and the budget is {progress.epochs}")
    if [trial.number for trial in trials] != list(range(len(trials))):
        wrong.append("numbers are missing")
    for trial in trials:
        steps = sorted(trial.intermediate_values)
        if steps != list(range(1, len(steps) + 1)):
            wrong.append(f"trial {trial.number} has gaps: {steps}")
        if trial.state == TrialState.COMPLETE and len(steps) != epochs:
            wrong.append(f"trial {trial.number} is complete with {len(steps)} epochs")
        if trial.value != _expected(trial, trials):
            wrong.append(f"trial {trial.number} has another value than its last epoch: {trial}")
    with storage.database.read() as connection:
        for table in ("tuner_leases", "tuner_checkpoints"):
            ids = connection.execute(text(f"SELECT trial_id FROM {table}")).scalars()
            left = [i for i in ids if table == "tuner_leases" or i not in _ended_paused(trials)]
            if left:
                wrong.append(f"{table} has {len(left)} rows left")
        reports = connection.execute(
            text("SELECT trial_id, token, step, value FROM audit_reports ORDER BY id")
        ).all()
        checkpoints = connection.execute(
            text("SELECT trial_id, token, data FROM audit_checkpoints ORDER BY id")
        ).all()
    found, interrupted = _continuations(reports, checkpoints)
    return wrong + found, interrupted


def _ended_paused(trials: list[FrozenTrial]) -> set[int]:
    """The ids of trials that were paused when the budget was met, and keep their checkpoints."""
    ended = (t for t in trials if t.state == TrialState.PRUNED and PAUSED_AT in t.user_attrs)
    return {t._trial_id for t in ended if t.user_attrs[PAUSED_AT] == last_epoch(t)}


def differences(url: str, calm: str) -> list[str]:
    """The epochs of trials that have another value in the database where nobody was killed."""
    both = [_reports(open_storage(each)) for each in (url, calm)]
    shared = both[0].keys() & both[1].keys()
    assert shared
    return [
        f"{each}: {both[0][each]}, {both[1][each]}"
        for each in sorted(shared)
        if both[0][each] != both[1][each]
    ]


def _reports(storage: Storage) -> dict[tuple[int, int], float]:
    trials = storage.get_all_trials(stored_study(storage, "chaos")[1])
    return {(t.number, step): v for t in trials for step, v in t.intermediate_values.items()}


def _expected(trial: FrozenTrial, trials: list[FrozenTrial]) -> float | None:
    """The value of the last epoch; that of the trial whose duplicate this one is."""
    first = trial.user_attrs.get("duplicate_of")
    if first is not None:
        return trials[first].value
    return trial.intermediate_values.get(trial.user_attrs.get("epochs", 0))


def _continuations(reports: Any, checkpoints: Any) -> tuple[list[str], int]:
    """Whether each holder of a trial went on right after its last checkpoint.

    Telling an epoch again as it was writes nothing, so that what a holder writes first may come
    later than that; but whatever lies in between was written before.
    """
    wrong = []
    saved: dict[int, dict[int, int]] = defaultdict(dict)
    for trial_id, token, data in checkpoints:
        saved[trial_id][token] = epochs_in(bytes(data))
    values: dict[tuple[int, int], set[float]] = defaultdict(set)
    wrote: dict[int, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
    for trial_id, holder, step, value in reports:
        token = holder or 0  # nobody held a duplicate, which is told at once
        values[trial_id, step].add(value)
        wrote[trial_id][token].add(step)
    for (trial_id, step), found in values.items():
        if len(found) > 1:
            wrong.append(f"epoch {step} of trial {trial_id} was reported as {sorted(found)}")
    for trial_id, by_token in wrote.items():
        for token, steps in by_token.items():
            last = max((n for t, n in saved[trial_id].items() if t < token), default=0)
            before = set().union(*(found for t, found in by_token.items() if t < token))
            expected = set(range(last + 1, min(steps)))
            if min(steps) <= last or not expected <= before:
                wrong.append(f"trial {trial_id}, holder {token}: at {min(steps)} after {last}")
    return wrong, sum(len(by_token) > 1 for by_token in wrote.values())


def work(url: str) -> None:
    """A worker; one that starts while the server is away says so, and another takes its place."""
    try:
        serve(url, device="cpu", idle_exit=True)
    except OutageError as error:
        print(error.message, file=sys.stderr)
        sys.exit(error.exit_code)


class Crew:
    """Worker processes, each replaced when it is killed."""

    def __init__(self, url: str, size: int) -> None:
        self.url, self.size, self.kills = url, size, 0
        self._context = multiprocessing.get_context("fork")
        self._workers: list[Any] = []

    def fill(self) -> None:
        """As many workers as wanted."""
        self._workers = [worker for worker in self._workers if worker.is_alive()]
        for _ in range(self.size - len(self._workers)):
            worker = self._context.Process(target=work, args=(self.url,))
            worker.start()
            self._workers.append(worker)

    def kill_one(self) -> None:
        victim = random.choice(self._workers)
        victim.kill()
        victim.join()
        self.kills += 1

    def end(self, seconds: float) -> bool:
        """Whether all left by themselves in this time."""
        until = time.monotonic() + seconds
        for worker in self._workers:
            worker.join(max(0.0, until - time.monotonic()))
        left = [worker for worker in self._workers if worker.is_alive()]
        for worker in left:
            worker.kill()
            worker.join()
        return not left


def storm(
    storage: Storage, study_id: int, crew: Crew, every: float, outages: list[Callable[[], None]]
) -> None:
    """Kills until the study has its budget; outages at even shares of it."""
    shares = [(i + 1) / (len(outages) + 1) for i in range(len(outages))]
    kill_at = time.monotonic() + every
    while True:
        crew.fill()
        time.sleep(0.05)
        progress = storage.progress(study_id)
        if progress.met:
            return
        if shares and done(storage, study_id) >= shares[0]:
            shares.pop(0)
            outages.pop(0)()
        if time.monotonic() >= kill_at:
            crew.kill_one()
            kill_at += every


def done(storage: Storage, study_id: int) -> float:
    """The part of the budget that is done; paused trials count."""
    progress = storage.progress(study_id)
    if progress.epochs is not None:
        return epochs_trained(storage.get_all_trials(study_id, deepcopy=False)) / progress.epochs
    return (progress.finished + progress.paused) / progress.budget


def outage(server: Any, storage: Storage, seconds: float) -> Callable[[], None]:
    def away() -> None:
        server.kill()
        time.sleep(seconds)
        server.start()
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                storage.open_studies()
                return
            except OutageError:
                time.sleep(0.1)

    return away


def run(folder: Path, options: argparse.Namespace, server: Any) -> dict[str, Any]:
    """One study through the storm; what came of it."""
    study = folder / "chaos.toml"
    budget = f"trials = {options.trials}"
    if options.budget:
        budget = f"epochs = {options.budget}"
    known = {"epochs": options.epochs, "sampler": options.sampler, "pruner": options.pruner}
    study.write_text(STUDY.format(budget=budget, **known))
    url = server.create() if server else f"sqlite:///{folder}/tuner.db"
    submit(str(study), url)
    storage = open_storage(url)
    audit(storage)
    study_id = stored_study(storage, "chaos")[1]
    crew, started = Crew(url, options.workers), time.monotonic()
    outages = [outage(server, storage, seconds) for seconds in options.away if server]
    count = len(outages)
    try:
        storm(storage, study_id, crew, options.every, outages)
        seconds = time.monotonic() - started
        left = crew.end(20)
    finally:
        crew.end(0)
    wrong, interrupted = violations(storage, study_id, options.epochs)
    if options.sampler == "random":
        calm = f"sqlite:///{folder}/calm.db"
        optimize(str(study), RunOptions(calm, workers=1, device="cpu"))
        wrong += differences(url, calm)
    progress = storage.progress(study_id)
    return {
        "database": storage.database.dialect,
        "seconds": round(seconds, 1),
        "trials": progress.finished,
        "pruned": progress.pruned,
        "epochs": epochs_trained(storage.get_all_trials(study_id)),
        "workers": options.workers,
        "workers killed": crew.kills,
        "server killed": count,
        "trials interrupted": interrupted,
        "wrong": wrong if left else [*wrong, "workers did not leave"],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--every", type=float, default=2.0)
    parser.add_argument("--budget", type=int)
    parser.add_argument("--pruner", choices=["hyperband", "promote"], default="hyperband")
    parser.add_argument("--sampler", choices=["tpe", "random"], default="tpe")
    parser.add_argument("--lease", type=float, default=1.5)
    parser.add_argument("--away", type=float, nargs="*", default=[1.0, 60.0])
    parser.add_argument("--database", choices=list(KINDS), default="postgresql")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        os.environ |= {"TUNER_LEASE": str(options.lease), "TUNER_SPOOL": str(folder / "spool")}
        server = None
        if options.database == "postgresql":
            (folder / "s").mkdir()
            server = started(folder / "s")
        try:
            found = run(folder, options, server)
        finally:
            if server is not None:
                server.kill()
    print(json.dumps(found))
    return int(bool(found["wrong"]))


if __name__ == "__main__":
    sys.exit(main())
