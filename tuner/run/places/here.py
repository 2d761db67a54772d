"""Workers that are processes of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from tuner.allowed import allowed
from tuner.errors import UsageError
from tuner.run.options import RunOptions, worker_devices
from tuner.run.places.base import Order, Say
from tuner.run.pool import Pool
from tuner.run.process import deadline_of, run_worker, tell_over


@dataclass(frozen=True)
class Here:
    """This machine.

    Args:
        devices: of each worker.
        artifacts: where the best trials' files go, as in ``RunOptions``.
    """

    devices: tuple[str, ...]
    artifacts: str | None = None

    def start(self, order: Order) -> Pool:
        deadline = deadline_of(order.seconds)
        arguments = order.url, order.job, deadline, allowed()
        main = partial(run_worker, *arguments, artifacts=self.artifacts)
        return Pool(main, self.devices[: order.most], over=partial(tell_over, order.url))


@contextmanager
def here(options: RunOptions, address: str, say: Say) -> Iterator[Here]:
    """This machine, for the options' workers.

    Raises:
        UsageError: devices or numbers that cannot be, or something that is said to an engine.
    """
    if address:
        raise UsageError("has no address", where="--on here", hint="ray:ADDRESS has one")
    if options.gpus_per_worker:
        raise UsageError(
            "is for an engine that places workers",
            where="--gpus-per-worker",
            hint="--on ray; here a worker takes the GPU that --device names",
        )
    yield Here(tuple(worker_devices(options)), options.artifacts)
