"""Hands out trials to workers, and keeps each with its worker by a lease.

A claim finds the next trial, in memory (`_guess`) or in the database (`_read_next`), and asks for
its parameters (`_ask`). In one transaction it takes the trial if that is still next (`_take`): a
trial that another worker began, or that paused, goes on (`_resume`), another one begins (`_start`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, Float, Select, bindparam, cast, func, select, tuple_

from tuner.search.promote import last_epoch
from tuner.storage import events, pausing, rows, schema, sql, studies, writes
from tuner.storage.database import Database
from tuner.storage.lease import FOREIGN, OPEN, ExhaustedError, Lease, Propose, Rule
from tuner.storage.mirror import Mirror, Mirrors
from tuner.storage.rows import Head
from tuner.storage.sql import Put, from_clock, to_local

# The claim of a trial.


RESUME, PROMOTE, WAITING, NEW = "resume", "promote", "waiting", "new"


class Plan(NamedTuple):
    """The trial that a claim would hand out next.

    Attributes:
        head: the trial's row, or a new row's number.
        now: by the database's clock.
        token: the token of the lease to take over.
        holder: the holder of that lease; empty if it was given back.
        proposal: the proposed trial, if there is one already.
        continues: the trial that ended paused, where a new one goes on.
        room: the epochs that the budget has left; None if it is not in epochs.
    """

    kind: str
    head: Head
    now: float
    token: int = 0
    holder: str = ""
    proposal: FrozenTrial | None = None
    continues: Head | None = None
    room: int | None = None


class Claims:
    """Hands out trials, renews their leases and releases them.

    Attributes:
        lease_seconds: how long a lease lasts without being renewed.
    """

    def __init__(self, database: Database, mirrors: Mirrors, lease_seconds: float) -> None:
        self.lease_seconds = lease_seconds
        self._database, self._mirrors = database, mirrors

    def claim(self, study_id: int, holder: str, propose: Propose) -> Lease | None:
        """Lease the next trial; None if there is none to hand out now.

        In this order: a trial whose lease ran out or was given back, an enqueued one, a paused one
        that the rule of `propose` chooses, a new one if the budget has room. A proposal that is
        finished already is stored as it is, and the claim goes on to the next. If `propose` learns,
        which takes time, it is called outside the transaction. Otherwise it is called within, or
        many workers would propose for one number, and all but one in vain.

        When the budget is met and no worker holds a trial, the paused trials end.

        Raises:
            MissingError: there is no such study.
            OutageError: the database does not answer.
        """
        try:
            return self._claim(study_id, holder, propose, new=True)
        except ExhaustedError:
            return self._claim(study_id, holder, propose, new=False) if _rule(propose) else None

    def _claim(self, study_id: int, holder: str, propose: Propose, new: bool) -> Lease | None:
        rule = _rule(propose)
        plan = None if not new or (rule and rule.pauses) else self._guess(study_id)
        late = plan is not None and not _learns(propose)  # propose within the transaction
        while True:
            plan = plan or self._read_next(study_id, rule, new)
            if plan is None:
                self._retire(study_id, rule, new)
                return None
            if _begins(plan) and not late and not _covers(propose):
                plan = plan._replace(proposal=_ask(plan, propose, self._mirrors.trial))
            lease = self._take(study_id, holder, plan, propose)
            if lease is not None and not lease.trial.state.is_finished():
                return lease
            plan, late = None, False

    def _guess(self, study_id: int) -> Plan | None:
        """The next trial by the mirror, without a statement; None unless it is a new trial."""
        with self._mirrors.of(study_id) as mirror:
            plan = _unstarted(mirror, mirror.budget, 0.0) if mirror.heads else None
        return plan if plan is not None and plan.kind == NEW else None

    def _read_next(self, study_id: int, rule: Rule | None, new: bool) -> Plan | None:
        """The next trial by the database; another worker may still take it first."""
        with self._mirrors.of(study_id) as mirror, self._database.read() as connection:
            plan, terms = _next(connection, mirror, lock=False, new=new)
            if rule is None or terms.state != OPEN or (plan is not None and plan.kind == RESUME):
                return plan
            room = self._room(connection, mirror, terms)
            return _by_rule(connection, mirror, terms, rule, plan, room)

    def _take(self, study_id: int, holder: str, expected: Plan, propose: Propose) -> Lease | None:
        """Lease the expected trial, in one transaction; None if another one is next by now."""
        with self._mirrors.of(study_id) as mirror:
            with self._database.write() as connection:
                plan = self._confirmed(connection, mirror, expected)
                if plan is None:
                    return None
                taken: tuple[Lease, Head] | None
                rule = _rule(propose)
                if plan.kind in (RESUME, PROMOTE):
                    target = _target(plan, rule, mirror.trials.get(plan.head.trial_id))
                    seconds = self.lease_seconds
                    taken = _resume(connection, study_id, plan, holder, seconds, target)
                else:
                    trial = self._proposal(connection, mirror, plan, expected, propose)
                    target = _target(plan, rule, trial)
                    seconds = self.lease_seconds
                    taken = _start(connection, study_id, plan, trial, holder, seconds, target)
            if taken is None:
                return None
            lease, head = taken
            self._mirrors.hold(lease, head)
        return lease

    def _confirmed(self, connection: Connection, mirror: Mirror, expected: Plan) -> Plan | None:
        """The expected plan as it is now that the study is locked; None if another one is next."""
        plan, terms = _next(connection, mirror, lock=True, new=True)
        if plan is not None and plan.kind == RESUME:
            return plan if _same_trial(expected, plan) else None
        room = None if terms.epochs is None else self._room(connection, mirror, terms)
        if room == 0:
            return None
        if expected.kind == PROMOTE and terms.state == OPEN:
            token = pausing.paused_token(connection, expected.head.trial_id)
            known = token is not None and expected.head.trial_id in mirror.heads
            return expected._replace(token=token or 0, now=terms.now, room=room) if known else None
        if plan is None or not _same_trial(expected, plan):
            return None
        if expected.continues and expected.continues.number not in pausing.ended(
            connection, mirror
        ):
            return None
        return plan._replace(continues=expected.continues, room=room)

    def _room(self, connection: Connection, mirror: Mirror, terms: Terms) -> int | None:
        """Brings the trials up to date; the epochs that a budget in epochs has left, else None.

        The targets are read first: a trial that ends in between counts with its target, and not
        with the reports that were known of it.
        """
        targets = pausing.targets(connection, mirror.study_id)
        mirror.read_rows(connection)
        self._mirrors.read(connection, mirror)
        if terms.epochs is None:
            return None
        return max(0, terms.epochs - pausing.spent(mirror, targets))

    def _retire(self, study_id: int, rule: Rule | None, new: bool) -> None:
        """Ends the paused trials of a study whose budget is met, unless a worker holds a trial."""
        if rule is None:
            return
        with self._database.read() as connection:
            if _held(connection, study_id) > pausing.count(connection, study_id):
                return
        with self._mirrors.of(study_id) as mirror, self._database.write() as connection:
            plan, terms = _next(connection, mirror, lock=True, new=new)
            if terms.state != OPEN or (plan is not None and plan.kind == RESUME):
                return
            room = self._room(connection, mirror, terms)
            running = _held(connection, study_id) - pausing.count(connection, study_id)
            if running or _by_rule(connection, mirror, terms, rule, plan, room) is not None:
                return
            pausing.retire(connection, mirror, terms.now)
            if room == 0:
                pausing.close_budget(connection, study_id)

    def _proposal(
        self,
        connection: Connection,
        mirror: Mirror,
        plan: Plan,
        expected: Plan,
        propose: Propose,
    ) -> FrozenTrial:
        """The proposal for the next trial, whose number is certain now that the study is locked.

        The number differs from the expected one if another worker has taken that meanwhile.
        """
        rule = _rule(propose)
        if plan.continues is not None and rule is not None:
            ended = mirror.trials[plan.continues.trial_id]
            return rule.continued(ended, plan.head.number)
        proposal = expected.proposal
        if proposal is not None:
            if plan.kind == WAITING or plan.head.number == expected.head.number:
                return proposal
            if _learns(propose):  # the attribute tells whether this proposal may be renumbered
                renumber = getattr(propose, "renumber", None)
                if renumber is None:
                    return proposal
                self._mirrors.read(connection, mirror)  # among them the trial of that number
                with self._mirrors.unread():
                    renumbered: FrozenTrial = renumber(proposal, plan.head.number)
                return renumbered
        if _covers(propose):  # it has to know all trials that were added until now
            self._mirrors.read(connection, mirror)
        with self._mirrors.unread():
            return _ask(plan, propose, mirror.trials.__getitem__)

    # A worker's leases, and its row.

    def renew(self, holder: str) -> None:
        """Extend all leases of a worker, and record that it is alive."""
        with self._transaction(holder) as connection:
            bound = {"me": holder, "seconds": self.lease_seconds}
            for statement in _renewals(connection.dialect.name):
                connection.execute(statement, bound)

    def release(self, leases: Sequence[Lease], paused: bool = False) -> None:
        """Give leases back, so that another worker can go on with these trials.

        Args:
            paused: only when the rule of a claim chooses them; otherwise at once.
        """
        if leases:
            with self._database.write() as connection:
                _release(connection, leases, schema.NEVER if paused else 0.0)
        for lease in leases:
            with self._mirrors.of(lease.study_id) as mirror:
                mirror.own.discard(lease.trial_id)

    def held(self, study_id: int) -> int:
        """The number of running trials that workers hold, gave back or paused."""
        with self._database.read() as connection:
            return _held(connection, study_id)

    def register(self, holder: str, host: str, pid: int, device: str) -> None:
        """Add a worker's row, or bring it up to date."""
        with self._database.write() as connection:
            dialect = connection.dialect.name
            now = connection.execute(select(sql.now(dialect))).scalar_one()
            place: dict[str, Any] = {"host": host, "pid": pid, "device": device}
            row = {"holder": holder, **place, "renewed": now}
            connection.execute(sql.upsert(dialect, schema.workers, ("holder",)), row)
            events.forget_workers(connection, now)
            events.add(connection, events.row(events.STARTED, worker=holder, **place))

    def unregister(self, holder: str) -> None:
        """Remove a worker's row when it leaves."""
        table = schema.workers
        with self._transaction(holder) as connection:
            deleted = connection.execute(table.delete().where(table.c.holder == holder)).rowcount
            if deleted:
                events.add(connection, events.row(events.LEFT, worker=holder))

    @contextmanager
    def _transaction(self, holder: str) -> Iterator[Connection]:
        """A transaction of a worker that also records the outages since the last one."""
        with self._database.write() as connection:
            outages = self._database.outages
            seconds = (round(each, 3) for each in outages)
            events.add(
                connection,
                *(events.row(events.OUTAGE, worker=holder, seconds=each) for each in seconds),
            )
            yield connection
        self._database.outages = self._database.outages[len(outages) :]


