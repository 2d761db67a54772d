"""Reads events: all of them, those of a study, or those of a trial."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from sqlalchemy import Connection, or_, select

from tuner.storage import events, rows, schema, studies


class Event(NamedTuple):
    """Something that happened.

    Attributes:
        event_id: grows; an event of a long transaction may appear after later ones.
        time: seconds since 1970 by the database's clock.
        study: its name; None for an event of a worker alone.
        trial: its number; None for an event of no trial.
        worker: the holder of a lease, or empty.
        kind: one of ``events.KINDS`` or ``events.OF_STATE``.
        detail: what ``events`` writes for its kind.
    """

    event_id: int
    time: float
    study: str | None
    trial: int | None
    worker: str
    kind: str
    detail: dict[str, Any]


def read_events(
    connection: Connection,
    study_id: int | None = None,
    number: int | None = None,
    after: int = 0,
) -> list[Event]:
    """Events in their order.

    Args:
        study_id: the events of this study and of its workers; None reads all.
        number: the events of this trial of the study alone.
        after: the highest `event_id` that the caller has already.
    """
    table, trials, names = schema.events, rows.TRIALS, studies.STUDIES
    joined = table.outerjoin(names, names.c.study_id == table.c.study_id)
    joined = joined.outerjoin(trials, trials.c.trial_id == table.c.trial_id)
    columns = (table.c.worker, table.c.kind, table.c.detail)
    query = (
        select(table.c.event_id, table.c.time, names.c.study_name, trials.c.number, *columns)
        .select_from(joined)
        .where(table.c.event_id > after)
        .order_by(table.c.event_id)
    )
    if number is not None:
        query = query.where(table.c.study_id == study_id, trials.c.number == number)
    elif study_id is not None:
        own = select(table.c.worker).where(table.c.study_id == study_id, table.c.worker != "")
        of_workers = table.c.study_id.is_(None) & table.c.worker.in_(own.distinct())
        query = query.where(or_(table.c.study_id == study_id, of_workers))
    return [
        Event(*row[:-1], json.loads(row[-1]) if row[-1] else {})
        for row in connection.execute(query)
    ]


def event_origin(connection: Connection, study_id: int) -> str | None:
    """The database, without its password, that a study was last copied from."""
    table = schema.events
    copied = table.c.study_id == study_id, table.c.kind == events.COPIED
    last = select(table.c.detail).where(*copied).order_by(table.c.event_id.desc()).limit(1)
    detail = connection.execute(last).scalar()
    return str(json.loads(detail)["origin"]) if detail else None
