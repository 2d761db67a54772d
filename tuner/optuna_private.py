"""What tuner takes of Optuna that Optuna calls private: no other module imports such a name.

- models: Optuna's tables. tuner reads and writes them with its own statements, in batches and
  under leases, so that Optuna and its dashboard read what tuner wrote.
- FrozenStudy: what ``BaseStorage.get_all_studies`` returns.
- DEFAULT_STUDY_NAME_PREFIX: begins the name of a study that was given none.
- percentile: the rule of Optuna's percentile pruner, asked here with the percentile of an epoch
  kept and not computed for each trial.
- ParzenEstimator: what TPE compares candidates with; over the joint space its kernels are uniform
  in a parameter that a trial does not have.
- truncnorm: TPE spends half of a proposal in its logarithm of the normal distribution; scipy's
  takes its place during the proposal.

A test pins these, and the private methods that the samplers and pruners of ``tuner.search``
override or call, so that a new Optuna fails there and nowhere else.
"""

from __future__ import annotations

from optuna.pruners import _percentile as percentile
from optuna.samplers._tpe import _truncnorm as truncnorm
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator as ParzenEstimator
from optuna.storages._base import DEFAULT_STUDY_NAME_PREFIX
from optuna.storages._rdb import models
from optuna.study._frozen import FrozenStudy

__all__ = [
    "DEFAULT_STUDY_NAME_PREFIX",
    "FrozenStudy",
    "ParzenEstimator",
    "models",
    "percentile",
    "truncnorm",
]
