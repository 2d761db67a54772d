"""Batched, idempotent writes of trials into Optuna's tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, Table, bindparam, insert

from tuner.storage import rows, sql

_to_value = models.TrialValueModel.value_to_stored_repr
_to_report = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr
Rows = list[dict[str, Any]]


def put_reports(connection: Connection, reports: Iterable[tuple[int, int, float]]) -> None:
    """Intermediate values as (trial id, step, value), in one statement."""
    values: Rows = []
    for trial_id, step, report in reports:
        value, kind = _to_report(float(report))
        values.append(
            {
                "trial_id": trial_id,
                "step": step,
                "intermediate_value": value,
                "intermediate_value_type": kind.name,
            }
        )
    sql.put(connection, rows.REPORTS, ("trial_id", "step"), values)


def put_attrs(
    connection: Connection, table: Table, attrs: Iterable[tuple[int, str, Any]], owner: str
) -> None:
    """Attributes as (id, key, value) of the trials or studies that the column `owner` names."""
    values: Rows = [
        {owner: identity, "key": key, "value_json": json.dumps(value)}
        for identity, key, value in attrs
    ]
    sql.put(connection, table, (owner, "key"), values)


def put_trial_attrs(
    connection: Connection, table: Table, attrs: Iterable[tuple[int, Mapping[str, Any]]]
) -> None:
    flat = [(trial_id, key, value) for trial_id, found in attrs for key, value in found.items()]
    put_attrs(connection, table, flat, "trial_id")


def put_values(connection: Connection, values: Iterable[tuple[int, Sequence[float]]]) -> None:
    """Objective values of trials."""
    found: Rows = []
    for trial_id, objectives in values:
        for objective, each in enumerate(objectives):
            value, kind = _to_value(float(each))
            row = {"trial_id": trial_id, "objective": objective, "value": value}
            found.append(row | {"value_type": kind.name})
    sql.put(connection, rows.VALUES, ("trial_id", "objective"), found)


def put_params(
    connection: Connection, trial_id: int, found: Iterable[tuple[str, float, BaseDistribution]]
) -> None:
    """Parameters as (name, internal value, distribution); one that is there already stays."""
    values: Rows = [
        {
            "trial_id": trial_id,
            "param_name": name,
            "param_value": value,
            "distribution_json": distribution_to_json(kind),
        }
        for name, value, kind in found
    ]
    sql.put(connection, rows.PARAMS, ("trial_id", "param_name"), values, replace=False)


def put_content(connection: Connection, trial_id: int, trial: FrozenTrial) -> None:
    """A trial's parameters, attributes, intermediate values and values."""
    kinds = trial.distributions
    params = [(n, kinds[n].to_internal_repr(v), kinds[n]) for n, v in trial.params.items()]
    put_params(connection, trial_id, params)
    put_trial_attrs(connection, rows.USER_ATTRS, [(trial_id, trial.user_attrs)])
    put_trial_attrs(connection, rows.SYSTEM_ATTRS, [(trial_id, trial.system_attrs)])
    reports = trial.intermediate_values.items()
    put_reports(connection, [(trial_id, step, value) for step, value in reports])
    if trial.values is not None:
        put_values(connection, [(trial_id, trial.values)])


def insert_trial(connection: Connection, study_id: int, head: rows.Head) -> rows.Head:
    """Insert a trial's own row; the answer has its id. Its study has to be locked."""
    row = {
        "study_id": study_id,
        "number": head.number,
        "state": head.state,
        "datetime_start": head.start,
        "datetime_complete": head.complete,
    }
    trial_id = connection.execute(_insert(), row).scalar_one()
    return head._replace(trial_id=trial_id)


@cache
def _insert() -> Any:
    return insert(rows.TRIALS).returning(rows.TRIALS.c.trial_id)


@cache
def _set_state(*columns: str) -> Any:
    table = rows.TRIALS
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in columns}
    found = table.c.state == bindparam("old_state")
    return table.update().where(table.c.trial_id == bindparam("id"), found).values(values)


def start_trial(connection: Connection, trial_id: int, start: datetime) -> bool:
    """WAITING to RUNNING; False if the trial is not waiting (any more)."""
    bound = {"new_state": TrialState.RUNNING, "new_datetime_start": start}
    done = connection.execute(
        _set_state("state", "datetime_start"),
        {"id": trial_id, "old_state": TrialState.WAITING, **bound},
    )
    return done.rowcount == 1


def set_state(
    connection: Connection, trial_id: int, state: TrialState, complete: datetime | None
) -> bool:
    """Any unfinished state to any other."""
    table = rows.TRIALS
    values: dict[str, Any] = {"state": state, "datetime_complete": complete}
    done = connection.execute(table.update().where(table.c.trial_id == trial_id).values(values))
    return done.rowcount == 1


def finish_trials(
    connection: Connection, finals: Sequence[tuple[int, TrialState, datetime]]
) -> None:
    """RUNNING to a finished state."""
    statement = _set_state("state", "datetime_complete")
    values: Rows = [
        {
            "id": trial_id,
            "old_state": TrialState.RUNNING,
            "new_state": state,
            "new_datetime_complete": complete,
        }
        for trial_id, state, complete in finals
    ]
    # One row is not worth executemany, which costs more on PostgreSQL.
    connection.execute(statement, values[0] if len(values) == 1 else values)
