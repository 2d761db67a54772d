"""The frozen Study, that of tuner's networks, and whether two describe the same search."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tuner.data import DataSet, DataSpec
from tuner.errors import StudyFileError
from tuner.metrics import METRICS, Metric
from tuner.metrics import lookup as lookup_metric
from tuner.models import FAMILIES
from tuner.models.categories import CATEGORIES, FEWEST
from tuner.models.factory import factory, is_factory
from tuner.search.pruners import build_pruner, idle
from tuner.space import (
    Choice,
    Config,
    Node,
    Option,
    Range,
    Suggest,
    baseline_value,
    config_of,
    declare,
    label,
    params_of,
    sample,
    walk,
)
from tuner.techniques import TECHNIQUES

if TYPE_CHECKING:
    from optuna.pruners import BasePruner


# What a family or a technique needs of the data; StudyFileError where the data lacks it.


def needs_text(where: str, text: bool, numbers: bool, data: DataSet) -> None:
    """Checks that rows are words where `text` is wanted, and numbers where `numbers` are."""
    if text and data.vocabulary is None:
        raise StudyFileError(
            f"needs text, but a row is numbers of shape {list(data.shape)}",
            where=where,
            hint='name the column of text: [data] text = "review"',
        )
    if numbers and data.vocabulary is not None:
        fitting = ", ".join(family.name for family in FAMILIES.values() if family.text)
        raise StudyFileError(
            "needs numbers that can be added and scaled, but a row is text",
            where=where,
            hint=f"families for text: {fitting}" if "family" in where else "leave it out",
        )


def needs_shape(where: str, images: bool, classes: bool, data: DataSet) -> None:
    """Checks that rows are images where `images` are wanted, and that there are classes."""
    if images and len(data.shape) != 3:
        words = data.vocabulary is not None
        raise StudyFileError(
            f"needs images of shape [C, H, W], but a row has shape {list(data.shape)}",
            where=where,
            hint="leave it out" if words else "set the shape: [data] shape = [1, 8, 8]",
        )
    if classes and data.target.task != "classification":
        raise StudyFileError("needs classes, but the data is for regression", where=where)


def needs_categories(where: str, data: DataSet) -> None:
    """Checks that in some fold a column has enough categories to be worth a vector for each."""
    if not any(len(column) >= FEWEST for fold in data.folds for column in fold.categories):
        raise StudyFileError(
            "needs a column of more than two categories, and the data has none",
            where=where,
            hint="leave it out; `tuner check` shows how each column is used",
        )


# Whether two study files describe the same search.


BUDGET = ("description", "search.trials", "search.timeout")
"""The keys that may change while a study runs."""


def canonical(document: Mapping[str, Any]) -> str:
    """The document as JSON, for the database."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def flat(document: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Every value by its dotted path; lists and empty tables as they are."""
    values: dict[str, Any] = {}
    for key, value in document.items():
        where = f"{path}.{key}" if path else key
        inner = isinstance(value, Mapping) and value
        values.update(flat(value, where) if inner else {where: value})
    return values


def essence(document: Mapping[str, Any]) -> dict[str, Any]:
    """The values by dotted path that must not change: all but the budget and the description.

    An empty table is left out, and 1.0 is the same as 1.
    """
    values = {key: _plain(value) for key, value in flat(document).items()}
    return {key: value for key, value in values.items() if key not in BUDGET and value != {}}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def fingerprint(document: Mapping[str, Any]) -> str:
    """The same for documents that describe the same search."""
    return hashlib.sha256(canonical(essence(document)).encode()).hexdigest()


