"""Seeds derived from seeds, so that no two uses of randomness share a stream."""

from __future__ import annotations

import numpy as np


def derive(*parts: int) -> int:
    """A 63-bit seed that is a function of the parts alone (O'Neill's seed sequence).

    Args:
        parts: non-negative numbers, for example a study's seed and a trial's number.
    """
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)
