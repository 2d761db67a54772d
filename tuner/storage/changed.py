"""Rows of trials that have to be read again."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from optuna.trial import TrialState
from sqlalchemy import CompoundSelect, Connection, bindparam, select, true, union_all

from tuner.storage import sql
from tuner.storage.rows import HEAD, TRIALS, Head


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
"""By what is known of a trial, when it has to be read again. One that another worker took over may
be known as finished."""


def read_changed(
    connection: Connection, study_id: int, last: int, unfinished: Iterable[Head]
) -> list[Head]:
    """The trial `last`, those after it, and of the `unfinished` ones those that another state has.

    With a thousand running trials, of which hardly any changed, sending and comparing them all
    took most of a claim's time.
    """
    dialect = connection.dialect.name
    known: dict[str, list[int]] = {name: [] for name in _KNOWN}
    for head in unfinished:
        known["finished" if head.state.is_finished() else head.state.name.lower()].append(
            head.trial_id
        )
    ids = {name: sql.numbers(dialect, found) for name, found in known.items()}
    found = connection.execute(_changed(dialect), {"study_id": study_id, "last": last, **ids})
    return [Head(*row) for row in found.all()]
