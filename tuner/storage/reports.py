"""Intermediate values that were added to running trials since they were read."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, String, select, type_coerce

from tuner.storage import sql
from tuner.storage.rows import REPORTS, number


@cache
def _new_reports(dialect: str) -> Select[Any]:
    table, trial_id, floor = sql.pairs(dialect, "floors")
    identity = REPORTS.c.trial_intermediate_value_id
    kind = type_coerce(REPORTS.c.intermediate_value_type, String)
    return (
        select(REPORTS.c.trial_id, REPORTS.c.step, REPORTS.c.intermediate_value, kind, identity)
        .select_from(table)
        .join(REPORTS, (REPORTS.c.trial_id == trial_id) & (identity > floor))
        # Says nothing new, but PostgreSQL then expects few rows, and uses the index.
        .where(sql.among(dialect, REPORTS.c.trial_id, "ids"))
        .order_by(REPORTS.c.trial_id, REPORTS.c.step)
    )


def read_reports(
    connection: Connection, floors: Mapping[int, int]
) -> dict[int, tuple[dict[int, float], int]]:
    """Intermediate values with a row id above each trial's floor, and the new floors.

    A trial has one writer at a time, so that its row ids are committed in their order.
    """
    dialect = connection.dialect.name
    found: dict[int, tuple[dict[int, float], int]] = {}
    bound = {"floors": sql.mapping(floors), "ids": sql.numbers(dialect, floors)}
    new = connection.execute(_new_reports(dialect), bound).all()
    for trial_id, step, value, kind, identity in new:
        steps, floor = found.get(trial_id, ({}, 0))
        steps[step] = number(value, kind)
        found[trial_id] = steps, max(floor, identity)
    return found
