"""Tables of a study and of what there is to put into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tuner.space import format_value
from tuner.views.format import several

Record = Mapping[str, Any]
MOST = 100
"""Columns that are shown."""


def plain_table(*columns: str, title: str = "") -> Table:
    """A table without lines; every cell is text as it is, and long ones are folded."""
    table = Table(box=None, pad_edge=False, title=title or None, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def check(study: Record) -> RenderableType:
    """What ``tuner check`` says of a study: parameters, data and the size of the search.

    Args:
        study: ``name``, ``description``, ``metric``, ``leaves``, ``extent`` and ``data``; or
            what is known of an own objective.
    """
    if "objective" in study:
        return _objective(study)
    table = plain_table("parameter", "value or range", "baseline", "what it is")
    for leaf in study["leaves"]:
        baseline = "–" if leaf["baseline"] is None else format_value(leaf["baseline"])
        row = (leaf["name"], leaf["may_be"], baseline, _about(leaf))
        table.add_row(*map(Text, row), style="bold" if leaf["searched"] else "")
    lines = [Text(line) for line in (*data_lines(study["data"]), *extent_lines(study["extent"]))]
    title = Text(f"{study['name']}: {study['description']}".removesuffix(": "))
    metric = Text(f"metric    {study['metric']}")
    columns = [Text(), columns_table(study["data"])] if study["data"]["columns"] else []
    return Group(title, metric, *lines, Text(), table, *columns)


def _objective(study: Record) -> RenderableType:
    queue = len(study["enqueued"])
    first = f", {queue} of them enqueued" if queue else ""
    lines = [
        f"{study['name']}: {study['description']}".removesuffix(": "),
        f"objective {study['objective']}: {study['direction']} {study['metric']}",
        f"cost      {several(study['trials'], 'trial')}{first}",
        f"search    {study['sampler']}, seed {study['seed']}; pruner {study['pruner']}",
    ]
    return Group(*map(Text, lines))


def columns_table(data: Record) -> RenderableType:
    """What was decided about each column, and why; the first hundred."""
    table = plain_table("column", "kind", "decision", "reason")
    for each in data["columns"][:MOST]:
        table.add_row(*(Text(each[key]) for key in ("name", "kind", "decision", "reason")))
    more = len(data["columns"]) - MOST
    return Group(table, Text(f"and {more} more: --json lists all")) if more > 0 else table


def _about(leaf: Record) -> str:
    unit = leaf["unit"]
    return f"{leaf['doc']} ({unit})" if unit not in ("", "none", "name") else str(leaf["doc"])


def data_lines(data: Record) -> list[str]:
    """Rows, shape and target in words."""
    shape = " x ".join(map(str, data["shape"]))
    classes = f", {len(data['classes'])} classes" if data["classes"] else ""
    rows = f"{data['train']:,} rows to train on, {data['validation']:,} to validate"
    if data["folds"]:
        rows = f"{data['folds']} folds, the last with {rows}"
    each = f"; {shape} features" if data["words"] is None else f", each of at most {shape} words"
    known = "" if data["words"] is None else f" ({data['words']:,} are known)"
    lines = [f"data      {rows}{each}{known}; {data['task']}{classes}"]
    lines += [f"note      {data['note']}"] * bool(data["note"])
    test = data["test"]
    lines += [f"test      {'in a file of its own' if test is None else f'{test:,} rows set aside'}"]
    counts = data["balance"]
    total = sum(counts.values())
    shares = [f"{name} {count / total:.1%}" for name, count in list(counts.items())[:20]]
    return lines + ([f"classes   {', '.join(shares)}"] if shares else [])


def extent_lines(extent: Record) -> list[str]:
    """The size of the search and the most that it can cost, in words."""
    count = extent["configurations"]
    many = "infinitely many configurations" if count is None else several(count, "configuration")
    size = f"size      {several(extent['dimensions'], 'dimension')}, {many}"
    trials, each = several(extent["trials"], "trial"), several(extent["epochs_per_trial"], "epoch")
    cost = f"cost      at most {several(extent['epochs'], 'epoch')}: {trials} of {each}"
    if extent["folds"]:
        cost += f" on each of {extent['folds']} folds"
    if extent["pruner"] != "none":
        cost += f", less what {extent['pruner']} prunes"
    return [size, cost, f"search    {extent['sampler']}, seed {extent['seed']}"]


def catalogue(found: Mapping[str, Sequence[Record]]) -> RenderableType:
    """Techniques, optimizers, schedules and families."""
    techniques = plain_table("technique", "off", "suggested range", "what it does", "source")
    for each in found["techniques"]:
        needs = ("; needs images" if each["images"] else "") + (
            "; needs classes" if each["classes"] else ""
        )
        row = (each["name"], format_value(each["off"]), each["suggested"])
        techniques.add_row(*map(Text, (*row, _about(each) + needs, each["source"])))
    return Group(
        techniques,
        Text(),
        _named("optimizer", found["optimizers"]),
        Text(),
        _named("schedule", found["schedules"]),
        Text(),
        _named("family", found["families"]),
        Text(),
        _named("categories", found["categories"]),
    )


def _named(title: str, entries: Sequence[Record]) -> Table:
    """The parameters of each name, one a line, with its default and a range to search."""
    table = plain_table(title, "parameter", "default", "suggested range", "what it is", "source")
    for entry in entries:
        rows = [
            (leaf["name"], format_value(leaf["default"]), leaf["suggested"], leaf["doc"])
            for leaf in entry["leaves"]
        ]
        if "learning_rate" in entry:
            rate = format_value(entry["learning_rate"])
            rows.append(("learning_rate", rate, None, "usual, for the optimizer's own table"))
        for i, row in enumerate(rows or [("–", "", "", entry.get("doc", ""))]):
            first, last = ("", "") if i else (entry["name"], entry["source"])
            table.add_row(*(Text(cell or "") for cell in (first, *row, last)))
    return table