def _learns(propose: Propose) -> bool:
    """Whether its last proposal may be given another number."""
    return bool(getattr(propose, "learns", True))


def _covers(propose: Propose) -> bool:
    """Whether it gives each trial parameters that no other trial has."""
    return bool(getattr(propose, "covers", False))


def _begins(plan: Plan) -> bool:
    """Whether the trial of a plan begins, and needs a proposal."""
    return plan.kind in (WAITING, NEW) and plan.continues is None


def _rule(propose: Propose) -> Rule | None:
    """When trials pause and go on, if the study's may."""
    return getattr(propose, "rule", None)


def _ask(plan: Plan, propose: Propose, read: Callable[[int], FrozenTrial]) -> FrozenTrial:
    """The proposal for a trial that has not begun; `read` gives an enqueued trial."""
    if plan.kind == NEW:
        return propose(plan.head.number, None)
    template = read(plan.head.trial_id)
    proposal = copy(propose(plan.head.number, fixed(template)))
    proposal.user_attrs = {**proposal.user_attrs, **template.user_attrs}
    proposal.system_attrs = {**template.system_attrs, **proposal.system_attrs}
    return proposal


def fixed(template: FrozenTrial) -> dict[str, Any]:
    """The parameters that an enqueued trial prescribes.

    If another program wrote something else in their place, it is under a name that no study has.
    """
    params = template.system_attrs.get("fixed_params", {})
    params = params if isinstance(params, Mapping) else {"fixed_params": params}
    return {**params, **template.params}


