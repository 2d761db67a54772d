"""Metadata of artifacts, and checkpoints that are stored as files."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from optuna.trial import TrialState
from sqlalchemy import Connection, Table, func, or_, select

from tuner.storage import rows, schema, sql, studies

# A checkpoint that is too large for the database: a file, whose name the database holds.


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


# What is attached to studies and trials: metadata of artifacts, as Optuna writes them.


PREFIX, OLD_PREFIX = "artifacts:", "dashboard:artifacts:"
"""Of the attributes that hold metadata; optuna-dashboard once used the second in studies."""
KEEPER = "kept_by"
"""What the metadata of an artifact says that a worker attached, and nobody else."""


@dataclass(frozen=True)
class Attached:
    """An artifact of a trial."""

    trial_id: int
    artifact_id: str
    filename: str
    state: TrialState
    ours: bool


def metadata(artifact_id: str, filename: str) -> dict[str, str]:
    """The system attribute of a trial to which a worker attaches an artifact."""
    kind, encoding = mimetypes.guess_type(filename)
    meta = {
        "artifact_id": artifact_id,
        "filename": filename,
        "mimetype": kind or "application/octet-stream",
        "encoding": encoding,
        KEEPER: "tuner",
    }
    return {PREFIX + artifact_id: json.dumps(meta)}


def attached(connection: Connection, study_id: int) -> list[Attached]:
    """The artifacts of a study's trials."""
    table, trials = rows.SYSTEM_ATTRS, rows.TRIALS
    joined = table.join(trials, trials.c.trial_id == table.c.trial_id)
    found = select(table.c.trial_id, trials.c.state, table.c.value_json).select_from(joined)
    mine = trials.c.study_id == study_id, table.c.key.startswith(PREFIX, autoescape=True)
    made = []
    for trial_id, state, value in connection.execute(found.where(*mine)):
        meta = _read(value)
        if meta:
            name, ours = meta.get("filename", ""), KEEPER in meta
            made.append(Attached(trial_id, meta["artifact_id"], name, state, ours))
    return made


def _read(value: str) -> Mapping[str, Any] | None:
    """An attribute's JSON holds the metadata as JSON; null where the dashboard deleted it."""
    found: Any = json.loads(value)
    with suppress(TypeError):
        found = json.loads(found)
    return found if isinstance(found, dict) and "artifact_id" in found else None


def best_ids(connection: Connection, among: Iterable[int], maximize: bool, count: int) -> set[int]:
    """The ids of the best complete ones of these trials; of equal ones the first."""
    values, trials = rows.VALUES, rows.TRIALS
    order = values.c.value.desc() if maximize else values.c.value.asc()
    found = (
        select(trials.c.trial_id)
        .join(values, values.c.trial_id == trials.c.trial_id)
        .where(sql.within(connection.dialect.name, trials.c.trial_id, "ids"))
        .where(trials.c.state == TrialState.COMPLETE, values.c.value.is_not(None))
        .order_by(order, trials.c.number)
        .limit(count)
    )
    bound = sql.numbers(connection.dialect.name, among)
    return set(connection.execute(found, {"ids": bound}).scalars())


def referenced(connection: Connection) -> Iterator[str]:
    """The artifacts of which some study or trial knows."""
    for table in (rows.SYSTEM_ATTRS, studies.SYSTEM_ATTRS):
        for value in connection.execute(select(table.c.value_json).where(_is_metadata(table))):
            meta = _read(value[0])
            if meta:
                yield meta["artifact_id"]


def _is_metadata(table: Table) -> Any:
    return or_(*(table.c.key.startswith(p, autoescape=True) for p in (PREFIX, OLD_PREFIX)))


def artifact_ids(connection: Connection, study_id: int) -> list[str]:
    """The artifacts of a study and its trials, checkpoints among them."""
    owned, mine = studies.SYSTEM_ATTRS, select(studies.SYSTEM_ATTRS.c.value_json)
    values = connection.execute(mine.where(owned.c.study_id == study_id, _is_metadata(owned)))
    metas = [_read(value) for (value,) in values]
    ids = [each.artifact_id for each in attached(connection, study_id)]
    ids += [meta["artifact_id"] for meta in metas if meta]
    return ids + list(checkpoint_ids(connection, study_id))


def forget_attached(connection: Connection, study_id: int) -> None:
    """Remove from the database the artifacts of a study and its trials."""
    for artifact_id in artifact_ids(connection, study_id):
        table = schema.artifacts
        connection.execute(table.delete().where(table.c.artifact_id == artifact_id))
