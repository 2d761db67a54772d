"""Measures where a study trains faster: on a GPU, which workers may share, or on the cores."""

from __future__ import annotations

import math
import multiprocessing
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import Any

import torch

from tuner.data import DataSet, Split
from tuner.data.file_rows import FileRows
from tuner.data.streamed import Streamed
from tuner.devices import deterministic, is_forkable
from tuner.imports import Allowed, allowed, allowing
from tuner.logs import Say
from tuner.run.options import cores, devices
from tuner.techniques import ENDING
from tuner.training.trainer import Trainer, one_thread
from tuner.worker.job import Job, NetworkJob

# The speed of the baseline on each device.


SECONDS = 0.4
"""How long each device is measured, after it has warmed up."""
STEPS, ROWS = 32, 64
"""Steps of an epoch that is measured, at most, and rows on which it is evaluated."""
QUEUED = 4
"""Steps that a GPU is given at once to see how long it computes; its queue holds few more."""
SLEEP = 200_000_000
"""Cycles for which it sleeps before, while they are given to it."""
MOST = 8
"""Workers that may share a GPU."""
CONTEXT = 2**29
"""Bytes that CUDA itself takes for each."""
PATIENCE = 60.0
"""Seconds within which the measurement has to be done; the first use of a GPU takes some."""


@dataclass(frozen=True)
class Speed:
    """Steps of the baseline in a second.

    Args:
        core: of one worker on the CPU.
        gpu: of one worker on the GPU.
        busy: the share of its time that the GPU computes then, above 0; the rest it waits for its
            next operation, and could work for others.
        room: the workers for which it has memory, at least 1.
    """

    core: float
    gpu: float
    busy: float = 1.0
    room: int = MOST


def speed(job: NetworkJob, gpu: str) -> Speed:
    """Trains the baseline for a while on a core and on the GPU."""
    with one_thread():
        core, rate = (_rate(_trainer(job, device, STEPS)) for device in ("cpu", gpu))
        busy = _seconds_of_a_step(_trainer(job, gpu, QUEUED)) * rate
        return Speed(core, rate, min(1.0, max(busy, 0.01)), _room(job, gpu))


def _trainer(job: NetworkJob, device: str, steps: int) -> Trainer:
    config = job.study.config(job.study.baseline())
    data = _some(job.data_for(config), steps * int(config["batch_size"]))
    return Trainer({**config, **ENDING, "epochs": 10**6}, data, job.metric, 0, device)


def held(job: NetworkJob) -> NetworkJob:
    """A job whose rows are in memory: of those that are read as they are needed, which take no
    memory of a GPU, as many as are measured."""
    if not isinstance(job.data.train.x, Streamed | FileRows):
        return job
    size = int(job.study.config(job.study.baseline())["batch_size"])
    return replace(job, data=_some(job.data, max(STEPS, QUEUED) * size), variants={})


def _some(data: DataSet, rows: int) -> DataSet:
    """The first rows of a data set, without other folds."""
    train, seen = data.train, data.validation
    return replace(
        data,
        train=Split(train.x[:rows], train.y[:rows]),
        validation=Split(seen.x[:ROWS], seen.y[:ROWS]),
        rest=(),
    )


def _rate(trainer: Trainer) -> float:
    """Steps a second."""
    epochs = trainer.epochs()
    next(epochs), next(epochs)
    count, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < SECONDS:
        next(epochs)
        count += trainer.steps
    return count / (time.perf_counter() - begun)


def _seconds_of_a_step(trainer: Trainer) -> float:
    """How long a GPU computes for a step, its waiting for the host left out; infinite for others.

    While it sleeps it is given several steps at once, which it then does without a gap; at the
    second time, for at the first it is asked for memory, for which the host may wait.
    """
    if trainer.device.type != "cuda":
        return float("inf")
    cuda: Any = torch.cuda
    with cuda.device(trainer.device), deterministic(trainer.plan.deterministic, trainer.device):
        before, after = (cuda.Event(enable_timing=True) for _ in range(2))
        for _ in range(2):
            cuda.synchronize()
            cuda._sleep(SLEEP)
            before.record()
            trainer._train_epoch()
            after.record()
        cuda.synchronize()
    return float(before.elapsed_time(after)) / 1000 / trainer.steps


