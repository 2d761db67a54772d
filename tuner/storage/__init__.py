"""Stores trials in Optuna's schema on SQLite or PostgreSQL, shared by many workers."""

from tuner.hidden import redact
from tuner.storage.artifacts import Artifacts, artifact_store
from tuner.storage.database import OutageError
from tuner.storage.lease import FINISHED, OPEN, PAUSED, STOPPED, Lease, Propose, Update
from tuner.storage.outbox import Outbox
from tuner.storage.status import OpenStudy, Progress, WorkerRow
from tuner.storage.storage import (
    Storage,
    metric_and_direction,
    open_existing,
    open_storage,
    opened,
)

__all__ = [
    "FINISHED",
    "OPEN",
    "PAUSED",
    "STOPPED",
    "Artifacts",
    "Lease",
    "OpenStudy",
    "OutageError",
    "Outbox",
    "Progress",
    "Propose",
    "Storage",
    "Update",
    "WorkerRow",
    "artifact_store",
    "metric_and_direction",
    "open_existing",
    "open_storage",
    "opened",
    "redact",
]
