"""Writes trials: new ones, and the updates of workers whose leases still hold."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import (
    Connection,
    Select,
    Table,
    bindparam,
    exists,
    insert,
    select,
)

from tuner.optuna_private import models
from tuner.storage import events, rows, schema, sql
from tuner.storage.database import Database
from tuner.storage.lease import Lease, Update
from tuner.storage.mirror import Mirrors
from tuner.storage.sql import Put, Shape, all_parts, from_clock

# The contents of trials as rows of Optuna's tables; writing them again changes nothing.


_to_value = models.TrialValueModel.value_to_stored_repr
_to_report = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr


def reports(steps: Iterable[tuple[int, int, float]]) -> Put:
    """Intermediate values as (trial id, step, value)."""
    values: list[dict[str, Any]] = []
    for trial_id, step, report in steps:
        value, kind = _to_report(float(report))
        values.append(
            {
                "trial_id": trial_id,
                "step": step,
                "intermediate_value": value,
                "intermediate_value_type": kind.name,
            }
        )
    return Put(rows.REPORTS, ("trial_id", "step"), values)


def trial_attrs(table: Table, attributes: Iterable[tuple[int, Mapping[str, Any]]]) -> Put:
    flat = [(trial_id, key, value) for trial_id, each in attributes for key, value in each.items()]
    return sql.attrs(table, flat, "trial_id")


def values(trials: Iterable[tuple[int, Sequence[float]]]) -> Put:
    """Objective values of trials."""
    stored: list[dict[str, Any]] = []
    for trial_id, objectives in trials:
        for objective, each in enumerate(objectives):
            value, kind = _to_value(float(each))
            row = {"trial_id": trial_id, "objective": objective, "value": value}
            stored.append(row | {"value_type": kind.name})
    return Put(rows.VALUES, ("trial_id", "objective"), stored)


def params(drawn: Iterable[tuple[int, str, float, BaseDistribution]]) -> Put:
    """Parameters as (trial id, name, internal value, distribution); a stored one stays."""
    stored: list[dict[str, Any]] = [
        {
            "trial_id": trial_id,
            "param_name": name,
            "param_value": value,
            "distribution_json": distribution_to_json(kind),
        }
        for trial_id, name, value, kind in drawn
    ]
    return Put(rows.PARAMS, ("trial_id", "param_name"), stored, replace=False)


def content(trial_id: int, trial: FrozenTrial) -> list[Put]:
    """A trial's parameters, attributes, intermediate values and values."""
    kinds, steps = trial.distributions, trial.intermediate_values
    drawn = [(trial_id, n, kinds[n].to_internal_repr(v), kinds[n]) for n, v in trial.params.items()]
    return [
        params(drawn),
        trial_attrs(rows.USER_ATTRS, [(trial_id, trial.user_attrs)]),
        trial_attrs(rows.SYSTEM_ATTRS, [(trial_id, trial.system_attrs)]),
        reports([(trial_id, step, value) for step, value in steps.items()]),
        values([] if trial.values is None else [(trial_id, trial.values)]),
    ]


# Inserting a trial; on PostgreSQL with its content in one statement, and so one round trip.


def insert_trial(
    connection: Connection,
    study_id: int,
    head: rows.Head,
    content: Callable[[int], Sequence[Put]],
) -> rows.Head:
    """Insert a trial with its content; the returned row has its id. Its study has to be locked."""
    if connection.dialect.name == "sqlite":
        trial_id = _insert_on_sqlite(connection, study_id, head, content)
    else:
        trial_id = _insert_on_postgres(connection, study_id, head, content(head.trial_id))
    return head._replace(trial_id=trial_id)


def _insert_on_sqlite(
    connection: Connection, study_id: int, head: rows.Head, content: Callable[[int], Sequence[Put]]
) -> int:
    row = {
        "study_id": study_id,
        "number": head.number,
        "state": head.state,
        "datetime_start": head.start,
        "datetime_complete": head.complete,
    }
    trial_id = int(connection.execute(_insert_row(), row).scalar_one())
    sql.put(connection, content(trial_id))
    return trial_id


@cache
def _insert_row() -> Any:
    return insert(rows.TRIALS).returning(rows.TRIALS.c.trial_id)


_NEW_TRIAL = """
    INSERT INTO trials (study_id, number, state, datetime_start, datetime_complete)
    VALUES (%(study_id)s, %(number)s, CAST(%(state)s AS trialstate),
            CAST(%(start)s AS timestamp), CAST(%(complete)s AS timestamp))
    RETURNING trial_id"""


