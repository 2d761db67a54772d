"""All that a database holds of one study, read at one moment, and written into another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Enum, String, Table, insert, select, type_coerce

from tuner.storage import events, puts, rows, schema, studies
from tuner.storage.attached import artifact_ids
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
        artifacts: their identifiers.
    """

    name: str
    of_study: Mapping[Table, Rows]
    trials: Rows
    children: Mapping[Table, Rows]
    leases: Rows
    checkpoints: Rows
    events: Rows
    artifacts: list[str]


@dataclass(frozen=True)
class Results:
    """What makes a study this one, the same wherever it is kept.

    Attributes:
        made_as: its directions, and the fingerprint of its study file.
        finished, unfinished: trials and what they are made of, by number.
    """

    made_as: tuple[Any, ...]
    finished: Mapping[int, Any]
    unfinished: Mapping[int, Any]

    def within(self, later: Results) -> bool:
        """Whether a later state has all of this: what is unfinished may have gone on."""
        known = later.finished.items()
        return self.made_as == later.made_as and all(
            each in known for each in self.finished.items()
        )


def _rest(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(value for name, value in row.items() if name != "trial_id")


def read(connection: Connection, study_id: int, name: str) -> Content:
    """All rows of a study."""
    trials, held, saved, told = rows.TRIALS, schema.leases, schema.checkpoints, schema.events
    mine = select(trials.c.trial_id).where(trials.c.study_id == study_id)
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
        artifacts=artifact_ids(connection, study_id),
    )


def results(connection: Connection, study_id: int) -> Results:
    """What is compared of a study."""
    trials = rows.TRIALS
    mine = select(trials.c.trial_id).where(trials.c.study_id == study_id)
    found = _rows(connection, trials, trials.c.study_id == study_id, "study_id")
    made: dict[int, list[Any]] = {row["trial_id"]: [] for row in found}
    for table in RESULTS:
        for row in _children(connection, table, table.c.trial_id.in_(mine)):
            made.setdefault(row["trial_id"], []).append((table.name, *_rest(row)))
    of_state: dict[bool, dict[int, Any]] = {True: {}, False: {}}
    for row in found:
        content = _rest(row), sorted(made[row["trial_id"]], key=repr)
        of_state[row["state"].is_finished()][row["number"]] = content
    attrs = studies.attrs(connection, studies.USER_ATTRS, study_id)
    made_as = (*studies.directions(connection, study_id), attrs.get(studies.FINGERPRINT))
    return Results(made_as, of_state[True], of_state[False])


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
