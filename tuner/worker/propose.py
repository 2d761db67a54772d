"""Proposes the next trial: its parameters, prescribed or those of the sampler, and its epochs."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, TrialState

from tuner.errors import TrainingError
from tuner.metrics import sign_of
from tuner.search.by_number import SearchGrid, countable
from tuner.search.overlay import Overlay
from tuner.search.promote import CONTINUES, Promotion, last_epoch, promotion
from tuner.search.propose import propose
from tuner.search.samplers import SAMPLERS, build_sampler, derived_seed
from tuner.search.tpe import Past
from tuner.space import Prescribed, check_names, walk, with_switches
from tuner.storage.claims import fixed as fixed_of
from tuner.storage.lease import ExhaustedError, Rule
from tuner.storage.rows import blank
from tuner.storage.studies import REPLICATES
from tuner.study import NetworkStudy
from tuner.study.trials import DUPLICATE, TOO_LARGE, Own, prescribed, tried
from tuner.worker.job import REPLICA, NetworkJob, repeated
from tuner.worker.overdue import REFUSED
from tuner.worker.run import Clock, ending_facts, repeated_facts

# When the trials of a study pause, and which go on.


@dataclass(frozen=True)
class Segments:
    """The rule by which a study's trials train in segments, from one pause to the next.

    The baseline and the configurations that the study enqueues never pause, unless a budget in
    epochs is spent: they are known to be worth a whole training.

    Args:
        promotion: None if trials pause only where the epochs of a budget are spent.
    """

    study: NetworkStudy
    promotion: Promotion | None

    @property
    def pauses(self) -> bool:
        return self.promotion is not None and bool(self.promotion.rungs)

    def target(self, trial: FrozenTrial) -> int:
        whole = int(self.study.config(trial.params)["epochs"])
        if self.promotion is None or trial.params in prescribed(self.study):
            return whole
        pause = self.promotion.pause_at(last_epoch(trial))
        return min(whole, pause) if pause < self.promotion.epochs else whole

    def choice(
        self, trials: Sequence[FrozenTrial], paused: Container[int], new: bool
    ) -> int | None:
        """A trial that the end of a budget cut short, else that of the promotion."""
        cut = (each.number for each in trials if each.number in paused and self._was_cut(each))
        number = next(cut, None)
        if number is not None or self.promotion is None:
            return number
        return self.promotion.choice(trials, paused, new)

    def _was_cut(self, trial: FrozenTrial) -> bool:
        """Whether a paused trial has not come to the end of a segment."""
        before = copy(trial)
        last = last_epoch(trial)
        before.intermediate_values = dict.fromkeys(range(1, last), 0.0)
        return self.target(before) != last

    def continued(self, trial: FrozenTrial, number: int) -> FrozenTrial:
        new = blank(number)
        new.params, new.distributions = dict(trial.params), dict(trial.distributions)
        new.intermediate_values = dict(trial.intermediate_values)
        new.user_attrs = {"seed": trial.user_attrs["seed"], CONTINUES: trial.number}
        return new


# The next trial.


REDRAWS = 50
"""How often another configuration is drawn in place of one that does not fit into memory."""


class Proposer:
    """Makes the trial of a number; a storage's ``claim`` calls it.

    A configuration that the study has finished already is not trained again: its trial is finished
    at once, with the same reports and value. An enqueued trial with values outside the search space
    is recorded as failed.

    Args:
        view: the study's own trials.
        own: decides which trials those are.
    """

    def __init__(
        self,
        view: Overlay,
        own: Own,
        job: NetworkJob,
        pruner: BasePruner,
        clock: Clock,
        worker: str,
        device: torch.device,
    ) -> None:
        self.worker, self.device = worker, device
        self.view, self.own, self.job, self.pruner, self.clock = view, own, job, pruner, clock
        self.name, self.options = job.study.search.sampler
        self.past = Past()
        self.grid: SearchGrid | None = None
        self.finite: SearchGrid | None = None
        if self.name == "grid":
            self.grid = SearchGrid(job.study.nodes, derived_seed(job.study.search.seed, None))
        self.prescribed = self.exhausted = False
        self.replicates = REPLICATES in view.get_study_user_attrs(job.study_id)
        once = SAMPLERS[self.name].once and not self.replicates
        if self.grid is None and once and countable(job.study.nodes):
            self.finite = SearchGrid(job.study.nodes, 0)
        self.ahead = dict(enumerate(prescribed(job.study)))
        self.rule = None if self.replicates else self._segments()
        self.known: dict[frozenset[tuple[str, Any]], FrozenTrial] = {}
        self.seen: set[int] = set()

    def _segments(self) -> Rule:
        study, direction = self.job.study, self.job.metric.direction
        name, options = study.search.pruner
        return Segments(study, promotion(name, options, study.max_epochs, -sign_of(direction)))

    @property
    def learns(self) -> bool:
        """Whether the last proposal may be given another number."""
        return SAMPLERS[self.name].learns and not self.prescribed

    @property
    def covers(self) -> bool:
        """Whether each trial gets a configuration that no other trial has."""
        return self.grid is not None

    def __call__(self, number: int, fixed: Mapping[str, Any] | None) -> FrozenTrial:
        with self.clock.measure("sampler"):
            try:
                trial = self._propose(number, fixed)
            except TrainingError as error:
                if fixed is None:
                    raise
                return self._refused(number, fixed, error)
            return trial if self.job.study.search.duplicates else self._with_known_result(trial)

    def renumber(self, trial: FrozenTrial, number: int) -> FrozenTrial:
        """The same parameters under another number, with the seed of that number; others where a
        trial has them meanwhile: whoever asks at one time for one number gets the same."""
        if DUPLICATE in trial.user_attrs:
            return trial
        if any(each.params == trial.params for each in self._trials()):
            return self(number, None)
        trial.set_user_attr("seed", self.job.seed(number))
        return trial

    def _check_left(self) -> None:
        """Raises ExhaustedError where the sampler can only repeat a configuration."""
        if self.finite is not None and not self.job.study.search.duplicates:
            self.exhausted = len(tried(self.own, self.finite, self._trials())) >= self.finite.size
            if self.exhausted:
                raise ExhaustedError

    def _propose(self, number: int, fixed: Mapping[str, Any] | None) -> FrozenTrial:
        study = self.job.study
        again = self._failed_replica(number) if fixed is None else None
        asked = (
            self._prescribed_params(number) if fixed is None else with_switches(study.nodes, fixed)
        )
        attrs = {"seed": self.job.seed(number)}
        if again is not None:
            asked = fixed_of(again)
            attrs = {key: again.user_attrs[key] for key in ("seed", REPLICA)}
        point: Mapping[str, Any] = {}
        if self.grid is not None:
            asked, point = self._point(self.grid, asked, queued=fixed is not None)
        elif asked is None:
            self._check_left()
        self.prescribed = fixed is None and asked is not None
        trial = self._sampled(number, asked, attrs, point)
        if asked is None and not point:
            return self._smaller(trial, attrs)
        return trial

    def _sampled(
        self,
        number: int,
        asked: dict[str, Any] | None,
        attrs: Mapping[str, Any],
        point: Mapping[str, Any] = MappingProxyType({}),
        attempt: int = 0,
    ) -> FrozenTrial:
        """The sampler's trial; from the second attempt on, a random one."""
        study = self.job.study
        sampler = build_sampler(
            "random" if attempt else self.name,
            {} if attempt else self.options,
            seed=study.search.seed + attempt,
            number=number,
            point=point,
            past=self.past,
            nodes=study.nodes,
        )
        return propose(
            self.view,
            study.name,
            sampler,
            self.pruner,
            number,
            lambda suggest: study.sample(Prescribed(study.nodes, asked or {}, suggest)),
            fixed=asked,
            user_attrs=attrs,
        )

    def _smaller(self, trial: FrozenTrial, attrs: Mapping[str, Any]) -> FrozenTrial:
        """The trial, or a random one where its size is known not to fit into memory."""
        failed = [each.params for each in self._trials() if each.user_attrs.get(TOO_LARGE)]
        for attempt in range(1, REDRAWS + 1 if failed else 0):
            if not any(self._as_large(trial.params, params) for params in failed):
                break
            trial = self._sampled(trial.number, None, attrs, attempt=attempt)
        return trial

    def _as_large(self, params: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
        """Whether a configuration takes no less memory than another: the same shape, and no number
        of it smaller."""
        for node in walk(self.job.study.nodes):
            if node.leaf.static and node.searched:
                one, two = params.get(node.name), other.get(node.name)
                numbers = all(isinstance(v, int | float) for v in (one, two))
                if one < two if numbers else one != two:  # type: ignore[operator]
                    return False
        return True

    def _point(
        self, grid: SearchGrid, asked: dict[str, Any] | None, queued: bool
    ) -> tuple[dict[str, Any] | None, Mapping[str, Any]]:
        """The prescribed parameters, unless they were tried already, and the grid's point.

        Raises:
            ExhaustedError: every configuration was tried.
        """
        counts = tried(self.own, grid, self._trials())
        if queued:
            check_names(self.job.study.nodes, asked or {})
            return asked, grid.fitting(counts, asked or {})
        self.exhausted = False
        if asked is not None and not counts[grid.place(asked)]:
            return asked, {}
        point = grid.next(counts, again=self.job.study.search.duplicates)
        if point is None:
            self.exhausted = True
            raise ExhaustedError
        return None, point

    def _prescribed_params(self, number: int) -> dict[str, Any] | None:
        """The parameters that the study prescribes for a number, or for an earlier number that
        another program's trial took."""
        asked = self.job.study.fixed_params(number)
        if asked is not None or self.replicates or not self.ahead:
            return asked
        trials = self.view.everything(self.job.study_id)
        there = {trial.number: trial.params for trial in trials}
        if len(there) < number:
            return None  # a trial that is not read yet may have them: the next proposal knows
        known = list(there.values())
        self.ahead = {i: params for i, params in self.ahead.items() if params not in known}
        # A number without a trial was just taken by another worker.
        return next((params for i, params in self.ahead.items() if i in there), None)

    def _failed_replica(self, number: int) -> FrozenTrial | None:
        """A failed replica to train again, if this is a study of replicas."""
        return repeated(self._trials(), number) if self.replicates else None

    def _trials(self) -> list[FrozenTrial]:
        return self.view.get_all_trials(self.job.study_id, deepcopy=False)

    def _refused(self, number: int, fixed: Mapping[str, Any], error: TrainingError) -> FrozenTrial:
        """A trial that was enqueued with values outside the search space."""
        trial = blank(number)
        trial.state = TrialState.FAIL
        trial.system_attrs = {"fixed_params": dict(fixed)}
        message = f"queued with what the study does not search: {error}"
        facts = ending_facts(REFUSED, 0.0, self.worker, self.device)
        trial.user_attrs = {**facts, "seed": self.job.seed(number), "error": message}
        return trial

    def _with_known_result(self, trial: FrozenTrial) -> FrozenTrial:
        """The trial, with the result of a finished one with the same parameters, if there is one.

        A trial of another program without a seed does not count: it was not trained by this study.
        """
        # Not as the sampler sees them: to it a paused trial has ended.
        for each in self.own(self.view.everything(self.job.study_id)):
            if each.number not in self.seen and each.state.is_finished():
                self.seen.add(each.number)
                if each.state != TrialState.FAIL and isinstance(each.user_attrs.get("seed"), int):
                    self.known.setdefault(_key(each), each)
        first = self.known.get(_key(trial))
        if first is None:
            return trial
        trial.state, trial.values = first.state, first.values
        trial.intermediate_values = dict(first.intermediate_values)
        number = first.user_attrs.get(DUPLICATE, first.number)
        trial.set_user_attr(DUPLICATE, number)
        trial.set_user_attr("seed", first.user_attrs["seed"])
        for key, value in repeated_facts(first, number, self.worker, self.device).items():
            trial.set_user_attr(key, value)
        return trial


def _key(trial: FrozenTrial) -> frozenset[tuple[str, Any]]:
    return frozenset(trial.params.items())
