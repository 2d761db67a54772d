"""Everything that is promised of a GPU, on a real one, in less than eight minutes.

Prints one JSON document: for each check whether it holds, what was seen, and its seconds. Without a
GPU it says so and ends with 2; ``--device cpu`` rehearses it: the same lines run, and what only a
GPU can show is named as not shown. A check that fails or raises does not end the others; the script
ends with 1 then.

    python tests/benchmarks/cuda.py [--device cuda:0] [--seconds 460] [--only catalogue,retrain] …
"""

from __future__ import annotations

if __name__ == "cuda":
    raise ImportError("torch looks for NVIDIA's package of this name, and must not find this file")

import sys

if sys.path[0] == __file__.rpartition("/")[0]:
    sys.path.pop(0)  # where torch would look for that package first

import argparse
import importlib.util
import json
import os
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import optuna
import torch
from optuna.trial import FrozenTrial, TrialState
from torch import Tensor, nn

from tuner.devices import described
from tuner.imports import allowed
from tuner.metrics import METRICS
from tuner.models import FAMILIES
from tuner.optimizers import OPTIMIZERS
from tuner.run import measure
from tuner.run.options import cores
from tuner.run.pool import Pool
from tuner.run.prepare import load_job, stored_study, submit
from tuner.run.process import run_worker
from tuner.schedules import SCHEDULES
from tuner.storage import open_storage
from tuner.techniques import TECHNIQUES
from tuner.training.checkpoint import restore, to_bytes
from tuner.training.trainer import Trainer
from tuner.worker.job import NetworkJob

STUDY = """\
[data]
source = "sklearn.datasets:load_digits"
[model]
family = "mlp"
depth = 3
width = {width}
[regularization]
dropout = {{ off = 0.0, low = 0.05, high = 0.5 }}
[training]
epochs = {epochs}
learning_rate = {{ low = 1e-4, high = 1e-2, log = true }}
[search]
trials = {trials}
sampler = "random"
pruner = "none"
"""


