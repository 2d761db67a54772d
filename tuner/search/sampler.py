"""tuner's sampler: a Gaussian process over the joint space of a study, for mixed and nested spaces.

It is a function of the history alone: the trials, their states and values, the seed, and the number
of the trial to propose. It has no state, so any worker proposes the same.
"""

from __future__ import annotations

import math
import secrets
import warnings
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

from tuner.search.by_number import COUNTABLE
from tuner.search.curves import LARGEST, observed
from tuner.search.joint import Joint, joint_of
from tuner.search.promote import last_epoch
from tuner.search.propose import ORIGIN
from tuner.space import same

Array = NDArray[np.float64]

START = 5
"""So many full trainings are spent on a low-discrepancy design."""
MOST = 150
"""The model takes at most this many trials: the better half, and a random part of the others."""
ERROR = "standard_error"
"""The user attribute of a trial with the standard error of its value."""
OWN = 0.5
"""The part of a standard error that is a trial's own: trials are measured on the same rows."""
DESIGN, MODEL = "design", "model"
"""What proposes a trial, as its system attribute ORIGIN says."""
FRESH, BEST, NEAR = 300, 6, 40
"""Candidates: random ones, and near each of the best trials so many changed copies."""
FEW = 1000
"""Of no more configurations than that the model looks at each."""
SCALES = (0.15, 0.05)
"""The step of each round in which the best candidates are changed again."""


