"""Keeps the trials of studies in memory, and decides when to look at the database again."""

from __future__ import annotations

import os
import time
import weakref
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from operator import attrgetter
from threading import RLock
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import (
    CompoundSelect,
    Connection,
    Select,
    String,
    bindparam,
    select,
    true,
    type_coerce,
    union_all,
)

from tuner.storage import rows, sql, studies
from tuner.storage.database import Database, OutageError
from tuner.storage.lease import Lease, Update
from tuner.storage.rows import GROWS, HEAD, REPORTS, TRIALS, Head, StoredTrial, clone, updated
from tuner.storage.sql import to_local

# When to read the database again.


class ReadTimer:
    """When something was last read, and how long that took; the first reading is due at once."""

    def __init__(self) -> None:
        self._at, self._took = float("-inf"), 0.0

    def record(self, seconds: float) -> None:
        """A reading that took so long is over."""
        self._at, self._took = time.monotonic(), seconds

    def due(self, interval: float) -> bool:
        """Whether to read again: after each interval, if reading takes less than 1/20 of the time.

        A slow reading is due later, at the latest after ten intervals.
        """
        wait = min(max(interval, 20 * self._took), 10 * interval)
        return self._at + wait <= time.monotonic()


# Reading rows of trials that changed.


@cache
def _changed(dialect: str) -> CompoundSelect[Any]:
    mine = select(*HEAD).where(TRIALS.c.study_id == bindparam("study_id"))
    parts = [mine.where(TRIALS.c.trial_id >= bindparam("last"))]
    before = mine.where(TRIALS.c.trial_id < bindparam("last"))
    for name, condition in _KNOWN.items():
        parts.append(before.where(sql.within(dialect, TRIALS.c.trial_id, name), condition))
    return union_all(*parts).order_by("trial_id")


_KNOWN = {
    "running": TRIALS.c.state != TrialState.RUNNING,
    "waiting": TRIALS.c.state != TrialState.WAITING,
    "finished": true(),
}
"""The rows that changed, by the state in which a trial was last seen. A trial that another worker
took over may have been seen finished."""


def read_changed(
    connection: Connection, study_id: int, last: int, unfinished: Iterable[Head]
) -> list[Head]:
    """The trial `last`, those after it, and those of `unfinished` that have another state now.

    The database compares the states: with a thousand running trials, of which hardly any changed,
    sending and comparing all rows took most of a claim's time.
    """
    dialect = connection.dialect.name
    known: dict[str, list[int]] = {name: [] for name in _KNOWN}
    for head in unfinished:
        known["finished" if head.state.is_finished() else head.state.name.lower()].append(
            head.trial_id
        )
    ids = {name: sql.numbers(dialect, trial_ids) for name, trial_ids in known.items()}
    result = connection.execute(_changed(dialect), {"study_id": study_id, "last": last, **ids})
    return [Head(*row) for row in result.all()]


# Reading intermediate values that were added to running trials.


@cache
def _new_reports(dialect: str) -> Select[Any]:
    table, trial_id, floor = sql.pairs(dialect, "floors")
    identity = REPORTS.c.trial_intermediate_value_id
    kind = type_coerce(REPORTS.c.intermediate_value_type, String)
    return (
        select(REPORTS.c.trial_id, REPORTS.c.step, REPORTS.c.intermediate_value, kind, identity)
        .select_from(table)
        .join(REPORTS, (REPORTS.c.trial_id == trial_id) & (identity > floor))
        # This follows from the join, but makes PostgreSQL expect few rows, and use the index.
        .where(sql.among(dialect, REPORTS.c.trial_id, "ids"))
        .order_by(REPORTS.c.trial_id, REPORTS.c.step)
    )


def read_reports(
    connection: Connection, floors: Mapping[int, int]
) -> dict[int, tuple[dict[int, float], int]]:
    """Intermediate values with a row id above each trial's floor, and the new floors.

    A trial has one writer at a time, so its row ids are committed in order.
    """
    dialect = connection.dialect.name
    reports: dict[int, tuple[dict[int, float], int]] = {}
    bound = {"floors": sql.mapping(floors), "ids": sql.numbers(dialect, floors)}
    new = connection.execute(_new_reports(dialect), bound).all()
    for trial_id, step, value, kind, identity in new:
        steps, floor = reports.get(trial_id, ({}, 0))
        steps[step] = rows.number(value, kind)
        reports[trial_id] = steps, max(floor, identity)
    return reports


