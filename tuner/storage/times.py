"""Times: naive UTC in the database, naive local time in trials, as Optuna has it."""

from __future__ import annotations

from datetime import UTC, datetime


def to_local(time: datetime | None) -> datetime | None:
    """Naive UTC, as stored, to naive local time, as Optuna's trials have it."""
    return None if time is None else time.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)


def to_utc(time: datetime | None) -> datetime | None:
    """Naive local time to naive UTC."""
    return None if time is None else time.astimezone(UTC).replace(tzinfo=None)


def from_clock(seconds: float) -> datetime:
    """Seconds of the database's clock to naive UTC."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
