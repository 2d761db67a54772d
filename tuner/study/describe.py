"""Describes a study and the catalogue as plain values, for tables and JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner.errors import TunerError
from tuner.lazy_torch import torch
from tuner.losses import LOSSES
from tuner.metrics import METRICS, Metric, OwnMetric
from tuner.metrics import label as metric_label
from tuner.models import FAMILIES, categories, inputs
from tuner.optimizers import OPTIMIZERS
from tuner.schedules import SCHEDULES, WARMUP
from tuner.search.samplers import SAMPLERS
from tuner.space import Choice, Leaf, Node, Range, distinguishable, format_value, label, size, walk
from tuner.study.files import load_study, local, shipped
from tuner.study.objective import ObjectiveStudy
from tuner.study.record import NetworkStudy, Study
from tuner.techniques import TECHNIQUES

if TYPE_CHECKING:
    from tuner.data import DataSet

Record = dict[str, Any]


def may_be(node: Node) -> str:
    """The value of a leaf of a study, or its range or choice, in words.

    >>> from tuner.study.catalogue import EPOCHS
    >>> may_be(Node("epochs", EPOCHS, 30)), may_be(Node("epochs", EPOCHS, Range(5, 9)))
    ('30', '5 to 9')
    """
    if isinstance(node.value, Choice):
        return "one of " + ", ".join(distinguishable(node.value.labels))
    return str(node.value) if isinstance(node.value, Range) else format_value(label(node.value))


def leaves(study: Study) -> list[Record]:
    """Every leaf: its name, whether it is searched, its value or range, and its baseline value.

    The baseline of a leaf that belongs to an option which the baseline does not choose is None.
    """
    baseline = study.config(study.baseline() or {})
    return [
        {
            "name": node.name,
            "searched": node.searched,
            "may_be": may_be(node),
            "baseline": baseline.get(node.name),
            "unit": node.leaf.unit,
            "doc": node.leaf.doc,
        }
        for node in walk(study.nodes)
    ]


def extent(study: NetworkStudy) -> Record:
    """How large a search is.

    ``configurations`` is None where a range is continuous; ``dimensions`` counts searched leaves;
    ``trials`` are no more than a grid has configurations, and None where the budget is in epochs
    alone; ``epochs`` is the cost of all trials where none is pruned, over all folds.
    """
    count = size(study.nodes)
    settings, trials = study.search, study.search.trials
    if settings.sampler[0] == "grid" and not settings.duplicates:
        trials = min(trials, round(count))  # there are no more
    epochs = trials * study.max_epochs
    if settings.epochs is not None:
        epochs = min(epochs, settings.epochs)
    return {
        "dimensions": sum(node.searched for node in walk(study.nodes)),
        "configurations": None if math.isinf(count) else round(count),
        "trials": None if settings.limit is None else trials,
        "epochs_per_trial": study.max_epochs,
        "folds": study.folds,
        "epochs": epochs * (study.folds or 1),
        "sampler": settings.sampler[0],
        "sampler_learns": SAMPLERS[settings.sampler[0]].learns,
        "pruner": settings.pruner[0],
        "seed": settings.seed,
    }


def objective(study: ObjectiveStudy) -> Record:
    """A study of an own objective, whose parameters are known only while it runs."""
    settings = study.search
    return {
        "objective": study.objective,
        "direction": study.direction,
        "trials": settings.trials,
        "enqueued": [dict(each) for each in settings.enqueue],
        "trial_timeout": settings.trial_timeout,
        "sampler": settings.sampler[0],
        "pruner": settings.pruner[0],
        "seed": settings.seed,
    }


def data_set(data: DataSet, metric: Metric | None = None) -> Record:
    """Rows, shape and target of a prepared data set, with folds of the last; for text also the size
    of the vocabulary; what the weights of rows are for, in words."""
    return {
        "task": data.target.task,
        "classes": list(data.target.classes),
        "targets": list(data.target.names),
        "shape": list(data.shape),
        "words": None if data.vocabulary is None else len(data.vocabulary.words),
        "folds": len(data.folds) if data.rest else None,
        "train": len(data.train),
        "validation": len(data.validation),
        "test": data.test,
        "note": data.note,
        "weights": _weights(data, metric),
        "balance": balance(data),
        "columns": [dict(vars(column)) for column in data.columns],
    }


def _weights(data: DataSet, metric: Metric | None) -> str:
    if data.train.weight is None and data.validation.weight is None:
        return ""
    if metric is not None and isinstance(metric.function, OwnMetric) and not metric.function.weighs:
        return f"each row's in the loss; {metric.name} takes no `weights`, and counts rows alike"
    return "each row's in the loss and the metric"


def balance(data: DataSet) -> dict[str, int]:
    """Rows for training and validation of each class, or to which each label applies; empty for a
    quantity."""
    classes = data.target.classes
    if data.target.task == "multilabel":
        ones = torch.cat((data.train.y, data.validation.y)).sum(0, dtype=torch.float64).long()
        return dict(zip(data.target.names, ones.tolist(), strict=True))
    if not classes:
        return {}
    counts = torch.cat((data.train.y, data.validation.y)).bincount(minlength=len(classes))
    return dict(zip(classes, counts.tolist(), strict=True))


def catalogue() -> dict[str, list[Record]]:
    """Techniques, optimizers, schedules, families, losses and metrics with their leaves, in their
    own order."""
    techniques = [{**leaf(t.leaf), "images": t.images, "classes": t.classes} for t in TECHNIQUES]
    families = [
        {**_entry(f.name, f.source, f.leaves), "doc": f.doc, "images": f.images}
        for f in FAMILIES.values()
    ]
    optimizers = [
        {**_entry(o.name, o.source, o.leaves), "learning_rate": o.learning_rate}
        for o in OPTIMIZERS.values()
    ]
    schedules = [_entry(s.name, s.source, s.leaves) for s in SCHEDULES.values()]
    losses = [
        {**_entry(x.name, x.source, x.leaves), "doc": f"{x.doc}; for {x.task}"}
        for x in LOSSES.values()
    ]
    metrics = [
        {**_entry(m.name, m.source, m.leaves), "task": m.task, "direction": m.direction}
        | {"doc": f"{m.direction}; for {m.task}{' into two classes' if m.binary else ''}"}
        for m in METRICS.values()
    ]
    beside = [
        {**leaf(each), "images": False, "classes": False} for each in (WARMUP, inputs.INPUT_SCALE)
    ]
    return {
        "techniques": [*techniques, *beside],
        "optimizers": optimizers,
        "schedules": schedules,
        "families": families,
        "categories": _options(categories.CATEGORIES, categories.SOURCES),
        "numbers": _options(inputs.NUMBERS, inputs.SOURCES),
        "losses": losses,
        "metrics": metrics,
    }


def _options(of: Leaf, sources: Mapping[str, str]) -> list[Record]:
    return [_entry(name, sources[name], own) for name, own in (of.options or {}).items()]


def _entry(name: str, source: str, leaves: Sequence[Leaf]) -> Record:
    return {"name": name, "source": source, "leaves": [leaf(each) for each in leaves]}


def leaf(entry: Leaf) -> Record:
    """A leaf of the catalogue."""
    return {
        "name": entry.name,
        "doc": entry.doc,
        "unit": entry.unit,
        "allowed": entry.allowed(),
        "suggested": suggestion(entry),
        "default": entry.default,
        "off": entry.off,
        "source": entry.source,
    }


def suggestion(entry: Leaf) -> str | None:
    """The range or choice to begin with, in words; None where there is none."""
    if entry.search is None:
        return None
    if isinstance(entry.search, Range):
        return str(entry.search)
    return "one of " + ", ".join(format_value(value) for value in entry.search)


def files() -> list[Record]:
    """The study files that ship and those in ``studies/``; a broken one with its error."""
    places: dict[str, tuple[str, Path]] = {n: ("shipped", path) for n, path in shipped().items()}
    places |= {name: ("studies/", path) for name, path in local().items()}
    return [_file(name, where, path) for name, (where, path) in sorted(places.items())]


def _file(name: str, where: str, path: Path) -> Record:
    record: Record = {"name": name, "where": where, "file": str(path)}
    try:
        study = load_study(str(path))
    except TunerError as error:
        return {**record, **_summary(None), "error": str(error)}
    return {**record, **_summary(study), "error": None}


def _summary(study: Study | None) -> Mapping[str, Any]:
    metric = study.metric if study else None
    if metric is not None and isinstance(study, NetworkStudy):
        metric = metric_label(metric, study.metric_options)
    return {
        "description": study.description if study else "",
        "metric": metric,
        "trials": study.search.limit if study else None,
    }
