"""Techniques, one file each, in the order in which they act within a step."""

from __future__ import annotations

from tuner.techniques.balanced_sampling import SAMPLING
from tuner.techniques.base import Draw, Noise, State, Technique
from tuner.techniques.batch_norm import BATCH_NORM
from tuner.techniques.class_weights import CLASS_WEIGHTS
from tuner.techniques.cutout import CUTOUT
from tuner.techniques.dropout import DROPOUT
from tuner.techniques.early_stopping import EARLY_STOPPING
from tuner.techniques.ema import EMA
from tuner.techniques.gradient_clipping import GRADIENT_CLIPPING
from tuner.techniques.horizontal_flip import HORIZONTAL_FLIP
from tuner.techniques.l1 import L1
from tuner.techniques.l2 import L2
from tuner.techniques.label_smoothing import LABEL_SMOOTHING
from tuner.techniques.mixup import MIXUP
from tuner.techniques.shift import SHIFT
from tuner.techniques.weight_decay import WEIGHT_DECAY

TECHNIQUES: tuple[Technique, ...] = (
    SAMPLING,
    SHIFT,
    HORIZONTAL_FLIP,
    CUTOUT,
    MIXUP,
    LABEL_SMOOTHING,
    CLASS_WEIGHTS,
    BATCH_NORM,
    DROPOUT,
    L1,
    L2,
    GRADIENT_CLIPPING,
    WEIGHT_DECAY,
    EMA,
    EARLY_STOPPING,
)

ENDING = {t.name: t.leaf.off for t in TECHNIQUES if t.stop}
"""What ends a trial by the rows that it is measured on, and its value where it does not: neither
test rows nor one fold of several may do that."""

__all__ = ["ENDING", "TECHNIQUES", "Draw", "Noise", "State", "Technique"]
