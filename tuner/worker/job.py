"""The job of a worker on a study: its data, row and seeds, and the course that trains a trial."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

from optuna.trial import FrozenTrial

from tuner.data import DataSpec
from tuner.data.spec import DIVISIONS
from tuner.errors import DataError
from tuner.lazy_torch import torch
from tuner.metrics import Metric
from tuner.seeds import derive
from tuner.space import Config
from tuner.storage import Storage
from tuner.storage.studies import ADOPTED
from tuner.study import NetworkStudy, Study, describe
from tuner.study.objective import ObjectiveStudy

if TYPE_CHECKING:
    from tuner.data import DataSet
    from tuner.training.trainer import Course

# The job of a worker on any study.


@dataclass(frozen=True)
class Job(ABC):
    """What a worker needs to run a study's trials; prepared once and shared."""

    study: Study
    study_id: int

    resumes: ClassVar[bool]
    """Whether a trial without a checkpoint keeps the time that its earlier workers spent on it."""

    @property
    @abstractmethod
    def metric(self) -> Metric | Measure:
        """The metric, or the measure of a user's objective, that a trial's value is."""

    @property
    @abstractmethod
    def new_record(self) -> dict[str, Any] | None:
        """The record of the rows that is stored with a new study; None if there is none."""

    @abstractmethod
    def keep_rows(self, storage: Storage) -> Self:
        """Stores the record of the rows with the study, unless it has one; the job with the record.

        Raises:
            DataError: the study has a record of other rows.
        """

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """What ``tuner check`` shows, besides the study's name and metric."""

    def seed(self, number: int) -> int:
        """A trial's seed, 32 bits so that every dashboard shows it exactly."""
        return derive(self.study.search.seed, number) % 2**32


def has_begun(storage: Storage, study_id: int) -> bool:
    """Whether any trial of a study has begun."""
    progress = storage.progress(study_id)
    begun = progress.finished + progress.failed + progress.running
    return begun + len(progress.interrupted) > 0


# The job of a study of tuner's networks.


DIVISION = "division"
"""The key in a record of rows for the rule by which they are divided."""


def check_rows(study: NetworkStudy, data: DataSet, known: Mapping[str, Any] | None) -> None:
    """Raises DataError if the rows differ from those of a record.

    Args:
        known: a record as ``NetworkJob.record`` gives it; without one there is nothing to check.
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
class NetworkJob(Job):
    """The job of a worker on a study of tuner's networks.

    Args:
        data: the baseline's data.
        variants: the data by ``preprocessing``, if the study searches it.
        everything: whether ``finals`` train on the test rows too.
    """

    study: NetworkStudy
    data: DataSet
    variants: Mapping[str, DataSet] = field(default_factory=dict)
    everything: bool = False

    resumes: ClassVar[bool] = True

    @property
    def metric(self) -> Metric:
        return self.study.metric_for(self.data.target)

    @property
    def spec(self) -> DataSpec:
        """The study's specification of its data."""
        return self.study.data

    def data_for(self, config: Config) -> DataSet:
        """The data of a configuration: that of its ``preprocessing``."""
        return self.variants.get(config.get("preprocessing", ""), self.data)

    def to(self, device: torch.device | str) -> NetworkJob:
        """The same job with its data on a device."""
        moved = {name: data.to(device) for name, data in self.variants.items()}
        job = replace(self, data=self.data.to(device), variants=moved)
        if "finals" in vars(self):  # they were read already, and are not read twice
            vars(job)["finals"] = {name: data.to(device) for name, data in self.finals.items()}
        return job

    def replicating(self, study: NetworkStudy, study_id: int, *, finals: bool) -> NetworkJob:
        """The same job for a study of replicas.

        Args:
            finals: read their data now, if they are not read yet, so that workers share them.
        """
        job = replace(self, study=study, study_id=study_id)
        if finals:
            vars(job)["finals"] = self.finals
        return job

    @cached_property
    def finals(self) -> Mapping[str, DataSet]:
        """By ``preprocessing``, data sets that train on all rows of the search, or on everything,
        and validate on the test rows.

        Raises:
            DataError: there are no test rows, or the rows differ from those of ``data``.
        """
        from tuner.data import load

        variants, folder = self.study.data_variants(), self.study.folder
        data_sets = {
            name: load(spec, folder=folder, final=True, everything=self.everything)
            for name, spec in variants.items()
        }
        for data in data_sets.values():
            check_rows(self.study, data, self.record)
        device = self.data.train.y.device  # once, not for each replica
        return {name: data.to(device) for name, data in data_sets.items()}

    @property
    def record(self) -> dict[str, Any] | None:
        """The record that identifies the rows; None if they have no source."""
        identity = self.data.identity
        return None if identity is None else {**identity.record(), DIVISION: self.spec.division}

    @property
    def new_record(self) -> dict[str, Any] | None:
        return self.record if self.spec.division == DIVISIONS[-1] else None

    def keep_rows(self, storage: Storage) -> NetworkJob:
        if self.study.row_record is not None or self.record is None:
            return self
        adopted = {ADOPTED: True} if has_begun(storage, self.study_id) else {}
        record = storage.keep_data(self.study_id, {**self.record, **adopted})
        check_rows(self.study, self.data, record)
        return replace(self, study=replace(self.study, row_record=record))

    def describe(self) -> dict[str, Any]:
        from tuner.training.trainer import recording

        return {
            "data": describe.data_set(self.data, self.metric),
            "extent": describe.extent(self.study),
            "leaves": describe.leaves(self.study),
            "recording": recording(self.study, self.data, self.metric),
        }


