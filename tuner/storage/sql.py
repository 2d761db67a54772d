"""SQL for SQLite and PostgreSQL: differences, bulk inserts and times."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib import import_module
from typing import Any, BinaryIO, NamedTuple

from sqlalchemy import (
    ARRAY,
    JSON,
    ColumnElement,
    Connection,
    Float,
    Integer,
    String,
    Table,
    any_,
    bindparam,
    cast,
    func,
    literal_column,
    select,
)
from sqlalchemy.sql.dml import Insert

# Times: naive UTC in the database, naive local time in trials, as Optuna has it.


def to_local(time: datetime | None) -> datetime | None:
    """Naive UTC, as stored, to naive local time, as Optuna's trials have it."""
    return None if time is None else time.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)


def to_utc(time: datetime | None) -> datetime | None:
    """Naive local time to naive UTC."""
    return None if time is None else time.astimezone(UTC).replace(tzinfo=None)


def from_clock(seconds: float) -> datetime:
    """Seconds of the database's clock to naive UTC."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)


# Expressions that SQLite and PostgreSQL write differently.


_CLOCKS = {
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) AS double precision)",
}


def now(dialect: str) -> ColumnElement[float]:
    """Seconds since 1970 by the database's clock."""
    return literal_column(_CLOCKS[dialect], Float)


def among(dialect: str, column: Any, name: str) -> ColumnElement[bool]:
    """`column` is one of the numbers that `numbers` binds to `name`, as a single parameter."""
    if dialect == "sqlite":
        values = func.json_each(bindparam(name)).table_valued("value")
        return column.in_(select(values.c.value))  # type: ignore[no-any-return]  # column is Any
    return column == any_(bindparam(name, type_=ARRAY(Integer)))  # type: ignore[no-any-return]  # same


def within(dialect: str, column: Any, name: str) -> ColumnElement[bool]:
    """The same as ``among``, for many numbers where no index helps.

    With ``among``, a prepared statement of PostgreSQL searches the array one by one for each row.
    """
    if dialect == "sqlite":
        return among(dialect, column, name)
    values = func.unnest(bindparam(name, type_=ARRAY(Integer))).column_valued()
    return column.in_(select(values))  # type: ignore[no-any-return]  # column is Any


def numbers(dialect: str, values: Iterable[int]) -> Any:
    """The parameter of `among` and `within`."""
    ordered = sorted(values)
    return json.dumps(ordered) if dialect == "sqlite" else ordered


def pairs(dialect: str, name: str) -> tuple[Any, ColumnElement[int], ColumnElement[int]]:
    """A table of the (key, value) numbers that `mapping` binds to `name`, and its two columns."""
    if dialect == "sqlite":
        table = func.json_each(bindparam(name)).table_valued("key", "value")
    else:
        bound = cast(bindparam(name, type_=String), JSON)
        table = func.json_each_text(bound).table_valued("key", "value")
    return table, cast(table.c.key, Integer), cast(table.c.value, Integer)


def mapping(values: Mapping[int, int]) -> str:
    """The parameter of `pairs`."""
    return json.dumps(values)


# The rows of an artifact.


PART = 2**20
"""Bytes of a row at most: a reader holds one row at a time."""


def parts(artifact_id: str, body: BinaryIO) -> list[dict[str, Any]]:
    """An artifact's rows; an empty one has one row too."""
    pieces = list(iter(lambda: body.read(PART), b"")) or [b""]
    return [{"artifact_id": artifact_id, "part": i, "data": data} for i, data in enumerate(pieces)]


