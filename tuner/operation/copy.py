"""Copies studies from one database to another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from optuna.artifacts.exceptions import ArtifactNotFound
from sqlalchemy import Connection, Enum, String, Table, func, insert, select, type_coerce

from tuner.errors import MissingError, UsageError
from tuner.run.prepare import stored_id, stored_ids
from tuner.storage import (
    Storage,
    artifact_store,
    claims,
    events,
    rows,
    schema,
    sql,
    status,
    studies,
)
from tuner.storage.artifacts import ARTIFACTS_VARIABLE, Artifacts, DatabaseArtifacts
from tuner.storage.attached import artifact_ids
from tuner.storage.history import event_origin
from tuner.storage.lease import PAUSED
from tuner.storage.sql import Put
from tuner.storage.studies import REPLICATES

# Everything that a database holds of one study, read at one moment and written into another.


Records = list[dict[str, Any]]
RESULT_TABLES = (rows.PARAMS, rows.VALUES, rows.REPORTS)
TRIAL_TABLES = (*RESULT_TABLES, rows.USER_ATTRS, rows.SYSTEM_ATTRS)
STUDY_TABLES = (studies.DIRECTIONS, studies.USER_ATTRS, studies.SYSTEM_ATTRS, schema.studies)
CHUNK = 20_000
"""Rows that one statement inserts."""


@dataclass(frozen=True)
class Content:
    """A study's rows by table, with the ids of the source database.

    Attributes:
        of_study: rows of STUDY_TABLES.
        trials: by number.
        children: rows of TRIAL_TABLES.
        artifacts: their identifiers.
    """

    name: str
    of_study: Mapping[Table, Records]
    trials: Records
    children: Mapping[Table, Records]
    leases: Records
    checkpoints: Records
    events: Records
    artifacts: list[str]


@dataclass(frozen=True)
class Results:
    """What identifies a study and its trials in any database.

    Attributes:
        identity: its directions, and the fingerprint of its study file.
        finished, unfinished: the content of its trials, by number.
    """

    identity: tuple[Any, ...]
    finished: Mapping[int, Any]
    unfinished: Mapping[int, Any]

    def within(self, later: Results) -> bool:
        """Whether a later state of the study has all of this; unfinished trials may differ."""
        known = later.finished.items()
        return self.identity == later.identity and all(
            each in known for each in self.finished.items()
        )


def _without_id(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(value for name, value in row.items() if name != "trial_id")


def read_content(connection: Connection, study_id: int, name: str) -> Content:
    """All rows of a study."""
    trials, leases = rows.TRIALS, schema.leases
    checkpoints, history = schema.checkpoints, schema.events
    mine = select(trials.c.trial_id).where(trials.c.study_id == study_id)
    return Content(
        name=name,
        of_study={
            t: _rows(connection, t, t.c.study_id == study_id, "study_id") for t in STUDY_TABLES
        },
        trials=sorted(
            _rows(connection, trials, trials.c.study_id == study_id, "study_id"),
            key=lambda row: int(row["number"]),
        ),
        children={t: _children(connection, t, t.c.trial_id.in_(mine)) for t in TRIAL_TABLES},
        leases=_rows(connection, leases, leases.c.study_id == study_id, "study_id"),
        checkpoints=_rows(connection, checkpoints, checkpoints.c.trial_id.in_(mine)),
        events=_rows(connection, history, history.c.study_id == study_id, "study_id", "event_id"),
        artifacts=artifact_ids(connection, study_id),
    )


def results(connection: Connection, study_id: int) -> Results:
    """The parts of a study that are compared with a copy of it."""
    trials = rows.TRIALS
    mine = select(trials.c.trial_id).where(trials.c.study_id == study_id)
    trial_rows = _rows(connection, trials, trials.c.study_id == study_id, "study_id")
    contents: dict[int, list[Any]] = {row["trial_id"]: [] for row in trial_rows}
    for table in RESULT_TABLES:
        for row in _children(connection, table, table.c.trial_id.in_(mine)):
            contents.setdefault(row["trial_id"], []).append((table.name, *_without_id(row)))
    of_state: dict[bool, dict[int, Any]] = {True: {}, False: {}}
    for row in trial_rows:
        content = _without_id(row), sorted(contents[row["trial_id"]], key=repr)
        of_state[row["state"].is_finished()][row["number"]] = content
    attrs = studies.attrs(connection, studies.USER_ATTRS, study_id)
    identity = (*studies.directions(connection, study_id), attrs.get(studies.FINGERPRINT))
    return Results(identity, of_state[True], of_state[False])


def _rows(connection: Connection, table: Table, mine: Any, *without: str) -> Records:
    columns = [column for column in table.c if column.name not in without]
    order = table.primary_key.columns
    result = connection.execute(select(*columns).where(mine).order_by(*order))
    return [dict(row) for row in result.mappings()]


def _children(connection: Connection, table: Table, mine: Any) -> Records:
    """Rows without their own ids; values of enums as text."""
    identity = table.primary_key.columns[0]
    columns = [
        type_coerce(column, String).label(column.name) if isinstance(column.type, Enum) else column
        for column in table.c
        if column is not identity
    ]
    result = connection.execute(select(*columns).where(mine).order_by(identity))
    return [dict(row) for row in result.mappings()]


def write(connection: Connection, content: Content, origin: str) -> int:
    """Write a study that is not there yet and release its leases; returns its id."""
    statement = insert(studies.STUDIES).returning(studies.STUDIES.c.study_id)
    study_id = int(connection.execute(statement, {"study_name": content.name}).scalar_one())
    for table, records in content.of_study.items():
        _insert(connection, table, _owned(records, study_id, table.primary_key.columns.keys()))
    ids = _trials(connection, content.trials, study_id)
    for table, records in content.children.items():
        for chunk in _chunks([{**row, "trial_id": ids[row["trial_id"]]} for row in records]):
            sql.put(connection, [Put(table, (), chunk, replace=False)])
    _insert(connection, schema.leases, [_released(row, ids, study_id) for row in content.leases])
    checkpoints = [{**row, "trial_id": ids[row["trial_id"]]} for row in content.checkpoints]
    _insert(connection, schema.checkpoints, checkpoints)
    history = [{**row, "trial_id": ids.get(row["trial_id"])} for row in content.events]
    _insert(connection, schema.events, _owned(history, study_id, ()))
    events.add(connection, events.row(events.COPIED, study_id, origin=origin))
    return study_id


def _released(lease: Mapping[str, Any], ids: Mapping[int, int], study_id: int) -> dict[str, Any]:
    """A lease that no worker holds; a paused trial stays paused."""
    expires = schema.NEVER if lease["expires"] >= schema.NEVER else 0.0
    free = {"holder": "", "expires": expires, "study_id": study_id}
    return {**lease, **free, "trial_id": ids[lease["trial_id"]]}


def _owned(records: Records, study_id: int, without: Iterable[str]) -> Records:
    return [
        {**{k: v for k, v in row.items() if k not in without}, "study_id": study_id}
        for row in records
    ]


def _trials(connection: Connection, records: Records, study_id: int) -> dict[int, int]:
    """Insert trials in their order; returns their new ids by the old ones."""
    table = rows.TRIALS
    if not records:
        return {}
    new = _owned(records, study_id, ("trial_id",))
    statement = insert(table).returning(table.c.trial_id, sort_by_parameter_order=True)
    ids = connection.execute(statement, new).scalars()
    return dict(zip((row["trial_id"] for row in records), ids, strict=True))


def _insert(connection: Connection, table: Table, records: Records) -> None:
    for chunk in _chunks(records):
        connection.execute(insert(table), chunk)


def _chunks(records: Records) -> Iterable[Records]:
    return (records[i : i + CHUNK] for i in range(0, len(records), CHUNK))


# The artifacts of two databases: each has a store of its own.


@dataclass(frozen=True)
class ArtifactStores:
    """The stores that artifacts are read from, first match first, and the one they go to."""

    sources: tuple[Artifacts, ...]
    target: Artifacts

    def carry(self, artifact_ids: Iterable[str]) -> None:
        """Copy artifacts; one that no source has is skipped."""
        for artifact_id in artifact_ids:
            for source in self.sources:
                with suppress(ArtifactNotFound), source.open_reader(artifact_id) as file:
                    self.target.write(artifact_id, file)
                    break


def stores_between(source: Storage, target: Storage, artifacts: str | None) -> ArtifactStores:
    """The artifact stores of two databases.

    Args:
        artifacts: the target's; the source's is TUNER_ARTIFACTS, else the source itself.

    Raises:
        UsageError: both would use the same store, where one deletes the other's artifacts.
    """
    source_store, own = artifact_store(source), DatabaseArtifacts(source.database)
    if source_store.root is None and artifacts is None:
        return ArtifactStores((own,), DatabaseArtifacts(target.database))
    if artifacts is None:
        message = (
            f"{ARTIFACTS_VARIABLE} is the place of the source's artifacts, for that database alone"
        )
        hint = "give the target its own with --to-artifacts URL, and use that from then on"
        raise UsageError(message, hint=hint)
    target_store = artifact_store(target, artifacts)
    if source_store.root and target_store.root and _overlap(source_store.root, target_store.root):
        message = "is the place of the source's artifacts, for that database alone"
        raise UsageError(message, where=f"--to-artifacts {artifacts}", hint="give another folder")
    return ArtifactStores((source_store, own), target_store)


def _overlap(first: str, second: str) -> bool:
    return f"{first}/".startswith(f"{second}/") or f"{second}/".startswith(f"{first}/")


def running_trials(connection: Connection, study_id: int) -> int:
    """How many trials of a study workers are training."""
    count = select(func.count()).select_from(status.leased())
    mine = schema.leases.c.study_id == study_id, status.is_held(connection.dialect.name)
    return int(connection.execute(count.where(*mine)).scalar_one())


# Studies from one database to another: ``tuner copy``.


COPIED, PRESENT, CONTINUED = "copied", "are there already", "went on there"


class Copied(NamedTuple):
    """A study at its new place.

    Attributes:
        outcome: COPIED; PRESENT: the same study was there; or CONTINUED: it was copied earlier and
            has more results there by now.
        paused: the source is paused, and so is the copy.
    """

    study: str
    trials: int
    outcome: str
    paused: bool


def with_replicas(storage: Storage, name: str | None) -> dict[str, int]:
    """Ids of a study and of those that `confirm` and `ablate` made for it; without a name, of all.

    An attribute of those, not their name, says which study they belong to.

    Raises:
        UsageError: there is no such study.
    """
    known = stored_ids(storage)
    if name is None:
        return known
    replicas = storage.having(REPLICATES)
    ids, remaining = {}, [stored_id(storage, name)[0]]
    while remaining:
        each = remaining.pop()
        ids[each] = known[each]
        remaining += [
            n for n, (_, of) in replicas.items() if of == each and n in known.keys() - ids
        ]
    return ids


def copy(
    source: Storage, target: Storage, name: str | None = None, artifacts: str | None = None
) -> Iterator[Copied]:
    """Copy a study with its replicas, or all studies, one after the other; each arrives whole.

    Unfinished trials can continue at the target from their last checkpoint.

    Args:
        artifacts: the target's artifact store, as for `artifact_store`; None is the target itself.

    Raises:
        UsageError: there is no such study, or no store for the artifacts; at the end, if a study
            was not copied because workers train it, or the target has another one of its name.
    """
    return _copies(
        source, target, with_replicas(source, name), stores_between(source, target, artifacts)
    )


def _copies(
    source: Storage, target: Storage, ids: Mapping[str, int], stores: ArtifactStores
) -> Iterator[Copied]:
    skipped: list[UsageError] = []
    for name, study_id in ids.items():
        try:
            done = _copy(source, target, name, study_id, stores)
        except _SkippedError as error:
            skipped.append(error)
        except MissingError:  # deleted since the copying began
            continue
        else:
            yield done
    if len(skipped) == 1:
        raise skipped[0]
    if skipped:
        message = "; ".join(f"{error.where}: {error.message}" for error in skipped)
        hint = "the others were copied; --study NAME copies a single study"
        raise UsageError(f"{len(skipped)} studies were not copied: {message}", hint=hint)


class _SkippedError(UsageError):
    """This study is not copied; the others are."""


def _copy(
    source: Storage, target: Storage, name: str, study_id: int, stores: ArtifactStores
) -> Copied:
    existing = _existing(target, name, source.url)
    with source.database.moment() as connection:
        running = running_trials(connection, study_id)
        if running:
            hint = f"tuner pause --study {name}, then wait for its workers or stop them"
            raise _SkippedError(
                f"workers are training {running} of its trials", where=name, hint=hint
            )
        paused = claims.read_terms(connection, study_id).state == PAUSED
        if existing is not None:
            here = results(connection, study_id)
            count = len(here.finished) + len(here.unfinished)
            return Copied(name, count, existing.outcome(here, name, target), paused)
        content = read_content(connection, study_id, name)
    stores.carry(content.artifacts)
    _write(content, target, source.url)
    return Copied(name, len(content.trials), COPIED, paused)


class _Existing(NamedTuple):
    """A study of this name at the target, and whether it was copied from the source."""

    results: Results
    from_source: bool

    def outcome(self, here: Results, name: str, target: Storage) -> str:
        """PRESENT or CONTINUED; _SkippedError if it is another study."""
        if self.results == here:
            return PRESENT
        if self.from_source and here.within(self.results):
            return CONTINUED
        raise _conflict(name, target)


def _existing(target: Storage, name: str, origin: str) -> _Existing | None:
    with target.database.read() as connection:
        study_id = studies.find(connection, name)
        if study_id is None:
            return None
        return _Existing(
            results(connection, study_id), event_origin(connection, study_id) == origin
        )


def _conflict(name: str, target: Storage) -> _SkippedError:
    message = f"{target.url} has a study of this name that is another, or has other trials"
    return _SkippedError(message, where=name, hint="studies are never merged; delete one of them")


def _write(content: Content, target: Storage, origin: str) -> None:
    with target.database.write() as connection:
        schema.lock_names(connection, target.database.dialect)
        if studies.find(connection, content.name) is not None:  # created meanwhile
            raise _conflict(content.name, target)
        write(connection, content, origin)