def _same_trial(expected: Plan, plan: Plan) -> bool:
    if plan.kind != expected.kind:
        return False
    return plan.kind == NEW or plan.head.trial_id == expected.head.trial_id


# The next trial: one with an expired lease, then an enqueued one, then a new one.


def _next(
    connection: Connection, mirror: Mirror, lock: bool, new: bool
) -> tuple[Plan | None, Terms]:
    """The next trial to hand out but for paused ones, and the terms of the study.

    Args:
        lock: it stays the next until the transaction ends.
        new: whether it may be a new trial.
    """
    terms = read_terms(connection, mirror.study_id, lock)
    known = terms.state == OPEN and terms.epochs is None
    mirror.budget = terms.budget if known else 0
    if terms.state != OPEN:
        return None, terms
    mirror.read_rows(connection)
    if terms.expired is not None:
        plan = Plan(RESUME, mirror.heads[terms.expired], terms.now)
        if not lock:
            return plan, terms
        statement = _expired(connection.dialect.name)
        lease = connection.execute(statement, {"trial_id": terms.expired}).one_or_none()
        if lease is not None:
            return plan._replace(token=lease.token, holder=lease.holder), terms
    unstarted = _unstarted(mirror, terms.budget, terms.now)
    if unstarted is None and mirror.counts[TrialState.RUNNING]:
        foreign = _foreign(connection, mirror)
        unstarted = _unstarted(mirror, terms.budget, terms.now, foreign)
    if unstarted is not None and unstarted.kind == NEW and not new:
        return None, terms
    return unstarted, terms