def _insert_on_postgres(
    connection: Connection, study_id: int, head: rows.Head, content: Sequence[Put]
) -> int:
    """The statement replaces the trial id in `content` by the new one."""
    puts = [each for each in content if each.values]
    bound: dict[str, Any] = {
        "study_id": study_id,
        "number": head.number,
        "state": head.state.name,
        "start": head.start,
        "complete": head.complete,
    }
    statement = _insert_statement(sql.shapes(puts))
    made = connection.exec_driver_sql(statement, bound | sql.documents(puts))
    return int(made.scalar_one())


@cache
def _insert_statement(shapes: tuple[Shape, ...]) -> str:
    content = sql.insertions(shapes, "made.trial_id", "CROSS JOIN made")
    return sql.together({"made": _NEW_TRIAL, **content}, "SELECT trial_id FROM made")


# A trial's own row.


def start_trial(connection: Connection, head: rows.Head) -> bool:
    """Start a waiting trial with this row; False if it does not wait any more."""
    table = rows.TRIALS
    waiting = table.update().where(table.c.trial_id == head.trial_id)
    waiting = waiting.where(table.c.state == TrialState.WAITING)
    new = {"state": head.state, "datetime_start": head.start, "datetime_complete": head.complete}
    return connection.execute(waiting.values(new)).rowcount == 1


def set_state(
    connection: Connection, trial_id: int, state: TrialState, complete: datetime | None
) -> bool:
    """Set the state of an unfinished trial; False if there is no such trial."""
    table = rows.TRIALS
    values: dict[str, Any] = {"state": state, "datetime_complete": complete}
    result = connection.execute(table.update().where(table.c.trial_id == trial_id).values(values))
    return result.rowcount == 1


# Writes that only the holder of a lease may make.


class Writer:
    """Writes updates of workers, and shows them in memory, even before they are written."""

    def __init__(self, database: Database, mirrors: Mirrors) -> None:
        self._database, self._mirrors = database, mirrors

    def write(self, updates: Sequence[Update], *, durable: bool = True) -> list[Lease]:
        """Write all updates in one transaction, except those of lost leases, which it returns.

        There may be one update of each lease. An update may be written again. If it raises an
        error, nothing is written.

        Args:
            durable: wait for a server's disk; otherwise a crash of the server may lose the updates.
        """
        if not updates:
            return []
        latest: dict[int, Update] = {}
        for update in sorted(updates, key=lambda update: update.lease.token):
            latest[update.lease.trial_id] = update
        written = self._write_held(latest, durable)
        written_updates = {id(latest[trial_id]) for trial_id in written}
        lost = self._lost([update for update in updates if id(update) not in written_updates])
        gone = {(lease.trial_id, lease.token) for lease in lost}
        for update in updates:
            trial_id = update.lease.trial_id
            with self._mirrors.of(update.lease.study_id) as mirror:
                if (trial_id, update.lease.token) in gone:
                    mirror.forget(trial_id)
                else:
                    end, state = written.get(trial_id), latest[trial_id].state
                    mirror.confirm(update, (state, end) if end and state else None)
        return lost

    def _write_held(
        self, updates: Mapping[int, Update], durable: bool
    ) -> dict[int, datetime | None]:
        """The trials whose holders still have them, with the times (UTC) of those that ended."""
        if self._database.dialect == "sqlite":
            with self._database.write() as connection:
                return _write_on_sqlite(connection, updates)
        with self._database.read() as connection:
            return _write_on_postgres(connection, updates, durable)

    def _lost(self, refused: Sequence[Update]) -> list[Lease]:
        if not refused:
            return []
        with self._database.read() as connection:
            return [update.lease for update in refused if not _is_written(connection, update)]

    def anticipate(self, update: Update) -> None:
        """Show an update in memory before it is written, until `settle`."""
        with self._mirrors.of(update.lease.study_id) as mirror:
            mirror.anticipate(update)

    def settle(self, lease: Lease) -> None:
        """No update of this trial waits to be written any more."""
        with self._mirrors.of(lease.study_id) as mirror:
            mirror.pending.discard(lease.trial_id)


def _content(updates: Mapping[int, Update]) -> list[Put]:
    items = updates.items()
    return [
        reports((i, step, value) for i, u in items for step, value in u.reports.items()),
        trial_attrs(rows.USER_ATTRS, [(i, u.user_attrs) for i, u in items]),
        trial_attrs(rows.SYSTEM_ATTRS, [(i, u.system_attrs) for i, u in items]),
        params((i, name, *each) for i, u in items for name, each in u.params.items()),
        values(_values(updates)),
    ]


def _values(updates: Mapping[int, Update]) -> list[tuple[int, list[float]]]:
    return [
        (i, [u.value]) for i, u in updates.items() if u.state is not None and u.value is not None
    ]


