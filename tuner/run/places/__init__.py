"""Where workers run: this machine, or where an engine finds a place for them.

A place is one file with a context manager that gives a ``Place``, and one line below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from tuner.errors import UsageError, nearest
from tuner.run.options import RunOptions
from tuner.run.places.base import Crew, Order, Place, Say
from tuner.run.places.here import here
from tuner.run.places.ray_place import on_ray

PLACES: Mapping[str, Callable[[RunOptions, str, Say], AbstractContextManager[Place]]] = {
    "here": here,
    "ray": on_ray,
}
"""Each is called with the options, what follows ``NAME:`` in ``on``, and where to say a word."""


def place_of(options: RunOptions, say: Say = lambda _: None) -> AbstractContextManager[Place]:
    """Where the options want workers to run, for as long as the context lasts.

    Args:
        say: called with a line for people.

    Raises:
        UsageError: there is no such place, or not so much of it.
    """
    name, _, address = options.on.partition(":")
    if name not in PLACES:
        raise UsageError(
            f"workers cannot run on {name!r}", where="--on", hint=nearest(name, PLACES)
        )
    return PLACES[name](options, address, say)


__all__ = ["PLACES", "Crew", "Order", "Place", "Say", "place_of"]