def _by_rule(
    connection: Connection,
    mirror: Mirror,
    terms: Terms,
    rule: Rule,
    unstarted: Plan | None,
    room: int | None,
) -> Plan | None:
    """The next trial, which may be a paused one or one that ended paused; None without room."""
    if room == 0:
        return None
    if unstarted is not None and unstarted.kind == WAITING:
        return unstarted
    paused = pausing.paused(connection, mirror)
    ended = pausing.ended(connection, mirror) if unstarted is not None else {}
    if not paused and not ended:
        return unstarted
    known = paused.keys() | ended.keys()
    number = rule.choice(mirror.listed(None), known, new=unstarted is not None)
    if number in paused:
        return Plan(PROMOTE, paused[number], terms.now)
    if number in ended and unstarted is not None:
        return unstarted._replace(continues=ended[number])
    return unstarted


def _target(plan: Plan, rule: Rule | None, trial: FrozenTrial | None) -> int | None:
    """The epoch after which the holder of a trial pauses it; None is never."""
    if rule is None or trial is None or not (rule.pauses or plan.room is not None):
        return None
    target = rule.target(trial)
    if plan.room is None or plan.kind == RESUME:
        return target
    return min(target, last_epoch(trial) + plan.room)


class Terms(NamedTuple):
    """The terms on which a study hands out trials.

    Attributes:
        budget: complete and pruned trials that make it finished.
        now: by the database's clock.
        expired: a trial whose lease ran out or was given back.
        epochs: the budget in epochs; None is no limit.
    """

    budget: int
    state: str
    now: float
    expired: int | None
    epochs: int | None


