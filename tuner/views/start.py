"""What ``tuner init`` found and decided."""

from __future__ import annotations

from collections import Counter

from rich.console import Group, RenderableType
from rich.text import Text

from tuner.views.tables import Record, columns_table, data_lines, plain_table

FEW = 20
"""Columns with gaps that are named."""
LONGEST = 1000
"""Signs of a value that are shown."""


def view(found: Record) -> RenderableType:
    """Rows, columns by kind, gaps, classes, what was decided, and what to do next.

    Args:
        found: ``name``, ``file``, ``rows``, ``missing``, ``data`` and ``decided``.
    """
    data = found["data"]
    kinds = Counter(each["kind"] for each in data["columns"])
    lines = [f"{found['file']} written", f"found     {found['rows']:,} rows"]
    if kinds:
        lines[-1] += ", columns: " + ", ".join(f"{n} {kind}" for kind, n in kinds.items())
        lines.append(f"missing   {_gaps(found) or 'nothing'}")
    lines += data_lines(data)
    table = plain_table("decided", "value", "why")
    for each in found["decided"]:
        key = f"({each['key']})" if each["suggested"] else each["key"]
        table.add_row(Text(key), Text(_short(each["value"])), Text(each["why"]))
    columns = [Text(), columns_table(data)] if kinds else []
    study = f"--study {found['name']}"
    if not found["file"].endswith(f"studies/{found['name']}.toml"):
        study = f"--study {found['file']}"
    after = Text(f"next      tuner check {study}; tuner optimize {study}")
    return Group(*map(Text, lines), *columns, Text(), table, Text(), after)


def _short(value: str) -> str:
    """A value as a table shows it: a list of very many columns is in the file."""
    return value if len(value) <= LONGEST else f"{value[:LONGEST]} …"


def _gaps(found: Record) -> str:
    rows = found["rows"]
    named = [f"{name} {n:,} ({n / rows:.1%})" for name, n in found["missing"].items()]
    more = f" and {len(named) - FEW} more columns" if len(named) > FEW else ""
    return ", ".join(named[:FEW]) + more