def kit() -> Any:
    """The small data sets and configurations of the contract tests."""
    path = Path(__file__).parents[1] / "contracts" / "conftest.py"
    spec = importlib.util.spec_from_file_location("kit", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


KIT = kit()


class BrokenPromiseError(Exception):
    """A promise is not kept; the details say how."""


def data_for(family: str) -> Any:
    others = [("images", KIT.IMAGES), ("text", KIT.TEXT)]
    return next((d for n, d in others if getattr(FAMILIES[family], n)), KIT.ROWS)


def entries() -> Iterator[tuple[str, Any, Any]]:
    """Each entry of the catalogue: a name, a configuration with it, and data."""
    for family in FAMILIES:
        for batch_norm in (False, True):
            of = KIT._config(family=family, batch_norm=batch_norm, dropout=0.2)
            yield f"{family} batch_norm={batch_norm}", of, data_for(family)
        for leaf in FAMILIES[family].leaves:
            for value in leaf.options or ():
                of = KIT._config(family=family, **{leaf.name: value})
                yield f"{family} {leaf.name}={value}", of, data_for(family)
    for technique in TECHNIQUES:
        value = KIT._values(technique.leaf)[-1]
        yield technique.name, KIT._config(family="cnn", **{technique.name: value}), KIT.IMAGES
    for name in ("batch", "layer", "group"):
        on = {"residual": True, "stochastic_depth": 0.4, "normalization": name}
        yield f"residual branches, {name}", KIT._config(family="cnn", **on), KIT.IMAGES
    for name in OPTIMIZERS:
        yield name, KIT._config(optimizer=name), KIT.ROWS
    for name in SCHEDULES:
        yield name, KIT._config(lr_scheduler=name, warmup=0.2), KIT.ROWS
    for each in KIT.EMBEDDINGS:
        yield f"numbers={each['numbers']}", KIT._config(input_scale=True, **each), KIT.TABLE
    yield "categories", KIT._config(categories="embedding", embedding__size=2), KIT.TABLE
    yield "a quantity", KIT._config(), KIT.NUMBERS


def larger() -> Iterator[tuple[str, Any, Any]]:
    """Each family at a size for which a GPU has other kernels than for the smallest."""
    size = {"width": 128, "channels": 32, "filters": 64, "batch_size": 512, "dropout": 0.2}
    for family in FAMILIES:
        data = data_for(family)
        x, y = data.train.x, data.train.y
        some = replace(data.train, x=x.repeat(64, *[1] * (x.dim() - 1)), y=y.repeat(64))
        of = KIT._config(family=family, epochs=2, batch_norm=True, **size)
        yield f"{family}, larger", of, replace(data, train=some)


def trained(of: Any, data: Any, device: str, dtype: torch.dtype) -> Trainer:
    trainer: Trainer = KIT._train(of, data, dtype=dtype, device=device)
    return trainer


# The checks. Each returns what it saw, or raises BrokenPromiseError.


def catalogue(device: str) -> dict[str, Any]:
    """Every entry trains there, and its parameters agree with the CPU's in float64."""
    worst, refused = (0.0, ""), {}
    count = 0
    for name, of, data in entries():
        count += 1
        try:
            there = trained(of, data, device, torch.float64).params.cpu()
        except Exception as error:
            refused[name] = f"{type(error).__name__}: {error}"[:300]
            continue
        here = trained(of, data, "cpu", torch.float64).params
        difference = float((there - here).abs().max() / here.abs().max())
        worst = max(worst, (difference, name))
        if not difference < 1e-6:
            refused[name] = f"differs by {difference:.2e}"
    if refused:
        raise BrokenPromiseError({"entries": count, "refused": refused})
    return {"entries": count, "largest difference": worst[0], "of": worst[1]}


def metrics(device: str) -> dict[str, Any]:
    """Every metric gives there what it gives on the CPU."""
    differing = {}
    for name, metric in METRICS.items():
        data = KIT.ROWS if metric.task == "classification" else KIT.NUMBERS
        if metric.binary:
            halves = [
                replace(each, y=each.y.clamp(max=1)) for each in (data.train, data.validation)
            ]
            target = replace(data.target, classes=data.target.classes[:2])
            data = replace(data, train=halves[0], validation=halves[1], target=target)
        bound = metric.bound({"k": 2} if name == "top_k_accuracy" else {})
        values = []
        for place in (device, "cpu"):
            trainer = Trainer(KIT._config(), data, bound, 1, place, torch.float64)
            values.append([epoch.value for epoch in trainer.epochs()][-1])
        if not abs(values[0] - values[1]) <= 1e-6 * max(1.0, abs(values[1])):
            differing[name] = values
    if differing:
        raise BrokenPromiseError({"differing": differing})
    return {"metrics": len(METRICS)}


def retrain(device: str) -> dict[str, Any]:
    """Training again in float32 gives the same numbers bit by bit, for every entry."""
    differing, warned = [], set()
    for name, of, data in (*entries(), *larger()):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            one, two = (trained(of, data, device, torch.float32) for _ in range(2))
        warned |= {str(each.message)[:200] for each in caught if "determin" in str(each.message)}
        if not torch.equal(one.params, two.params) or one.past != two.past:
            differing.append(name)
    if differing:
        raise BrokenPromiseError({"differing": differing, "warnings": sorted(warned)})
    return {"warnings": sorted(warned)}


def waits(device: str) -> dict[str, Any]:
    """No epoch waits for the GPU before its numbers are read: CUDA's own mode raises where one
    does. The first epoch is left out, in which CUDA prepares itself."""
    if not device.startswith("cuda"):
        return {"not shown": "needs CUDA"}
    waiting: dict[str, str] = {}
    epoch = Trainer.measured_epoch

    def strict(trainer: Trainer) -> Tensor:
        torch.cuda.set_sync_debug_mode("error" if trainer.epoch else "default")
        try:
            return epoch(trainer)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    Trainer.measured_epoch = strict  # type: ignore[method-assign]
    try:
        for name, of, data in (*entries(), *larger()):
            try:
                trained(of, data, device, torch.float32)
            except RuntimeError as error:
                waiting[name] = f"{error}: {traceback.format_exc()}"[-600:]
    finally:
        Trainer.measured_epoch = epoch  # type: ignore[method-assign]
    if waiting:
        raise BrokenPromiseError(waiting)
    return {}


def moves(device: str) -> dict[str, Any]:
    """A trial that begins on one device and ends on the other is as one that stays."""
    differences = {}
    for family in FAMILIES:
        of, data = KIT._config(family=family, dropout=0.2, ema=0.9), data_for(family)
        whole = trained(of, data, "cpu", torch.float64).params
        for first, second in ((device, "cpu"), ("cpu", device)):
            one, two = (
                KIT._trainer(of, data, dtype=torch.float64, device=d) for d in (first, second)
            )
            next(one.epochs())
            restore(two, to_bytes(one))
            list(two.epochs())
            difference = float((two.params.cpu() - whole).abs().max() / whole.abs().max())
            differences[f"{family}, {first} to {second}"] = difference
    if not all(each < 1e-6 for each in differences.values()):
        raise BrokenPromiseError(differences)
    return {"largest difference": max(differences.values())}


# Workers in processes of their own.


@contextmanager
def study(epochs: int = 5, trials: int = 8, width: str = "64") -> Iterator[tuple[str, NetworkJob]]:
    with tempfile.TemporaryDirectory() as folder:
        path, url = Path(folder) / "cuda.toml", f"sqlite:///{folder}/cuda.db"
        os.environ["TUNER_SPOOL"] = folder
        path.write_text(STUDY.format(epochs=epochs, trials=trials, width=width))
        submit(str(path), url)
        yield url, load_job(*stored_study(open_storage(url), "cuda"))


def work(
    url: str, job: NetworkJob, devices: Sequence[str], before: Callable[[Trainer], None]
) -> tuple[list[FrozenTrial], float]:
    """The trials of workers, each calling ``before`` ahead of an epoch, and the seconds of them."""
    pool = Pool(partial(_main, url, job, before), list(devices))
    begun = time.monotonic()
    try:
        while pool.wait(0.1):
            if time.monotonic() - begun > LONGEST:
                raise BrokenPromiseError(f"the workers have not ended after {LONGEST:g} seconds")
    finally:
        pool.leave()
    seconds = time.monotonic() - begun
    storage = open_storage(url)
    try:
        return storage.get_all_trials(job.study_id), seconds
    finally:
        storage.close()


def _main(
    url: str, job: NetworkJob, before: Callable[[Trainer], None], device: str, pipe: Connection
) -> None:
    epoch = Trainer._train_epoch

    def one(trainer: Trainer) -> Tensor:
        before(trainer)
        return epoch(trainer)

    Trainer._train_epoch = one  # type: ignore[method-assign]
    run_worker(url, job, None, allowed(), device, pipe)


LONGEST = 150.0
"""Seconds within which the workers of a check have to end."""


def nothing(_: Trainer) -> None:
    """An epoch as it is."""


def meet(folder: str, workers: int, trainer: Trainer) -> None:
    """Waits until so many workers are about to train; each leaves a file in the folder."""
    mine, until = Path(folder) / str(os.getpid()), time.monotonic() + LONGEST
    if mine.exists():
        return
    _use(trainer.device)
    mine.touch()
    while len(list(mine.parent.iterdir())) < workers and time.monotonic() < until:
        time.sleep(0.02)


def _use(device: torch.device) -> None:
    """Has the device ready: its first products and gradients take seconds."""
    weights = torch.ones(64, 64, device=device, requires_grad=True)
    (weights @ weights).relu().sum().backward()  # type: ignore[no-untyped-call]
    float(weights.detach()[0, 0])


def together(
    url: str, job: NetworkJob, device: str, workers: int
) -> tuple[list[FrozenTrial], float, float]:
    """The trials of workers that begin at one time, their seconds from then on, and all seconds."""
    with tempfile.TemporaryDirectory() as folder:
        trials, seconds = work(url, job, [device] * workers, partial(meet, folder, workers))
        met = [each.stat().st_mtime for each in Path(folder).iterdir()]
    used = {each.user_attrs.get("worker") for each in trials}
    if len(met) != workers or len(used) != workers:
        raise BrokenPromiseError({"workers": workers, "met": len(met), "trained": len(used)})
    ends = [e.datetime_complete.timestamp() for e in trials if e.datetime_complete is not None]
    return trials, max(ends) - max(met), seconds


def ended(trials: Sequence[FrozenTrial], complete: int, failed: int) -> dict[str, Any]:
    counts = {s.name: sum(each.state == s for each in trials) for s in TrialState}
    errors = [
        str(each.user_attrs.get("error"))[:300] for each in trials if each.state.name == "FAIL"
    ]
    found = {"counts": counts, "errors": errors}
    if (counts["COMPLETE"], counts["FAIL"]) != (complete, failed):
        raise BrokenPromiseError(found)
    return found


def two_workers(device: str) -> dict[str, Any]:
    """Two workers train on the device at one time."""
    with study() as (url, job):
        trials, seconds, _ = together(url, job, device, 2)
    return {**ended(trials, 8, 0), "seconds of training": seconds}


def retrained(device: str) -> dict[str, Any]:
    """A worker's trials, trained again here from the configuration and seed, are equal."""
    with study(trials=3) as (url, job):
        trials, _ = work(url, job, [device], nothing)
        ended(trials, 3, 0)
        for each in trials:
            config = job.study.config(each.params)
            seed = each.user_attrs["seed"]
            again = Trainer(config, job.data_for(config), job.metric, seed, device)
            values = {epoch.number: epoch.value for epoch in again.epochs()}
            if values != each.intermediate_values:
                raise BrokenPromiseError(
                    {"trial": each.number, "then": each.intermediate_values, "now": values}
                )
    return {"trials": len(trials)}


def _fill(trainer: Trainer) -> None:
    """Takes all memory that is left, where the network is wide, and afterwards looks whether it was
    given back."""
    on_gpu = trainer.device.type == "cuda"
    taken: list[Tensor] = []
    while len(trainer.params) > 10_000_000:  # until it raises
        taken.append(
            torch.empty(2**30 if on_gpu else 2**50, dtype=torch.uint8, device=trainer.device)
        )
    if on_gpu and torch.cuda.memory_reserved(trainer.device) >= 2**30:
        raise ValueError("the memory of a failed trial was not given back")


def out_of_memory(device: str) -> dict[str, Any]:
    """A size that does not fit fails one trial, is not proposed again, and its memory is free."""
    with study(trials=6, width="{ choices = [32, 4096] }") as (url, job):
        trials, _ = work(url, job, [device], _fill)
    found = ended(trials, 6, 1)
    marked = [bool(each.user_attrs.get("out_of_memory")) for each in trials]
    workers = len({each.user_attrs.get("worker") for each in trials})
    if sum(marked) != 1 or workers != 1:
        raise BrokenPromiseError({**found, "marked": marked, "workers": workers})
    return found


def _poison(seed: int, trainer: Trainer) -> None:
    if trainer.seed == seed and trainer.epoch == 2:
        there = torch.zeros(3, device=trainer.device)
        print(there[torch.tensor([7], device=trainer.device)].sum().item())


def poisoned(device: str) -> dict[str, Any]:
    """An index out of range, after which CUDA refuses everything, costs one trial alone."""
    with study(trials=4) as (url, job):
        trials, _ = work(url, job, [device], partial(_poison, job.seed(1)))
    found = ended(trials, 4, 1)
    workers = {each.user_attrs["worker"] for each in trials}
    if device.startswith("cuda") and len(workers) < 2:
        raise BrokenPromiseError({**found, "workers": len(workers)})
    return {**found, "workers": len(workers)}


def auto(device: str) -> dict[str, Any]:
    """`--device auto` measures the study of these checks in a few seconds, and what it chooses."""
    with study() as (_, job):
        begun = time.monotonic()
        found = measure._in_a_process(job, device)
        seconds = time.monotonic() - begun
    if found is None:
        raise BrokenPromiseError("nothing was measured")
    chosen, why = measure.choice(found, [device], cores())
    return {**asdict(found), "workers": chosen, "why": why, "seconds of it": seconds}


def plain_loop(device: str, epochs: int, trials: int) -> float:
    """Trials an hour of a plain Optuna loop that trains the same networks by hand."""
    torch.set_num_threads(1)
    with study(epochs) as (_, job):
        data = job.data.to(device)

    def objective(trial: optuna.Trial) -> float:
        dropout = trial.suggest_float("dropout", 0.05, 0.5)
        rate = trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)
        layers: list[nn.Module] = []
        for entering in (data.shape[0], 64, 64):
            layers += [nn.Linear(entering, 64), nn.ReLU(), nn.Dropout(dropout)]
        network = nn.Sequential(*layers, nn.Linear(64, data.outputs)).to(device)
        optimizer = torch.optim.Adam(network.parameters(), lr=rate)
        value = 0.0
        for _ in range(epochs):
            network.train()
            for rows in torch.randperm(len(data.train), device=device).split(64):
                optimizer.zero_grad()
                outputs = network(data.train.x[rows])
                nn.functional.cross_entropy(outputs, data.train.y[rows]).backward()
                optimizer.step()
            network.eval()
            with torch.no_grad():
                right = network(data.validation.x[:]).argmax(1) == data.validation.y
                value = float(right.float().mean())
        return value

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    search = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0)
    )
    search.optimize(objective, n_trials=1)  # the first use of a device takes seconds
    begun = time.monotonic()
    search.optimize(objective, n_trials=trials)
    return trials / (time.monotonic() - begun) * 3600


