"""Derives seeds from seeds, so that no two uses of randomness share a stream."""

from __future__ import annotations

import hashlib


def derive(*parts: int | str) -> int:
    """A seed in [0, 2⁶³) that is a function of the parts alone, of their number and order too.

    A hash rather than ``numpy.random.SeedSequence``, for which (5,) and (5, 0) are the same.

    Args:
        parts: for example a study's seed, a trial's number and what it is for.
    """
    exact = [part if isinstance(part, str) else int(part) for part in parts]
    digest = hashlib.blake2b(repr(exact).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