# The job of a worker on a study of a user's objective, which reads its data itself.


@dataclass(frozen=True)
class Measure:
    """The value of a user's objective."""

    name: str
    direction: str


@dataclass(frozen=True)
class ObjectiveJob(Job):
    """The job of a worker on a study of a user's objective, which may use the seed of a trial."""

    study: ObjectiveStudy

    resumes: ClassVar[bool] = False

    @property
    def metric(self) -> Measure:
        return Measure(self.study.metric, self.study.direction)

    @property
    def new_record(self) -> None:
        return None

    def keep_rows(self, storage: Storage) -> ObjectiveJob:
        return self

    def describe(self) -> dict[str, Any]:
        return describe.objective(self.study)


# The training of a trial, and replicas: trials that train a known configuration again.


REPLICA = "replica"
"""The attribute of a trial that trains a known configuration again, for confirm and ablate."""
PREDICTED = "predictions"
"""The key of that attribute that says whether the predictions are kept."""
OUTCOME = "outcome"
"""The attribute of a replica on the test rows that summarizes its predictions."""


def course_of(job: NetworkJob, trial: FrozenTrial, device: torch.device | str) -> Course:
    """The course that trains a trial: its configuration with its seed, changed for a replica."""
    from tuner.training.folds import training

    config = _config_of(job, trial)
    return training(config, data_of(job, trial), job.metric, seed_of(job, trial), device)


def _config_of(job: NetworkJob, trial: FrozenTrial) -> Config:
    return {**job.study.config(trial.params), **_replica(trial).get("override", {})}


def data_of(job: NetworkJob, trial: FrozenTrial) -> DataSet:
    """The data that a trial is trained on."""
    config = _config_of(job, trial)
    if _replica(trial).get("final"):
        return job.finals[config["preprocessing"]]
    return job.data_for(config)


def seed_of(job: NetworkJob, trial: FrozenTrial) -> int:
    """The seed that a trial was trained with; without a valid one, the seed of its number."""
    seed = trial.user_attrs.get("seed")
    return seed if isinstance(seed, int) and seed >= 0 else job.seed(trial.number)


def last_epoch(trial: FrozenTrial) -> float:
    """The last epoch of a replica, whose learning rate keeps its schedule; else infinity."""
    return _replica(trial).get("stop_after") or math.inf


def replica_facts(course: Course | None, trial: FrozenTrial) -> dict[str, Any]:
    """Attributes of a replica: its metric without each of some groups of rows, for a confidence
    interval, and on the test rows the summary of its predictions."""
    from tuner.training.outcome import left_out, outcome

    replica = _replica(trial)
    if course is None or not course.past or not replica:
        return {}
    facts: dict[str, Any] = {"left_out": left_out(course)}
    if replica.get("final"):
        [trainer] = course.parts  # there are no folds with the test rows
        facts[OUTCOME] = outcome(trainer)
    return facts


def keeps_predictions(trial: FrozenTrial) -> bool:
    """Whether the trial is a replica whose predictions are kept."""
    return bool(_replica(trial).get(PREDICTED))


def _replica(trial: FrozenTrial) -> Mapping[str, Any]:
    return trial.user_attrs.get(REPLICA) or {}


def repeated(trials: list[FrozenTrial], number: int) -> FrozenTrial | None:
    """A failed replica for the trial of this number to train again; None if no replica failed."""
    failed = [t for t in trials if t.state.name == "FAIL" and REPLICA in t.user_attrs]
    return failed[number % len(failed)] if failed else None