class Sampler(BaseSampler):
    """Proposes by a Gaussian process over all parameters at once, nested ones included.

    It learns from the trials which choices ask for which parameters. A study must have one
    objective. A trial's user attribute ``standard_error`` says how much its value is due to
    chance. A configuration is not proposed twice as long as there is another.

    Args:
        seed: of the proposals; a random one if None.
        n_startup_trials: so many full trainings are spent on a low-discrepancy design first; a
            trial that was stopped counts by its part of the steps of a complete one.
        space: the parameters and their tree, if they are known before any trial.
    """

    def __init__(
        self, seed: int | None = None, n_startup_trials: int = START, space: Joint | None = None
    ) -> None:
        self._seed = secrets.randbits(32) if seed is None else seed
        self._start, self._space = n_startup_trials, space
        self._histories: dict[int, History] = {}

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The joint space, known or that of the trials so far.

        Raises:
            ValueError: the study has several objectives.
        """
        _check_objectives(study)
        past = self._histories[trial._trial_id] = self._history(study, trial)
        dimensions = past.joint.dimensions
        return {d.name: d.distribution for d in dimensions if not d.distribution.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The parameters of a proposal; those that it does not ask for are left out."""
        past = self._histories.pop(trial._trial_id, None)  # of the call before, of this trial
        if not search_space:
            return {}
        past = past or self._history(study, trial)
        fixed = trial.system_attrs.get("fixed_params", {})
        params, origin = propose(past, trial.number, self._seed, self._start, fixed)
        study._storage.set_trial_system_attr(trial._trial_id, ORIGIN, origin)
        return {name: value for name, value in params.items() if name in search_space}

    def _history(self, study: Study, trial: FrozenTrial) -> History:
        sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
        trials = study.get_trials(deepcopy=False)
        rng = np.random.default_rng(_stream(self._seed, trial.number, "history"))
        others = [each for each in trials if each.number != trial.number]
        return history(others, sign, rng, self._space)

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
        joint: the space, known or that of those measured.
        rows: [n, d], configurations measured, MOST at most.
        values: [n], what each reached or would have, smaller is better.
        errors: [n], their standard errors, as far as known.
        running: [m, d], configurations that are being measured.
        tried: all configurations that any trial has.
        trained: how many full trainings those measured are worth.
    """

    joint: Joint
    rows: Array
    values: Array
    errors: Array
    running: Array
    tried: Sequence[Mapping[str, Any]]
    trained: float


def history(
    trials: Sequence[FrozenTrial],
    sign: float,
    rng: np.random.Generator,
    joint: Joint | None = None,
) -> History:
    """Summarizes all trials but the one to propose.

    Args:
        sign: 1 if smaller values are better, -1 if larger are.
        rng: chooses which trials to take if there are more than MOST.
        joint: the space; inferred from the trials if None.
    """
    measured, values = observed(trials, sign)
    trained = _trained(measured)
    numbers = {each.number for each in measured}
    running = [
        each.params
        for each in trials
        if each.state == TrialState.RUNNING and each.params and each.number not in numbers
    ]
    if len(values) > MOST:
        order = np.argsort(values, kind="stable")
        rest = rng.choice(order[MOST // 2 :], MOST - MOST // 2, replace=False)
        chosen = np.sort(np.concatenate((order[: MOST // 2], rest)))
        measured, values = [measured[place] for place in chosen], values[chosen]
    joint = joint or joint_of(measured)
    rows = joint.encode(each.params for each in measured)
    tried = [each.params for each in trials if each.params]
    errors = _errors(measured, rows, values)
    return History(joint, rows, values, errors, joint.encode(running), tried, trained)


def _trained(measured: Sequence[FrozenTrial]) -> float:
    """How many full trainings trials are worth. Where few are complete, the model would believe
    what the first steps tell, and choose quick starters."""
    complete = [each for each in measured if each.state == TrialState.COMPLETE]
    longest = max((last_epoch(each) for each in complete), default=math.inf)
    stopped = (each for each in measured if each.state != TrialState.COMPLETE)
    parts = (last_epoch(each) / longest for each in stopped if longest)
    return len(complete) + sum(min(1.0, part) for part in parts)


def _errors(measured: Sequence[FrozenTrial], rows: Array, values: Array) -> Array:
    """The standard error [n] of each value: that of the trial, where it has one, or else the
    median of the others, and no less than the values of one configuration differ."""
    stated = [each.user_attrs.get(ERROR) for each in measured]
    numbers = np.array(
        [float(e) if isinstance(e, int | float) and 0 <= e < LARGEST else np.nan for e in stated]
    )
    known = numbers[~np.isnan(numbers)]
    errors = np.where(np.isnan(numbers), np.median(known) if len(known) else 0.0, numbers)
    return np.asarray(np.maximum(errors, _spread(rows, values)))


def _spread(rows: Array, values: Array) -> float:
    """The deviation of values that belong to the same row; 0 where no row is there twice."""
    _, place, counts = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
    place = place.reshape(-1)
    freedom = len(rows) - len(counts)
    if freedom <= 0:
        return 0.0
    means = np.bincount(place, values) / counts
    return float(np.sqrt(((values - means[place]) ** 2).sum() / freedom))


def propose(
    past: History,
    number: int,
    seed: int,
    start: int = START,
    fixed: Mapping[str, Any] | None = None,
) -> tuple[dict[str, Any], str]:
    """The parameters of trial ``number`` and where they come from; every worker gets the same.

    Args:
        start: so many full trainings are spent on a low-discrepancy design.
        fixed: parameters that are not to be chosen.
    """
    rng = np.random.default_rng(_stream(seed, number))
    fixed = fixed or {}
    if not len(past.rows) or past.trained < start:
        rows, origin = _designed(past.joint, number, seed), DESIGN
    else:
        rows, origin = _promising(past, fixed, rng), MODEL
    rows = past.joint.fixed(rows, fixed)
    params = _untried(past, rows)
    if params is None:
        listed = past.joint.listed(COUNTABLE)
        others = past.joint.draw(FRESH, rng) if listed is None else rng.permutation(listed)
        params = _untried(past, past.joint.fixed(others, fixed))
    if params is None:
        if not fixed:
            warnings.warn("every configuration was tried, and one is tried again", stacklevel=2)
        params = past.joint.decode(rows[0])
    return params, origin


def _untried(past: History, rows: Array) -> dict[str, Any] | None:
    """The configuration of the first row that no trial has; None if there is none."""
    for row in rows:
        params = past.joint.decode(row)
        if not any(_same(params, each) for each in past.tried):
            return params
    return None


def _same(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    return a == b and all(same(value, b[name]) for name, value in a.items())


def _promising(past: History, fixed: Mapping[str, Any], rng: np.random.Generator) -> Array:
    """Rows by what a model expects to gain from each, the best first."""
    from tuner.search.gaussian import Features, Process, warped

    joint, order = past.joint, np.argsort(past.values, kind="stable")
    z, unit = warped(past.values)
    noise = (past.errors * unit * OWN) ** 2
    process = Process(Features.of(joint), past.rows, z, noise, rng)
    if len(past.running):
        process.pretend(past.running, rng)
    listed = joint.listed(FEW)
    if listed is not None:
        return np.asarray(listed[np.argsort(-process.gain(listed), kind="stable")])
    near = joint.moved(past.rows[order[:BEST]], NEAR, 0.2, rng)
    rows = joint.fixed(np.concatenate((joint.draw(FRESH, rng), near)), fixed)
    gains = process.gain(rows)
    for scale in SCALES:
        near = joint.fixed(joint.moved(rows[np.argsort(-gains)[:8]], 20, scale, rng), fixed)
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
