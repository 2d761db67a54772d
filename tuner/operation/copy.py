"""Copies studies from one database to another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from optuna.artifacts.exceptions import ArtifactNotFound
from sqlalchemy import Connection, Enum, String, Table, func, insert, select, type_coerce

from tuner.errors import MissingError, UsageError, nearest
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

# All that a database holds of one study, read at one moment, and written into another.


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


def read_content(connection: Connection, study_id: int, name: str) -> Content:
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
            sql.put(connection, [Put(table, (), chunk, replace=False)])
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


# Where the artifacts of two databases lie: each has a place of its own.


@dataclass(frozen=True)
class Places:
    """Where artifacts come from, the first that has one, and where they go to."""

    sources: tuple[Artifacts, ...]
    target: Artifacts

    def carry(self, artifact_ids: Iterable[str]) -> None:
        """Copy artifacts; one that is gone at its source stays gone."""
        for artifact_id in artifact_ids:
            for source in self.sources:
                with suppress(ArtifactNotFound), source.open_reader(artifact_id) as file:
                    self.target.write(artifact_id, file)
                    break


def places(source: Storage, target: Storage, artifacts: str | None) -> Places:
    """The places of two databases.

    Args:
        artifacts: the target's; the source's is what TUNER_ARTIFACTS says, else the source itself.

    Raises:
        UsageError: they would share one: what one deletes would be gone from the other.
    """
    kept, own = artifact_store(source), DatabaseArtifacts(source.database)
    if kept.root is None and artifacts is None:
        return Places((own,), DatabaseArtifacts(target.database))
    if artifacts is None:
        what = (
            f"{ARTIFACTS_VARIABLE} is the place of the source's artifacts, for that database alone"
        )
        hint = "give the target its own with --to-artifacts URL, and use that from then on"
        raise UsageError(what, hint=hint)
    put = artifact_store(target, artifacts)
    if kept.root and put.root and _overlap(kept.root, put.root):
        what = "is the place of the source's artifacts, for that database alone"
        raise UsageError(what, where=f"--to-artifacts {artifacts}", hint="give another folder")
    return Places((kept, own), put)


def _overlap(first: str, second: str) -> bool:
    return f"{first}/".startswith(f"{second}/") or f"{second}/".startswith(f"{first}/")


# Whether workers are at a study.


def live(connection: Connection, study_id: int) -> int:
    """How many trials of a study a worker is at."""
    found = select(func.count()).select_from(status.leased())
    mine = schema.leases.c.study_id == study_id, status.is_held(connection.dialect.name)
    return int(connection.execute(found.where(*mine)).scalar_one())


# Studies from one database to another: ``tuner copy``.


COPIED, THERE, WENT_ON = "copied", "are there already", "went on there"


class Copied(NamedTuple):
    """A study at its new place.

    Attributes:
        outcome: COPIED; THERE: it was; or WENT_ON: it was copied earlier, and has more by now.
        paused: it was, and so is at its new place.
    """

    study: str
    trials: int
    outcome: str
    paused: bool


def family(storage: Storage, name: str | None) -> dict[str, int]:
    """Ids of a study and of those that `confirm` and `ablate` made for it; all without a name.

    Those have an attribute that says whose they are; their names say nothing.

    Raises:
        UsageError: there is no such study.
    """
    known = {study.study_name: study._study_id for study in storage.get_all_studies()}
    if name is None:
        return known
    if name not in known:
        hint = nearest(name, known) if known else "the database holds no study"
        raise UsageError(f"no study in this database is called {name!r}", hint=hint)
    replicas = storage.having(REPLICATES)
    found, left = {}, [name]
    while left:
        each = left.pop()
        found[each] = known[each]
        left += [n for n, (_, of) in replicas.items() if of == each and n in known.keys() - found]
    return found


def copy(
    source: Storage, target: Storage, name: str | None = None, artifacts: str | None = None
) -> Iterator[Copied]:
    """Copy a study with its replicas, or all studies, one after the other; each arrives whole.

    What a worker left unfinished goes on at the target from its last checkpoint.

    Args:
        artifacts: where the target's are to lie, as for `artifact_store`; none is the target.

    Raises:
        UsageError: there is no such study, or no place for the artifacts; at the end, if a study
            was not copied because a worker is at it, or the target has another one of its name.
    """
    return _copies(source, target, family(source, name), places(source, target, artifacts))


def _copies(
    source: Storage, target: Storage, found: Mapping[str, int], between: Places
) -> Iterator[Copied]:
    left: list[UsageError] = []
    for name, study_id in found.items():
        try:
            done = _copy(source, target, name, study_id, between)
        except _LeftError as error:
            left.append(error)
        except MissingError:  # deleted since the copying began
            continue
        else:
            yield done
    if len(left) == 1:
        raise left[0]
    if left:
        what = "; ".join(f"{error.where}: {error.what}" for error in left)
        hint = "the others were copied; --study NAME copies a single study"
        raise UsageError(f"{len(left)} studies were not copied: {what}", hint=hint)


class _LeftError(UsageError):
    """A study is not copied; others are."""


def _copy(source: Storage, target: Storage, name: str, study_id: int, between: Places) -> Copied:
    there = _there(target, name, source.url)
    with source.database.moment() as connection:
        running = live(connection, study_id)
        if running:
            hint = f"tuner pause --study {name}, then wait for its workers or stop them"
            raise _LeftError(f"workers are training {running} of its trials", where=name, hint=hint)
        paused = claims.read_terms(connection, study_id).state == PAUSED
        if there is not None:
            here = results(connection, study_id)
            count = len(here.finished) + len(here.unfinished)
            return Copied(name, count, there.compared(here, name, target), paused)
        content = read_content(connection, study_id, name)
    between.carry(content.artifacts)
    _write(content, target, source.url)
    return Copied(name, len(content.trials), COPIED, paused)


class _There(NamedTuple):
    """A study of this name at the target; whether it came from the source."""

    results: Results
    came: bool

    def compared(self, here: Results, name: str, target: Storage) -> str:
        """THERE or WENT_ON; _LeftError if it is another study."""
        if self.results == here:
            return THERE
        if self.came and here.within(self.results):
            return WENT_ON
        raise _mixed(name, target)


def _there(target: Storage, name: str, origin: str) -> _There | None:
    with target.database.read() as connection:
        study_id = studies.find(connection, name)
        if study_id is None:
            return None
        return _There(results(connection, study_id), event_origin(connection, study_id) == origin)


def _mixed(name: str, target: Storage) -> _LeftError:
    what = f"{target.url} has a study of this name that is another, or has other trials"
    return _LeftError(what, where=name, hint="studies are never merged; delete one of them")


def _write(content: Content, target: Storage, origin: str) -> None:
    with target.database.write() as connection:
        schema.lock_names(connection, target.database.dialect)
        if studies.find(connection, content.name) is not None:  # somebody made it just now
            raise _mixed(content.name, target)
        write(connection, content, origin)