def _is_written(connection: Connection, update: Update) -> bool:
    """Whether a refused update was written before: its trial ended with the same result."""
    if update.state is None:
        return False
    found = rows.read_head(connection, update.lease.trial_id)
    if found is None or found[1].state != update.state:
        return False
    trial = rows.read_trials(connection, [found[1]])[0].trial
    expected = None if update.value is None else [float(update.value)]
    return bool(trial.values == expected)


# The fenced write on SQLite, where a statement costs no round trip.


def _write_on_sqlite(
    connection: Connection, updates: Mapping[int, Update]
) -> dict[int, datetime | None]:
    leases = connection.execute(_fence(), {"ids": sql.numbers("sqlite", updates)}).all()
    held = {
        row.trial_id: updates[row.trial_id]
        for row in leases
        if (row.holder, row.token) == _holder(updates[row.trial_id])
    }
    if not held:
        return {}
    endings = events.put(leases[0].now, *events.ended(held))
    sql.put(connection, [*_content(held), endings])
    data = {i: u.checkpoint for i, u in held.items() if u.checkpoint and u.state is None}
    _save(connection, data)
    _attach(connection, held, leases[0].now)
    ended = {
        i: (u.state, from_clock(leases[0].now - u.age))
        for i, u in held.items()
        if u.state is not None
    }
    _end(connection, ended, {row.trial_id for row in leases if row.saved})
    return {i: ended[i][1] if i in ended else None for i in held}


def _holder(update: Update) -> tuple[str, int]:
    return update.lease.holder, update.lease.token


@cache
def _fence() -> Select[Any]:
    held, trials, saved = schema.leases, rows.TRIALS, schema.checkpoints
    has_data = exists().where(saved.c.trial_id == held.c.trial_id).label("saved")
    now = sql.now("sqlite").label("now")
    return (
        select(held.c.trial_id, held.c.holder, held.c.token, has_data, now)
        .join(trials, trials.c.trial_id == held.c.trial_id)
        .where(sql.among("sqlite", held.c.trial_id, "ids"))
        .where(trials.c.state == TrialState.RUNNING)
    )


def _save(connection: Connection, data: Mapping[int, bytes | None]) -> None:
    if data:
        statement = sql.upsert("sqlite", schema.checkpoints, ("trial_id",))
        connection.execute(statement, [{"trial_id": i, "data": each} for i, each in data.items()])


def _attach(connection: Connection, held: Mapping[int, Update], now: float) -> None:
    artifact_rows = [row for update in held.values() for row in all_parts(update.artifacts)]
    if artifact_rows:
        keys = ("artifact_id", "part")
        statement = sql.upsert("sqlite", schema.artifacts, keys, replace=False)
        connection.execute(statement, [{**row, "written": now} for row in artifact_rows])


def _end(
    connection: Connection, ended: Mapping[int, tuple[TrialState, datetime]], saved: set[int]
) -> None:
    if not ended:
        return
    values = [{"id": i, "new_state": state, "end": end} for i, (state, end) in ended.items()]
    connection.execute(_set_ended(), sql.bound_rows(values))
    _remove(connection, schema.leases, ended)
    _remove(connection, schema.checkpoints, ended.keys() & saved)


@cache
def _set_ended() -> Any:
    table = rows.TRIALS
    mine = table.c.trial_id == bindparam("id")
    return (
        table.update()
        .where(mine)
        .values(state=bindparam("new_state"), datetime_complete=bindparam("end"))
    )


def _remove(connection: Connection, table: Table, ids: Collection[int]) -> None:
    if ids:
        connection.execute(_delete(table), {"ids": sql.numbers("sqlite", ids)})


@cache
def _delete(table: Table) -> Any:
    return table.delete().where(sql.among("sqlite", table.c.trial_id, "ids"))


# The fenced write on PostgreSQL: one statement, and so one round trip.


# The lock waits for a worker that takes a trial over, and then compares with the new holder. All
# writers lock in the same order, so that two never wait for each other.
_HELD = """
    SELECT l.trial_id FROM tuner_leases l
    JOIN json_to_recordset(CAST(%(mine)s AS json)) AS m (trial_id int, holder text, token int)
    ON l.trial_id = m.trial_id AND l.holder = m.holder AND l.token = m.token
    WHERE l.trial_id = ANY(CAST(%(ids)s AS int[]))
    AND (SELECT t.state FROM trials t WHERE t.trial_id = l.trial_id) = 'RUNNING'
    ORDER BY l.trial_id FOR UPDATE OF l"""
_IF_HELD = "trial_id IN (SELECT trial_id FROM held)"
_CHECKPOINTS = f"""
    INSERT INTO tuner_checkpoints (trial_id, data)
    SELECT * FROM unnest(CAST(%(saved)s AS int[]), CAST(%(data)s AS bytea[])) AS r (trial_id, data)
    WHERE r.{_IF_HELD} ON CONFLICT (trial_id) DO UPDATE SET data = excluded.data"""