@cache
def _terms(dialect: str, lock: bool) -> Select[Any]:
    theirs, ours = studies.STUDIES, schema.studies
    held, trials = schema.leases, rows.TRIALS
    now = sql.now(dialect)
    expired = (
        select(func.min(held.c.trial_id))
        .join(trials, trials.c.trial_id == held.c.trial_id)
        .where(held.c.study_id == bindparam("study_id"), held.c.expires <= now)
        .where(trials.c.state == TrialState.RUNNING)
        .scalar_subquery()
    )
    query = (
        select(ours.c.budget, ours.c.state, now, expired, ours.c.epochs)
        .select_from(theirs.outerjoin(ours, ours.c.study_id == theirs.c.study_id))
        .where(theirs.c.study_id == bindparam("study_id"))
    )
    return query.with_for_update(of=theirs) if lock else query


def read_terms(connection: Connection, study_id: int, lock: bool = False) -> Terms:
    """A study's budget, its state, and a trial whose lease ran out; 0 and FOREIGN if none was set.

    `lock` keeps others from creating trials, as Optuna does it.
    """
    statement = _terms(connection.dialect.name, lock)
    row = connection.execute(statement, {"study_id": study_id}).one_or_none()
    if row is None:
        raise studies.missing()
    return Terms(row[0] or 0, row[1] or FOREIGN, *row[2:])


@cache
def _expired(dialect: str) -> Select[Any]:
    held = schema.leases
    query = select(held.c.token, held.c.holder).where(held.c.trial_id == bindparam("trial_id"))
    # Read again now that the study is locked: another worker may just have taken it over. A lease
    # whose holder is writing at this moment did not run out.
    return query.where(held.c.expires <= sql.now(dialect)).with_for_update(skip_locked=True)