def _room(job: NetworkJob, device: str) -> int:
    """The workers for whose data and networks a GPU has memory, by estimate."""
    if not device.startswith("cuda"):
        return MOST
    data = job.data
    rows = (len(data.train) + len(data.validation)) * len(data.folds) * max(1, len(job.variants))
    each = CONTEXT + 8 * rows * math.prod(data.shape) + 2 * torch.cuda.max_memory_reserved(device)
    free, _ = torch.cuda.mem_get_info(device)
    return max(1, int(free / each))


# The choice.


GAIN = 0.7
"""How much of a GPU's idle time other workers can use, by estimate: it switches between them."""


def choice(
    speed: Speed, gpus: Sequence[str], count: int, workers: int | None = None
) -> tuple[list[str], str]:
    """The device of each worker, and why.

    Args:
        gpus: the GPUs.
        count: the cores.
        workers: how many workers there will be; None is as many as pay.
    """
    on_cores = min(workers or count, count)
    idle = 1 / speed.busy - 1
    sharing = max(1, min(MOST, speed.room, int(1 + GAIN * idle), count // len(gpus)))
    on_gpus = min(workers or sharing * len(gpus), sharing * len(gpus))
    by_core, by_gpu = speed.core * on_cores, speed.gpu * _share(on_gpus, len(gpus), speed)
    chosen = ["cpu"] if by_core > by_gpu else list(gpus)
    used = workers or (on_cores if by_core > by_gpu else on_gpus)
    why = (
        f"by estimate the baseline takes {by_gpu:,.0f} steps a second with {_workers(on_gpus)} on "
        f"{', '.join(gpus)}, and {by_core:,.0f} with {_workers(on_cores)} on the cores"
    )
    named = "the CPU" if by_core > by_gpu else ", ".join(gpus)
    return [chosen[i % len(chosen)] for i in range(used)], f"training on {named}: {why}"


def _workers(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"


def _share(workers: int, gpus: int, speed: Speed) -> float:
    """How many workers' work so many workers do, which share GPUs."""
    each = workers / gpus
    return gpus * min(each, 1 + GAIN * min(each - 1, 1 / speed.busy - 1)) if each > 1 else workers


def chosen_devices(
    job: Job, workers: int | None, otherwise: Sequence[str], say: Say
) -> Sequence[str]:
    """The device of each worker of a run, by what was measured; says what it is and why.

    Args:
        workers: how many; None is as many as pay.
        otherwise: the devices where nothing can be measured.
    """
    gpus = devices("auto")
    if gpus == ["cpu"] or not isinstance(job, NetworkJob):
        return otherwise
    measured = _in_a_process(job, gpus[0])
    if measured is None:
        say(f"training on {gpus[0]}, for its speed could not be measured")
        return otherwise
    chosen, why = choice(measured, gpus, cores(), workers)
    say(why)
    return chosen


def _in_a_process(job: NetworkJob, gpu: str) -> Speed | None:
    """Measures in a process of its own: one that has used a GPU could fork no workers."""
    context: Any = multiprocessing.get_context("fork" if is_forkable() else "spawn")
    ours, theirs = context.Pipe(duplex=False)
    given = held(job), gpu, allowed(), theirs
    process = context.Process(target=_send, args=given, daemon=True)
    process.start()
    theirs.close()
    try:
        with suppress(EOFError):
            return ours.recv() if ours.poll(PATIENCE) else None
        return None
    finally:
        process.kill()
        process.join()
        ours.close()


def _send(job: NetworkJob, gpu: str, rules: Allowed, pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, which ends this process
    with suppress(Exception), allowing(rules):
        pipe.send(speed(job, gpu))
