"""The few places where SQLite and PostgreSQL need different SQL."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    Float,
    Integer,
    String,
    Table,
    TextClause,
    any_,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import Insert

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


def numbers(dialect: str, values: Iterable[int]) -> Any:
    """What to bind for `among`."""
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


@cache
def upsert(dialect: str, table: Table, keys: tuple[str, ...], replace: bool = True) -> Insert:
    """INSERT that replaces (or, with `replace=False`, keeps) a row with the same `keys`."""
    made = sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
    if not replace:
        return made.on_conflict_do_nothing(index_elements=list(keys))
    others = {name: made.excluded[name] for name in _others(table, keys)}
    return made.on_conflict_do_update(index_elements=list(keys), set_=others)


def put(
    connection: Connection,
    table: Table,
    keys: tuple[str, ...],
    values: Sequence[dict[str, Any]],
    replace: bool = True,
) -> None:
    """Upsert rows, whose values have to be JSON, in one statement and one round trip."""
    if not values:
        return
    if connection.dialect.name == "sqlite":
        connection.execute(upsert("sqlite", table, keys, replace), values)
    else:
        bound = {"rows": json.dumps(values)}
        connection.execute(_recordset(table, keys, tuple(values[0]), replace), bound)


@cache
def _recordset(
    table: Table, keys: tuple[str, ...], names: tuple[str, ...], replace: bool
) -> TextClause:
    # Several times faster than executemany, which sends a message and waits for each row.
    listed = ", ".join(names)
    others = ", ".join(f"{name} = excluded.{name}" for name in _others(table, keys))
    return text(
        f"INSERT INTO {table.name} ({listed}) SELECT {listed} "
        f"FROM json_populate_recordset(CAST(NULL AS {table.name}), CAST(:rows AS json)) "
        f"ON CONFLICT ({', '.join(keys)}) DO " + (f"UPDATE SET {others}" if replace else "NOTHING")
    )


def _others(table: Table, keys: tuple[str, ...]) -> list[str]:
    identity = [column.name for column in table.primary_key]
    return [column.name for column in table.c if column.name not in (*keys, *identity)]
