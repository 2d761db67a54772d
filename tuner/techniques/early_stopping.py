"""Early stopping: ends a trial when its value has not improved for a while."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tuner.space import Leaf, Range
from tuner.techniques.base import Technique


def _stop(values: Sequence[float], hp: Any) -> bool:
    """Whether the best of the values (higher is better) is at least ``hp`` epochs old."""
    if hp == 0 or not values:
        return False
    best = max(range(len(values)), key=lambda epoch: values[epoch])
    return bool(len(values) - 1 - best >= hp)


EARLY_STOPPING = Technique(
    leaf=Leaf(
        name="early_stopping",
        kind=int,
        default=0,
        off=0,
        minimum=0,
        search=Range(3, 10, off=0),
        doc="patience: epochs without a better value before the trial ends; 0 never ends it",
        unit="epochs",
        source="Prechelt 1998",
    ),
    stop=_stop,
)
