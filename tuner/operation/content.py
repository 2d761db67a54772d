"""All that a database holds of one study, read at one moment, and written into another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Enum, String, Table, insert, select, text, type_coerce

from tuner.operation.live import live
from tuner.storage import events, puts, rows, schema, studies
from tuner.storage.attached import artifact_ids
from tuner.storage.database import Database
from tuner.storage.puts import Put

Rows = list[dict[str, Any]]
RESULTS = (rows.PARAMS, rows.VALUES, rows.REPORTS)
CHILDREN = (*RESULTS, rows.USER_ATTRS, rows.SYSTEM_ATTRS)
OF_STUDY = (studies.DIRECTIONS, studies.USER_ATTRS, studies.SYSTEM_ATTRS, schema.studies)
CHUNK = 20_000
"""Rows that are sent at once."""


@dataclass(frozen=True)
class Content:
    """A study's rows by table, with the ids that they have where they come from.

    Attributes:
        trials: by number.
        held: trials that a worker is at.
    """

    name: str
    of_study: Mapping[Table, Rows]
    trials: Rows
    children: Mapping[Table, Rows]
    leases: Rows
    checkpoints: Rows
    events: Rows
    artifacts: Rows
    held: int

    def results(self) -> Any:
        """Trials and what they are made of, the same wherever they are kept."""
        numbers = {row["trial_id"]: row["number"] for row in self.trials}
        found = [tuple(v for k, v in row.items() if k != "trial_id") for row in self.trials]
        made = []
        for table in RESULTS:
            named = ((numbers[row["trial_id"]], *_rest(row)) for row in self.children[table])
            made.append(sorted(named, key=repr))
        return found, made


def _rest(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(value for name, value in row.items() if name != "trial_id")


@contextmanager
def moment(database: Database) -> Iterator[Connection]:
    """A connection that reads everything as it was at one moment; SQLite keeps writers waiting."""
    with database.write() as connection:
        if database.dialect == "postgresql":
            connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        yield connection


def read(connection: Connection, study_id: int, name: str) -> Content:
    """All rows of a study."""
    trials, held, saved, told = rows.TRIALS, schema.leases, schema.checkpoints, schema.events
    mine = select(trials.c.trial_id).where(trials.c.study_id == study_id)
    known = artifact_ids(connection, study_id)
    kept = schema.artifacts
    return Content(
        name=name,
        of_study={t: _rows(connection, t, t.c.study_id == study_id, "study_id") for t in OF_STUDY},
        trials=sorted(
            _rows(connection, trials, trials.c.study_id == study_id, "study_id"),
            key=lambda row: int(row["number"]),
        ),
        children={t: _children(connection, t, t.c.trial_id.in_(mine)) for t in CHILDREN},
        leases=_rows(connection, held, held.c.study_id == study_id, "study_id"),
        checkpoints=_rows(connection, saved, saved.c.trial_id.in_(mine)),
        events=_rows(connection, told, told.c.study_id == study_id, "study_id", "event_id"),
        artifacts=_rows(connection, kept, kept.c.artifact_id.in_(known)),
        held=live(connection, study_id),
    )


def _rows(connection: Connection, table: Table, mine: Any, *without: str) -> Rows:
    columns = [column for column in table.c if column.name not in without]
    order = table.primary_key.columns
    found = connection.execute(select(*columns).where(mine).order_by(*order))
    return [dict(row) for row in found.mappings()]


def _children(connection: Connection, table: Table, mine: Any) -> Rows:
    """Rows that JSON can hold, without the number that only their own table knows."""
    identity = table.primary_key.columns[0]
    columns = [
        type_coerce(column, String).label(column.name) if isinstance(column.type, Enum) else column
        for column in table.c
        if column is not identity
    ]
    found = connection.execute(select(*columns).where(mine).order_by(identity))
    return [dict(row) for row in found.mappings()]


def write(connection: Connection, content: Content, origin: str) -> int:
    """Write a study that is not there; its id. Its leases are given back."""
    made = insert(studies.STUDIES).returning(studies.STUDIES.c.study_id)
    study_id = int(connection.execute(made, {"study_name": content.name}).scalar_one())
    for table, found in content.of_study.items():
        _insert(connection, table, _owned(found, study_id, table.primary_key.columns.keys()))
    ids = _trials(connection, content.trials, study_id)
    for table, found in content.children.items():
        for chunk in _chunks([{**row, "trial_id": ids[row["trial_id"]]} for row in found]):
            puts.put(connection, [Put(table, (), chunk, replace=False)])
    free = {"holder": "", "expires": 0.0, "study_id": study_id}
    leases = ({**row, **free, "trial_id": ids[row["trial_id"]]} for row in content.leases)
    _insert(connection, schema.leases, list(leases))
    saved = [{**row, "trial_id": ids[row["trial_id"]]} for row in content.checkpoints]
    _insert(connection, schema.checkpoints, saved)
    told = [{**row, "trial_id": ids.get(row["trial_id"])} for row in content.events]
    _insert(connection, schema.events, _owned(told, study_id, ()))
    keys = ("artifact_id", "part")
    there = puts.upsert(connection.dialect.name, schema.artifacts, keys, replace=False)
    for artifact in content.artifacts:
        connection.execute(there, artifact)
    events.add(connection, events.row(events.COPIED, study_id, origin=origin))
    return study_id


def _owned(found: Rows, study_id: int, without: Iterable[str]) -> Rows:
    return [
        {**{k: v for k, v in row.items() if k not in without}, "study_id": study_id}
        for row in found
    ]


def _trials(connection: Connection, found: Rows, study_id: int) -> dict[int, int]:
    """Insert trials in their order; their new ids by the old ones."""
    table = rows.TRIALS
    if not found:
        return {}
    new = _owned(found, study_id, ("trial_id",))
    made = insert(table).returning(table.c.trial_id, sort_by_parameter_order=True)
    ids = connection.execute(made, new).scalars()
    return dict(zip((row["trial_id"] for row in found), ids, strict=True))


def _insert(connection: Connection, table: Table, found: Rows) -> None:
    for chunk in _chunks(found):
        connection.execute(insert(table), chunk)


def _chunks(found: Rows) -> Iterable[Rows]:
    return (found[i : i + CHUNK] for i in range(0, len(found), CHUNK))