def trials_an_hour(device: str) -> dict[str, Any]:
    """Beside a plain Optuna loop, with 1, 4 and 16 workers on a GPU, or 1 and 2 in a rehearsal.

    From when all workers are there to the end of the last trial; each may train six.
    """
    epochs = 10
    found = {}
    for workers in (1, 2) if device == "cpu" else (1, 4, 16):
        count = max(12, 6 * workers)
        with study(epochs, count) as (url, job):
            trials, training, seconds = together(url, job, device, workers)
        ended(trials, count, 0)
        found[f"{workers} workers"] = count / training * 3600
        found[f"{workers} workers, with their start"] = count / seconds * 3600
    with ProcessPoolExecutor(1) as alone:  # for cuBLAS keeps the settings of its first use
        found["plain loop"] = alone.submit(plain_loop, device, epochs, 12).result()
    return found


CHECKS = (
    *(auto, two_workers, out_of_memory, poisoned, trials_an_hour, retrained),
    *(catalogue, metrics, retrain, waits, moves),
)
"""In this order: as long as this process has not used the device itself, workers are forked."""


def run(check: Callable[[str], dict[str, Any]], device: str) -> dict[str, Any]:
    begun = time.monotonic()
    try:
        found = {"holds": True, **check(device)}
    except BrokenPromiseError as error:
        found = {"holds": False, "found": error.args[0]}
    except Exception as error:
        last = traceback.format_exc()[-1500:]
        found = {"holds": False, "error": f"{type(error).__name__}: {error}", "traceback": last}
    return {**found, "seconds": round(time.monotonic() - begun, 1)}


