"""What waits to be written about one trial: many updates merged into one."""

from __future__ import annotations

from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import TrialState

from tuner.storage.lease import Update


class Queued:
    """Updates of one lease in the order they came; the later one wins where they differ."""

    def __init__(self, update: Update, now: float) -> None:
        self.lease = update.lease
        self.reports: dict[int, float] = {}
        self.user_attrs: dict[str, Any] = {}
        self.system_attrs: dict[str, Any] = {}
        self.params: dict[str, tuple[float, BaseDistribution]] = {}
        self.artifacts: dict[str, bytes] = {}
        self.checkpoint: bytes | None = None
        self.state: TrialState | None = None
        self.value: float | None = None
        self.since = now
        self.add(update, now)

    def add(self, update: Update, now: float) -> None:
        """Take in a later update; `now` is by the monotonic clock."""
        self.reports.update(update.reports)
        self.user_attrs.update(update.user_attrs)
        self.system_attrs.update(update.system_attrs)
        self.artifacts.update(update.artifacts)
        self.params = {**update.params, **self.params}  # the first stays
        if update.checkpoint is not None:
            self.checkpoint = update.checkpoint
        if update.state is not None:
            self.state, self.value, self.since = update.state, update.value, now - update.age

    @property
    def lasting(self) -> bool:
        """Whether somebody relies on it: work goes on from a checkpoint, and ends with a result."""
        return self.state is not None or self.checkpoint is not None

    def update(self, now: float) -> Update:
        """All of it as one update."""
        return Update(
            lease=self.lease,
            reports=self.reports,
            user_attrs=self.user_attrs,
            system_attrs=self.system_attrs,
            params=self.params,
            artifacts=self.artifacts,
            checkpoint=self.checkpoint,
            state=self.state,
            value=self.value,
            age=0.0 if self.state is None else max(0.0, now - self.since),
        )
