"""Whom a worker tells how a study gets on, so that people see it."""

from __future__ import annotations

from typing import Protocol

from tuner.worker.job import AnyJob


class Milestones(Protocol):
    """Brings what people see of a study up to date; what goes wrong is no trial's business."""

    def __call__(self, job: AnyJob) -> None:
        """Work on the study begins, or a trial of it ended."""

    def finish(self, job: AnyJob) -> None:
        """The study ends, or this run of it."""


class Unseen:
    """Tells nobody."""

    def __call__(self, job: AnyJob) -> None:
        pass

    def finish(self, job: AnyJob) -> None:
        pass
