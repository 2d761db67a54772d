"""A look at networks before any trial: somebody's own, and those that may be given single rows."""

from __future__ import annotations

from typing import Any

import torch

from tuner.data import DataSet
from tuner.errors import StudyFileError
from tuner.metrics import Metric
from tuner.models.factory import factory, is_factory
from tuner.sampling import baseline_value, params_of
from tuner.space import Choice, Option, label, walk
from tuner.study import Study
from tuner.techniques import TECHNIQUES
from tuner.training.plain import Trainer


def families(study: Study) -> list[str]:
    """The factories that a study names."""
    value = next(node.value for node in study.nodes if node.name == "family")
    return [name for name in _names(value) if is_factory(name)]


def _names(value: Any) -> list[str]:
    names = value.labels if isinstance(value, Choice) else (label(value),)
    return [str(name) for name in names]


def check_factories(study: Study, data: DataSet, metric: Metric) -> None:
    """Makes each network of the baseline and tries two rows, before any trial.

    Raises:
        StudyFileError: it cannot be made, its output does not fit, or a technique that the study
            names would have no effect.
    """
    names = families(study)
    _check_inside(study, names)
    for name in names:
        wanted = {**study.search.baseline, "family": name}
        config = study.config(params_of(study.nodes, wanted, baseline_value))
        trainer = Trainer(config, data, metric, 0)
        made = factory(name)
        made.try_out(trainer.network.train(), trainer.data.train.x[:2], data.outputs)


def check_batches(study: Study, data: DataSet, metric: Metric) -> None:
    """Tries a single row with each network of the baseline, where a batch may be of one.

    Only with ``batch_size`` 1 does a step get a single row: see ``noise.steps_of``.

    Raises:
        StudyFileError: batch normalization would have nothing but that row to learn from.
    """
    nodes = {node.name: node for node in study.nodes}
    size, norm = nodes["batch_size"].value, nodes["batch_norm"]
    if 1 not in (size.labels if isinstance(size, Choice) else (getattr(size, "low", size),)):
        return
    on = {"batch_norm": True} if norm.searched else {}
    for name in _names(nodes["family"].value):
        wanted = {**study.search.baseline, **on, "family": name}
        config = study.config(params_of(study.nodes, wanted, baseline_value))
        trainer = Trainer(config, data, metric, 0)
        if not _takes_one(trainer):
            some = nodes["batch_size"].searched or norm.searched
            own = is_factory(name) and not config["batch_norm"]
            by = "its own layers" if own else f"regularization.{norm.name}"
            raise StudyFileError(
                f"{'may be' if some else 'is'} 1, and {name} with {by} normalizes over a batch: "
                "of one row there is nothing to learn",
                where=f"{study.name}: training.batch_size",
                hint="let batch_size be at least 2"
                + ("" if own else ", or regularization.batch_norm = false"),
            )


@torch.no_grad()
def _takes_one(trainer: Trainer) -> bool:
    try:
        trainer.network.train()(trainer.data.train.x[:1])
    except ValueError as error:
        if ONE_ROW not in str(error):
            raise
        return False
    return True


ONE_ROW = "Expected more than 1 value per channel"
"""What torch says where batch normalization is given a single number of each feature."""


def _check_inside(study: Study, names: list[str]) -> None:
    value = next(node.value for node in study.nodes if node.name == "family")
    every = len(value.options) if isinstance(value, Choice) else 1
    if len(names) < every or any(factory(name).inside for name in names):
        return
    for node in walk(study.nodes):
        layer = next((t for t in TECHNIQUES if t.name == node.name and t.layer), None)
        off = not node.searched and not isinstance(node.value, Option)
        if layer is not None and not (off and node.value == layer.leaf.off):
            raise StudyFileError(
                f"has no effect on {', '.join(names)}, which takes no `inside`",
                where=f"{study.name}: {node.path}",
                hint="leave it out, or give the factory a parameter `inside` and place its layers",
            )
