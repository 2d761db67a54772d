"""How busy 1, 4, 16 and 64 workers on one PostgreSQL are, with the random sampler and with TPE.

A trial sleeps for a second, in ten epochs, instead of training; everything else is real: claim,
proposal, reports through the outbox, pruning from memory, telling. The workers are threads of a
few processes, each with connections, samplers and an outbox of its own. Prints one JSON line:
the share of its time that a worker slept, once all had started.

    python tests/benchmarks/workers.py [--workers 1 4 16 64] [--seconds 20] [--processes 2]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from threading import Thread, local
from typing import Any

import sklearn.datasets
import torch
from optuna.trial import FrozenTrial
from server import started

from tuner.run.prepare import load_job, stored_study, submit
from tuner.run.process import REFRESH_SECONDS
from tuner.storage import open_storage
from tuner.training.trainer import Epoch
from tuner.worker import checkpoints as saved_module
from tuner.worker import run as trial_module
from tuner.worker.job import NetworkJob
from tuner.worker.loop import Worker
from tuner.worker.signals import Leaving

assert sklearn.datasets  # forked workers have it then
STUDY = """\
metric = "accuracy"
[data]
source = "sklearn.datasets:load_iris"
[model]
family = "mlp"
depth = {{ low = 1, high = 4 }}
width = {{ choices = [8, 16, 32, 64] }}
[regularization]
batch_norm = {{ choices = [true, false] }}
dropout = {{ off = 0.0, low = 0.05, high = 0.5 }}
l1_lambda = {{ off = 0.0, low = 1e-7, high = 1e-3, log = true }}
weight_decay = {{ off = 0.0, low = 1e-6, high = 1e-1, log = true }}
[training]
epochs = 10
learning_rate = {{ low = 1e-3, high = 1e-1, log = true }}
optimizer = {{ choices = ["adam", "sgd", "rmsprop"] }}
[search]
trials = 1000000
sampler = "{sampler}"
pruner = "{pruner}"
"""
EPOCHS, SECONDS = 10, 1.0
slept = local()


class Sleeper:
    """In place of a course of one part: an epoch sleeps."""

    begin, seconds = 0.0, 0.0

    def __init__(self, job: NetworkJob, trial: FrozenTrial, _: Any) -> None:
        config = job.study.config(trial.params)
        self.epoch, self.params = 0, torch.zeros(1)
        self.rate = float(config["learning_rate"])
        self.past: list[Epoch] = []
        self.between_epochs = True
        self.plan = type("Plan", (), {"epochs": EPOCHS})

    @property
    def parts(self) -> tuple[Sleeper]:
        return (self,)

    @property
    def done(self) -> bool:
        return self.epoch >= EPOCHS

    @property
    def result(self) -> Epoch:
        return self.past[-1]

    def epochs(self) -> Any:
        while not self.done:
            time.sleep(SECONDS / EPOCHS)
            if self.begin <= time.monotonic() < self.begin + self.seconds:
                slept.seconds += SECONDS / EPOCHS
            self.epoch += 1
            value = self.epoch / EPOCHS + self.rate * (self.epoch == EPOCHS)
            self.past.append(Epoch(self.epoch, value, 0.1, 0.1))  # the same, so none is pruned
            yield self.past[-1]


def work(url: str, threads: int, begin: float, seconds: float, results: Any) -> None:
    """Some workers of this process; the share that each was busy once all had started."""
    Sleeper.begin, Sleeper.seconds = begin, seconds
    trial_module.course_of = Sleeper  # type: ignore[assignment]
    saved_module.CHECKPOINT_SECONDS = float("inf")  # no network, no weights
    shares: list[tuple[float, int]] = []
    job = load_job(*stored_study(open_storage(url), "sleep"))

    def one(number: int) -> None:
        storage = open_storage(url)
        storage.mirrors.refresh_interval = REFRESH_SECONDS
        storage.claims.lease_seconds = 1e6
        leaving = Leaving()
        worker = Worker(storage, f"{os.getpid()}:{number}", torch.device("cpu"), leaving)
        bench = worker.bench(job)
        trials, slept.seconds = 0, 0.0
        while time.monotonic() < begin + seconds:
            worker.step(bench)
            trials += 1
        shares.append((slept.seconds / seconds, trials))
        leaving.by(0.0)
        worker.close()

    running = [Thread(target=one, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    results.put(shares)


def busy(server: Any, folder: Path, sampler: str, workers: int, options: Any) -> dict[str, Any]:
    """What share of their time so many workers slept."""
    url = server.create()
    path = folder / "sleep.toml"
    path.write_text(STUDY.format(sampler=sampler, pruner=options.pruner))
    submit(str(path), url)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    count = min(options.processes, workers)
    begin = time.monotonic() + 3 + workers / 3
    parts = [workers // count + (i < workers % count) for i in range(count)]
    processes = [
        context.Process(target=work, args=(url, n, begin, options.seconds, results)) for n in parts
    ]
    for process in processes:
        process.start()
    shares = [share for _ in processes for share in results.get()]
    for process in processes:
        process.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert any(share for share, _ in shares), "nobody slept: trials were trained"
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "cpu ms a trial": round(1000 * spent / sum(trials for _, trials in shares), 1),
        "busy": round(sum(share for share, _ in shares) / len(shares), 3),
        "trials": sum(trials for _, trials in shares),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 4, 16, 64])
    parser.add_argument("--pruner", default="none")
    parser.add_argument("--samplers", nargs="*", default=["random", "tpe"])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--processes", type=int, default=2 * (os.cpu_count() or 1))
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "s").mkdir()
        server = started(folder / "s")
        try:
            curve = {
                sampler: {n: busy(server, folder, sampler, n, options) for n in options.workers}
                for sampler in options.samplers
            }
        finally:
            server.kill()
    print(
        json.dumps(
            {"seconds a trial": SECONDS, "pruner": options.pruner, "cores": os.cpu_count(), **curve}
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
