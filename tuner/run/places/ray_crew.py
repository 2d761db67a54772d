"""Workers as tasks of Ray, replaced when they or their machines die."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from tuner.errors import TrainingError
from tuner.run.places.errand import Ended, Errand, run
from tuner.run.places.silence import Silence
from tuner.run.pool import LEAVE_SECONDS
from tuner.run.toll import Toll

MET_SECONDS = 3.0
"""So long workers have to see that a budget is met; one on a dead machine never does."""


class RayCrew:
    """Tasks that run one errand.

    Args:
        ray: the module, connected to a cluster.
        errand: what they do; it lies in Ray's memory, and none of its words in a log.
        count: how many.
        cpus, gpus: what Ray reserves for each.
        silence: says a word while none runs.
    """

    def __init__(
        self, ray: Any, errand: Errand, count: int, cpus: float, gpus: float, silence: Silence
    ) -> None:
        self._ray, self._silence = ray, silence
        self._toll = Toll(count)
        self._until: float | None = None
        self._errand = ray.put(errand)
        self._task = ray.remote(run).options(
            name="tuner worker",
            num_cpus=cpus,
            num_gpus=gpus,
            max_retries=0,
            scheduling_strategy="SPREAD",
        )
        self._running = [self._task.remote(self._errand) for _ in range(count)]

    @property
    def spent(self) -> Mapping[str, float]:
        """Seconds of the workers that ended, by what they went into."""
        return self._toll.spent

    def wait(self, seconds: float) -> bool:
        """Waits until a worker ends or the time is over; whether any is still running.

        Raises:
            TunerError: what a worker could not deal with, or too many died.
        """
        self._ray.wait(self._running, timeout=seconds)
        self._silence.look()
        every = len(self._running)
        ended, self._running = self._ray.wait(self._running, num_returns=every, timeout=0)
        for task in ended:
            how = self._listen(task)
            if how and self._toll.error is None:
                self._toll.died(how)
                self._running.append(self._task.remote(self._errand))
        self._toll.check()
        late = self._until is not None and time.monotonic() > self._until
        return bool(self._running) and not late

    def progressed(self) -> None:
        """A trial ended: whatever kills workers, the study gets on."""
        self._toll.forgive()

    def met(self) -> None:
        """Those that do not see it in ``MET_SECONDS`` have no place yet, or are dead."""
        self._until = self._until or time.monotonic() + MET_SECONDS

    def leave(self) -> None:
        """Asks all workers to give their trials back and leave, and waits for them."""
        for task in self._running:
            self._ray.cancel(task)
        if self._running:
            every, limit = len(self._running), LEAVE_SECONDS + MET_SECONDS
            ended, left = self._ray.wait(self._running, num_returns=every, timeout=limit)
            for task in ended:
                self._listen(task)
            for task in left:
                self._ray.cancel(task, force=True)
        self._running = []

    def _listen(self, task: Any) -> str:
        """Takes in what a worker said; how it died, if it did.

        Raises:
            TrainingError: its machine cannot run workers at all.
        """
        errors = self._ray.exceptions
        try:
            ended: Ended = self._ray.get(task)
        except errors.TaskCancelledError:
            return ""
        except errors.RayTaskError as error:
            raise TrainingError(
                f"a machine of the cluster cannot run workers: {error.cause}",
                where="--on ray",
                hint="the same version of tuner has to be installed on all of them",
            ) from None
        except errors.RayError as error:
            return type(error).__name__
        for said in ended.said:
            self._toll.hear(said)
        return f"exit code {ended.code} on {ended.host}" if ended.code else ""