def _unstarted(mirror: Mirror, budget: int, now: float, foreign: int = 0) -> Plan | None:
    """An enqueued trial, or a new one if the budget has room, by the rows in `mirror`.

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
    return Plan(NEW, Head(0, len(mirror.heads), TrialState.RUNNING, None, None), now)


def _foreign(connection: Connection, mirror: Mirror) -> int:
    """The number of running trials that no worker of ours holds; they may never end."""
    held = _held(connection, mirror.study_id)
    mirror.read_rows(connection)  # last, so that a trial that ends in between is not counted
    return max(0, mirror.counts[TrialState.RUNNING] - held)


def _held(connection: Connection, study_id: int) -> int:
    """The number of running trials that a worker of ours holds, gave back or paused."""
    return int(connection.execute(_count_leased(), {"study_id": study_id}).scalar_one())


@cache
def _count_leased() -> Select[Any]:
    held, trials = schema.leases, rows.TRIALS
    joined = select(func.count()).join_from(held, trials, trials.c.trial_id == held.c.trial_id)
    mine = held.c.study_id == bindparam("study_id")
    return joined.where(mine, trials.c.state == TrialState.RUNNING)


# Taking a trial: an earlier one goes on, or a new or enqueued one begins, with a lease.


def _resume(
    connection: Connection,
    study_id: int,
    plan: Plan,
    holder: str,
    seconds: float,
    target: int | None,
) -> tuple[Lease, Head]:
    """Take over an expired or released lease, or that of a paused trial, with its checkpoint.

    The target of an earlier holder stays: the budget in epochs counts with it.
    """
    trial_id, token = plan.head.trial_id, plan.token + 1
    held = schema.leases
    expires = sql.now(connection.dialect.name) + seconds
    values = {"holder": holder, "token": token, "expires": expires}
    if plan.kind == PROMOTE:
        values["target"] = target
    mine = held.c.trial_id == trial_id
    update = held.update().where(mine).values(values).returning(held.c.target)
    target = connection.execute(update).scalar_one()
    events.add(connection, *events.taken_over(study_id, trial_id, plan.holder, holder))
    data = _checkpoint(connection, trial_id)
    trial = rows.read_trials(connection, [plan.head])[0].trial
    number = plan.head.number
    lease = Lease(study_id, trial_id, number, holder, token, trial, data, True, target)
    return lease, plan.head


def _checkpoint(connection: Connection, trial_id: int) -> bytes | None:
    saved = schema.checkpoints
    query = select(saved.c.data).where(saved.c.trial_id == trial_id)
    data: bytes | None = connection.execute(query).scalar()
    return data


def _start(
    connection: Connection,
    study_id: int,
    plan: Plan,
    trial: FrozenTrial,
    holder: str,
    seconds: float,
    target: int | None,
) -> tuple[Lease, Head] | None:
    """Insert a new trial, or start a waiting one; None if another worker just took that.

    The clock of the database gives the times. A trial that is finished already gets no lease.
    """
    now = from_clock(plan.now)
    head = plan.head._replace(state=TrialState.RUNNING, start=now)
    if trial.state.is_finished():
        head = head._replace(state=trial.state, complete=now)

    def content(trial_id: int) -> list[Put]:
        event = {**events.begun(study_id, trial, holder), "trial_id": trial_id}
        puts = [*writes.content(trial_id, trial), events.put(plan.now, event)]
        if trial.state.is_finished():
            return puts
        row = {"trial_id": trial_id, "study_id": study_id, "holder": holder, "token": 1}
        row |= {"expires": plan.now + seconds, "target": target}
        return [*puts, Put(schema.leases, ("trial_id",), [row])]

    if plan.kind == NEW:
        head = writes.insert_trial(connection, study_id, head, content)
    elif writes.start_trial(connection, head):
        sql.put(connection, content(head.trial_id))
    else:
        return None
    stored = _as_stored(head, trial, now)
    lease = Lease(study_id, head.trial_id, head.number, holder, 1, stored, target=target)
    if plan.continues is not None:
        lease = replace(lease, checkpoint=_moved(connection, plan.continues, head), resumed=True)
    return lease, head


def _moved(connection: Connection, before: Head, head: Head) -> bytes | None:
    """The checkpoint of a trial that ended paused, which is now that of the trial that goes on."""
    saved = schema.checkpoints
    mine = saved.c.trial_id == before.trial_id
    connection.execute(saved.update().where(mine).values(trial_id=head.trial_id))
    return _checkpoint(connection, head.trial_id)


def _as_stored(head: Head, trial: FrozenTrial, now: datetime) -> FrozenTrial:
    """The proposal as it now is in the database."""
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


# Renewing and releasing a worker's leases.


@cache
def _renewals(dialect: str) -> tuple[Any, Any]:
    held, alive, now = schema.leases, schema.workers, sql.now(dialect)
    mine = held.c.holder == bindparam("me")
    expires = now + cast(bindparam("seconds"), Float(53))
    return (
        held.update().where(mine).values(expires=expires),
        alive.update().where(alive.c.holder == bindparam("me")).values(renewed=now),
    )


def _release(connection: Connection, leases: Sequence[Lease], expires: float) -> None:
    held = schema.leases
    keys = [(lease.trial_id, lease.holder, lease.token) for lease in leases]
    mine = tuple_(held.c.trial_id, held.c.holder, held.c.token).in_(keys)
    free = held.update().where(mine).values(holder="", expires=expires)
    release = free.returning(held.c.trial_id)
    released_ids = set(connection.execute(release).scalars())
    released = [
        events.given_back(lease, paused=expires >= schema.NEVER)
        for lease in leases
        if lease.trial_id in released_ids
    ]
    events.add(connection, *released)
