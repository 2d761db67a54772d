"""The next trial's parameters: prescribed by the study, or by its sampler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from optuna.pruners import BasePruner
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from tuner.sampling import grid
from tuner.search.propose import propose
from tuner.search.samplers import SAMPLERS, build_sampler
from tuner.search.tpe import Past
from tuner.storage.studies import REPLICATES
from tuner.worker.building import REPLICA, repeated
from tuner.worker.clock import Clock
from tuner.worker.facts import repeated_facts
from tuner.worker.job import Job

DUPLICATE = "duplicate_of"


class Proposer:
    """Makes the trial of a number; what a storage's ``claim`` calls.

    A configuration that the study has finished already is not trained again: its trial is told at
    once, with the same reports and the same value.
    """

    def __init__(
        self,
        storage: BaseStorage,
        job: Job,
        pruner: BasePruner,
        clock: Clock,
        worker: str,
        device: torch.device,
    ) -> None:
        self.worker, self.device = worker, device
        self.storage, self.job, self.pruner, self.clock = storage, job, pruner, clock
        self.name, self.options = job.study.search.sampler
        self.past = Past()
        self.grid = grid(job.study.nodes) if self.name == "grid" else None
        self.prescribed = False
        self.replicates = REPLICATES in storage.get_study_user_attrs(job.study_id)
        self.known: dict[frozenset[tuple[str, Any]], FrozenTrial] = {}
        self.seen: set[int] = set()

    @property
    def learns(self) -> bool:
        """Whether the last proposal may be given another number."""
        return SAMPLERS[self.name].learns and not self.prescribed

    def __call__(self, number: int, fixed: Mapping[str, Any] | None) -> FrozenTrial:
        with self.clock.measure("sampler"):
            trial = self._propose(number, fixed)
            return trial if self.job.study.search.duplicates else self._told(trial)

    def renumber(self, trial: FrozenTrial, number: int) -> FrozenTrial:
        """The same parameters under another number, whose seed is another one."""
        if DUPLICATE not in trial.user_attrs:
            trial.set_user_attr("seed", self.job.seed(number))
        return trial

    def _propose(self, number: int, fixed: Mapping[str, Any] | None) -> FrozenTrial:
        study = self.job.study
        again = self._again(number) if fixed is None else None
        asked = study.fixed_params(number) if fixed is None else dict(fixed)
        attrs = {"seed": self.job.seed(number)}
        if again is not None:
            asked = again.params
            attrs = {key: again.user_attrs[key] for key in ("seed", REPLICA)}
        self.prescribed = fixed is None and asked is not None
        sampler = build_sampler(
            self.name,
            self.options,
            seed=study.search.seed,
            number=number,
            grid=self.grid,
            past=self.past,
        )
        return propose(
            self.storage,
            study.name,
            sampler,
            self.pruner,
            number,
            study.sample,
            fixed=asked,
            user_attrs=attrs,
        )

    def _again(self, number: int) -> FrozenTrial | None:
        """A study of replicas has no other trials than these."""
        if not self.replicates:
            return None
        return repeated(self.storage.get_all_trials(self.job.study_id, deepcopy=False), number)

    def _told(self, trial: FrozenTrial) -> FrozenTrial:
        """The trial, with the result of the finished one that has its parameters."""
        for each in self.storage.get_all_trials(self.job.study_id, deepcopy=False):
            if each.number not in self.seen and each.state.is_finished():
                self.seen.add(each.number)
                if each.state != TrialState.FAIL:
                    self.known.setdefault(_key(each), each)
        first = self.known.get(_key(trial))
        if first is None:
            return trial
        trial.state, trial.values = first.state, first.values
        trial.intermediate_values = dict(first.intermediate_values)
        number = first.user_attrs.get(DUPLICATE, first.number)
        trial.set_user_attr(DUPLICATE, number)
        trial.set_user_attr("seed", first.user_attrs.get("seed"))
        for key, value in repeated_facts(first, number, self.worker, self.device).items():
            trial.set_user_attr(key, value)
        return trial


def _key(trial: FrozenTrial) -> frozenset[tuple[str, Any]]:
    return frozenset(trial.params.items())
