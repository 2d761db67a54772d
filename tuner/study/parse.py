"""From what a study file says to a Study; every mistake is named with its dotted path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from tuner.errors import StudyFileError
from tuner.metrics import lookup as lookup_metric
from tuner.space import Leaf, Node, Range, walk
from tuner.study.catalogue import SECTIONS, STANDARD, model_leaves
from tuner.study.record import Study
from tuner.study.settings import check_type, read_data, read_search
from tuner.study.values import check_keys, read_value

TOP = ("description", "metric", "data", "model", "regularization", "training", "search")


def parse(name: str, document: Mapping[str, Any], folder: Path = Path()) -> Study:
    """A study from what its file says.

    Args:
        name: the study's name in the database.
        document: plain values, as TOML or JSON gives them.
        folder: where relative paths of the data are looked for first.

    Raises:
        StudyFileError, DataError: with the dotted path, what was found and what is allowed.
    """
    check_keys("", document, TOP)
    for section in TOP[2:]:
        if not isinstance(document.get(section, {}), Mapping):
            raise StudyFileError(
                f"found {document[section]!r}, which is not a table", where=section
            )
    for key in TOP[:2]:
        check_type(key, document.get(key, ""), str)
    if "data" not in document:
        raise StudyFileError(
            "the study says nothing about its data",
            where="data",
            hint='[data] source = "sklearn.datasets:load_digits", or path and target',
        )
    metric = document.get("metric")
    if metric is not None:
        lookup_metric(metric)
    nodes = read_nodes(document)
    return Study(
        name=name,
        description=document.get("description", ""),
        metric=metric,
        data=read_data(document["data"]),
        nodes=nodes,
        search=read_search(document.get("search", {}), nodes),
        document=dict(document),
        folder=folder,
    )


def read_nodes(document: Mapping[str, Any]) -> tuple[Node, ...]:
    """Every leaf of the sections that describe a trial."""
    if not any(section in document for section in SECTIONS):
        document = _standard()
    nodes: list[Node] = []
    for section, leaves in SECTIONS.items():
        table = dict(document.get(section, {}))
        known = [leaf.name for leaf in leaves]
        beside = {k: v for k, v in table.items() if k not in known} if section == "model" else {}
        if section == "model":
            known += model_leaves()
        check_keys(section, table, known)
        for leaf in leaves:
            raw = table.get(leaf.name, leaf.default)
            nodes.append(
                Node(leaf.name, leaf, read_value(f"{section}.{leaf.name}", leaf, raw, beside))
            )
        _check_used(beside, nodes)
    return tuple(nodes)


def _check_used(beside: Mapping[str, Any], nodes: list[Node]) -> None:
    names = {node.name for node in walk(nodes)}
    for key in beside:
        if key not in names:
            raise StudyFileError(
                "no family of this study has this leaf, or each has its own in its table",
                where=f"model.{key}",
            )


def _standard() -> dict[str, Any]:
    """The standard space as a study file would say it."""
    known = model_leaves()
    document: dict[str, dict[str, Any]] = {}
    for section, names in STANDARD.items():
        leaves = known if section == "model" else {leaf.name: leaf for leaf in SECTIONS[section]}
        document[section] = {name: suggested(leaves[name]) for name in names}
    return document


def suggested(leaf: Leaf) -> Any:
    """The suggested range or choice of a leaf, as a study file says it."""
    if isinstance(leaf.search, Range):
        values = {f.name: getattr(leaf.search, f.name) for f in fields(Range)}
        return {k: v for k, v in values.items() if v is not None and v is not False}
    return {"choices": list(leaf.search)} if leaf.search is not None else leaf.default
