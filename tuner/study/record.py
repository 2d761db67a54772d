"""The frozen Study, that of tuner's networks, and whether two describe the same search."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tuner.data import DataSpec
from tuner.errors import StudyFileError
from tuner.imports import is_reference
from tuner.losses import FITTING, LOSS, LOSSES
from tuner.metrics import METRICS, Direction, Metric, own_metric
from tuner.metrics import lookup as lookup_metric
from tuner.models import FAMILIES
from tuner.models.base import RESIDUAL
from tuner.models.categories import CATEGORIES, FEWEST
from tuner.models.factory import factory, is_factory
from tuner.models.inputs import INPUT_SCALE, NUMBERS
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
from tuner.techniques import TECHNIQUES, Technique
from tuner.techniques.batches import LABEL_SMOOTHING
from tuner.techniques.norm_dropout import BATCH_NORM, NORMALIZATION, STOCHASTIC_DEPTH
from tuner.techniques.rates import SCALE_RATE

if TYPE_CHECKING:
    from optuna.pruners import BasePruner

    from tuner.data import DataSet, Target


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


def needs_sequence(where: str, data: DataSet) -> None:
    """Checks that a row is a text, or numbers in an order: ``[L]`` or ``[L, C]``."""
    if len(data.shape) > 2:
        raise StudyFileError(
            f"needs text, or a sequence of shape [L] or [L, C], but a row has shape "
            f"{list(data.shape)}",
            where=where,
            hint="for images: cnn; for a sequence [data] shape = [L, C], if rows are stored so",
        )
    if data.categories:
        raise StudyFileError(
            "needs text, or a sequence of numbers, but a row is a table with categories",
            where=where,
            hint='name the column of text: [data] text = "review"',
        )


def needs_shape(
    where: str, images: bool, classes: bool, data: DataSet, labels: bool = False
) -> None:
    """Checks that rows are images where `images` are wanted, and that there are classes; or, where
    these do as well, labels."""
    if images and len(data.shape) != 3:
        words = data.vocabulary is not None
        raise StudyFileError(
            f"needs images of shape [C, H, W], but a row has shape {list(data.shape)}",
            where=where,
            hint="leave it out" if words else "set the shape: [data] shape = [1, 8, 8]",
        )
    task = data.target.task
    if classes and task != "classification" and not (labels and task == "multilabel"):
        what = f"needs classes, but the data is for {task}"
        raise StudyFileError(what, where=where, hint="leave it out")


def needs_categories(where: str, data: DataSet) -> None:
    """Checks that in some fold a column has enough categories to be worth a vector for each."""
    if not any(len(column) >= FEWEST for fold in data.folds for column in fold.categories):
        raise StudyFileError(
            "needs a column of more than two categories, and the data has none",
            where=where,
            hint=ABSENT,
        )


def needs_table(where: str, quantities: bool, data: DataSet) -> None:
    """Checks that a row is numbers without an order, and that some are `quantities` if wanted."""
    if len(data.shape) != 1 or data.vocabulary is not None:
        kind = "text" if data.vocabulary is not None else f"of shape {list(data.shape)}"
        raise StudyFileError(f"needs a table, but a row is {kind}", where=where, hint=ABSENT)
    if quantities and not any(fold.numbers for fold in data.folds):
        raise StudyFileError("needs a column of numbers", where=where, hint=ABSENT)


ABSENT = "leave it out; `tuner check` shows how each column is used"


# Whether two study files describe the same search.


BUDGET = ("description", "search.trials", "search.epochs", "search.timeout")
READING = ("data.readers", "data.in_memory")
"""The keys that may change while a study runs: no number depends on them."""


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
    """The values by dotted path that must not change: all but the budget, the description and how
    rows are read.

    An empty table is left out, and 1.0 is the same as 1.
    """
    values = {key: _plain(value) for key, value in flat(document).items()}
    free = {*BUDGET, *READING}
    return {key: value for key, value in values.items() if key not in free and value != {}}


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


UNLIMITED = 2**31 - 1
"""The budget in trials of a study whose budget is in epochs alone."""

DEFAULT_METRIC = {
    "classification": "accuracy",
    "multilabel": "label_average_precision",
    "regression": "rmse",
}


@dataclass(frozen=True)
class SearchSettings:
    """How the space is searched: each field is a key of ``[search]``.

    Attributes:
        sampler, pruner: name and options.
        timeout, trial_timeout: in seconds; none is no limit.
    """

    trials: int = declare(int, 60, "the budget: trials that end complete or pruned", minimum=1)
    epochs: int | None = declare(
        int, None, "the budget in work: epochs that all trials together train", minimum=1
    )
    sampler: tuple[str, Mapping[str, Any]] = declare(
        object, ("auto", {}), "what proposes configurations: a name, or a table with its options"
    )
    pruner: tuple[str, Mapping[str, Any]] = declare(
        object, ("promote", {}), "what ends bad trials early: a name, or a table with its options"
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

    @property
    def limit(self) -> int | None:
        """The budget in trials; None if it is in epochs alone."""
        return None if self.trials >= UNLIMITED else self.trials


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
        metric: a name of ``tuner.metrics.METRICS``, or "package.module:function"; none is accuracy,
            or rmse for regression.
        metric_options: the values of its options.
        direction: of a metric that is a function of the user's; others know theirs.
        row_record: the identity of the rows as the database has it; None where it has none.
    """

    data: DataSpec
    metric_options: Mapping[str, Any] = field(default_factory=dict)
    direction: Direction | None = None
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

    def warnings(self) -> tuple[str, ...]:
        """The settings that have no effect, and the names that stand for others."""
        values = flat(self.document)
        aliases = [
            f"{node.path}: {alias} stands for {words}"
            for node in self.nodes
            for alias, (_, words) in node.leaf.aliases.items()
            if any(_names_it(alias, values.get(f"{node.path}{end}")) for end in PLACES)
        ]
        more = (*self._rates_of_nothing(), *self._without_branches(), *self._bent_probabilities())
        return (*super().warnings(), *aliases, *more)

    def _rates_of_nothing(self) -> list[str]:
        """A factor of the learning rate of scales that no network of the study has."""
        nodes = {node.name: node for node in self.nodes}
        rate, scale = nodes[SCALE_RATE.name], nodes[INPUT_SCALE.name]
        if scale.value is not False or rate.off:
            return []
        return [f"{rate.path}: has no effect without {scale.path} = true"]

    def _without_branches(self) -> list[str]:
        """Stochastic depth where no network of the study has residual branches."""
        depth = next(node for node in self.nodes if node.name == STOCHASTIC_DEPTH.name)
        residual = [node for node in walk(self.nodes) if node.leaf.name == RESIDUAL.name]
        families = _names(next(node for node in self.nodes if node.name == "family"))
        if depth.off or any(is_factory(name) or FAMILIES[name].branches for name in families):
            return []
        if any(node.value is not False for node in residual):
            return []
        return [f"{depth.path}: has no effect without model.{RESIDUAL.name} = true"]

    def _bent_probabilities(self) -> list[str]:
        """Smoothed labels where the metric depends on the probabilities that they bend."""
        smoothed = next(node for node in self.nodes if node.name == LABEL_SMOOTHING.name)
        metric = METRICS.get(self.metric or "")
        if metric is None or metric.judges == "classes" or smoothed.value == smoothed.leaf.off:
            return []
        reason = f"pulls probabilities together, and {metric.name} judges {metric.judges}"
        return [f"{smoothed.path}: {reason}: better leave it out"]

    def data_variants(self) -> dict[str, DataSpec]:
        """The data of every ``preprocessing`` that a trial may have, by its name."""
        value = next(node.value for node in self.nodes if node.name == "preprocessing")
        options = value.options if isinstance(value, Choice) else (value,)
        names = [str(label(option)) for option in options]  # type: ignore[arg-type]
        return {name: replace(self.data, preprocessing=name) for name in names}

    def metric_for(self, target: Target) -> Metric:
        """The metric that the search optimizes; imports nothing.

        Raises:
            StudyFileError: it does not fit the target.
        """
        name, options = self.metric or DEFAULT_METRIC[target.task], self.metric_options
        if is_reference(name):
            assert self.direction is not None
            return own_metric(name, self.direction, options, target.task, self.folder)
        metric = lookup_metric(name).bound(options)
        try:
            metric.check(target.task, target.classes)
        except StudyFileError as error:
            where = f"{self.name}: {error.where}"
            raise StudyFileError(error.message, where=where, hint=error.hint) from None
        return metric

    def check_fit(self, data: DataSet) -> None:
        """Raises StudyFileError where the data lacks what a family or technique needs, or two
        techniques contradict each other."""
        self.metric_for(data.target)
        wanted = {node.name: node for node in walk(self.nodes)}
        self._check_norms(wanted[BATCH_NORM.name], wanted[NORMALIZATION.name])
        for technique in TECHNIQUES:
            node = wanted[technique.name]
            if not node.off:
                where = f"{self.name}: {technique.section}.{technique.name}"
                needs_text(where, False, technique.numbers, data)
                labels = technique.of_labels is not None
                classes = _needs_classes(technique, node)
                needs_shape(where, technique.images, classes, data, labels)
        for name in _names(wanted[LOSS.name]):
            self._check_loss(name, data.target.task)
        if _names(wanted[CATEGORIES.name]) != [CATEGORIES.default]:
            needs_categories(f"{self.name}: model.{CATEGORIES.name}", data)
        if _names(wanted[NUMBERS.name]) != [NUMBERS.default]:
            needs_table(f"{self.name}: model.{NUMBERS.name}", True, data)
        if wanted[INPUT_SCALE.name].value is not INPUT_SCALE.off:
            needs_table(f"{self.name}: model.{INPUT_SCALE.name}", False, data)
        for name in _names(wanted["family"]):
            own = is_factory(name)
            family = factory(name, self.folder).family if own else FAMILIES[name]
            where = f"{self.name}: model.family {name}"
            needs_text(where, family.text and not family.sequences, not family.text, data)
            needs_shape(where, family.images, False, data)
            if family.sequences:
                needs_sequence(where, data)
            elif data.padded and not own:
                raise StudyFileError(
                    f"needs rows of one length, and {data.note}",
                    where=where,
                    hint="for sequences: rnn, transformer; else fill rows up with numbers, not NaN",
                )

    def _check_norms(self, batch_norm: Node, normalization: Node) -> None:
        if batch_norm.off or normalization.off:
            return
        raise StudyFileError(
            f"both it and {normalization.path} normalize a block",
            where=f"{self.name}: {batch_norm.path}",
            hint='leave it out: normalization = { choices = ["none", "batch", "layer"] } has both',
        )

    def _check_loss(self, name: str, task: str) -> None:
        if name != FITTING and not is_reference(name) and LOSSES[name].task != task:
            raise StudyFileError(
                f"{name} is for {LOSSES[name].task}, but the data is for {task}",
                where=f"{self.name}: training.{LOSS.name}",
                hint=f"for {task}: {', '.join(x.name for x in LOSSES.values() if x.task == task)}",
            )


def _needs_classes(technique: Technique, node: Node) -> bool:
    """Whether a study needs classes for a technique: not for functions of the user's alone."""
    names = [name for name in _names(node) if name != technique.leaf.off]
    return technique.classes and not (names and all(map(is_reference, names)))


PLACES = ("", ".name", ".choices")
"""Where the name of an option may stand, after the path of its key."""


def _names_it(name: str, value: Any) -> bool:
    """Whether a value, or one of a list, is an option of this name."""
    if isinstance(value, list):
        return any(_names_it(name, each) for each in value)
    return bool((value.get("name") if isinstance(value, Mapping) else value) == name)


def _names(node: Node) -> list[str]:
    value = node.value
    options = value.options if isinstance(value, Choice) else (value,)
    return [option.name for option in options if isinstance(option, Option)]
