"""What the metrics count, straight from the database: one statement each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from optuna.study import StudyDirection
from optuna.trial import TrialState
from sqlalchemy import Connection, func, select

from tuner.storage import events, progress, rows, schema, studies
from tuner.storage.claiming import LEASE_SECONDS

FOREIGN = "foreign"
"""The state of a study that other programs made."""


@dataclass(frozen=True)
class Counts:
    """The state of a database at a moment.

    Attributes:
        studies: how many there are, by state.
        trials: how many there are, by study and state.
        epochs: reported intermediate values by study.
        best: the best value of a complete trial by study, of those with one objective.
        workers: registered ones that renewed within the length of a lease.
        lost: leases that ran out and were taken over by another worker, by study.
        waited: seconds that workers waited for the database, together, in the last 30 days.
    """

    studies: Mapping[str, int]
    trials: Mapping[tuple[str, str], int]
    epochs: Mapping[str, int]
    best: Mapping[str, float]
    workers: int
    lost: Mapping[str, int]
    waited: float


def read(connection: Connection) -> Counts:
    """Count everything; seven statements, however much there is."""
    return Counts(
        studies=_studies(connection),
        trials=_trials(connection),
        epochs=_epochs(connection),
        best=_best(connection),
        workers=sum(each.age <= LEASE_SECONDS for each in progress.workers(connection)),
        lost=_lost(connection),
        waited=_waited(connection),
    )


_ID, _NAME = studies.STUDIES.c.study_id, studies.STUDIES.c.study_name
_OF_STUDY = studies.STUDIES.join(rows.TRIALS, rows.TRIALS.c.study_id == _ID)


def _studies(connection: Connection) -> dict[str, int]:
    ours = studies.STUDIES.outerjoin(schema.studies, schema.studies.c.study_id == _ID)
    state = func.coalesce(schema.studies.c.state, FOREIGN)
    found = connection.execute(select(state, func.count()).select_from(ours).group_by(state))
    return {str(name): int(n) for name, n in found}


def _trials(connection: Connection) -> dict[tuple[str, str], int]:
    state = rows.TRIALS.c.state
    grouped = select(_NAME, state, func.count()).select_from(_OF_STUDY).group_by(_NAME, state)
    found = {(name, kind.name): int(n) for name, kind, n in connection.execute(grouped)}
    names = {name for name, _ in found}
    # A state that no trial is in is 0, not absent: an alert can be written for it.
    return {
        (name, state.name.lower()): found.get((name, state.name), 0)
        for name in sorted(names)
        for state in TrialState
    }


def _epochs(connection: Connection) -> dict[str, int]:
    of_trial = rows.REPORTS.c.trial_id == rows.TRIALS.c.trial_id
    joined = _OF_STUDY.join(rows.REPORTS, of_trial)
    found = select(_NAME, func.count()).select_from(joined).group_by(_NAME)
    return {name: int(n) for name, n in connection.execute(found)}


def _best(connection: Connection) -> dict[str, float]:
    toward, value = studies.DIRECTIONS, rows.VALUES
    joined = _OF_STUDY.join(value, value.c.trial_id == rows.TRIALS.c.trial_id)
    joined = joined.join(toward, toward.c.study_id == _ID)
    found = (
        select(
            _NAME, func.max(toward.c.direction), func.min(value.c.value), func.max(value.c.value)
        )
        .select_from(joined)
        .where(rows.TRIALS.c.state == TrialState.COMPLETE, value.c.value.is_not(None))
        .group_by(_NAME)
        .having(func.max(toward.c.objective) == 0)
    )
    return {
        name: float(high if direction == StudyDirection.MAXIMIZE else low)
        for name, direction, low, high in connection.execute(found)
    }


def _lost(connection: Connection) -> dict[str, int]:
    told = schema.events.c
    lost = (told.study_id == _ID) & (told.kind == events.LOST)
    joined = studies.STUDIES.outerjoin(schema.events, lost)
    found = select(_NAME, func.count(told.event_id)).select_from(joined).group_by(_NAME)
    return {name: int(n) for name, n in connection.execute(found)}


def _waited(connection: Connection) -> float:
    told = schema.events.c
    found = select(told.detail).where(told.study_id.is_(None), told.kind == events.OUTAGE)
    return sum((float(json.loads(each)["seconds"]) for each in connection.scalars(found)), 0.0)
