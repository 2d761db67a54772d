"""Reads events: all of them, those of a study, or those of a trial."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from sqlalchemy import Connection, or_, select

from tuner.storage import events, rows, schema, studies


class Event(NamedTuple):
    """Something that happened.

    Attributes:
        event_id: grows; an event of a transaction that took longer may come late.
        time: seconds since 1970 by the database's clock.
        study: its name; None where it concerns a worker alone.
        trial: its number; None where it concerns no trial.
        worker: the holder of a lease, or empty.
        kind: one of ``events.KINDS`` or ``events.OF_STATE``.
        detail: by kind, as ``events`` says.
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
        study_id: of this study, and of its workers themselves.
        number: of this trial of the study alone.
        after: the highest `event_id` that is known already.
    """
    told, trials, named = schema.events, rows.TRIALS, studies.STUDIES
    joined = told.outerjoin(named, named.c.study_id == told.c.study_id)
    joined = joined.outerjoin(trials, trials.c.trial_id == told.c.trial_id)
    columns = (told.c.worker, told.c.kind, told.c.detail)
    found = (
        select(told.c.event_id, told.c.time, named.c.study_name, trials.c.number, *columns)
        .select_from(joined)
        .where(told.c.event_id > after)
        .order_by(told.c.event_id)
    )
    if number is not None:
        found = found.where(told.c.study_id == study_id, trials.c.number == number)
    elif study_id is not None:
        own = select(told.c.worker).where(told.c.study_id == study_id, told.c.worker != "")
        of_workers = told.c.study_id.is_(None) & told.c.worker.in_(own.distinct())
        found = found.where(or_(told.c.study_id == study_id, of_workers))
    return [
        Event(*row[:-1], json.loads(row[-1]) if row[-1] else {})
        for row in connection.execute(found)
    ]


def event_origin(connection: Connection, study_id: int) -> str | None:
    """The database, without its password, from which a study was copied last."""
    told = schema.events
    copied = told.c.study_id == study_id, told.c.kind == events.COPIED
    last = select(told.c.detail).where(*copied).order_by(told.c.event_id.desc()).limit(1)
    detail = connection.execute(last).scalar()
    return str(json.loads(detail)["origin"]) if detail else None
