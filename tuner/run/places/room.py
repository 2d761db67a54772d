"""How many workers have room on the nodes of a cluster."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tuner.errors import UsageError
from tuner.run.options import RunOptions
from tuner.run.places.base import Say

CPUS = 1.0
"""What each worker takes of a node's CPUs."""


def check_gpus(gpus: float) -> None:
    """A part of one GPU, or whole ones."""
    if gpus < 0 or not math.isfinite(gpus) or (gpus > 1 and gpus != int(gpus)):
        raise UsageError(
            f"{gpus:g} GPUs cannot be",
            where="--gpus-per-worker",
            hint="a part of one, such as 0.25, or a whole number",
        )


def workers_of(options: RunOptions, has: Sequence[Mapping[str, float]], say: Say) -> int:
    """How many workers to start; says a word if not all of them have a place yet.

    Args:
        has: the resources of each node.

    Raises:
        UsageError: there is no place for one, or a number of workers that cannot be.
    """
    gpus = options.gpus_per_worker
    room = sum(places(node, gpus) for node in has)
    total = {kind: sum(node.get(kind, 0) for node in has) for kind in ("CPU", "GPU")}
    cluster = f"the cluster has {total['CPU']:g} CPUs and {total['GPU']:g} GPUs"
    if room == 0:
        each = f"{CPUS:g} CPU" + (f" and {gpus:g} GPUs" if gpus else "")
        where = "--gpus-per-worker" if gpus else "--on ray"
        raise UsageError(f"no node has room for a worker with {each}", where=where, hint=cluster)
    if options.workers == "auto":
        return room
    count = int(options.workers)
    if count < 1:
        raise UsageError(f"{count} workers cannot be", where="--workers", hint="a number, or auto")
    if count > room:
        say(f"{room} of {count} workers can run now, the others when there is room: {cluster}")
    return count


def places(node: Mapping[str, float], gpus: float) -> int:
    """How many workers have room on a node with these resources; an idle one's."""
    room = node.get("CPU", 0.0) / CPUS
    if gpus >= 1:
        room = min(room, node.get("GPU", 0.0) // gpus)
    elif gpus > 0:  # each GPU is divided for itself
        room = min(room, node.get("GPU", 0.0) * math.floor(1 / gpus + 1e-9))
    return math.floor(room + 1e-9)
