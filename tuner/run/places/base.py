"""What a place for workers is, and the workers that were started there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from tuner.worker import AnyJob

Say = Callable[[str], None]


@dataclass(frozen=True)
class Order:
    """What workers are to do.

    Args:
        url: the database.
        job: the study, in that database.
        seconds: after which they leave; none is never.
        most: more of them would have nothing to do.
        alive: whether a worker is alive, by what the database knows.
    """

    url: str
    job: AnyJob
    seconds: float | None
    most: int
    alive: Callable[[], bool]


class Crew(Protocol):
    """Workers that were started; one that dies is replaced."""

    @property
    def spent(self) -> Mapping[str, float]:
        """Seconds of the workers that ended, by what they went into."""

    def wait(self, seconds: float) -> bool:
        """Waits until a worker ends or the time is over; whether any is still running.

        Raises:
            TunerError: what a worker could not deal with, or too many died.
        """

    def progressed(self) -> None:
        """A trial ended."""

    def met(self) -> None:
        """The study needs no more trials."""

    def leave(self) -> None:
        """Asks all workers to give their trials back and leave, and waits for them."""


class Place(Protocol):
    """Where workers can be started."""

    def start(self, order: Order) -> Crew:
        """Starts workers; what they are asked for, and no more than have something to do."""
