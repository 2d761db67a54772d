"""Writes events of studies, trials and workers, in the transaction of the change."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cache
from typing import Any

from sqlalchemy import Connection, bindparam, insert

from tuner.storage import schema, sql
from tuner.storage.lease import OPEN, PAUSED, STOPPED, Update
from tuner.storage.sql import Put

SUBMITTED, BUDGET, COPIED, ADOPTED = "submitted", "budget", "copied", "adopted"
CLAIMED, LOST, RELEASED, ENDED = "claimed", "lost", "released", "ended"
STARTED, LEFT, OUTAGE = "started", "left", "outage"
OF_STATE = {OPEN: "resumed", PAUSED: "paused", STOPPED: "stopped"}
KINDS = (
    *(SUBMITTED, BUDGET, COPIED, ADOPTED),
    *(CLAIMED, LOST, RELEASED, ENDED, STARTED, LEFT, OUTAGE),
)
"""And those of ``OF_STATE``. ADOPTED: what identifies its rows was kept when it had trials already.
LOST names the earlier holder as its worker and the next in `by`;
OUTAGE has the `seconds` that the database did not answer a worker, told once it did again."""

Row = dict[str, Any]
_ERROR_LETTERS = 300
KEPT_SECONDS = 30 * 86400.0
"""Events of a study are kept while it is; those that concern a worker alone for so long."""


def row(
    kind: str,
    study_id: int | None = None,
    trial_id: int | None = None,
    worker: str = "",
    **detail: Any,
) -> Row:
    """An event without its time; `detail` has to be JSON."""
    made = {"study_id": study_id, "trial_id": trial_id, "worker": worker, "kind": kind}
    return made | {"detail": json.dumps(detail) if detail else ""}


def put(now: float, *found: Row) -> Put:
    """Rows to be written with others, at a time of the database's clock."""
    return Put(schema.events, (), [{"time": now, **each} for each in found], replace=False)


def add(connection: Connection, *found: Row) -> None:
    """Write rows with the database's time."""
    if found:
        connection.execute(_insert(connection.dialect.name), found)


@cache
def _insert(dialect: str) -> Any:
    names = ("study_id", "trial_id", "worker", "kind", "detail")
    bound: dict[str, Any] = {name: bindparam(name) for name in names}
    return insert(schema.events).values(time=sql.now(dialect), **bound)


def ended(updates: Mapping[int, Update]) -> list[Row]:
    """The ends that are among updates, by trial id."""
    found = ((i, update) for i, update in updates.items() if update.state is not None)
    return [
        row(ENDED, u.lease.study_id, i, u.lease.holder, **_outcome(u.state, u.value, u.user_attrs))
        for i, u in found
    ]


def _outcome(state: Any, value: float | None, attrs: Mapping[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {"state": state.name.lower()}
    if value is not None and math.isfinite(value):
        told["value"] = value
    if "ended" in attrs:
        told["why"] = attrs["ended"]
    if "error" in attrs:
        told["error"] = str(attrs["error"])[:_ERROR_LETTERS]
    return told


def begun(study_id: int, trial: Any, holder: str) -> Row:
    """A trial that was handed out, or was finished as it was proposed; its id comes later."""
    if not trial.state.is_finished():
        return row(CLAIMED, study_id, worker=holder)
    value = trial.values[0] if trial.values else None
    told = _outcome(trial.state, value, trial.user_attrs)
    return row(ENDED, study_id, worker=holder, **told)


def taken_over(study_id: int, trial_id: int, earlier: str, holder: str) -> list[Row]:
    """A trial goes on; `earlier` is empty if it was given back."""
    claimed = row(CLAIMED, study_id, trial_id, holder, resumed=True)
    return [row(LOST, study_id, trial_id, earlier, by=holder), claimed] if earlier else [claimed]


def forget_workers(connection: Connection, now: float) -> None:
    """Remove what concerns workers alone and is too old."""
    told = schema.events
    old = told.c.study_id.is_(None) & (told.c.time < now - KEPT_SECONDS)
    connection.execute(told.delete().where(old))
