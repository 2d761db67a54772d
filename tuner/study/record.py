"""A study as a frozen object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tuner.data import DataSet, DataSpec
from tuner.errors import StudyFileError
from tuner.metrics import METRICS, Metric
from tuner.metrics import lookup as lookup_metric
from tuner.models import FAMILIES
from tuner.models.categories import CATEGORIES
from tuner.models.factory import factory, is_factory
from tuner.sampling import baseline_value, config_of, params_of, sample
from tuner.search.pruners import build_pruner, idle
from tuner.space import Choice, Config, Node, Option, Range, Suggest, label, walk
from tuner.study.needs import needs_categories, needs_shape, needs_text
from tuner.techniques import TECHNIQUES

if TYPE_CHECKING:
    from optuna.pruners import BasePruner

DEFAULT_METRIC = {"classification": "accuracy", "regression": "rmse"}


@dataclass(frozen=True)
class SearchSettings:
    """``[search]``: how the space is searched.

    Args:
        trials: the budget: how many trials end complete or pruned.
        sampler, pruner: name and options.
        seed: everything random in the study derives from it.
        timeout: seconds that one ``optimize`` may take; none is no limit.
        baseline: leaves whose value in trial 0 is not the default.
        enqueue: configurations to try right after the baseline.
        trial_timeout: seconds after which a trial is ended as pruned; none is no limit.
        duplicates: whether a configuration that is finished already is trained again.
    """

    trials: int = 60
    sampler: tuple[str, Mapping[str, Any]] = ("tpe", {})
    pruner: tuple[str, Mapping[str, Any]] = ("hyperband", {})
    seed: int = 0
    timeout: float | None = None
    baseline: Mapping[str, Any] = field(default_factory=dict)
    enqueue: tuple[Mapping[str, Any], ...] = ()
    trial_timeout: float | None = None
    duplicates: bool = False


@dataclass(frozen=True)
class Study:
    """One search: data, what each leaf is or may be, and how to search.

    Args:
        name: its name in the database.
        metric: a name of ``tuner.metrics.METRICS``; none is accuracy, or rmse for regression.
        data: none where an objective of somebody's own brings it.
        nodes: every leaf, in the order in which it is sampled.
        document: what the study file says, as plain JSON values.
        folder: where relative paths of the data are looked for first.
        kept: what a database keeps to identify the rows; none where it keeps nothing.
    """

    name: str
    description: str
    metric: str | None
    data: DataSpec | None
    nodes: tuple[Node, ...] = field(repr=False)
    search: SearchSettings
    document: Mapping[str, Any] = field(repr=False)
    folder: Path = Path()
    kept: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)

    step: ClassVar[str] = "epoch"
    """What a report is of, in words."""
    first_step: ClassVar[int] = 1
    """The number of the first report."""

    @property
    def folds(self) -> int | None:
        """Over how many folds a trial is the mean; None without them."""
        return None if self.data is None else self.data.folds

    @property
    def measured_on(self) -> str:
        """What a trial's value was measured on, in words."""
        return "validation split" if self.folds is None else f"mean over {self.folds} folds"

    def sample(self, suggest: Suggest) -> Config:
        """Asks for every searched leaf; gives the value of every leaf by name."""
        return sample(self.nodes, suggest)

    def config(self, params: Mapping[str, Any]) -> Config:
        """The configuration that a trial's parameters stand for."""
        return config_of(self.nodes, params)

    def baseline(self) -> dict[str, Any]:
        """The parameters of trial 0: techniques off, other leaves at their defaults."""
        return params_of(self.nodes, self.search.baseline, baseline_value)

    def fixed_params(self, number: int) -> dict[str, Any] | None:
        """The parameters that the study prescribes for a trial; none where the sampler decides."""
        if number == 0:
            return self.baseline()
        if number <= len(self.search.enqueue):
            return params_of(self.nodes, self.search.enqueue[number - 1], baseline_value)
        return None

    def has_baseline(self) -> bool:
        """Whether trial 0 is the baseline."""
        return True

    def shown(self, config: Mapping[str, Any]) -> frozenset[str]:
        """The names in a configuration that the search decides."""
        return frozenset(node.name for node in walk(self.nodes) if node.searched)

    @property
    def max_epochs(self) -> int:
        """The most epochs that a trial may take."""
        value = next(node.value for node in self.nodes if node.name == "epochs")
        if isinstance(value, Choice):
            return max(int(str(name)) for name in value.labels)
        return int(value.high if isinstance(value, Range) else value)  # type: ignore[arg-type]

    def pruner(self) -> BasePruner:
        """What ends trials early; StudyFileError for options that cannot be."""
        return build_pruner(*self.search.pruner, epochs=self.max_epochs, first=self.first_step)

    def warnings(self) -> tuple[str, ...]:
        """What the study file asks for and will not get."""
        if "pruner" not in self.document.get("search", {}):
            return ()
        name, options = self.search.pruner
        epochs = self.max_epochs if self.nodes else None
        found = idle(name, options, epochs=epochs, trials=self.search.trials)
        return (f"search.pruner: {found}",) if found else ()

    def data_variants(self) -> dict[str, DataSpec]:
        """The data of every ``preprocessing`` that a trial may have, by its name."""
        value = next(node.value for node in self.nodes if node.name == "preprocessing")
        options = value.options if isinstance(value, Choice) else (value,)
        names = [str(label(option)) for option in options]  # type: ignore[arg-type]
        data = self.data
        assert data is not None
        return {name: replace(data, preprocessing=name) for name in names}  # type: ignore[arg-type]

    def metric_for(self, task: str) -> Metric:
        """The metric that the search optimizes.

        Raises:
            StudyFileError: it is unknown or does not fit the task.
        """
        metric = lookup_metric(self.metric or DEFAULT_METRIC[task])
        if metric.task != task:
            fitting = ", ".join(m.name for m in METRICS.values() if m.task == task)
            raise StudyFileError(
                f"{metric.name} is for {metric.task}, but the data is for {task}",
                where=f"{self.name}: metric",
                hint=f"for {task}: {fitting}",
            )
        return metric

    def check_fit(self, data: DataSet) -> None:
        """Raises StudyFileError where the data is not what a family or technique needs."""
        self.metric_for(data.target.task)
        wanted = {node.name: node for node in walk(self.nodes)}
        for technique in TECHNIQUES:
            node = wanted[technique.name]
            if node.searched or label(node.value) != technique.leaf.off:  # type: ignore[arg-type]
                where = f"{self.name}: {technique.section}.{technique.name}"
                needs_text(where, False, technique.numbers, data)
                needs_shape(where, technique.images, technique.classes, data)
        if _names(wanted[CATEGORIES.name]) != [CATEGORIES.default]:
            needs_categories(f"{self.name}: model.{CATEGORIES.name}", data)
        for name in _names(wanted["family"]):
            own = is_factory(name)
            family = factory(name, self.folder).family if own else FAMILIES[name]
            where = f"{self.name}: model.family {name}"
            needs_text(where, family.text, not family.text, data)
            needs_shape(where, family.images, False, data)


def _names(node: Node) -> list[str]:
    value = node.value
    options = value.options if isinstance(value, Choice) else (value,)
    return [option.name for option in options if isinstance(option, Option)]
