"""Chooses where workers run: as processes of this machine, or placed by an engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from tuner.errors import UsageError, nearest
from tuner.logs import Say
from tuner.run.options import RunOptions
from tuner.run.pool import Place, here
from tuner.run.ray import on_ray

PLACES: Mapping[str, Callable[[RunOptions, str, Say], AbstractContextManager[Place]]] = {
    "here": here,
    "ray": on_ray,
}
"""Each is called with the options, the address after ``NAME:`` in ``on``, and ``say``."""


def place_of(options: RunOptions, say: Say = lambda _: None) -> AbstractContextManager[Place]:
    """The place where workers run, which lasts as long as the context.

    Args:
        say: called with a line for people.

    Raises:
        UsageError: there is no such place, or it has too few resources.
    """
    name, _, address = options.on.partition(":")
    if name not in PLACES:
        raise UsageError(
            f"workers cannot run on {name!r}", where="--on", hint=nearest(name, PLACES)
        )
    return PLACES[name](options, address, say)