def all_parts(artifacts: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """The rows of some artifacts."""
    return [row for name, data in artifacts.items() for row in parts(name, io.BytesIO(data))]


# Rows for several tables at once: on PostgreSQL in one statement, and so in one round trip.


class Put(NamedTuple):
    """Rows to insert, whose values have to be JSON.

    Attributes:
        keys: the columns that identify an existing row; empty if none can exist.
        replace: whether an existing row is replaced; otherwise it stays.
    """

    table: Table
    keys: tuple[str, ...]
    values: Sequence[dict[str, Any]]
    replace: bool = True


def attrs(table: Table, attributes: Iterable[tuple[int, str, Any]], owner: str) -> Put:
    """Attributes as (id, key, value), of the trials or studies whose id is the column `owner`."""
    values: list[dict[str, Any]] = [
        {owner: identity, "key": key, "value_json": json.dumps(value)}
        for identity, key, value in attributes
    ]
    return Put(table, (owner, "key"), values)


class Shape(NamedTuple):
    """The part of a `Put` on which the text of its statement depends."""

    table: Table
    keys: tuple[str, ...]
    names: tuple[str, ...]
    replace: bool


def put(connection: Connection, puts: Iterable[Put]) -> None:
    """Insert or replace all rows."""
    filled = [each for each in puts if each.values]
    if connection.dialect.name == "sqlite":
        for each, shape in zip(filled, shapes(filled), strict=True):
            connection.exec_driver_sql(_one_row(shape), bound_rows(each.values))
    elif filled:
        connection.exec_driver_sql(_together(shapes(filled)), documents(filled))


@cache
def _one_row(shape: Shape) -> str:
    bound = ", ".join(f":{name}" for name in shape.names)
    return f"INSERT INTO {_named(shape)} VALUES ({bound}) {_conflict(shape)}"


def _named(shape: Shape) -> str:
    return f"{shape.table.name} ({', '.join(shape.names)})"


def _conflict(shape: Shape) -> str:
    if not shape.keys:
        return ""
    others = ", ".join(f"{n} = excluded.{n}" for n in _others(shape.table, shape.keys))
    done = f"UPDATE SET {others}" if shape.replace else "NOTHING"
    return f"ON CONFLICT ({', '.join(shape.keys)}) DO {done}"


def bound_rows(values: Sequence[dict[str, Any]]) -> Any:
    """The parameters for some rows; one row alone is faster without executemany."""
    return values[0] if len(values) == 1 else values


@cache
def upsert(dialect: str, table: Table, keys: tuple[str, ...], replace: bool = True) -> Insert:
    """INSERT that replaces (or, with `replace=False`, keeps) a row with the same `keys`."""
    # PostgreSQL's dialect is not imported where nobody needs it
    statement: Any = import_module(f"sqlalchemy.dialects.{dialect}").insert(table)
    done: Insert = statement.on_conflict_do_nothing(index_elements=list(keys))
    if replace:
        others = {name: statement.excluded[name] for name in _others(table, keys)}
        done = statement.on_conflict_do_update(index_elements=list(keys), set_=others)
    return done


def shapes(puts: Sequence[Put]) -> tuple[Shape, ...]:
    return tuple(Shape(p.table, p.keys, tuple(p.values[0]), p.replace) for p in puts)


def documents(puts: Sequence[Put]) -> dict[str, str]:
    """The parameters of `insertions`."""
    return {f"rows{i}": json.dumps(each.values) for i, each in enumerate(puts)}


def insertions(
    put_shapes: Sequence[Shape], trial_id: str = "r.trial_id", given: str = ""
) -> dict[str, str]:
    """PostgreSQL's statements by name, which `together` runs as one.

    Rows travel as JSON, since executemany sends a message for each row.

    Args:
        trial_id: an expression for that column.
        given: a join or a condition on the rows `r`.
    """
    return {
        f"put{i}": _insertion(shape, f"rows{i}", trial_id, given)
        for i, shape in enumerate(put_shapes)
    }


def _insertion(shape: Shape, bound: str, trial_id: str, given: str) -> str:
    table, keys, names, replace = shape
    chosen = (trial_id if name == "trial_id" else f"r.{name}" for name in names)
    statement = (
        f"INSERT INTO {_named(shape)} SELECT {', '.join(chosen)} "
        f"FROM json_populate_recordset(CAST(NULL AS {table.name}), CAST(%({bound})s AS json)) AS r "
        f"{given} {_conflict(shape)}"
    )
    if not replace:
        return statement
    others = _others(table, keys)
    old, new = (", ".join(f"{of}.{name}" for name in others) for of in (table.name, "excluded"))
    return f"{statement} WHERE ({old}) IS DISTINCT FROM ({new})"  # no new version of an equal row


def together(statements: dict[str, str], answer: str) -> str:
    """Several statements as one; each sees the database as it was before all of them."""
    parts = ", ".join(f"{name} AS ({statement})" for name, statement in statements.items())
    return f"WITH {parts} {answer}"


@cache
def _together(put_shapes: tuple[Shape, ...]) -> str:
    return together(insertions(put_shapes), "SELECT 1")


def _others(table: Table, keys: tuple[str, ...]) -> list[str]:
    identity = [column.name for column in table.primary_key]
    return [column.name for column in table.c if column.name not in (*keys, *identity)]
