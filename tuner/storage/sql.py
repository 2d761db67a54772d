"""The few places where SQLite and PostgreSQL need different SQL."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Float,
    Integer,
    String,
    any_,
    bindparam,
    cast,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects import postgresql

_CLOCKS = {
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) AS double precision)",
}


def now(dialect: str) -> ColumnElement[float]:
    """Seconds since 1970 by the database's clock."""
    return literal_column(_CLOCKS[dialect], Float)


def among(dialect: str, column: Any, name: str) -> ColumnElement[bool]:
    """`column` is one of the numbers bound to `name` by `numbers`: one parameter for any many."""
    if dialect == "sqlite":
        values = func.json_each(bindparam(name)).table_valued("value")
        return column.in_(select(values.c.value))  # type: ignore[no-any-return]  # column is Any
    return column == any_(bindparam(name, type_=ARRAY(Integer)))  # type: ignore[no-any-return]  # same


def within(dialect: str, column: Any, name: str) -> ColumnElement[bool]:
    """The same as ``among``, for many numbers that no index is asked for.

    PostgreSQL looks a number up in an array one by one where the statement is prepared.
    """
    if dialect == "sqlite":
        return among(dialect, column, name)
    values = func.unnest(bindparam(name, type_=ARRAY(Integer))).column_valued()
    return column.in_(select(values))  # type: ignore[no-any-return]  # column is Any


def numbers(dialect: str, values: Iterable[int]) -> Any:
    """What to bind for `among` and `within`."""
    ordered = sorted(values)
    return json.dumps(ordered) if dialect == "sqlite" else ordered


def pairs(dialect: str, name: str) -> tuple[Any, ColumnElement[int], ColumnElement[int]]:
    """A table of (key, value) numbers bound to `name` by `mapping`, and its two columns."""
    if dialect == "sqlite":
        table = func.json_each(bindparam(name)).table_valued("key", "value")
    else:
        bound = cast(bindparam(name, type_=String), postgresql.JSON)
        table = func.json_each_text(bound).table_valued("key", "value")
    return table, cast(table.c.key, Integer), cast(table.c.value, Integer)


def mapping(values: Mapping[int, int]) -> str:
    """What to bind for `pairs`."""
    return json.dumps(values)
