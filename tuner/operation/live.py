"""Whether workers are at a study."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from tuner.storage import progress, schema


def live(connection: Connection, study_id: int) -> int:
    """How many trials of a study a worker is at."""
    found = select(func.count()).select_from(progress.leased())
    mine = schema.leases.c.study_id == study_id, progress.is_held(connection.dialect.name)
    return int(connection.execute(found.where(*mine)).scalar_one())
