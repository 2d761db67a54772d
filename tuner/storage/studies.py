"""Reads and writes studies: their rows, attributes, budgets and states."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from optuna.exceptions import DuplicatedStudyError
from optuna.study import StudyDirection
from sqlalchemy import (
    Connection,
    Table,
    exc,
    insert,
    select,
)

from tuner.errors import MissingError, StorageError
from tuner.optuna_private import FrozenStudy, models
from tuner.storage import events, rows, schema, sql
from tuner.storage.lease import OPEN, STATES

# Rows and attributes of studies, Optuna's and ours.


STUDIES: Table = models.StudyModel.__table__
DIRECTIONS: Table = models.StudyDirectionModel.__table__
USER_ATTRS: Table = models.StudyUserAttributeModel.__table__
SYSTEM_ATTRS: Table = models.StudySystemAttributeModel.__table__
HEARTBEATS: Table = models.TrialHeartbeatModel.__table__
METRIC_NAMES = "study:metric_names"
SPEC, FINGERPRINT, DATA = "tuner:spec", "tuner:fingerprint", "tuner:data"
"""User attributes: the study file in full, the fingerprint that tells apart studies of one name,
and the record that identifies the rows that they are trained on."""
ADOPTED = "adopted"
"""A key in a record of rows that was made when trials had been trained already, on unknown rows."""
REPLICATES = "tuner:replicates"
"""User attribute of a study of `confirm` or `ablate`, which only trains configurations of another
study again: that study's name."""
NAME_LETTERS = models.MAX_INDEXED_STRING_LENGTH


def missing(what: str = "the study") -> MissingError:
    """The error for an id that no row has."""
    return MissingError(f"{what} is not in the database, or no longer: it was deleted")


def create(connection: Connection, name: str, directions: Sequence[StudyDirection]) -> int:
    """Insert a study; DuplicatedStudyError if the name is taken.

    Raises:
        StorageError: the name is too long for Optuna's column; SQLite alone would take it.
    """
    if len(name) > NAME_LETTERS:
        what = f"a study's name has at most {NAME_LETTERS} letters, and this one {len(name)}"
        raise StorageError(what, where=f"{name[:40]}…", hint="give a shorter one")
    try:
        returning = insert(STUDIES).returning(STUDIES.c.study_id)
        study_id = int(connection.execute(returning, {"study_name": name}).scalar_one())
    except exc.IntegrityError as error:
        raise DuplicatedStudyError(f"the study {name!r} exists") from error
    values = [
        {"study_id": study_id, "objective": objective, "direction": direction}
        for objective, direction in enumerate(directions)
    ]
    connection.execute(insert(DIRECTIONS), values)
    return study_id


def delete(connection: Connection, study_id: int) -> None:
    """Delete a study with all its rows."""
    require(connection, study_id, lock=True)
    mine = select(rows.TRIALS.c.trial_id).where(rows.TRIALS.c.study_id == study_id)
    children = (rows.VALUES, rows.PARAMS, rows.REPORTS, rows.USER_ATTRS, rows.SYSTEM_ATTRS)
    # The leases first: no worker can write to these trials any more.
    for table in (schema.leases, schema.checkpoints, *children, HEARTBEATS):
        connection.execute(table.delete().where(table.c.trial_id.in_(mine)))
    ours = (schema.studies, schema.events)
    for table in (rows.TRIALS, DIRECTIONS, USER_ATTRS, SYSTEM_ATTRS, *ours, STUDIES):
        connection.execute(table.delete().where(table.c.study_id == study_id))


def find(connection: Connection, name: str) -> int | None:
    query = select(STUDIES.c.study_id).where(STUDIES.c.study_name == name)
    return connection.execute(query).scalar()


def require(connection: Connection, study_id: int, lock: bool = False) -> str:
    """The study's name; MissingError if there is none. `lock` locks it as Optuna does."""
    query = select(STUDIES.c.study_name).where(STUDIES.c.study_id == study_id)
    name = connection.execute(query.with_for_update() if lock else query).scalar()
    if name is None:
        raise missing()
    return str(name)


def directions(connection: Connection, study_id: int) -> list[StudyDirection]:
    require(connection, study_id)
    query = select(DIRECTIONS.c.direction).where(DIRECTIONS.c.study_id == study_id)
    return list(connection.execute(query.order_by(DIRECTIONS.c.objective)).scalars())


def attrs(connection: Connection, table: Table, study_id: int) -> dict[str, Any]:
    """A study's user or system attributes."""
    require(connection, study_id)
    query = select(table.c.key, table.c.value_json).where(table.c.study_id == study_id)
    return {key: json.loads(value) for key, value in connection.execute(query)}


def set_attr(connection: Connection, table: Table, study_id: int, key: str, value: Any) -> None:
    require(connection, study_id)
    sql.put(connection, [sql.attrs(table, [(study_id, key, value)], "study_id")])


def everything(connection: Connection) -> list[FrozenStudy]:
    """All studies with their directions and attributes, by id."""
    named = connection.execute(select(STUDIES.c.study_id, STUDIES.c.study_name)).all()
    toward: dict[int, list[StudyDirection]] = defaultdict(list)
    columns = (DIRECTIONS.c.study_id, DIRECTIONS.c.direction)
    ordered = select(*columns).order_by(DIRECTIONS.c.objective)
    for study_id, direction in connection.execute(ordered):
        toward[study_id].append(direction)
    user, system = _all_attrs(connection, USER_ATTRS), _all_attrs(connection, SYSTEM_ATTRS)
    return [
        FrozenStudy(name, None, user[i], system[i], i, directions=toward[i])
        for i, name in sorted((study_id, name) for study_id, name in named)
    ]


