"""The catalogue of every key that a study file may hold, by section."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

from tuner.data import DataSpec
from tuner.data.prepare import STATISTICS
from tuner.losses import LOSS
from tuner.metrics import Direction
from tuner.models import FAMILIES
from tuner.models.categories import CATEGORIES
from tuner.models.inputs import INPUT_SCALE, NUMBERS
from tuner.optimizers import OPTIMIZERS
from tuner.schedules import SCHEDULES, WARMUP
from tuner.space import Leaf, Range, declared
from tuner.study.record import SearchSettings
from tuner.techniques import TECHNIQUES
from tuner.techniques.batches import SAMPLING

LEARNING_RATE = Leaf(
    name="learning_rate",
    kind=float,
    default=1e-3,
    above=0.0,
    search=Range(1e-4, 1e-1, log=True),
    doc="step size of the optimizer at its peak; may also stand within an optimizer's table",
    unit="per step",
    source="Bengio 2012",
)

FAMILY = Leaf(
    name="family",
    kind=str,
    default="mlp",
    options={name: family.leaves for name, family in FAMILIES.items()},
    static=True,
    doc="kind of network",
    unit="name",
)

OPTIMIZER = Leaf(
    name="optimizer",
    kind=str,
    default="adam",
    options={
        name: (*optimizer.leaves, replace(LEARNING_RATE, default=optimizer.learning_rate))
        for name, optimizer in OPTIMIZERS.items()
    },
    aliases={"adamw": ("adam", "adam; its decay is regularization.weight_decay, off by default")},
    search=("adam", "sgd", "rmsprop"),
    static=True,
    doc="how gradients become steps",
    unit="name",
)

LR_SCHEDULER = Leaf(
    name="lr_scheduler",
    kind=str,
    default="constant",
    options={name: schedule.leaves for name, schedule in SCHEDULES.items()},
    search=("constant", "cosine", "exponential"),
    doc="how the learning rate changes over the training",
    unit="name",
)

FUNCTIONS: dict[str, tuple[str, ...]] = {
    OPTIMIZER.name: ("gradient", "state", "step"),
    LR_SCHEDULER.name: ("progress",),
    LOSS.name: ("outputs", "targets"),
    SAMPLING.name: ("targets", "generator"),
}
"""The leaves of ``[training]`` that may name a function of the user's, and what tuner passes to it:
no option has these names."""

EPOCHS = Leaf(
    name="epochs",
    kind=int,
    default=30,
    minimum=1,
    doc="passes over the training rows",
    unit="epochs",
)

BATCH_SIZE = Leaf(
    name="batch_size",
    kind=int,
    default=64,
    minimum=1,
    search=(32, 64, 128),
    static=True,
    doc="rows of one step",
    unit="rows",
    source="Masters and Luschi 2018",
)

DETERMINISTIC = Leaf(
    name="deterministic",
    kind=bool,
    default=True,
    static=True,
    doc="a GPU gives the same numbers each time, without TF32; a CPU always does",
    unit="on or off",
)


def _techniques(section: str) -> tuple[Leaf, ...]:
    return tuple(t.leaf for t in TECHNIQUES if t.section == section)


SECTIONS: dict[str, tuple[Leaf, ...]] = {
    "model": (FAMILY, CATEGORIES, NUMBERS, INPUT_SCALE),
    "regularization": _techniques("regularization"),
    "training": (
        *(EPOCHS, BATCH_SIZE, LEARNING_RATE, OPTIMIZER, LR_SCHEDULER, WARMUP, LOSS, DETERMINISTIC),
        *_techniques("training"),
    ),
}
"""The leaves of a family stand in ``[model]`` beside ``family``, or within its table."""

PREPROCESSING = Leaf(
    name="preprocessing",
    kind=str,
    default="standard",
    options=dict.fromkeys(STATISTICS, ()),
    search=("standard", "quantile"),
    static=True,
    doc="what is done with numbers: mean 0 and deviation 1; median, quartiles and a smooth clip; "
    "normal scores of ranks, ranks, nothing",
    unit="name",
    source="Conover 1999; robust: Holzmüller et al. 2024, arXiv:2407.04491",
)

DATA_LEAVES = (PREPROCESSING,)
"""The leaves in ``[data]``, after those of the sections: a trial has the data of its values."""

OTHERS = frozenset(leaf.name for leaves in (*SECTIONS.values(), DATA_LEAVES) for leaf in leaves)
"""Leaves that are not a network's."""

DATA: dict[str, Leaf] = {**declared(DataSpec), **{leaf.name: leaf for leaf in DATA_LEAVES}}
SEARCH: dict[str, Leaf] = declared(SearchSettings)
TOP: dict[str, Leaf] = {
    leaf.name: leaf
    for leaf in (
        Leaf("description", str, "", doc="one-line description"),
        Leaf(
            "metric",
            object,
            None,
            doc="metric to optimize: a name, a table with its options, or a function of your own; "
            "default: accuracy, or rmse for regression",
        ),
        Leaf("objective", str, None, doc="a function of your own, called with a trial"),
        Leaf(
            "direction",
            str,
            None,
            options=dict.fromkeys(get_args(Direction), ()),
            doc="of what your own metric or objective returns",
        ),
        *(Leaf(name, dict, {}) for name in ("data", *SECTIONS, "search")),
    )
}
"""The keys before any section, and the sections themselves."""

STANDARD: dict[str, tuple[str, ...]] = {
    "model": ("depth", "width"),
    "regularization": ("batch_norm", "dropout", "weight_decay"),
    "training": ("learning_rate", "lr_scheduler"),
}
"""The leaves that a file without any of the sections searches, each over its suggested range."""
TEXT_FAMILY = "text-cnn"
"""The family where the data is text and the file names none."""
STANDARD_OF_TEXT = {**STANDARD, "model": ("window", "filters")}


def model_leaves() -> dict[str, Leaf]:
    """Every leaf of every family, by name; families that share a name share its meaning."""
    return {leaf.name: leaf for family in FAMILIES.values() for leaf in family.leaves}
