"""The job of a worker on a study: its data, its row, its seeds and its trainings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from optuna.trial import FrozenTrial

from tuner.data import DataSet, DataSpec, load
from tuner.errors import DataError
from tuner.metrics import Metric
from tuner.seeds import derive
from tuner.space import Config
from tuner.study import Study
from tuner.study.objective import ObjectiveStudy
from tuner.training.folds import training
from tuner.training.outcome import left_out, outcome
from tuner.training.trainer import Course

# The job: a study with its data, its row in the database and its seeds.


DIVISION = "division"
"""In a record of rows, the rule by which they are divided."""


def check_rows(study: Study, data: DataSet, known: Mapping[str, Any] | None) -> None:
    """Raises DataError where the rows are others than those of a record; without one they are not.

    Args:
        known: as ``Job.record`` gives it.
    """
    if known is None or data.identity is None:
        return
    differs = data.identity.differs(known)
    if differs:
        raise DataError(
            f"the data differs from what the study began with: {differs}",
            where=f"{study.name}: {data.identity.where}",
            hint="restore the data, or start a new study: give the study file another name",
        )


@dataclass(frozen=True)
class Measure:
    """The value of a user's objective."""

    name: str
    direction: str


@dataclass(frozen=True)
class ObjectiveJob:
    """The job of a worker on a study of a user's objective."""

    study: ObjectiveStudy
    study_id: int

    @property
    def metric(self) -> Measure:
        return Measure(str(self.study.metric), self.study.direction)

    def seed(self, number: int) -> int:
        """As for a ``Job``; the objective may use it."""
        return seed(self.study, number)


@dataclass(frozen=True)
class Job:
    """What a worker needs to train a study's trials; prepared once and shared.

    Args:
        data: the baseline's.
        variants: the data by ``preprocessing``, where the study searches it.
    """

    study: Study
    study_id: int
    data: DataSet
    metric: Metric
    variants: Mapping[str, DataSet] = field(default_factory=dict)

    @property
    def spec(self) -> DataSpec:
        """What the study says of its data."""
        assert self.study.data is not None
        return self.study.data

    def data_for(self, config: Config) -> DataSet:
        """The data of a configuration: that of its ``preprocessing``."""
        return self.variants.get(config.get("preprocessing", ""), self.data)

    def to(self, device: torch.device | str) -> Job:
        """The same job with its data on a device."""
        moved = {name: data.to(device) for name, data in self.variants.items()}
        job = replace(self, data=self.data.to(device), variants=moved)
        if "finals" in vars(self):  # read already, which is not to be done twice
            vars(job)["finals"] = {name: data.to(device) for name, data in self.finals.items()}
        return job

    @cached_property
    def finals(self) -> Mapping[str, DataSet]:
        """All rows of the search to train on, and the test rows in place of those for validation,
        by ``preprocessing``.

        Raises:
            DataError: there are no test rows, or the rows are others than those of ``data``.
        """
        variants, folder = self.study.data_variants(), self.study.folder
        found = {name: load(spec, folder=folder, final=True) for name, spec in variants.items()}
        for data in found.values():
            check_rows(self.study, data, self.record)
        return found

    @property
    def record(self) -> dict[str, Any] | None:
        """What identifies the rows, for a database; none where they came from no source."""
        identity = self.data.identity
        return None if identity is None else {**identity.record(), DIVISION: self.spec.division}

    def seed(self, number: int) -> int:
        """A trial's seed, 32 bits so that every dashboard shows it exactly."""
        return seed(self.study, number)


AnyJob = Job | ObjectiveJob


def seed(study: Study, number: int) -> int:
    return derive(study.search.seed, number) % 2**32


# The course of a trial: of a sampled configuration, or of a known one.


REPLICA = "replica"
"""The attribute of a trial that trains a known configuration again, for confirm and ablate."""
OUTCOME = "outcome"
"""The attribute of a replica on the test rows that says how its predictions fall out."""


def course_of(job: Job, trial: FrozenTrial, device: torch.device | str) -> Course:
    """What trains the trial: its configuration with its seed, and what makes it a replica."""
    replica = _replica(trial)
    seed = seed_of(job, trial)
    config = {**job.study.config(trial.params), **replica.get("override", {})}
    final = replica.get("final")
    data = job.finals[config["preprocessing"]] if final else job.data_for(config)
    return training(config, data, job.metric, seed, device)


def seed_of(job: Job, trial: FrozenTrial) -> int:
    """The seed that a trial was trained with; of another program's that says none, its own."""
    seed = trial.user_attrs.get("seed")
    return seed if isinstance(seed, int) and seed >= 0 else job.seed(trial.number)


def last_epoch(trial: FrozenTrial) -> float:
    """After which epoch a replica ends; the schedule of its learning rate goes on as it was."""
    return _replica(trial).get("stop_after") or math.inf


def replica_facts(course: Course | None, trial: FrozenTrial) -> dict[str, Any]:
    """The metric without each of some groups of rows, by which its interval is known; and of the
    test rows, which nothing else reads, how the predictions fall out."""
    replica = _replica(trial)
    if course is None or not course.past or not replica:
        return {}
    facts: dict[str, Any] = {"left_out": left_out(course)}
    if replica.get("final"):
        [trainer] = course.parts  # the test rows have no folds
        facts[OUTCOME] = outcome(trainer)
    return facts


def _replica(trial: FrozenTrial) -> Mapping[str, Any]:
    return trial.user_attrs.get(REPLICA) or {}


def repeated(trials: list[FrozenTrial], number: int) -> FrozenTrial | None:
    """A replica that failed, to be trained again by the trial of this number; none if none did."""
    failed = [t for t in trials if t.state.name == "FAIL" and REPLICA in t.user_attrs]
    return failed[number % len(failed)] if failed else None
