"""Techniques, listed in the order in which they act within a step; a file for each subject."""

from __future__ import annotations

from tuner.techniques.base import Draw, Noise, Shape, State, Technique
from tuner.techniques.batches import CLASS_WEIGHTS, LABEL_SMOOTHING, MIXUP, SAMPLING
from tuner.techniques.ending import EARLY_STOPPING, EMA
from tuner.techniques.images import (
    CROP_RESIZE,
    CUTMIX,
    CUTOUT,
    HORIZONTAL_FLIP,
    RANDOM_ERASING,
    SHIFT,
    TRIVIAL_AUGMENT,
)
from tuner.techniques.norm_dropout import (
    BATCH_NORM,
    DROPOUT,
    NORMALIZATION,
    STOCHASTIC_DEPTH,
)
from tuner.techniques.penalties import GRADIENT_CLIPPING, L1, L2, WEIGHT_DECAY
from tuner.techniques.rates import BIAS_RATE, FIRST_LAYER_RATE, SCALE_RATE

TECHNIQUES: tuple[Technique, ...] = (
    SAMPLING,
    CROP_RESIZE,
    SHIFT,
    HORIZONTAL_FLIP,
    TRIVIAL_AUGMENT,
    CUTOUT,
    RANDOM_ERASING,
    MIXUP,
    CUTMIX,
    LABEL_SMOOTHING,
    CLASS_WEIGHTS,
    BATCH_NORM,
    NORMALIZATION,
    DROPOUT,
    STOCHASTIC_DEPTH,
    L1,
    L2,
    GRADIENT_CLIPPING,
    WEIGHT_DECAY,
    SCALE_RATE,
    BIAS_RATE,
    FIRST_LAYER_RATE,
    EMA,
    EARLY_STOPPING,
)

ENDING = {t.name: t.leaf.off for t in TECHNIQUES if t.stop}
"""Techniques that end a trial by its validation values, each with its off value. They are off where
a run is measured on the test rows, and in each fold of several."""

__all__ = ["ENDING", "TECHNIQUES", "Draw", "Noise", "Shape", "State", "Technique"]
