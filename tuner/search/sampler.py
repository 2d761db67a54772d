"""tuner's sampler: a Gaussian process over the joint space of a study, for mixed and nested spaces.

It is a function of the history alone: the trials, their states and values, the seed, and the number
of the trial to propose. It has no state, so any worker proposes the same.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from tuner.search.gaussian import Features, Process, warped
from tuner.search.joint import FINISHED, Joint, joint_of

Array = NDArray[np.float64]

START = 5
"""So many trials come from a low-discrepancy design."""
MOST = 150
"""So many trials the model takes: the better ones, and a random part of the others."""
FRESH, BEST, NEAR = 300, 6, 40
SCALES = (0.15, 0.05)


class Sampler(BaseSampler):
    """Proposes by a Gaussian process over all parameters at once, nested ones included.

    Which parameters are asked for below which choices is found out from the trials. For studies
    of one objective.

    Args:
        seed: of the proposals; a random one if None.
        n_startup_trials: so many first trials come from a low-discrepancy design.
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
        trials = study.get_trials(deepcopy=False)
        joint = joint_of([each for each in trials if each.state in FINISHED])
        return {d.name: d.distribution for d in joint.dimensions if not d.distribution.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The parameters of a proposal; those that it does not ask for are left out."""
        if not search_space:
            return {}
        trials = study.get_trials(deepcopy=False)
        others = [each for each in trials if each.number != trial.number]
        sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
        joint = joint_of([each for each in others if each.state in FINISHED])
        row = propose(joint, others, sign, trial.number, self._seed, self._start)
        return {k: v for k, v in joint.decode(row).items() if k in search_space}

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


def propose(
    joint: Joint,
    trials: Sequence[FrozenTrial],
    sign: float,
    number: int,
    seed: int,
    start: int = START,
) -> Array:
    """The row [d] of the joint space that trial ``number`` tries.

    Args:
        trials: all others.
        sign: 1 if smaller values are better, -1 if larger are.
        start: so many trials come first from a low-discrepancy design.
    """
    rng = np.random.default_rng(_stream(seed, number))
    measured, values = observed(trials, sign)
    running = [each for each in trials if each.state == TrialState.RUNNING and each.params]
    rows = joint.encode(each.params for each in measured)
    pending = joint.encode(each.params for each in running)
    seen = {row.tobytes() for row in (*rows, *pending)}
    if len(rows) < start:
        return _designed(joint, number, seed, seen, rng)
    if len(rows) > MOST:
        chosen = _chosen(values, rng)
        rows, values = rows[chosen], values[chosen]
    process = Process(Features.of(joint), rows, warped(values), np.zeros(len(rows)), rng)
    if len(pending):
        process.pretend(pending, rng)
    order = np.argsort(values, kind="stable")
    found = np.concatenate(
        (joint.draw(FRESH, rng), joint.moved(rows[order[:BEST]], NEAR, 0.2, rng))
    )
    gains = process.gain(found)
    for scale in SCALES:
        near = joint.moved(found[np.argsort(-gains)[:8]], 20, scale, rng)
        found = np.concatenate((found, near))
        gains = np.concatenate((gains, process.gain(near)))
    for place in np.argsort(-gains, kind="stable"):
        if found[place].tobytes() not in seen:
            return np.asarray(found[place])
    return np.asarray(joint.draw(1, rng)[0])


def _designed(
    joint: Joint, number: int, seed: int, seen: set[bytes], rng: np.random.Generator
) -> Array:
    """A point of a Kronecker sequence, shifted at random for each seed (Roberts 2018)."""
    golden = 1.0
    for _ in range(60):  # the root of x^(d+1) = x + 1
        golden = (1 + golden) ** (1 / (len(joint) + 1))
    steps = golden ** -np.arange(1.0, len(joint) + 1)
    shift = np.random.default_rng(_stream(seed, -1)).random(len(joint))
    row = joint.placed(((shift + number * steps) % 1.0)[None])[0]
    return row if row.tobytes() not in seen else joint.draw(1, rng)[0]


def _chosen(values: Array, rng: np.random.Generator) -> NDArray[np.int64]:
    order = np.argsort(values, kind="stable")
    rest = rng.choice(order[MOST // 2 :], MOST - MOST // 2, replace=False)
    return np.asarray(np.sort(np.concatenate((order[: MOST // 2], rest))))


def observed(trials: Sequence[FrozenTrial], sign: float) -> tuple[list[FrozenTrial], Array]:
    """Trials that tell something, and what each would have reached, smaller is better."""
    whole = [each for each in trials if each.state == TrialState.COMPLETE and each.values]
    known = {each.number: sign * each.values[0] for each in whole if each.values is not None}
    for each in trials:
        if each.state == TrialState.PRUNED:
            known[each.number] = _expected(each, whole, sign)
    measured = [each for each in trials if each.number in known]
    values = np.array([known[each.number] for each in measured])
    finite = values[np.isfinite(values)]
    worst, best = (finite.max(), finite.min()) if len(finite) else (0.0, 0.0)
    return measured, np.nan_to_num(values, nan=worst, posinf=worst, neginf=best)


def _expected(trial: FrozenTrial, whole: Sequence[FrozenTrial], sign: float) -> float:
    """What a pruned trial would have reached, by complete ones that were about as good then."""
    if not trial.intermediate_values:
        return np.inf
    step = max(trial.intermediate_values)
    now = sign * trial.intermediate_values[step]
    pairs = [
        (sign * each.intermediate_values[step], sign * each.values[0])
        for each in whole
        if each.values and step in each.intermediate_values
    ]
    if not np.isfinite(now) or not pairs:
        return now if np.isfinite(now) else np.inf
    then, last = (np.sort(np.array(side)) for side in zip(*pairs, strict=True))
    return float(np.interp(now, then, last) + max(0.0, now - then[-1]))