def missing(device: str) -> str:
    """Why there is no such device; empty if there is."""
    if device == "cpu":
        return ""
    count = torch.cuda.device_count()
    known = [f"cuda:{i}" for i in range(count)]
    return "" if device in known else f"this machine has no {device}; it has cpu {' '.join(known)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--seconds", type=float, default=460.0, help="no check begins after these")
    parser.add_argument("--only", default="", help="names of checks, with commas between")
    options = parser.parse_args()
    why = missing(options.device)
    if why:
        print(json.dumps({"ran": False, "why": why}))
        return 2
    torch.set_num_threads(1)
    begun, wanted = time.monotonic(), set(filter(None, options.only.split(",")))
    document: dict[str, Any] = {"ran": True, "rehearsal": options.device == "cpu", "checks": {}}
    for check in CHECKS:
        if wanted and check.__name__ not in wanted:
            continue
        if time.monotonic() - begun > options.seconds:
            document["checks"][check.__name__] = {"holds": False, "error": "no time was left"}
            continue
        document["checks"][check.__name__] = run(check, options.device)
        print(check.__name__, document["checks"][check.__name__], file=sys.stderr, flush=True)
    with suppress(RuntimeError):
        document["device"] = described(torch.device(options.device))
    document |= {"torch": torch.__version__, "cores": cores()}
    document["seconds"] = round(time.monotonic() - begun, 1)
    print(json.dumps(document, default=str))
    return 0 if all(each["holds"] for each in document["checks"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
