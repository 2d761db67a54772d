"""How often to look at the database."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from tuner.storage.lease import Update
from tuner.storage.rows import GROWS, Head, Read, clone, updated
from tuner.storage.sql import to_local


class Look:
    """When something was read the last time, and how long that took; at first it is due."""

    def __init__(self) -> None:
        self._at, self._took = float("-inf"), 0.0

    def took(self, seconds: float) -> None:
        """It was read just now."""
        self._at, self._took = time.monotonic(), seconds

    def due(self, interval: float) -> bool:
        """Whether to read again: so often, but not for more than a twentieth of the time.

        At the latest after ten intervals.
        """
        wait = min(max(interval, 20 * self._took), 10 * interval)
        return self._at + wait <= time.monotonic()


# A study's trials in memory: finished ones never change, others are replaced, not changed.


class Mirror:
    """Trials of one study, and what is known of their rows in the database.

    Attributes:
        heads: each trial's own row as last seen in, or written to, the database.
        trials: by trial id; ahead of `heads` for what waits to be written.
        unfinished: trials whose row may still change.
        stale: trials whose row changed, and whose rest has to be read.
        pending: trials of this process with something that waits to be written.
        own: running trials that this process holds, and need not be read.
        budget: of an open study as far as the last claim knows, else 0.
        floors: of running trials, the highest row id of an intermediate value that was read.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Know nothing (any more)."""
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
        self.look = Look()
        self._versions = dict.fromkeys(TrialState, 0)
        self._lists: dict[tuple[TrialState, ...], tuple[int, list[FrozenTrial]]] = {}

    @property
    def last(self) -> int:
        """The highest trial id that was seen."""
        return next(reversed(self.heads), 0)

    def fits(self, heads: Sequence[Head]) -> bool:
        """Whether rows just read continue what is known, and not a study made anew."""
        if not self.heads:
            return True
        last = self.heads[self.last]
        again = next((head for head in heads if head.trial_id == last.trial_id), None)
        if again is None or again.number != last.number:
            return False
        return last.state == TrialState.WAITING or again.start == last.start

    def see(self, heads: Iterable[Head]) -> None:
        """Take in rows, in the order of their trial ids."""
        for head in heads:
            known = self.heads.get(head.trial_id)
            if known == head:
                continue
            self.mark(head)
            if head.trial_id not in self.pending:
                self.stale.add(head.trial_id)

    def mark(self, head: Head) -> None:
        """Take in one row whose rest is known already."""
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

    def load(self, reads: Iterable[Read]) -> None:
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

    def anticipate(self, update: Update) -> None:
        """Show what this process has to tell about one of its trials before it is written."""
        self.pending.add(update.lease.trial_id)
        self._apply(update, datetime.now())

    def confirm(self, update: Update, final: tuple[TrialState, datetime] | None) -> None:
        """Take in what was written; a final one comes with its state and time (UTC)."""
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
        """Read a trial anew: another worker has it, and what was told of it here is void."""
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
