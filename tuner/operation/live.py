"""Whether workers are at a study."""

from __future__ import annotations

from optuna.trial import TrialState
from sqlalchemy import Connection, select

from tuner.storage import rows, schema, sql


def live(connection: Connection, study_id: int) -> int:
    """How many trials of a study a worker is at."""
    held, trials = schema.leases, rows.TRIALS
    found = select(held.c.trial_id).join(trials, trials.c.trial_id == held.c.trial_id)
    mine = held.c.study_id == study_id, trials.c.state == TrialState.RUNNING
    now = sql.now(connection.dialect.name)
    return len(connection.execute(found.where(*mine, held.c.expires > now)).all())
