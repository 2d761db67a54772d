"""Hands out trials: those with an expired lease, then enqueued ones, then new ones."""

from __future__ import annotations

from copy import copy
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, Select, bindparam, func, select

from tuner.storage import events, rows, schema, sql, studies, writes
from tuner.storage.lease import OPEN, Lease
from tuner.storage.mirror import Mirror
from tuner.storage.rows import read_changed
from tuner.storage.sql import Put, from_clock, to_local

RESUME, WAITING, NEW = "resume", "waiting", "new"


class Plan(NamedTuple):
    """What a claim would hand out; `head` is the trial's row, or a new row's number.

    `token` and `holder` are those of the lease that is to be taken over; whoever gave it back
    is not its holder any more.
    """

    kind: str
    head: rows.Head
    now: float
    token: int = 0
    holder: str = ""


@cache
def _lease(dialect: str) -> Select[Any]:
    held = schema.leases
    found = select(held.c.token, held.c.holder).where(held.c.trial_id == bindparam("trial_id"))
    # Looked at again now that the study is locked: another worker may just have taken it. And a
    # lease that somebody is writing with at this moment is not one that ran out.
    return found.where(held.c.expires <= sql.now(dialect)).with_for_update(skip_locked=True)


def plan(connection: Connection, study_id: int, mirror: Mirror, lock: bool) -> Plan | None:
    """What there is to hand out; with `lock` it stays so until the transaction ends."""
    agreed = studies.read_terms(connection, study_id, lock)
    mirror.budget = agreed.budget if agreed.state == OPEN else 0
    if agreed.state != OPEN:
        return None
    see(connection, study_id, mirror)
    if agreed.expired is not None:
        if not lock:
            return Plan(RESUME, mirror.heads[agreed.expired], agreed.now)
        lease = connection.execute(
            _lease(connection.dialect.name), {"trial_id": agreed.expired}
        ).one_or_none()
        if lease is not None:
            return Plan(RESUME, mirror.heads[agreed.expired], agreed.now, *lease)
    found = unstarted(mirror, agreed.budget, agreed.now)
    if found is None and mirror.counts[TrialState.RUNNING]:
        return unstarted(mirror, agreed.budget, agreed.now, _foreign(connection, study_id, mirror))
    return found


def _foreign(connection: Connection, study_id: int, mirror: Mirror) -> int:
    """Running trials that no worker of ours holds; nobody knows whether they will ever end."""
    leased = held(connection, study_id)
    see(connection, study_id, mirror)  # last: a trial that ends in between is not taken for one
    return max(0, mirror.counts[TrialState.RUNNING] - leased)


def held(connection: Connection, study_id: int) -> int:
    """Running trials that a worker of ours holds or gave back."""
    return int(connection.execute(_leased(), {"study_id": study_id}).scalar_one())


@cache
def _leased() -> Select[Any]:
    held, trials = schema.leases, rows.TRIALS
    joined = select(func.count()).join_from(held, trials, trials.c.trial_id == held.c.trial_id)
    mine = held.c.study_id == bindparam("study_id")
    return joined.where(mine, trials.c.state == TrialState.RUNNING)


def unstarted(mirror: Mirror, budget: int, now: float, foreign: int = 0) -> Plan | None:
    """An enqueued trial or room for a new one, by what `mirror` has seen.

    Args:
        foreign: running trials that take no room; they count when they finish.
    """
    counts = mirror.counts
    running = counts[TrialState.RUNNING] - foreign
    taken = counts[TrialState.COMPLETE] + counts[TrialState.PRUNED] + running
    if taken >= budget:
        return None
    if counts[TrialState.WAITING]:
        heads = (mirror.heads[i] for i in sorted(mirror.unfinished))
        return Plan(WAITING, next(h for h in heads if h.state == TrialState.WAITING), now)
    return Plan(NEW, rows.Head(0, len(mirror.heads), TrialState.RUNNING, None, None), now)


def see(connection: Connection, study_id: int, mirror: Mirror) -> None:
    """Read the rows that changed; a study that was deleted and made anew is read from scratch."""
    unfinished = (mirror.heads[trial_id] for trial_id in mirror.unfinished)
    heads = read_changed(connection, study_id, mirror.last, unfinished)
    if not mirror.fits(heads):
        mirror.clear()
        heads = read_changed(connection, study_id, 0, ())
    mirror.see(heads)


def resume(connection: Connection, study_id: int, found: Plan, holder: str, ttl: float) -> Lease:
    """Take over an expired or released lease with its last checkpoint."""
    trial_id, token = found.head.trial_id, found.token + 1
    held, saved = schema.leases, schema.checkpoints
    expires = sql.now(connection.dialect.name) + ttl
    values = {"holder": holder, "token": token, "expires": expires}
    connection.execute(held.update().where(held.c.trial_id == trial_id).values(values))
    events.add(connection, *events.taken_over(study_id, trial_id, found.holder, holder))
    data = connection.execute(select(saved.c.data).where(saved.c.trial_id == trial_id)).scalar()
    trial = rows.read_trials(connection, [found.head])[0].trial
    number = found.head.number
    return Lease(study_id, trial_id, number, holder, token, trial, data, resumed=True)


def start(
    connection: Connection, study_id: int, found: Plan, trial: FrozenTrial, holder: str, ttl: float
) -> tuple[Lease, rows.Head] | None:
    """Make a new trial, or start a waiting one; None if a waiting one was taken just now.

    The clock of the database gives the times. A trial that is finished already gets no lease.
    """
    now = from_clock(found.now)
    head = found.head._replace(state=TrialState.RUNNING, start=now)
    if trial.state.is_finished():
        head = head._replace(state=trial.state, complete=now)

    def content(trial_id: int) -> list[Put]:
        told = {**events.begun(study_id, trial, holder), "trial_id": trial_id}
        made = [*writes.content(trial_id, trial), events.put(found.now, told)]
        if trial.state.is_finished():
            return made
        row = {"trial_id": trial_id, "study_id": study_id, "holder": holder, "token": 1}
        return [*made, Put(schema.leases, ("trial_id",), [row | {"expires": found.now + ttl}])]

    if found.kind == NEW:
        head = writes.insert_trial(connection, study_id, head, content)
    elif writes.start_trial(connection, head):
        sql.put(connection, content(head.trial_id))
    else:
        return None
    made = _started(head, trial, now)
    return Lease(study_id, head.trial_id, head.number, holder, 1, made), head


def _started(head: rows.Head, trial: FrozenTrial, now: datetime) -> FrozenTrial:
    finished = trial.state.is_finished()
    return FrozenTrial(
        number=head.number,
        state=trial.state if finished else TrialState.RUNNING,
        value=None,
        values=trial.values if finished else None,
        datetime_start=to_local(now),
        datetime_complete=to_local(now) if finished else None,
        params=dict(trial.params),
        distributions=dict(trial.distributions),
        user_attrs=dict(trial.user_attrs),
        system_attrs=dict(trial.system_attrs),
        intermediate_values=dict(trial.intermediate_values),
        trial_id=head.trial_id,
    )


def fixed(template: FrozenTrial) -> dict[str, Any]:
    """Parameters that whoever enqueued a trial asked for."""
    return {**template.system_attrs.get("fixed_params", {}), **template.params}


def fill(template: FrozenTrial, proposal: FrozenTrial) -> FrozenTrial:
    """The proposal with what an enqueued trial brings along."""
    filled = copy(proposal)
    filled.user_attrs = {**proposal.user_attrs, **template.user_attrs}
    filled.system_attrs = {**template.system_attrs, **proposal.system_attrs}
    return filled
