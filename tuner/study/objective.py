"""A study of a user's objective, which suggests its parameters while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, get_args

from tuner.errors import StudyFileError
from tuner.imports import function, parts
from tuner.metrics import Direction
from tuner.search.options import split
from tuner.search.pruners import PROMOTE
from tuner.space import shown
from tuner.study.catalogue import SEARCH
from tuner.study.record import SearchSettings, Study, flat
from tuner.study.settings import read_search

KEYS = ("description", "metric", "objective", "direction", "search")
UNKNOWN_BEFORE = ("baseline", "duplicates")
"""Keys of ``[search]`` that need to know what is searched before a trial runs."""
VALUE = "value"
"""The name of the objective's value if the study gives none."""


@dataclass(frozen=True, kw_only=True)
class ObjectiveStudy(Study):
    """A search over a function that suggests, trains and reports by itself.

    Args:
        metric: the name of its value, for people.
        objective: "package.module:function", called with an ``optuna.Trial``.
        direction: whether higher or lower values are better.
    """

    metric: str
    objective: str
    direction: Direction

    step: ClassVar[str] = "step"
    first_step: ClassVar[int] = 0

    @property
    def measured_on(self) -> str:
        return "own objective"

    @property
    def folds(self) -> None:
        return None

    @property
    def rows(self) -> dict[str, Any]:
        """It brings its data itself."""
        return {"objective": self.objective}

    def function(self) -> Callable[[Any], Any]:
        """The objective; its module is imported if that is allowed here.

        Raises:
            StudyFileError: no such function, or it is not allowed.
        """
        return function(self.objective, "objective", StudyFileError, folder=self.folder)

    def config(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters themselves."""
        return dict(params)

    def baseline(self) -> None:
        return None

    def fixed_params(self, number: int) -> dict[str, Any] | None:
        """The configurations of ``search.enqueue``, from trial 0 on."""
        queue = self.search.enqueue
        return dict(queue[number]) if number < len(queue) else None

    def shown(self, config: Mapping[str, Any]) -> frozenset[str]:
        return frozenset(config)

    @property
    def max_epochs(self) -> None:
        return None


def read_objective(name: str, document: Mapping[str, Any], folder: Path) -> ObjectiveStudy:
    """The study of a document, of plain values, that has an ``objective``.

    Raises:
        StudyFileError: with the dotted path, what was found and what is allowed.
    """
    for key in document:
        if key not in KEYS:
            raise StudyFileError(
                "an objective of your own brings its data, network and training itself",
                where=key,
                hint=f"remove [{key}], or objective",
            )
    parts(document["objective"], "objective", StudyFileError)
    check_direction(document, "objective")
    metric = document.get("metric", VALUE)
    if not isinstance(metric, str):
        what = f"found {shown(metric)}; with an objective it is what people call the value"
        raise StudyFileError(what, where="metric", hint='such as metric = "accuracy"')
    if not metric.strip():
        raise StudyFileError("found an empty string, which is not a name", where="metric")
    return ObjectiveStudy(
        name=name,
        description=document.get("description", ""),
        metric=metric,
        nodes=(),
        search=_search(document.get("search", {})),
        document=document,
        folder=folder,
        objective=document["objective"],
        direction=document["direction"],
    )


def check_direction(document: Mapping[str, Any], key: str) -> None:
    """Raises StudyFileError where there is no direction of the function that the key names."""
    if "direction" not in document:
        each = " or ".join(f'direction = "{name}"' for name in get_args(Direction))
        hint = f"give the direction of the {key}'s value: {each}"
        raise StudyFileError("the study has no direction", where="direction", hint=hint)


def _search(table: Mapping[str, Any]) -> SearchSettings:
    for key in UNKNOWN_BEFORE:
        if key in table:
            raise StudyFileError(
                "does not go with an objective, whose parameters are known only while it runs",
                where=f"search.{key}",
                hint="remove it; search.enqueue lists the first parameters to try",
            )
    settings = read_search({k: v for k, v in table.items() if k != "enqueue"}, ())
    if "pruner" not in table:  # hyperband would have to know the number of steps
        settings = replace(settings, pruner=("median", {}))
    if settings.sampler[0] == "grid":
        raise StudyFileError(
            "a grid needs to know every parameter before a trial runs",
            where="search.sampler",
            hint="use auto, tpe, random, gp, cmaes or qmc",
        )
    if settings.epochs is not None:
        raise StudyFileError(
            "tuner does not know the epochs of an objective of your own",
            where="search.epochs",
            hint="give a budget in trials, or search.timeout",
        )
    _check_pruner(*settings.pruner, "search.pruner")
    return replace(settings, enqueue=_queue(table.get("enqueue", [])))


def _check_pruner(name: str, options: Mapping[str, Any], where: str) -> None:
    if name in ("hyperband", PROMOTE) and "max_resource" not in options:
        raise StudyFileError(
            f"{name} needs the number of steps that the objective reports",
            where=where,
            hint=f'set it: {{ name = "{name}", max_resource = 30 }}; or use asha or median',
        )
    if "pruner" in options:
        inside = f"{where}.pruner"
        inner, inner_options = split(options["pruner"], inside)
        if inner == PROMOTE:
            what = "promote pauses trials, and is no pruner that another one can ask"
            raise StudyFileError(what, where=inside, hint="use asha or median")
        _check_pruner(inner, inner_options, inside)


def _queue(raw: Any) -> tuple[dict[str, Any], ...]:
    """Parameters by name, to be tried first; a table within a table is a name with a dot."""
    queue = tuple(flat(each) for each in SEARCH["enqueue"].read(raw, "search.enqueue"))
    for i, each in enumerate(queue):
        for key, value in each.items():
            if isinstance(value, list | dict):
                what = f"found {shown(value)}, which is not a value of a parameter"
                raise StudyFileError(what, where=f"search.enqueue[{i}].{key}")
    return queue
