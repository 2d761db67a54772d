"""The options of a run, and the devices of this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from tuner.errors import UsageError


@dataclass(frozen=True)
class RunOptions:
    """The options of a run.

    Args:
        storage: the database's URL.
        trials: a budget in place of the study file's, in trials.
        epochs: the same in epochs of all trials together; with both, the first that is met counts.
        timeout: seconds after which the workers leave; None takes the study file's.
        workers: processes; ``auto`` is one for each GPU, or more where they share it with gain, or
            one for each core where the cores train.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; ``auto`` measures where a study trains
            faster, if there is a GPU.
        seed: a seed in place of the study file's.
        allow: packages that the study may import, besides modules in the working directory and
            beside its file; if empty, ``TUNER_ALLOW`` names them.
        artifacts: a folder or fsspec URL for the best trials' weights and pictures. Without one,
            ``TUNER_ARTIFACTS`` names it; without that, the database holds them.
        on: where workers run: ``here``, ``ray`` or ``ray:ADDRESS``.
        gpus_per_worker: GPUs that an engine gives a worker, such as 0.25; a worker on this machine
            uses the GPU that ``device`` names.
    """

    storage: str
    trials: int | None = None
    timeout: float | None = None
    workers: int | str = "auto"
    device: str = "auto"
    seed: int | None = None
    allow: tuple[str, ...] = ()
    artifacts: str | None = None
    on: str = "here"
    gpus_per_worker: float = 0.0
    epochs: int | None = None


def devices(wanted: str) -> list[str]:
    """The devices that are given to workers in turn.

    Raises:
        UsageError: there is no such device here.
    """
    gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if wanted == "auto":
        return gpus or ["cpu"]
    if wanted == "cpu" or wanted in gpus:
        return [wanted]
    if wanted == "cuda" and gpus:
        return gpus
    raise UsageError(
        f"this machine has no device {wanted!r}",
        where="--device",
        hint=f"available: {', '.join(['cpu', *gpus])}",
    )


def device_again(wanted: str, attrs: Mapping[str, Any]) -> str:
    """The device that trains a trial again; ``auto`` is the CPU if that trained it.

    Args:
        attrs: of the trial.

    Raises:
        UsageError: there is no such device here.
    """
    return "cpu" if wanted == "auto" and attrs.get("device") == "cpu" else devices(wanted)[0]


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def worker_devices(options: RunOptions) -> list[str]:
    """The device of each worker to start.

    Raises:
        UsageError: this machine has no such device, or the number of workers is wrong.
    """
    available = devices(options.device)
    if options.workers == "auto":
        return available if available[0] != "cpu" else ["cpu"] * cores()
    try:
        count = int(options.workers)
    except ValueError:
        count = 0
    if count < 1:
        raise UsageError(
            f"{options.workers!r} is not a number of workers",
            where="--workers",
            hint="give a number of at least 1, or auto",
        )
    return [available[i % len(available)] for i in range(count)]
