"""Parses a study file into a Study; each error names the dotted path of the mistake."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from tuner.errors import StudyFileError
from tuner.metrics import lookup as lookup_metric
from tuner.models import FAMILIES
from tuner.models.factory import is_factory
from tuner.search.pruners import build_pruner
from tuner.search.samplers import build_sampler
from tuner.space import Choice, Leaf, Node, Range, baseline_value, walk
from tuner.study.catalogue import (
    DATA,
    DATA_LEAVES,
    FAMILY,
    SEARCH,
    SECTIONS,
    STANDARD,
    STANDARD_OF_TEXT,
    TEXT_FAMILY,
    TOP,
    model_leaves,
)
from tuner.study.factories import with_factories
from tuner.study.objective import read_objective
from tuner.study.record import Study
from tuner.study.settings import read_data, read_search
from tuner.study.values import check_keys, check_name, plain, read_value


def parse(name: str, document: Mapping[str, Any], folder: Path = Path()) -> Study:
    """A study from what its file says.

    Args:
        name: the study's name in the database.
        document: values as TOML or JSON gives them; leaves may be ``Range`` and ``Choice``.
        folder: where relative paths of the data are looked for first.

    Raises:
        StudyFileError, DataError: with the dotted path, what was found and what is allowed.
    """
    check_name(name)
    document = Leaf("document", dict, {}).read(plain(document), where="")
    _check_places("", document, TOP)
    for key, value in document.items():
        TOP[key].read(value, key)
    own = "objective" in document
    study = _objective(name, document, folder) if own else _trained(name, document, folder)
    _check_search(study)
    return study


def _objective(name: str, document: Mapping[str, Any], folder: Path) -> Study:
    _check_places("search", document.get("search", {}), SEARCH)
    return read_objective(name, document, folder)


def _trained(name: str, document: Mapping[str, Any], folder: Path) -> Study:
    """A study of tuner's networks."""
    _check_direction(document)
    if "data" not in document:
        raise StudyFileError(
            "the study has no data section",
            where="data",
            hint='[data] source = "sklearn.datasets:load_digits", or path and target',
        )
    metric = document.get("metric")
    if metric is not None:
        lookup_metric(metric)
    _check_places("data", document["data"], DATA)
    _check_places("search", document.get("search", {}), SEARCH)
    nodes = read_nodes(document)
    return Study(
        name=name,
        description=document.get("description", ""),
        metric=metric,
        data=read_data(_fixed(document["data"], nodes)),
        nodes=nodes,
        search=read_search(document.get("search", {}), nodes),
        document=document,
        folder=folder,
    )


def _check_direction(document: Mapping[str, Any]) -> None:
    if "direction" in document:
        hint = 'remove it; it belongs to objective = "package.module:function"'
        raise StudyFileError("the metric has a fixed direction", where="direction", hint=hint)


def _check_search(study: Study) -> None:
    """Options that do not fit each other or the epochs show only when all are put together."""
    (sampler, options), (pruner, others) = study.search.sampler, study.search.pruner
    if options:
        build_sampler(sampler, options, seed=0, number=0)
    if others:
        build_pruner(pruner, others, epochs=study.max_epochs)


def read_nodes(document: Mapping[str, Any]) -> tuple[Node, ...]:
    """Every leaf of the sections that describe a trial."""
    text = "text" in document.get("data", {})
    data = document.get("data", {})
    if not any(document.get(section) for section in SECTIONS):
        document = _standard(STANDARD_OF_TEXT if text else STANDARD)
    usual = {"family": TEXT_FAMILY} if text else {}
    family = with_factories(FAMILY, document.get("model", {}), _homes())
    nodes: list[Node] = []
    for section, leaves in SECTIONS.items():
        table = dict(document.get(section, {}))
        known = [leaf.name for leaf in leaves]
        beside = {k: v for k, v in table.items() if k not in known} if section == "model" else {}
        if section == "model":
            own = [name for name in (family.options or {}) if is_factory(name)]
            known += [*model_leaves(), *(beside if own else ())]
            leaves = tuple(family if leaf is FAMILY else leaf for leaf in leaves)
        _check_places(section, table, known)
        for leaf in leaves:
            raw = table.get(leaf.name, usual.get(leaf.name, leaf.default))
            path = f"{section}.{leaf.name}"
            nodes.append(Node(leaf.name, leaf, read_value(path, leaf, raw, beside), path))
        _check_used(beside, nodes)
    for leaf in DATA_LEAVES:
        raw, path = data.get(leaf.name, leaf.default), f"data.{leaf.name}"
        nodes.append(Node(leaf.name, leaf, read_value(path, leaf, raw), path))
    return tuple(nodes)


def _fixed(data: Mapping[str, Any], nodes: tuple[Node, ...]) -> dict[str, Any]:
    """``[data]`` with the baseline's value at every leaf."""
    names = [leaf.name for leaf in DATA_LEAVES if leaf.name in data]
    return {**data, **{n.name: baseline_value(n) for n in nodes if n.name in names}}


def _check_places(section: str, table: Mapping[str, Any], known: Collection[str]) -> None:
    """Raises StudyFileError for an unknown key; one of another section is told where it goes."""
    unknown = [key for key in table if key not in known]
    if not unknown:
        return
    homes = dict.fromkeys(model_leaves(), "in [model]")
    homes |= {name: f"in {place}" for name, place in _homes().items()}
    homes |= dict.fromkeys(SEARCH, "in [search]") | dict.fromkeys(DATA, "in [data]")
    homes |= dict.fromkeys(
        (name for name, leaf in TOP.items() if leaf.kind is str),
        "at the top, before any [section]",
    )
    if unknown[0] in homes:
        where = f"{section}.{unknown[0]}" if section else unknown[0]
        raise StudyFileError("unknown key", where=where, hint=f"it stands {homes[unknown[0]]}")
    check_keys(section, table, known)


def _homes() -> dict[str, str]:
    """Every leaf that is not of one family, and its section."""
    return {leaf.name: f"[{name}]" for name, leaves in SECTIONS.items() for leaf in leaves}


def _check_used(beside: Mapping[str, Any], nodes: list[Node]) -> None:
    names = {node.name for node in walk(nodes)}
    for key in beside:
        if key not in names:
            owners = [f.name for f in FAMILIES.values() if key in (x.name for x in f.leaves)]
            raise StudyFileError(
                "no family of this study has this parameter, or each has its own in its table",
                where=f"model.{key}",
                hint=f"{key} belongs to {', '.join(owners)}",
            )


def _standard(space: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """A standard space as a study file would say it."""
    known = model_leaves()
    document: dict[str, dict[str, Any]] = {}
    for section, names in space.items():
        leaves = known if section == "model" else {leaf.name: leaf for leaf in SECTIONS[section]}
        document[section] = {name: suggested(leaves[name]) for name in names}
    return document


def suggested(leaf: Leaf) -> Any:
    """The suggested range or choice of a leaf, as a study file says it."""
    if leaf.search is None:
        return leaf.default
    return plain(leaf.search if isinstance(leaf.search, Range) else Choice(leaf.search))
