"""A checkpoint that is too large for the database: a file, whose name the database holds."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, func, select

from tuner.storage import rows, schema

_MARK = b"tuner:artifact:"
_LONGEST = 100


def reference(artifact_id: str) -> bytes:
    """What stands in the database in place of a checkpoint's bytes."""
    return _MARK + artifact_id.encode()


def referred(checkpoint: bytes | None) -> str | None:
    """The artifact that a stored checkpoint names; None if it holds the bytes themselves."""
    if checkpoint is None or len(checkpoint) > _LONGEST or not checkpoint.startswith(_MARK):
        return None
    return checkpoint.removeprefix(_MARK).decode(errors="replace")


def checkpoint_ids(connection: Connection, study_id: int | None = None) -> Iterator[str]:
    """The artifacts that hold checkpoints, of one study or of all."""
    saved, trials = schema.checkpoints, rows.TRIALS
    found = select(saved.c.data).where(func.length(saved.c.data) <= _LONGEST)
    if study_id is not None:
        joined = saved.join(trials, trials.c.trial_id == saved.c.trial_id)
        found = found.select_from(joined).where(trials.c.study_id == study_id)
    for data in connection.execute(found).scalars():
        name = referred(bytes(data))
        if name is not None:
            yield name
