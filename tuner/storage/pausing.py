"""Trials that pause: which they are, what a study has trained, and how paused trials end.

A paused trial is RUNNING for Optuna. Its lease has no holder and does not run out; its checkpoint
stays. When the budget is met it ends as PRUNED, and its checkpoint still stays, so that a larger
budget goes on from there, as a trial of a new number.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from functools import cache
from itertools import accumulate
from typing import Any

from optuna.trial import TrialState
from sqlalchemy import ColumnElement, Connection, Select, Table, bindparam, func, select

from tuner.search.promote import last_epoch
from tuner.storage import events, rows, schema, sql, writes
from tuner.storage.attached import checkpoint_sizes
from tuner.storage.mirror import Mirror
from tuner.storage.rows import Head
from tuner.storage.sql import from_clock
from tuner.study.trials import trained

KEPT, BYTES = 200, 2**30
"""The most trials of a study that ended paused and keep their checkpoints, and the most bytes of
these."""


def is_paused() -> ColumnElement[bool]:
    """Whether a lease is that of a paused trial."""
    paused: ColumnElement[bool] = schema.leases.c.expires >= schema.NEVER
    return paused


@cache
def _paused() -> Select[Any]:
    held, trials = schema.leases, rows.TRIALS
    joined = select(held.c.trial_id).join(trials, trials.c.trial_id == held.c.trial_id)
    mine = held.c.study_id == bindparam("study_id")
    return joined.where(mine, is_paused(), trials.c.state == TrialState.RUNNING)


@cache
def _ended() -> Select[Any]:
    saved, trials = schema.checkpoints, rows.TRIALS
    joined = select(saved.c.trial_id).join(trials, trials.c.trial_id == saved.c.trial_id)
    mine = trials.c.study_id == bindparam("study_id")
    return joined.where(mine, trials.c.state == TrialState.PRUNED)


def count(connection: Connection, study_id: int) -> int:
    """The number of paused trials of a study."""
    return len(connection.execute(_paused(), {"study_id": study_id}).all())


def paused(connection: Connection, mirror: Mirror) -> dict[int, Head]:
    """The paused trials of a study, by number."""
    return _heads(connection, mirror, _paused())


def ended(connection: Connection, mirror: Mirror) -> dict[int, Head]:
    """The trials of a study that ended paused and have a checkpoint, by number."""
    return _heads(connection, mirror, _ended())


def _heads(connection: Connection, mirror: Mirror, query: Select[Any]) -> dict[int, Head]:
    ids = connection.execute(query, {"study_id": mirror.study_id}).scalars()
    heads = (mirror.heads[trial_id] for trial_id in sorted(ids) if trial_id in mirror.heads)
    return {head.number: head for head in heads}


@cache
def _lease() -> Select[Any]:
    held = schema.leases
    query = select(held.c.token).where(held.c.trial_id == bindparam("trial_id"), is_paused())
    return query.with_for_update()


def paused_token(connection: Connection, trial_id: int) -> int | None:
    """The token of a paused trial's lease, which is locked; None if it is not paused any more."""
    return connection.execute(_lease(), {"trial_id": trial_id}).scalar()


# The epochs that a study has trained.


def targets(connection: Connection, study_id: int) -> dict[int, int | None]:
    """The epochs to which the holders of trials train them, by trial id."""
    held = schema.leases
    query = select(held.c.trial_id, held.c.target).where(held.c.study_id == study_id, ~is_paused())
    return {row[0]: row[1] for row in connection.execute(query)}


def spent(mirror: Mirror, targets: Mapping[int, int | None]) -> int:
    """The epochs that a study's trials trained, and those that their holders may still train."""
    by_number = {trial.number: trial for trial in mirror.trials.values()}
    return sum(
        trained(trial, by_number, targets.get(trial_id))
        for trial_id, trial in mirror.trials.items()
    )


# The end of paused trials.


def retire(connection: Connection, mirror: Mirror, now: float) -> int:
    """Ends the paused trials of a study as pruned, each with its last value; their number.

    The study has to be locked, and no trial of it in a worker's hands.
    """
    heads = paused(connection, mirror)
    trials = {head.trial_id: mirror.trials[head.trial_id] for head in heads.values()}
    if not trials:
        return 0
    last = {i: trial.intermediate_values.get(last_epoch(trial)) for i, trial in trials.items()}
    finite = {i: value for i, value in last.items() if value is not None and math.isfinite(value)}
    endings = [events.pruned(mirror.study_id, i, finite.get(i)) for i in trials]
    sql.put(
        connection,
        [
            writes.trial_attrs(rows.USER_ATTRS, [(i, {"ended": "pruned"}) for i in trials]),
            writes.values([(i, [value]) for i, value in finite.items()]),
            events.put(now, *endings),
        ],
    )
    for trial_id in trials:
        writes.set_state(connection, trial_id, TrialState.PRUNED, from_clock(now))
    _delete(connection, schema.leases, trials)
    _bound_checkpoints(connection, mirror)
    return len(trials)


def _bound_checkpoints(connection: Connection, mirror: Mirror) -> None:
    """Removes checkpoints beyond KEPT and BYTES, first those of the trials that paused earliest,
    and of these the oldest."""
    ids = {head.trial_id for head in ended(connection, mirror).values()}
    ordered = sorted(ids, key=lambda each: (last_epoch(mirror.trials[each]), each), reverse=True)
    sizes = checkpoint_sizes(connection, mirror.study_id)
    totals = accumulate(sizes.get(each, 0) for each in ordered)
    within = sum(total <= BYTES for total in totals)
    _delete(connection, schema.checkpoints, ordered[min(KEPT, within) :])


def _delete(connection: Connection, table: Table, ids: Collection[int]) -> None:
    dialect = connection.dialect.name
    statement = table.delete().where(sql.within(dialect, table.c.trial_id, "ids"))
    connection.execute(statement, {"ids": sql.numbers(dialect, ids)})


def close_budget(connection: Connection, study_id: int) -> None:
    """Sets the budget of a study whose epochs are spent to the trials that they were enough for."""
    trials, ours = rows.TRIALS, schema.studies
    over = trials.c.state.in_((TrialState.COMPLETE, TrialState.PRUNED))
    count = select(func.count()).select_from(trials).where(trials.c.study_id == study_id, over)
    statement = ours.update().where(ours.c.study_id == study_id)
    connection.execute(statement.values(budget=count.scalar_subquery()))
