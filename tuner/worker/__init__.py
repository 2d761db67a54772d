"""A worker: lease a trial, train it, report and prune, tell the result; until nothing is left."""

from tuner.worker.job import Job
from tuner.worker.loop import Worker

__all__ = ["Job", "Worker"]
