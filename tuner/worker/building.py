"""The trainer of a trial: an ordinary one, or a known configuration once more."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from optuna.trial import FrozenTrial

from tuner.training.folds import Folds, training
from tuner.training.groups import left_out
from tuner.training.outcome import outcome
from tuner.training.plain import Trainer
from tuner.worker.job import Job

REPLICA = "replica"
"""The attribute of a trial that trains a known configuration again, for confirm and ablate."""
OUTCOME = "outcome"
"""The attribute of a replica on the test rows that says how its predictions fall out."""


def build_trainer(job: Job, trial: FrozenTrial, device: torch.device | str) -> Trainer | Folds:
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


def replica_facts(trainer: Trainer | Folds | None, trial: FrozenTrial) -> dict[str, Any]:
    """The metric without each of some groups of rows, by which its interval is known; and of the
    test rows, which nothing else reads, how the predictions fall out."""
    replica = _replica(trial)
    if trainer is None or not trainer.past or not replica:
        return {}
    final: dict[str, Any] = {}
    if replica.get("final") and isinstance(trainer, Trainer):  # the test rows have no folds
        final[OUTCOME] = outcome(trainer)
    return {"left_out": left_out(trainer), **final}


def _replica(trial: FrozenTrial) -> Mapping[str, Any]:
    return trial.user_attrs.get(REPLICA) or {}


def repeated(trials: list[FrozenTrial], number: int) -> FrozenTrial | None:
    """A replica that failed, to be trained again by the trial of this number; none if none did."""
    failed = [t for t in trials if t.state.name == "FAIL" and REPLICA in t.user_attrs]
    return failed[number % len(failed)] if failed else None
