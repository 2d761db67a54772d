"""What is known after an epoch."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Epoch:
    """What is known after an epoch.

    Args:
        number: epochs trained so far, from 1.
        value: the metric on the validation split, in its own unit and direction.
        train_loss: mean over the epoch's steps, penalties not included.
        validation_loss: cross entropy, or mse of standardized targets.
    """

    number: int
    value: float
    train_loss: float
    validation_loss: float

    @property
    def finite(self) -> bool:
        return math.isfinite(self.value) and math.isfinite(self.train_loss)