# A study's trials in memory. A trial object never changes; a new one replaces it.


class Mirror:
    """The trials of one study, and their rows as last seen in the database.

    Attributes:
        heads: each trial's own row as last seen in, or written to, the database.
        trials: by trial id; ahead of the database for updates that wait to be written.
        unfinished: trials whose row may still change.
        stale: trials whose row changed, and whose other rows have to be read.
        pending: trials of this process with updates that wait to be written.
        own: running trials that this process holds, which need not be read.
        budget: the budget at the last claim if the study was open, else 0.
        floors: the highest row id of an intermediate value that was read, of running trials.
        timer: when to read the study again.
    """

    def __init__(self, study_id: int) -> None:
        self.study_id = study_id
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.heads: dict[int, Head] = {}
        self.trials: dict[int, FrozenTrial] = {}
        self.unfinished: set[int] = set()
        self.stale: set[int] = set()
        self.pending: set[int] = set()
        self.own: set[int] = set()
        self.floors: dict[int, int] = {}
        self.distributions: dict[str, BaseDistribution] = {}
        self.counts: Counter[TrialState] = Counter()
        self.budget = 0
        self.timer = ReadTimer()
        self._versions = dict.fromkeys(TrialState, 0)
        self._lists: dict[tuple[TrialState, ...], tuple[int, list[FrozenTrial]]] = {}

    @property
    def last(self) -> int:
        """The highest trial id that was seen."""
        return next(reversed(self.heads), 0)

    def read_rows(self, connection: Connection) -> None:
        """Read the rows that changed; a study deleted and made anew is read from scratch."""
        unfinished = (self.heads[trial_id] for trial_id in self.unfinished)
        heads = read_changed(connection, self.study_id, self.last, unfinished)
        if not self.fits(heads):
            self.clear()
            heads = read_changed(connection, self.study_id, 0, ())
        self.see(heads)

    def read_trials(self, connection: Connection, unfinished: bool) -> set[int]:
        """Read whole trials whose rows changed, whose ids it returns, and new reports of others.

        Args:
            unfinished: read all unfinished trials: others may overwrite what these have.
        """
        wanted = self.stale | self.suggesting()
        if unfinished:
            wanted |= self.unfinished - self.pending
        self.load(rows.read_trials(connection, [self.heads[i] for i in sorted(wanted)]))
        floors = {i: floor for i, floor in self.growing().items() if i not in wanted}
        if floors:
            self.extend(read_reports(connection, floors))
        return wanted

    def fits(self, heads: Sequence[Head]) -> bool:
        """Whether rows just read continue this study, and are not a new study's with its id."""
        if not self.heads:
            return True
        last = self.heads[self.last]
        again = next((head for head in heads if head.trial_id == last.trial_id), None)
        if again is None or again.number != last.number:
            return False
        return last.state == TrialState.WAITING or again.start == last.start

    def see(self, heads: Iterable[Head]) -> None:
        """Take in rows, in order of their trial ids."""
        for head in heads:
            known = self.heads.get(head.trial_id)
            if known == head:
                continue
            self.mark(head)
            if head.trial_id not in self.pending:
                self.stale.add(head.trial_id)

    def mark(self, head: Head) -> None:
        """Take in one row of a trial whose other rows need not be read."""
        known = self.heads.get(head.trial_id)
        if known is not None:
            self.counts[known.state] -= 1
        self.counts[head.state] += 1
        self.heads[head.trial_id] = head
        if head.state.is_finished():
            self.unfinished.discard(head.trial_id)
            self.own.discard(head.trial_id)
            self.floors.pop(head.trial_id, None)
        else:
            self.unfinished.add(head.trial_id)

    def load(self, reads: Iterable[StoredTrial]) -> None:
        """Take in whole trials, except those that are ahead of the database."""
        for trial, floor in reads:
            self.stale.discard(trial._trial_id)
            if trial._trial_id in self.pending:
                continue
            if self.trials.get(trial._trial_id) != trial:
                self.put(trial)
            if trial.state == TrialState.RUNNING:
                self.floors[trial._trial_id] = floor

    def extend(self, reports: Mapping[int, tuple[dict[int, float], int]]) -> None:
        """Take in new intermediate values of running trials."""
        for trial_id, (steps, floor) in reports.items():
            if trial_id in self.floors:
                self.floors[trial_id] = floor
                old = self.trials[trial_id]
                if any(step not in old.intermediate_values for step in steps):
                    new = clone(old)
                    new.intermediate_values = {**old.intermediate_values, **steps}
                    self.put(new)

    def put(self, trial: FrozenTrial) -> None:
        """Replace a trial, or add one."""
        old = self.trials.get(trial._trial_id)
        if old is not None:
            self._versions[old.state] += 1
        self._versions[trial.state] += 1
        self.trials[trial._trial_id] = trial
        self.distributions.update(trial.distributions)

    def growing(self) -> dict[int, int]:
        """The floors of running trials that others may have added to."""
        own = self.pending | self.own
        return {i: floor for i, floor in self.floors.items() if i not in own}

    def suggesting(self) -> set[int]:
        """Running trials of others whose parameters are still being drawn."""
        return {i for i in self.growing() if GROWS in self.trials[i].system_attrs}

    def hold(self, trial: FrozenTrial, head: Head) -> None:
        """Take in a trial that this process holds from now on, unless it is finished already."""
        self.mark(head)
        self.load([StoredTrial(trial, 0)])
        if not trial.state.is_finished():
            self.own.add(head.trial_id)
        if not self.stale and not self.growing():
            self.timer.record(0.0)  # the claim has read everything

    def anticipate(self, update: Update) -> None:
        """Show an update of this process before it is written."""
        self.pending.add(update.lease.trial_id)
        self._apply(update, datetime.now())

    def confirm(self, update: Update, final: tuple[TrialState, datetime] | None) -> None:
        """Take in an update that was written; `final` has the state and time (UTC) of an end."""
        trial_id = update.lease.trial_id
        if final is not None and trial_id in self.heads:
            self.mark(self.heads[trial_id]._replace(state=final[0], complete=final[1]))
            self._apply(update, to_local(final[1]))
        elif trial_id not in self.pending:
            self._apply(update, None)

    def _apply(self, update: Update, complete: datetime | None) -> None:
        old = self.trials.get(update.lease.trial_id)
        if old is None or (old.state.is_finished() and update.state != old.state):
            return
        self.put(updated(old, update, complete))

    def forget(self, trial_id: int) -> None:
        """Read a trial anew: another worker has it, and updates of this process are void."""
        self.pending.discard(trial_id)
        self.own.discard(trial_id)
        if trial_id in self.heads:
            self.stale.add(trial_id)
            self.unfinished.add(trial_id)

    def listed(self, states: Container[TrialState] | None) -> list[FrozenTrial]:
        """Trials in these states by number; the same list until one of them changes."""
        wanted = tuple(state for state in TrialState if states is None or state in states)
        version = sum(self._versions[state] for state in wanted)
        known = self._lists.get(wanted)
        if known is None or known[0] != version:
            trials = (trial for trial in self.trials.values() if trial.state in wanted)
            known = version, sorted(trials, key=attrgetter("_number"))
            self._lists[wanted] = known
        return known[1]


