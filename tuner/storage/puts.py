"""Rows for several tables at once: on PostgreSQL in one statement, and so in one round trip."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import Insert


class Put(NamedTuple):
    """Rows to insert, whose values have to be JSON.

    Attributes:
        keys: the columns by which a row may be there already; none if it cannot.
        replace: whether such a row is replaced; otherwise it stays.
    """

    table: Table
    keys: tuple[str, ...]
    values: Sequence[dict[str, Any]]
    replace: bool = True


class Shape(NamedTuple):
    """What the text of a statement depends on."""

    table: Table
    keys: tuple[str, ...]
    names: tuple[str, ...]
    replace: bool


def put(connection: Connection, puts: Iterable[Put]) -> None:
    """Insert or replace all rows."""
    found = [each for each in puts if each.values]
    if connection.dialect.name == "sqlite":
        for each, shape in zip(found, shapes(found), strict=True):
            connection.exec_driver_sql(_one_row(shape), several(each.values))
    elif found:
        connection.exec_driver_sql(_together(shapes(found)), documents(found))


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


def several(values: Sequence[dict[str, Any]]) -> Any:
    """What to bind for some rows; one row alone is cheaper without executemany."""
    return values[0] if len(values) == 1 else values


@cache
def upsert(dialect: str, table: Table, keys: tuple[str, ...], replace: bool = True) -> Insert:
    """INSERT that replaces (or, with `replace=False`, keeps) a row with the same `keys`."""
    made = sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
    if not replace:
        return made.on_conflict_do_nothing(index_elements=list(keys))
    others = {name: made.excluded[name] for name in _others(table, keys)}
    return made.on_conflict_do_update(index_elements=list(keys), set_=others)


def shapes(puts: Sequence[Put]) -> tuple[Shape, ...]:
    return tuple(Shape(p.table, p.keys, tuple(p.values[0]), p.replace) for p in puts)


def documents(puts: Sequence[Put]) -> dict[str, str]:
    """What to bind for `insertions`."""
    return {f"rows{i}": json.dumps(each.values) for i, each in enumerate(puts)}


def insertions(
    found: Sequence[Shape], trial_id: str = "r.trial_id", given: str = ""
) -> dict[str, str]:
    """PostgreSQL's statements by name, to be run together by WITH.

    Rows travel as JSON: executemany sends a message and waits for each row.

    Args:
        trial_id: an expression for that column.
        given: what comes after the rows `r`: a join or a condition.
    """
    return {
        f"put{i}": _insertion(shape, f"rows{i}", trial_id, given) for i, shape in enumerate(found)
    }


def _insertion(shape: Shape, bound: str, trial_id: str, given: str) -> str:
    table, keys, names, replace = shape
    chosen = (trial_id if name == "trial_id" else f"r.{name}" for name in names)
    made = (
        f"INSERT INTO {_named(shape)} SELECT {', '.join(chosen)} "
        f"FROM json_populate_recordset(CAST(NULL AS {table.name}), CAST(%({bound})s AS json)) AS r "
        f"{given} {_conflict(shape)}"
    )
    if not replace:
        return made
    others = _others(table, keys)
    old, new = (", ".join(f"{of}.{name}" for name in others) for of in (table.name, "excluded"))
    return f"{made} WHERE ({old}) IS DISTINCT FROM ({new})"  # no new version of an equal row


def together(statements: dict[str, str], answer: str) -> str:
    """One statement of many; all see the database as it was before them."""
    parts = ", ".join(f"{name} AS ({statement})" for name, statement in statements.items())
    return f"WITH {parts} {answer}"


@cache
def _together(found: tuple[Shape, ...]) -> str:
    return together(insertions(found), "SELECT 1")


def _others(table: Table, keys: tuple[str, ...]) -> list[str]:
    identity = [column.name for column in table.primary_key]
    return [column.name for column in table.c if column.name not in (*keys, *identity)]
