"""Events are followed through late ones and outages, each told once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import insert, select

from tuner.operation.follow import followed
from tuner.storage import open_storage, schema


def test_late_events_and_an_outage_lose_nothing(
    postgres_url: str,
    postgres: Any,
    make: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tuner.operation.follow.LOOK_SECONDS", 0.0)
    storage = open_storage(postgres_url)
    study_id = make(storage, trials=2)
    told = schema.events
    with storage.database.write() as connection:  # one that is not committed yet
        late = dict(connection.execute(select(told).where(told.c.event_id == 2)).mappings().one())
        connection.execute(told.delete().where(told.c.event_id == 2))
    said: list[str] = []
    looks = followed(storage, study_id, None, said.append)
    assert [event.event_id for event in next(looks)] == [1, 3, 4, 5]
    with storage.database.write() as connection:
        connection.execute(insert(told), late)
    assert [event.event_id for event in next(looks)] == [2]
    postgres.kill()
    assert [next(looks), next(looks)] == [[], []]
    assert len(said) == 1
    assert "cannot be reached" in said[0]
    postgres.start()
    storage.set_study_state(study_id, "paused")
    assert [event.kind for event in next(looks)] == ["paused"]
    assert next(looks) == []
    storage.close()
