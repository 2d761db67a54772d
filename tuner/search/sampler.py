"""tuner's sampler: a Gaussian process over the joint space of a study, for mixed and nested spaces.

It is a function of the history alone: the trials, their states and values, the seed, and the number
of the trial to propose. It has no state, so any worker proposes the same.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from tuner.search.curves import is_paused, observed
from tuner.search.gaussian import Features, Process, warped
from tuner.search.joint import Joint, joint_of

Array = NDArray[np.float64]

START = 5
"""The number of first trials that come from a low-discrepancy design."""
MOST = 150
"""The model takes at most this many trials: the better half, and a random part of the others."""
FRESH, BEST, NEAR = 300, 6, 40
"""Candidates: random ones, and near each of the best trials so many changed copies."""
SCALES = (0.15, 0.05)
"""The step of each round in which the best candidates are changed again."""


class Sampler(BaseSampler):
    """Proposes by a Gaussian process over all parameters at once, nested ones included.

    It learns from the trials which choices ask for which parameters. A study must have one
    objective.

    Args:
        seed: of the proposals; a random one if None.
        n_startup_trials: the number of first trials, which come from a low-discrepancy design.
    """

    def __init__(self, seed: int | None = None, n_startup_trials: int = START) -> None:
        self._seed = secrets.randbits(32) if seed is None else seed
        self._start = n_startup_trials

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The joint space of the trials so far.

        Raises:
            ValueError: the study has several objectives.
        """
        _check_objectives(study)
        dimensions = self._history(study, trial).joint.dimensions
        return {d.name: d.distribution for d in dimensions if not d.distribution.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The parameters of a proposal; those that it does not ask for are left out."""
        if not search_space:
            return {}
        params = propose(self._history(study, trial), trial.number, self._seed, self._start)
        return {name: value for name, value in params.items() if name in search_space}

    def _history(self, study: Study, trial: FrozenTrial) -> History:
        sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
        trials = study.get_trials(deepcopy=False)
        rng = np.random.default_rng(_stream(self._seed, trial.number, "history"))
        return history([each for each in trials if each.number != trial.number], sign, rng)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A random value of a parameter that no trial had so far.

        Raises:
            ValueError: the study has several objectives.
        """
        _check_objectives(study)
        random = RandomSampler(seed=_stream(self._seed, trial.number, param_name))
        return random.sample_independent(study, trial, param_name, param_distribution)


def _check_objectives(study: Study) -> None:
    if len(study.directions) > 1:
        raise ValueError("tuner.Sampler searches studies of one objective")


def _stream(seed: int, number: int, name: str = "") -> int:
    text = f"{seed}:{number}:{name}"
    return int.from_bytes(blake2b(text.encode(), digest_size=4).digest(), "big")


@dataclass(frozen=True)
class History:
    """What the trials of a study tell.

    Attributes:
        joint: the space of those measured.
        rows: [n, d], configurations measured, MOST at most.
        values: [n], what each reached or would have, smaller is better.
        running: [m, d], configurations that are being measured.
        trials: all of them.
    """

    joint: Joint
    rows: Array
    values: Array
    running: Array
    trials: Sequence[FrozenTrial]


def history(trials: Sequence[FrozenTrial], sign: float, rng: np.random.Generator) -> History:
    """Summarizes all trials but the one to propose.

    Args:
        sign: 1 if smaller values are better, -1 if larger are.
        rng: chooses which trials to take if there are more than MOST.
    """
    measured, values = observed(trials, sign)
    if len(values) > MOST:
        order = np.argsort(values, kind="stable")
        rest = rng.choice(order[MOST // 2 :], MOST - MOST // 2, replace=False)
        chosen = np.sort(np.concatenate((order[: MOST // 2], rest)))
        measured, values = [measured[place] for place in chosen], values[chosen]
    joint = joint_of(measured)
    running = [
        each.params
        for each in trials
        if each.state == TrialState.RUNNING and each.params and not is_paused(each)
    ]
    return History(
        joint,
        joint.encode(each.params for each in measured),
        values,
        joint.encode(running),
        trials,
    )


def propose(past: History, number: int, seed: int, start: int = START) -> dict[str, Any]:
    """The parameters of trial ``number``; every worker gets the same.

    Args:
        start: the number of first trials, which come from a low-discrepancy design.
    """
    rng = np.random.default_rng(_stream(seed, number))
    tried = {_key(each.params) for each in past.trials}
    first = len(past.rows) < start
    for row in _designed(past.joint, number, seed) if first else _promising(past, rng):
        params = past.joint.decode(row)
        if _key(params) not in tried:
            return params
    return past.joint.decode(past.joint.draw(1, rng)[0])


def _key(params: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    """Equal for equal configurations; a choice may be a list, which is no key itself."""
    return frozenset((name, repr(value)) for name, value in params.items())


def _promising(past: History, rng: np.random.Generator) -> Array:
    """Rows by what a model expects to gain from each, the best first."""
    joint, order = past.joint, np.argsort(past.values, kind="stable")
    known = np.zeros(len(past.rows))
    process = Process(Features.of(joint), past.rows, warped(past.values), known, rng)
    if len(past.running):
        process.pretend(past.running, rng)
    near = joint.moved(past.rows[order[:BEST]], NEAR, 0.2, rng)
    rows = np.concatenate((joint.draw(FRESH, rng), near))
    gains = process.gain(rows)
    for scale in SCALES:
        near = joint.moved(rows[np.argsort(-gains)[:8]], 20, scale, rng)
        rows = np.concatenate((rows, near))
        gains = np.concatenate((gains, process.gain(near)))
    return np.asarray(rows[np.argsort(-gains, kind="stable")])


def _designed(joint: Joint, number: int, seed: int) -> Array:
    """The point of a number in a Kronecker sequence that each seed shifts (Roberts 2018)."""
    golden = 1.0
    for _ in range(60):  # the root of x^(d+1) = x + 1
        golden = (1 + golden) ** (1 / (len(joint) + 1))
    steps = golden ** -np.arange(1.0, len(joint) + 1)
    shift = np.random.default_rng(_stream(seed, -1)).random(len(joint))
    return joint.placed(((shift + number * steps) % 1.0)[None])
