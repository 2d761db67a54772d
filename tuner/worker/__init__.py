"""A worker: lease a trial, train it, report and prune, tell the result; until nothing is left."""

from tuner.worker.job import AnyJob, Job, ObjectiveJob
from tuner.worker.loop import Worker

__all__ = ["AnyJob", "Job", "ObjectiveJob", "Worker"]