_ARTIFACTS = f"""
    INSERT INTO tuner_artifacts (artifact_id, part, data, written)
    SELECT r.artifact_id, r.part, r.data, extract(epoch FROM clock_timestamp())
    FROM unnest(CAST(%(artifact)s AS text[]), CAST(%(part)s AS int[]), CAST(%(piece)s AS bytea[]),
                CAST(%(owner)s AS int[])) AS r (artifact_id, part, data, trial_id)
    WHERE r.{_IF_HELD} ON CONFLICT (artifact_id, part) DO NOTHING"""
# The condition on the ids follows from the others, but makes the planner expect few rows.
_ENDED = f"""
    UPDATE trials t SET state = CAST(e.state AS trialstate), datetime_complete =
        clock_timestamp() AT TIME ZONE 'UTC' - e.age * interval '1 second'
    FROM json_to_recordset(CAST(%(ended)s AS json)) AS e (trial_id int, state text, age float)
    WHERE t.trial_id = e.trial_id AND t.trial_id = ANY(CAST(%(ids)s AS int[]))
    AND t.state = 'RUNNING' AND t.{_IF_HELD}
    RETURNING t.trial_id, t.datetime_complete"""
_EVENTS = """
    INSERT INTO tuner_events (time, study_id, trial_id, worker, kind, detail)
    SELECT extract(epoch FROM clock_timestamp()), r.study_id, r.trial_id, r.worker, r.kind, r.detail
    FROM json_populate_recordset(CAST(NULL AS tuner_events), CAST(%(told)s AS json)) AS r
    JOIN ended USING (trial_id)"""
_REMOVALS = {
    name: f"DELETE FROM {table} WHERE trial_id IN (SELECT trial_id FROM ended)"
    for name, table in (("unleased", "tuner_leases"), ("unsaved", "tuner_checkpoints"))
}


def _write_on_postgres(
    connection: Connection, updates: Mapping[int, Update], durable: bool
) -> dict[int, datetime | None]:
    puts = [each for each in _content(updates) if each.values]
    bound = _bound(updates) | sql.documents(puts)
    kinds = tuple(name for name in ("ended", "saved", "artifact") if name in bound)
    statement = _write_statement(sql.shapes(puts), kinds, durable)
    return {row[0]: row[1] for row in connection.exec_driver_sql(statement, bound)}


def _bound(updates: Mapping[int, Update]) -> dict[str, Any]:
    leases = [update.lease for update in updates.values()]
    mine = [{"trial_id": i.trial_id, "holder": i.holder, "token": i.token} for i in leases]
    ended = [
        {"trial_id": i, "state": u.state.name, "age": u.age}
        for i, u in updates.items()
        if u.state is not None
    ]
    saved = {i: u.checkpoint for i, u in updates.items() if u.checkpoint and u.state is None}
    bound: dict[str, Any] = {"mine": json.dumps(mine), "ids": f"{{{','.join(map(str, updates))}}}"}
    if ended:
        bound |= {"ended": json.dumps(ended), "told": json.dumps(events.ended(updates))}
    if saved:
        bound |= {"saved": list(saved), "data": list(saved.values())}
    return bound | _artifacts(updates)


def _artifacts(updates: Mapping[int, Update]) -> dict[str, Any]:
    rows_with_owner = [(row, i) for i, u in updates.items() for row in all_parts(u.artifacts)]
    if not rows_with_owner:
        return {}
    return {
        "artifact": [row["artifact_id"] for row, _ in rows_with_owner],
        "part": [row["part"] for row, _ in rows_with_owner],
        "piece": [row["data"] for row, _ in rows_with_owner],
        "owner": [owner for _, owner in rows_with_owner],
    }


@cache
def _write_statement(shapes: tuple[Shape, ...], kinds: tuple[str, ...], durable: bool) -> str:
    statements = {"held": _HELD, **sql.insertions(shapes, given=f"WHERE r.{_IF_HELD}")}
    if "artifact" in kinds:
        statements["attached"] = _ARTIFACTS
    if "saved" in kinds:
        statements["saved"] = _CHECKPOINTS
    answer = "SELECT trial_id, NULL"
    if "ended" in kinds:
        statements |= {"ended": _ENDED, "told": _EVENTS, **_REMOVALS}
        answer = "SELECT trial_id, datetime_complete"
    if not durable:
        answer += ", set_config('synchronous_commit', 'off', true)"
    answer += " FROM held" + (" LEFT JOIN ended USING (trial_id)" if "ended" in kinds else "")
    return sql.together(statements, answer)
