"""Epochs of each study, without reading all reports whenever somebody asks."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from optuna.trial import TrialState
from sqlalchemy import Connection, Select, func, select

from tuner.storage import rows, sql

OVER = tuple(state for state in TrialState if state.is_finished())
_TRIAL, _STUDY, _STATE = rows.TRIALS.c.trial_id, rows.TRIALS.c.study_id, rows.TRIALS.c.state


class Trials(NamedTuple):
    """Of a study: how many trials have ended, and when the first one began.

    The latter tells it from a deleted one: SQLite gives numbers again.
    """

    ended: int
    begun: datetime | None


@dataclass(frozen=True)
class _Counted:
    """Trials of a study that ended, and the reports that they have together."""

    begun: datetime | None
    trials: frozenset[int] = frozenset()
    epochs: int = 0


class Epochs:
    """Counts reports; those of a trial that ended once, for it gets no more."""

    def __init__(self) -> None:
        self._counted: dict[int, _Counted] = {}

    def __call__(
        self, connection: Connection, studies: Mapping[int, Trials], running: Mapping[int, int]
    ) -> dict[int, int]:
        """Reports by study.

        Args:
            studies: those to count for.
            running: as `unfinished` says, read before `studies`: what ends in between is in both,
                so that no count goes back because a trial was in neither.
        """
        known = {i: self._of(i, each) for i, each in studies.items()}
        changed = {i: k for i, k in known.items() if len(k.trials) != studies[i].ended}
        self._counted = known | _more(connection, changed)
        going = {
            trial: i
            for trial, i in running.items()
            if i in studies and trial not in self._counted[i].trials
        }
        total = Counter({i: each.epochs for i, each in self._counted.items()})
        for trial, count in _reports(connection, going).items():
            total[going[trial]] += count
        return dict(total)

    def _of(self, study_id: int, found: Trials) -> _Counted:
        known = self._counted.get(study_id)
        return known if known and known.begun == found.begun else _Counted(found.begun)


def unfinished(connection: Connection) -> dict[int, int]:
    """Trials that have not ended, each with its study."""
    found = select(_TRIAL, _STUDY).where(_STATE.not_in(OVER))
    return {int(trial): int(study) for trial, study in connection.execute(found)}


def _more(connection: Connection, counted: Mapping[int, _Counted]) -> dict[int, _Counted]:
    """The same, with what has ended since."""
    if not counted:
        return {}
    ended: dict[int, set[int]] = defaultdict(set)
    bound = sql.numbers(connection.dialect.name, counted)
    for trial, study in connection.execute(_ended(connection.dialect.name), {"ids": bound}):
        ended[study].add(trial)
    new = {i: ended[i] - each.trials for i, each in counted.items()}
    found = _reports(connection, (trial for trials in new.values() for trial in trials))
    return {
        i: _Counted(
            each.begun, frozenset(ended[i]), each.epochs + sum(map(found.__getitem__, new[i]))
        )
        for i, each in counted.items()
    }


def _reports(connection: Connection, trials: Iterable[int]) -> Counter[int]:
    """How many each of these trials has."""
    bound = sql.numbers(connection.dialect.name, trials)
    found = connection.execute(_counts(connection.dialect.name), {"ids": bound})
    return Counter({int(trial): int(count) for trial, count in found})


@cache
def _ended(dialect: str) -> Select[Any]:
    mine = sql.within(dialect, _STUDY, "ids")
    return select(_TRIAL, _STUDY).where(mine, _STATE.in_(OVER))


@cache
def _counts(dialect: str) -> Select[Any]:
    trial = rows.REPORTS.c.trial_id
    return select(trial, func.count()).where(sql.within(dialect, trial, "ids")).group_by(trial)
