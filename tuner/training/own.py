"""A look at somebody's own network before any trial."""

from __future__ import annotations

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
    names = value.labels if isinstance(value, Choice) else (label(value),)  # type: ignore[arg-type]
    return [str(name) for name in names if is_factory(name)]


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