# The mirrors of all studies.


class Mirrors:
    """The trials of a database's studies: read once, and then brought up to date.

    May be used by several threads, and in forked children.

    Attributes:
        refresh_interval: how old, in seconds, trials may be. 0 reads what may have changed at
            every call, which is what Optuna expects. With more, memory answers in between, and
            while the database is away. If the database is slow, trials may be ten times as old.
    """

    def __init__(self, database: Database) -> None:
        self.refresh_interval = 0.0
        self._database = database
        self._lock = RLock()
        self._mirrors: dict[int, Mirror] = {}
        self._study_of: dict[int, int] = {}
        self._reads = True
        _every.add(self)

    @contextmanager
    def of(self, study_id: int) -> Iterator[Mirror]:
        """The mirror of a study; other threads wait until this one is done with it."""
        with self._lock:
            yield self._mirror(study_id)

    def _mirror(self, study_id: int) -> Mirror:
        mirror = self._mirrors.get(study_id)
        if mirror is None:
            mirror = self._mirrors[study_id] = Mirror(study_id)
        return mirror

    def trials(self, study_id: int, states: Container[TrialState] | None) -> list[FrozenTrial]:
        """A study's trials in these states by number; neither list nor trials may be changed."""
        with self._lock:
            return self._current(study_id).listed(states)

    def trial(self, trial_id: int) -> FrozenTrial:
        """A trial, which may not be changed; MissingError if there is none."""
        with self._lock:
            mirror = self._mirrors.get(self._study_of.get(trial_id, -1))
            if mirror is not None and trial_id in mirror.trials:
                trial = mirror.trials[trial_id]
                if trial.state.is_finished() or trial_id in mirror.pending:
                    return trial
                if self.refresh_interval > 0:
                    return self._current(mirror.study_id).trials[trial_id]
        with self._database.read() as connection:
            read = rows.read_trial(connection, trial_id)
        if read is None:
            raise studies.missing("the trial")
        return read

    def distribution(self, study_id: int, name: str) -> BaseDistribution | None:
        """The distribution of a parameter in any trial in memory.

        It takes no lock: it is called within a transaction, for which the lock's holder may wait.
        """
        mirror = self._mirrors.get(study_id)
        return None if mirror is None else mirror.distributions.get(name)

    def _current(self, study_id: int) -> Mirror:
        """The study's mirror, refreshed if it is too old."""
        mirror = self._mirrors.get(study_id)
        if mirror is None or (self._reads and mirror.timer.due(self.refresh_interval)):
            try:
                self.refresh(study_id)
            except OutageError:
                if mirror is None or self.refresh_interval == 0:
                    raise
                mirror.timer.record(0.0)  # not again at every call
        return self._mirrors[study_id]

    def refresh(self, study_id: int) -> None:
        """Read what changed since the last time; MissingError if there is no such study."""
        with self.of(study_id) as mirror:
            started = time.monotonic()
            with self._database.read() as connection:
                mirror.read_rows(connection)
                if not mirror.heads:
                    studies.require(connection, study_id)
                self.read(connection, mirror)
            mirror.timer.record(time.monotonic() - started)

    def read(self, connection: Connection, mirror: Mirror) -> None:
        """Read the other rows of the trials whose own rows changed."""
        read = mirror.read_trials(connection, unfinished=self.refresh_interval == 0)
        self._study_of.update(dict.fromkeys(read, mirror.study_id))

    @contextmanager
    def unread(self) -> Iterator[None]:
        """Memory answers everything, whatever its age; the caller holds a mirror (`of`).

        For use within a transaction, in which nothing is read: others wait for it, and there may be
        no second connection.
        """
        self._reads = False
        try:
            yield
        finally:
            self._reads = True

    def hold(self, lease: Lease, head: Head) -> None:
        """Take in a trial that was just claimed."""
        with self.of(lease.study_id) as mirror:
            mirror.hold(lease.trial, head)
            self._study_of[lease.trial_id] = lease.study_id

    def outdate(self, trial_id: int) -> None:
        """Have a trial read again at the next call, however recent the last reading is."""
        with self._lock:
            mirror = self._mirrors.get(self._study_of.get(trial_id, -1))
            if mirror is not None:
                mirror.stale.add(trial_id)
                mirror.timer = ReadTimer()

    def forget(self, study_id: int) -> None:
        """Drop a study from memory; a later call reads it again."""
        with self._lock:
            self._mirrors.pop(study_id, None)
            self._study_of = {t: s for t, s in self._study_of.items() if s != study_id}

    def after_fork(self) -> None:
        """Replace the lock: one that another thread held at the fork is never released here."""
        self._lock = RLock()


_every: weakref.WeakSet[Mirrors] = weakref.WeakSet()


def _after_fork() -> None:
    for mirrors in list(_every):
        mirrors.after_fork()


os.register_at_fork(after_in_child=_after_fork)