def changed_keys(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The dotted paths whose values differ."""
    old, new = essence(before), essence(after)
    keys = sorted(old.keys() | new.keys())
    return [key for key in keys if canonical({"": old.get(key)}) != canonical({"": new.get(key)})]


# A study as a frozen object.


DEFAULT_METRIC = {"classification": "accuracy", "regression": "rmse"}


@dataclass(frozen=True)
class SearchSettings:
    """How the space is searched: each field is a key of ``[search]``.

    Attributes:
        sampler, pruner: name and options.
        timeout, trial_timeout: in seconds; none is no limit.
    """

    trials: int = declare(int, 60, "the budget: trials that end complete or pruned", minimum=1)
    sampler: tuple[str, Mapping[str, Any]] = declare(
        object, ("auto", {}), "what proposes configurations: a name, or a table with its options"
    )
    pruner: tuple[str, Mapping[str, Any]] = declare(
        object, ("hyperband", {}), "what ends bad trials early: a name, or a table with its options"
    )
    seed: int = declare(int, 0, "everything random in the study derives from it", minimum=0)
    timeout: float | None = declare(
        object, None, 'longest time of a run, such as "90s", "10m", "2h", "1d"'
    )
    baseline: Mapping[str, Any] = declare(dict, {}, "values of trial 0 that are not the default")
    enqueue: tuple[Mapping[str, Any], ...] = declare(
        list, (), "configurations to try right after the baseline", items=dict
    )
    trial_timeout: float | None = declare(
        object, None, "longest time of a trial, which then ends as pruned"
    )
    duplicates: bool = declare(bool, False, "retrain a configuration that is finished already")


@dataclass(frozen=True, kw_only=True)
class Study(ABC):
    """One search: its purpose, the parameters that are known before it runs, and its settings.

    Args:
        name: its name in the database.
        metric: the name of a trial's value; none where the data decides.
        nodes: every leaf that is known before a trial runs, in the order in which it is sampled.
        document: the study file, as plain JSON values.
        folder: where relative paths are looked for first.
    """

    name: str
    description: str
    metric: str | None
    nodes: tuple[Node, ...] = field(repr=False)
    search: SearchSettings
    document: Mapping[str, Any] = field(repr=False)
    folder: Path = Path()

    step: ClassVar[str]
    """The name of one report, for people."""
    first_step: ClassVar[int]
    """The number of the first report."""

    @property
    @abstractmethod
    def measured_on(self) -> str:
        """The rows on which a trial's value was measured, in words."""

    @property
    @abstractmethod
    def folds(self) -> int | None:
        """The number of folds over which a trial's value is the mean; None without folds."""

    @property
    @abstractmethod
    def rows(self) -> dict[str, Any]:
        """The values that decide the rows and their split, by key in the study file."""

    @abstractmethod
    def config(self, params: Mapping[str, Any]) -> Config:
        """The configuration that a trial's parameters stand for."""

    @abstractmethod
    def baseline(self) -> dict[str, Any] | None:
        """The parameters of the baseline, which is trial 0; None where the study has none."""

    @abstractmethod
    def fixed_params(self, number: int) -> dict[str, Any] | None:
        """The parameters that the study prescribes for a trial; None where the sampler decides."""

    @abstractmethod
    def shown(self, config: Mapping[str, Any]) -> frozenset[str]:
        """The names in a configuration whose values the search chooses."""

    @property
    @abstractmethod
    def max_epochs(self) -> int | None:
        """The most epochs that a trial may take; None where that is unknown."""

    def pruner(self) -> BasePruner:
        """The study's pruner; StudyFileError for wrong options."""
        return build_pruner(*self.search.pruner, epochs=self.max_epochs or 1, first=self.first_step)

    def warnings(self) -> tuple[str, ...]:
        """Settings of the study file that have no effect, in words."""
        if "pruner" not in self.document.get("search", {}):
            return ()
        name, options = self.search.pruner
        reason = idle(name, options, epochs=self.max_epochs, trials=self.search.trials)
        return (f"search.pruner: {reason}",) if reason else ()


ROWS = (
    *("source", "path", "target", "task", "validation", "folds", "test", "seed"),
    *("group", "time", "split", "test_path"),
)
"""The keys that decide which rows there are and their split. Studies that are compared may differ
in the features that they take and how these are prepared."""


@dataclass(frozen=True, kw_only=True)
class NetworkStudy(Study):
    """A search over tuner's networks: the data, and the value or range of each parameter.

    Args:
        metric: a name of ``tuner.metrics.METRICS``; none is accuracy, or rmse for regression.
        row_record: the identity of the rows as the database has it; None where it has none.
    """

    data: DataSpec
    row_record: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)

    step: ClassVar[str] = "epoch"
    first_step: ClassVar[int] = 1

    @property
    def folds(self) -> int | None:
        return self.data.folds

    @property
    def measured_on(self) -> str:
        return "validation split" if self.folds is None else f"mean over {self.folds} folds"

    @property
    def rows(self) -> dict[str, Any]:
        return {name: getattr(self.data, name) for name in ROWS}

    def sample(self, suggest: Suggest) -> Config:
        """Suggests a value for every searched leaf; returns the value of every leaf by name."""
        return sample(self.nodes, suggest)

    def config(self, params: Mapping[str, Any]) -> Config:
        return config_of(self.nodes, params)

    def baseline(self) -> dict[str, Any]:
        """Techniques off, other leaves at their defaults."""
        return params_of(self.nodes, self.search.baseline, baseline_value)

    def fixed_params(self, number: int) -> dict[str, Any] | None:
        """The baseline's, then those of ``search.enqueue``."""
        if number == 0:
            return self.baseline()
        if number <= len(self.search.enqueue):
            return params_of(self.nodes, self.search.enqueue[number - 1], baseline_value)
        return None

    def shown(self, config: Mapping[str, Any]) -> frozenset[str]:
        return frozenset(node.name for node in walk(self.nodes) if node.searched)

    @property
    def max_epochs(self) -> int:
        value = next(node.value for node in self.nodes if node.name == "epochs")
        if isinstance(value, Choice):
            return max(int(str(name)) for name in value.labels)
        return int(value.high if isinstance(value, Range) else value)  # type: ignore[arg-type]

    def data_variants(self) -> dict[str, DataSpec]:
        """The data of every ``preprocessing`` that a trial may have, by its name."""
        value = next(node.value for node in self.nodes if node.name == "preprocessing")
        options = value.options if isinstance(value, Choice) else (value,)
        names = [str(label(option)) for option in options]  # type: ignore[arg-type]
        return {name: replace(self.data, preprocessing=name) for name in names}

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
        """Raises StudyFileError where the data lacks what a family or technique needs."""
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
