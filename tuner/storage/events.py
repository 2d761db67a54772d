"""Writes events of studies, trials and workers, in the transaction of the change."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cache
from typing import Any

from optuna.trial import TrialState
from sqlalchemy import Connection, bindparam, insert

from tuner.search.propose import ORIGIN
from tuner.storage import schema, sql
from tuner.storage.lease import OPEN, PAUSED, STOPPED, Lease, Update
from tuner.storage.sql import Put

SUBMITTED, BUDGET, COPIED, ADOPTED = "submitted", "budget", "copied", "adopted"
CLAIMED, LOST, RELEASED, ENDED = "claimed", "lost", "released", "ended"
TRIAL_PAUSED = "trial paused"
STARTED, LEFT, OUTAGE = "started", "left", "outage"
OF_STATE = {OPEN: "resumed", PAUSED: "paused", STOPPED: "stopped"}
KINDS = (
    *(SUBMITTED, BUDGET, COPIED, ADOPTED),
    *(CLAIMED, LOST, RELEASED, TRIAL_PAUSED, ENDED, STARTED, LEFT, OUTAGE),
)
"""Kinds of events, with those of ``OF_STATE``. ADOPTED: the rows of a study that had trials already
were recorded as its own. LOST names the earlier holder as its worker, and the next one in `by`.
OUTAGE has the `seconds` that the database did not answer a worker, written when it did again."""

Row = dict[str, Any]
_ERROR_LETTERS = 300
KEPT_SECONDS = 30 * 86400.0
"""How long events of workers alone are kept; those of a study are kept as long as the study."""


def row(
    kind: str,
    study_id: int | None = None,
    trial_id: int | None = None,
    worker: str = "",
    **detail: Any,
) -> Row:
    """An event without its time; the values of `detail` have to be JSON."""
    event = {"study_id": study_id, "trial_id": trial_id, "worker": worker, "kind": kind}
    return event | {"detail": json.dumps(detail) if detail else ""}


def put(now: float, *event_rows: Row) -> Put:
    """Events with a time of the database's clock, to be written together with other rows."""
    return Put(schema.events, (), [{"time": now, **each} for each in event_rows], replace=False)


def add(connection: Connection, *event_rows: Row) -> None:
    """Write events with the database's time."""
    if event_rows:
        connection.execute(_insert(connection.dialect.name), event_rows)


@cache
def _insert(dialect: str) -> Any:
    names = ("study_id", "trial_id", "worker", "kind", "detail")
    bound: dict[str, Any] = {name: bindparam(name) for name in names}
    return insert(schema.events).values(time=sql.now(dialect), **bound)


def ended(updates: Mapping[int, Update]) -> list[Row]:
    """The events of the trials that end with these updates, which are given by trial id."""
    endings = ((i, update) for i, update in updates.items() if update.state is not None)
    return [
        row(ENDED, u.lease.study_id, i, u.lease.holder, **_outcome(u.state, u.value, u.user_attrs))
        for i, u in endings
    ]


def _outcome(state: Any, value: float | None, attrs: Mapping[str, Any]) -> dict[str, Any]:
    detail: dict[str, Any] = {"state": state.name.lower()}
    if value is not None and math.isfinite(value):
        detail["value"] = value
    if "ended" in attrs:
        detail["why"] = attrs["ended"]
    if "error" in attrs:
        detail["error"] = str(attrs["error"])[:_ERROR_LETTERS]
    return detail


def pruned(study_id: int, trial_id: int, value: float | None) -> Row:
    """The event of a paused trial that ends with the budget; its last value may be missing."""
    detail = _outcome(TrialState.PRUNED, value, {"ended": "pruned"})
    return row(ENDED, study_id, trial_id, **detail)


def begun(study_id: int, trial: Any, holder: str) -> Row:
    """The event of a trial that is handed out, or finished as proposed; its id is added later."""
    if not trial.state.is_finished():
        by = trial.system_attrs.get(ORIGIN)
        return row(CLAIMED, study_id, worker=holder, **({} if by is None else {"proposed_by": by}))
    value = trial.values[0] if trial.values else None
    detail = _outcome(trial.state, value, trial.user_attrs)
    return row(ENDED, study_id, worker=holder, **detail)


def taken_over(study_id: int, trial_id: int, earlier: str, holder: str) -> list[Row]:
    """The events of a trial that goes on; `earlier` is empty if its holder gave it back."""
    claimed = row(CLAIMED, study_id, trial_id, holder, resumed=True)
    return [row(LOST, study_id, trial_id, earlier, by=holder), claimed] if earlier else [claimed]


def given_back(lease: Lease, paused: bool) -> Row:
    """The event of a trial that its holder gave back, or paused."""
    kind = TRIAL_PAUSED if paused else RELEASED
    return row(kind, lease.study_id, lease.trial_id, lease.holder)


def forget_workers(connection: Connection, now: float) -> None:
    """Remove old events of workers alone."""
    table = schema.events
    old = table.c.study_id.is_(None) & (table.c.time < now - KEPT_SECONDS)
    connection.execute(table.delete().where(old))
