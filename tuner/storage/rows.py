"""Reads trials in bulk and makes Optuna's frozen trials of them."""

from __future__ import annotations

import gc
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, NamedTuple

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import (
    Connection,
    Select,
    String,
    Table,
    bindparam,
    select,
    type_coerce,
)

from tuner.optuna_private import models
from tuner.search.overlay import changed
from tuner.storage import sql
from tuner.storage.lease import Update
from tuner.storage.sql import to_local

# Making Optuna's frozen trials.


MANY = 500
GROWS = "tuner:grows"
"""The system attribute of a trial whose parameters are drawn while it runs."""


def blank(number: int = -1, trial_id: int = -1) -> FrozenTrial:
    """A trial that runs from now on and has nothing yet."""
    return FrozenTrial(
        number=number,
        state=TrialState.RUNNING,
        value=None,
        datetime_start=datetime.now(),
        datetime_complete=None,
        params={},
        distributions={},
        user_attrs={},
        system_attrs={},
        intermediate_values={},
        trial_id=trial_id,
    )


def clone(trial: FrozenTrial) -> FrozenTrial:
    """A shallow copy, at a third of what `copy.copy` takes."""
    new = FrozenTrial.__new__(FrozenTrial)
    new.__dict__.update(trial.__dict__)
    return new


def updated(old: FrozenTrial, update: Update, complete: datetime | None) -> FrozenTrial:
    """The trial with an update; `complete` is when it ended, in local time."""
    new = changed(
        old,
        reports=update.reports,
        user_attrs=update.user_attrs,
        system_attrs=update.system_attrs,
        params=update.params,
    )
    if update.state is not None:
        new.state = update.state
        new.values = None if update.value is None else [float(update.value)]
        new.datetime_complete = complete
    return new


@contextmanager
def uncollected(trials: int) -> Iterator[None]:
    """No garbage collection while many trials are made, as it takes a third of the time."""
    if trials < MANY or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


# Reading Optuna's rows in bulk, without its object mapper.


TRIALS: Table = models.TrialModel.__table__
PARAMS: Table = models.TrialParamModel.__table__
VALUES: Table = models.TrialValueModel.__table__
REPORTS: Table = models.TrialIntermediateValueModel.__table__
USER_ATTRS: Table = models.TrialUserAttributeModel.__table__
SYSTEM_ATTRS: Table = models.TrialSystemAttributeModel.__table__

INFINITE = {"INF_POS": float("inf"), "INF_NEG": float("-inf"), "NAN": float("nan")}
Groups = Mapping[int, Sequence[Any]]


class Head(NamedTuple):
    """A trial's own row; times are naive UTC, as in the database."""

    trial_id: int
    number: int
    state: TrialState
    start: datetime | None
    complete: datetime | None


HEAD = (
    TRIALS.c.trial_id,
    TRIALS.c.number,
    TRIALS.c.state,
    TRIALS.c.datetime_start,
    TRIALS.c.datetime_complete,
)


@cache
def _one(lock: bool) -> Select[Any]:
    query = select(TRIALS.c.study_id, *HEAD).where(TRIALS.c.trial_id == bindparam("trial_id"))
    return query.with_for_update() if lock else query


def read_head(connection: Connection, trial_id: int, lock: bool = False) -> tuple[int, Head] | None:
    """The study and the row of one trial, or None if there is no such trial."""
    row = connection.execute(_one(lock), {"trial_id": trial_id}).one_or_none()
    return None if row is None else (row[0], Head(*row[1:]))


@cache
def _children(dialect: str, table: Table) -> Select[Any]:
    """Rows of `table`: the trial's id, then what `_group` collects for it."""
    columns = [
        type_coerce(c, String) if c.name.endswith("value_type") else c
        for c in table.c
        if c.name not in ("trial_id", table.primary_key.columns[0].name)
    ]
    if table is REPORTS:
        columns.append(REPORTS.c.trial_intermediate_value_id)
    order = [table.primary_key.columns[0]] if table is PARAMS else []
    trial_id = table.c.trial_id
    return select(trial_id, *columns).where(sql.among(dialect, trial_id, "ids")).order_by(*order)


def _read(connection: Connection, table: Table, bound: Any) -> dict[int, list[Any]]:
    groups: dict[int, list[Any]] = defaultdict(list)
    result = connection.execute(_children(connection.dialect.name, table), {"ids": bound})
    for row in result.all():  # at once: row by row takes twice as long
        groups[row[0]].append(row)
    return groups


class StoredTrial(NamedTuple):
    """A trial that was read, and the highest row id among its intermediate values."""

    trial: FrozenTrial
    floor: int


def read_trials(connection: Connection, heads: Sequence[Head]) -> list[StoredTrial]:
    """The whole trials of these rows, by five statements, however many there are.

    The caller reads the trials' own rows before: a trial that was finished then is complete now.
    """
    if not heads:
        return []
    with uncollected(len(heads)):
        return _read_trials(connection, heads)


def _read_trials(connection: Connection, heads: Sequence[Head]) -> list[StoredTrial]:
    bound = sql.numbers(connection.dialect.name, (head.trial_id for head in heads))
    tables = (VALUES, PARAMS, USER_ATTRS, SYSTEM_ATTRS, REPORTS)
    values, params, user, system, reports = (_read(connection, t, bound) for t in tables)
    return [
        StoredTrial(
            _trial(head, values, params, user, system, reports),
            max((row[4] for row in reports.get(head.trial_id, ())), default=0),
        )
        for head in heads
    ]


def _trial(
    head: Head, values: Groups, params: Groups, user: Groups, system: Groups, reports: Groups
) -> FrozenTrial:
    trial_id = head.trial_id
    drawn = [(row[1], row[2], _distribution(row[3])) for row in params.get(trial_id, ())]
    return FrozenTrial(
        number=head.number,
        state=head.state,
        value=None,
        values=[number(*row[2:4]) for row in sorted(values[trial_id])]
        if trial_id in values
        else None,
        datetime_start=to_local(head.start),
        datetime_complete=to_local(head.complete),
        params={name: kind.to_external_repr(value) for name, value, kind in drawn},
        distributions={name: kind for name, _, kind in drawn},
        user_attrs={row[1]: json.loads(row[2]) for row in user.get(trial_id, ())},
        system_attrs={row[1]: json.loads(row[2]) for row in system.get(trial_id, ())},
        intermediate_values={
            step: value if value is not None else INFINITE[kind]
            for _, step, value, kind, _ in reports.get(trial_id, ())
        },
        trial_id=trial_id,
    )


def read_distribution(connection: Connection, study_id: int, name: str) -> BaseDistribution | None:
    """The distribution of a parameter in any trial of the study."""
    query = (
        select(PARAMS.c.distribution_json)
        .join(TRIALS, TRIALS.c.trial_id == PARAMS.c.trial_id)
        .where(TRIALS.c.study_id == study_id, PARAMS.c.param_name == name)
        .limit(1)
    )
    text = connection.execute(query).scalar()
    return None if text is None else _distribution(text)


@lru_cache(maxsize=4096)
def _distribution(text: str) -> BaseDistribution:
    return json_to_distribution(text)


def number(value: float | None, kind: str) -> float:
    """A stored value; `kind` gives those that are not finite."""
    return value if value is not None else INFINITE[kind]


def read_trial(connection: Connection, trial_id: int) -> FrozenTrial | None:
    """One whole trial, or None if there is no such trial."""
    found = read_head(connection, trial_id)
    return None if found is None else read_trials(connection, [found[1]])[0].trial
