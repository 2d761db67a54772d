"""Metadata of artifacts, and checkpoints that are stored as files."""

from __future__ import annotations

import json
import mimetypes
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, Table, func, or_, select

from tuner.storage import rows, schema, sql, studies

# Checkpoints that are files, because they are too large for the database, which holds their names.


_MARK = b"tuner:artifact:"
_LONGEST = 100


def checkpoint_file(size: int) -> str:
    """A new name for a file that is a checkpoint of so many bytes."""
    return f"checkpoint-{uuid.uuid4()}-{size}"


def file_size(name: str) -> int:
    """The bytes that a name of ``checkpoint_file`` tells; 0 for an older one."""
    _, *parts, size = name.split("-")
    return int(size) if len(parts) == 5 and size.isdigit() else 0


def reference(artifact_id: str) -> bytes:
    """The bytes that the database holds in place of a checkpoint that is a file."""
    return _MARK + artifact_id.encode()


def parse_reference(checkpoint: bytes | None) -> str | None:
    """The artifact that a stored checkpoint names; None if it holds the bytes themselves."""
    if checkpoint is None or len(checkpoint) > _LONGEST or not checkpoint.startswith(_MARK):
        return None
    return checkpoint.removeprefix(_MARK).decode(errors="replace")


def checkpoint_sizes(connection: Connection, study_id: int) -> dict[int, int]:
    """The bytes of each checkpoint of a study, in the database or a file, by trial id."""
    saved, trials = schema.checkpoints, rows.TRIALS
    length = func.length(saved.c.data)
    joined = saved.join(trials, trials.c.trial_id == saved.c.trial_id)
    of_study = select(saved.c.trial_id, length).select_from(joined)
    sizes = {
        trial_id: int(size)
        for trial_id, size in connection.execute(of_study.where(trials.c.study_id == study_id))
    }
    small = select(saved.c.trial_id, saved.c.data).select_from(joined)
    small = small.where(trials.c.study_id == study_id, length <= _LONGEST)
    for trial_id, data in connection.execute(small):
        name = parse_reference(bytes(data))
        if name is not None:
            sizes[trial_id] = file_size(name)
    return sizes


def checkpoint_ids(connection: Connection, study_id: int | None = None) -> Iterator[str]:
    """The artifacts that hold checkpoints, of one study or of all."""
    saved, trials = schema.checkpoints, rows.TRIALS
    query = select(saved.c.data).where(func.length(saved.c.data) <= _LONGEST)
    if study_id is not None:
        joined = saved.join(trials, trials.c.trial_id == saved.c.trial_id)
        query = query.select_from(joined).where(trials.c.study_id == study_id)
    for data in connection.execute(query).scalars():
        name = parse_reference(bytes(data))
        if name is not None:
            yield name


# Metadata of the artifacts of studies and trials, as Optuna writes them.


PREFIX, OLD_PREFIX = "artifacts:", "dashboard:artifacts:"
"""Prefixes of attributes that hold metadata; optuna-dashboard once used the second in studies."""
KEEPER = "kept_by"
"""A key of the metadata that only workers write."""


@dataclass(frozen=True)
class TrialArtifact:
    """An artifact of a trial; `ours` says whether a worker attached it."""

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


def artifact_named(trial: FrozenTrial, filename: str) -> str | None:
    """The artifact that a worker attached to a trial under a name; None if there is none."""
    for key, value in trial.system_attrs.items():
        meta = _read(json.dumps(value)) if key.startswith(PREFIX) else None
        if meta and KEEPER in meta and meta.get("filename") == filename:
            return str(meta["artifact_id"])
    return None


def trial_artifacts(connection: Connection, study_id: int) -> list[TrialArtifact]:
    """The artifacts of a study's trials."""
    table, trials = rows.SYSTEM_ATTRS, rows.TRIALS
    joined = table.join(trials, trials.c.trial_id == table.c.trial_id)
    query = select(table.c.trial_id, trials.c.state, table.c.value_json).select_from(joined)
    mine = trials.c.study_id == study_id, table.c.key.startswith(PREFIX, autoescape=True)
    artifacts = []
    for trial_id, state, value in connection.execute(query.where(*mine)):
        meta = _read(value)
        if meta:
            name, ours = meta.get("filename", ""), KEEPER in meta
            artifacts.append(TrialArtifact(trial_id, meta["artifact_id"], name, state, ours))
    return artifacts


def _read(value: str) -> Mapping[str, Any] | None:
    """The metadata in an attribute, as JSON within JSON; null where the dashboard deleted it."""
    meta: Any = json.loads(value)
    with suppress(TypeError):
        meta = json.loads(meta)
    return meta if isinstance(meta, dict) and "artifact_id" in meta else None


def best_ids(connection: Connection, among: Iterable[int], maximize: bool, count: int) -> set[int]:
    """The ids of the best of these trials that are complete; of equal ones the first."""
    values, trials = rows.VALUES, rows.TRIALS
    order = values.c.value.desc() if maximize else values.c.value.asc()
    query = (
        select(trials.c.trial_id)
        .join(values, values.c.trial_id == trials.c.trial_id)
        .where(sql.within(connection.dialect.name, trials.c.trial_id, "ids"))
        .where(trials.c.state == TrialState.COMPLETE, values.c.value.is_not(None))
        .order_by(order, trials.c.number)
        .limit(count)
    )
    bound = sql.numbers(connection.dialect.name, among)
    return set(connection.execute(query, {"ids": bound}).scalars())


def attached_ids(connection: Connection) -> Iterator[str]:
    """The artifacts that are attached to any study or trial."""
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
    ids = [each.artifact_id for each in trial_artifacts(connection, study_id)]
    ids += [meta["artifact_id"] for meta in metas if meta]
    return ids + list(checkpoint_ids(connection, study_id))


def forget_attached(connection: Connection, study_id: int) -> None:
    """Remove from the database the artifacts of a study and its trials."""
    for artifact_id in artifact_ids(connection, study_id):
        table = schema.artifacts
        connection.execute(table.delete().where(table.c.artifact_id == artifact_id))
