"""Optuna's Gaussian process over the joint space of a study.

Optuna's own models the parameters that every trial has, and draws nested ones and those of switches
at random. Here a trial that does not ask for a parameter has the middle of its range, and so does
every point that the acquisition function looks at: parameters without effect tell nothing apart.
"""

from __future__ import annotations

import copy
from operator import attrgetter
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import GPSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from tuner.lazy_torch import Tensor, torch
from tuner.search.joint import OFF, Dimension, Joint, joint_of

ENDED = (TrialState.COMPLETE, TrialState.PRUNED)
RUNNING = (TrialState.RUNNING,)


class JointGPSampler(GPSampler):
    """Optuna's GPSampler over all parameters at once, switches and nested ones included.

    Args:
        space: the joint space; inferred from the trials if None.
        options: of GPSampler.
    """

    def __init__(self, space: Joint | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._space = space

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        ended = study._get_trials(deepcopy=False, states=ENDED, use_cache=True)
        self._tree = self._space or joint_of(sorted(ended, key=attrgetter("number")))
        dimensions = self._tree.dimensions
        return {d.name: d.distribution for d in dimensions if not d.distribution.single()}

    def _sample_relative_impl(
        self,
        study: Study,
        completed_trials: list[FrozenTrial],
        running_trials: list[FrozenTrial],
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        every = study._get_trials(deepcopy=False, states=RUNNING, use_cache=True)
        known = [each for each in every if each.params]
        self._columns = [Dimension(*item) for item in search_space.items()]
        params = super()._sample_relative_impl(
            *(study, [self._filled(each) for each in completed_trials]),
            *([self._filled(each) for each in known], search_space),
        )
        (row,) = self._tree.encode([params])
        asked = self._tree.decode(row)
        return {name: value for name, value in params.items() if name in asked}

    def _filled(self, trial: FrozenTrial) -> FrozenTrial:
        """The trial with the middle of each parameter that it does not have, or with a value that
        the parameter does not have any more."""
        filled = copy.copy(trial)
        filled.params = {
            d.name: trial.params[d.name]
            if d.name in trial.params and d.encode(trial.params[d.name]) != OFF
            else d.decode(d.middle)
            for d in self._columns
        }
        return filled

    def _optimize_acqf(self, acqf: Any, best_params: np.ndarray | None) -> np.ndarray:
        middles = {d.name: d.decode(d.middle) for d in self._columns}
        (middle,) = acqf.search_space.get_normalized_params([None], [middles])
        place, whole = torch.from_numpy(middle), acqf.eval_acqf
        acqf.eval_acqf = lambda x: whole(torch.where(self._asked(x), x, place))
        return super()._optimize_acqf(acqf, best_params)

    def _asked(self, x: Tensor) -> Tensor:
        """Which parameters points ``[..., d]`` ask for, as their choices tell."""
        columns = {d.name: j for j, d in enumerate(self._columns)}
        asked = torch.ones_like(x, dtype=torch.bool)
        for d in self._tree.dimensions:
            above = self._tree.dimensions[d.parent] if d.parent >= 0 else None
            if above is not None and above.choices and {d.name, above.name} <= columns.keys():
                parent = columns[above.name]
                levels = torch.tensor(sorted(d.when), dtype=x.dtype)
                on = torch.isin(x[..., parent], levels) & asked[..., parent]
                asked[..., columns[d.name]] = on
        return asked
