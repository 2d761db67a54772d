"""Idempotent writes of trials into Optuna's tables, to be batched."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, Table

from tuner.storage import postgres, rows, sqlite
from tuner.storage.puts import Put

_to_value = models.TrialValueModel.value_to_stored_repr
_to_report = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr
Rows = list[dict[str, Any]]


def reports(found: Iterable[tuple[int, int, float]]) -> Put:
    """Intermediate values as (trial id, step, value)."""
    values: Rows = []
    for trial_id, step, report in found:
        value, kind = _to_report(float(report))
        values.append(
            {
                "trial_id": trial_id,
                "step": step,
                "intermediate_value": value,
                "intermediate_value_type": kind.name,
            }
        )
    return Put(rows.REPORTS, ("trial_id", "step"), values)


def attrs(table: Table, found: Iterable[tuple[int, str, Any]], owner: str) -> Put:
    """Attributes as (id, key, value) of the trials or studies that the column `owner` names."""
    values: Rows = [
        {owner: identity, "key": key, "value_json": json.dumps(value)}
        for identity, key, value in found
    ]
    return Put(table, (owner, "key"), values)


def trial_attrs(table: Table, found: Iterable[tuple[int, Mapping[str, Any]]]) -> Put:
    flat = [(trial_id, key, value) for trial_id, each in found for key, value in each.items()]
    return attrs(table, flat, "trial_id")


def values(found: Iterable[tuple[int, Sequence[float]]]) -> Put:
    """Objective values of trials."""
    stored: Rows = []
    for trial_id, objectives in found:
        for objective, each in enumerate(objectives):
            value, kind = _to_value(float(each))
            row = {"trial_id": trial_id, "objective": objective, "value": value}
            stored.append(row | {"value_type": kind.name})
    return Put(rows.VALUES, ("trial_id", "objective"), stored)


def params(found: Iterable[tuple[int, str, float, BaseDistribution]]) -> Put:
    """Parameters as (trial id, name, internal value, distribution); what is there already stays."""
    stored: Rows = [
        {
            "trial_id": trial_id,
            "param_name": name,
            "param_value": value,
            "distribution_json": distribution_to_json(kind),
        }
        for trial_id, name, value, kind in found
    ]
    return Put(rows.PARAMS, ("trial_id", "param_name"), stored, replace=False)


def content(trial_id: int, trial: FrozenTrial) -> list[Put]:
    """A trial's parameters, attributes, intermediate values and values."""
    kinds, steps = trial.distributions, trial.intermediate_values
    drawn = [(trial_id, n, kinds[n].to_internal_repr(v), kinds[n]) for n, v in trial.params.items()]
    return [
        params(drawn),
        trial_attrs(rows.USER_ATTRS, [(trial_id, trial.user_attrs)]),
        trial_attrs(rows.SYSTEM_ATTRS, [(trial_id, trial.system_attrs)]),
        reports([(trial_id, step, value) for step, value in steps.items()]),
        values([] if trial.values is None else [(trial_id, trial.values)]),
    ]


def insert_trial(
    connection: Connection,
    study_id: int,
    head: rows.Head,
    content: Callable[[int], Sequence[Put]],
) -> rows.Head:
    """Insert a trial with its content; the answer has its id. Its study has to be locked."""
    if connection.dialect.name == "sqlite":
        trial_id = sqlite.insert_trial(connection, study_id, head, content)
    else:
        trial_id = postgres.insert_trial(connection, study_id, head, content(head.trial_id))
    return head._replace(trial_id=trial_id)


def start_trial(connection: Connection, head: rows.Head) -> bool:
    """Give a waiting trial this row; False if it is not waiting (any more)."""
    table = rows.TRIALS
    waiting = table.update().where(table.c.trial_id == head.trial_id)
    waiting = waiting.where(table.c.state == TrialState.WAITING)
    new = {"state": head.state, "datetime_start": head.start, "datetime_complete": head.complete}
    return connection.execute(waiting.values(new)).rowcount == 1


def set_state(
    connection: Connection, trial_id: int, state: TrialState, complete: datetime | None
) -> bool:
    """Any unfinished state to any other."""
    table = rows.TRIALS
    values: dict[str, Any] = {"state": state, "datetime_complete": complete}
    done = connection.execute(table.update().where(table.c.trial_id == trial_id).values(values))
    return done.rowcount == 1