def _all_attrs(connection: Connection, table: Table) -> dict[int, dict[str, Any]]:
    attributes: dict[int, dict[str, Any]] = defaultdict(dict)
    columns = (table.c.study_id, table.c.key, table.c.value_json)
    for study_id, key, value in connection.execute(select(*columns)):
        attributes[study_id][key] = json.loads(value)
    return attributes


def named(connection: Connection, name: str) -> tuple[int, dict[str, Any]] | None:
    """The id and all user attributes of the study of a name, if it has any; in one statement."""
    joined = STUDIES.join(USER_ATTRS, USER_ATTRS.c.study_id == STUDIES.c.study_id)
    columns = STUDIES.c.study_id, USER_ATTRS.c.key, USER_ATTRS.c.value_json
    query = select(*columns).select_from(joined).where(STUDIES.c.study_name == name)
    rows = connection.execute(query).all()
    return (int(rows[0][0]), {key: json.loads(value) for _, key, value in rows}) if rows else None


def having(connection: Connection, key: str, name: str | None = None) -> dict[str, tuple[int, Any]]:
    """The studies that have a user attribute, or the one of a name: id and value by name.

    It is one statement, so that no study is deleted in between.
    """
    joined = STUDIES.join(USER_ATTRS, USER_ATTRS.c.study_id == STUDIES.c.study_id)
    columns = STUDIES.c.study_name, STUDIES.c.study_id, USER_ATTRS.c.value_json
    query = select(*columns).select_from(joined).where(USER_ATTRS.c.key == key)
    if name is not None:
        query = query.where(STUDIES.c.study_name == name)
    ordered = connection.execute(query.order_by(STUDIES.c.study_id))
    return {each: (int(study_id), json.loads(value)) for each, study_id, value in ordered}


def join(
    connection: Connection,
    name: str,
    direction: StudyDirection,
    metric: str,
    user_attrs: Mapping[str, Any],
    budget: int,
    epochs: int | None,
) -> int:
    """Create a study, or add the attributes that it lacks; it overwrites nothing."""
    dialect = connection.dialect.name
    schema.lock_names(connection, dialect)
    study_id = find(connection, name)
    if study_id is None:
        study_id = create(connection, name, [direction])
    _keep(connection, USER_ATTRS, study_id, user_attrs.items())
    _keep(connection, SYSTEM_ATTRS, study_id, [(METRIC_NAMES, [metric])])
    statement = sql.upsert(dialect, schema.studies, ("study_id",), replace=False)
    returning = statement.returning(schema.studies.c.study_id)
    row = {"study_id": study_id, "budget": budget, "epochs": epochs, "state": OPEN}
    if connection.execute(returning, row).scalar() is not None:
        events.add(connection, events.row(events.SUBMITTED, study_id, **_detail(budget, epochs)))
    return study_id


def keep_data(connection: Connection, study_id: int, record: Mapping[str, Any]) -> dict[str, Any]:
    """Store the record that identifies a study's rows, unless it has one; the stored record."""
    require(connection, study_id, lock=True)
    known: dict[str, Any] | None = attrs(connection, USER_ATTRS, study_id).get(DATA)
    if known is not None:
        return known
    _keep(connection, USER_ATTRS, study_id, [(DATA, record)])
    if record.get(ADOPTED):
        why = "nothing was known of the rows of earlier trials; these are taken to be theirs"
        detail = {"rows": record["rows"], "why": why}
        events.add(connection, events.row(events.ADOPTED, study_id, **detail))
    return dict(record)


def _keep(
    connection: Connection, table: Table, study_id: int, attributes: Iterable[tuple[str, Any]]
) -> None:
    statement = sql.upsert(connection.dialect.name, table, ("study_id", "key"), replace=False)
    for key, value in attributes:
        row = {"study_id": study_id, "key": key, "value_json": json.dumps(value)}
        connection.execute(statement, row)


# A study's budget and state, which decide whether workers get trials.


def set_budget(connection: Connection, study_id: int, budget: int, epochs: int | None) -> None:
    require(connection, study_id)
    table = schema.studies
    statement = sql.upsert(connection.dialect.name, table, ("study_id",), replace=False)
    values = {"budget": budget, "epochs": epochs}
    connection.execute(statement, {"study_id": study_id, **values, "state": OPEN})
    connection.execute(table.update().where(table.c.study_id == study_id).values(values))
    events.add(connection, events.row(events.BUDGET, study_id, **_detail(budget, epochs)))


def _detail(budget: int, epochs: int | None) -> dict[str, Any]:
    return {"budget": budget} if epochs is None else {"budget": budget, "epochs": epochs}


def set_state(connection: Connection, study_id: int, state: str) -> None:
    if state not in STATES:
        raise StorageError(f"a study cannot be {state!r}", hint=f"known: {', '.join(STATES)}")
    require(connection, study_id)
    table = schema.studies
    statement = sql.upsert(connection.dialect.name, table, ("study_id",), replace=False)
    connection.execute(statement, {"study_id": study_id, "budget": 0, "state": state})
    connection.execute(table.update().where(table.c.study_id == study_id).values(state=state))
    events.add(connection, events.row(events.OF_STATE[state], study_id))
