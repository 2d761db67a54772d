"""Follows the events of a database as they are written."""

from __future__ import annotations

import time
from collections.abc import Iterator

from tuner.logs import Say
from tuner.storage import OutageError, Storage
from tuner.storage.history import Event

LOOK_SECONDS = 1.0
OVERLAP = 1000
"""How far below the highest known event id to read again: a long transaction commits late."""


def followed(
    storage: Storage, study_id: int | None, number: int | None, say: Say
) -> Iterator[list[Event]]:
    """Yields new events, each once; reports an outage of the database and waits for its end.

    Args:
        study_id, number: as for `Storage.events`.
    """
    known: set[int] = set()
    away = False
    while True:
        after = max(known, default=0) - OVERLAP
        try:
            events = storage.events(study_id, number, after=max(after, 0))
        except OutageError as error:
            if not away:
                say(f"waiting: {error}")
            events, away = [], True
        else:
            away = False
        yield [event for event in events if event.event_id not in known]
        known = {event.event_id for event in events} | {i for i in known if i > after}
        time.sleep(LOOK_SECONDS)
