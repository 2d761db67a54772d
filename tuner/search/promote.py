"""When a trial pauses, and which paused trial goes on, as a function of the history.

Asynchronous successive halving that promotes (Li et al., MLSys 2020). A trial pauses at each rung.
Whoever is free promotes the best paused trial that is among the best of its rung, on the highest
rung that has one, or starts a new trial. Nobody waits, and nothing is lost: a paused trial may be
promoted at any later time, when others make it one of the best. The first rung is cheap and tells
little, so that it lets few go on; later ones let every second trial.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from tuner.search.pruners import PROMOTE, check_pruner, most_epochs, rungs_of

LATER = 2
"""One in this many trials of a rung after the first is promoted."""

FEWEST = 2
"""So many trials go beyond the last rung before a budget ends: the baseline and one more."""

# Trials that pause, and trials that go on.


PAUSED_AT = "paused"
"""The user attribute of a trial that paused: its last epoch or step. A trial that went on has later
reports."""
CONTINUES = "continues"
"""The user attribute of a trial that goes on where another one ended: that one's number."""


def last_epoch(trial: FrozenTrial) -> int:
    """The last epoch that a trial reported; 0 before its first."""
    return max(trial.intermediate_values, default=0)


def is_paused(trial: FrozenTrial) -> bool:
    """Whether a trial is paused, or went on and has not reported an epoch since."""
    paused_at = trial.user_attrs.get(PAUSED_AT)
    running = trial.state == TrialState.RUNNING and bool(trial.intermediate_values)
    return running and paused_at == last_epoch(trial)


# The rule.


@dataclass(frozen=True)
class Promotion:
    """When a trial pauses, and which paused trial goes on.

    Args:
        sign: 1 if smaller values are better, -1 if larger are.
        epochs: of a full trial.
        reduction_factor: one in this many trials of the first rung is promoted.
        min_resource: the epoch of the first rung.
    """

    sign: float
    epochs: int
    reduction_factor: int = 3
    min_resource: int = 1

    @property
    def rungs(self) -> tuple[int, ...]:
        """The epochs after which trials pause, ascending."""
        return rungs_of(self.epochs, self.min_resource)

    def pause_at(self, epoch: int) -> int:
        """The epoch at which a trial that has trained ``epoch`` epochs pauses next.

        ``epochs`` says that it trains to its end.
        """
        return next((rung for rung in self.rungs if rung > epoch), self.epochs)

    def choice(
        self, trials: Sequence[FrozenTrial], paused: Container[int], new: bool
    ) -> int | None:
        """The number of the paused trial to promote now.

        Args:
            trials: all of the study; those that run have the values of their epochs so far.
            paused: numbers of those that may be promoted.
            new: whether the budget has room for another trial. If not, no more come to the rungs,
                and each promotes at least one of its own.

        Returns:
            None to start a new trial, or, where there is no room for one, to leave all that are
            paused where they are.
        """
        continued = {each.user_attrs.get(CONTINUES) for each in trials}
        curves = {
            each.number: each.intermediate_values
            for each in trials
            if each.intermediate_values and each.number not in continued
        }
        above = math.inf
        for rung in reversed(self.rungs):
            share = self.reduction_factor if rung == self.min_resource else LATER
            ranking = sorted((self._loss(c, rung), n) for n, c in curves.items() if rung in c)
            best = len(ranking) // share if new else -(-len(ranking) // share)
            for loss, number in ranking[:best]:
                if number in paused and loss < math.inf and max(curves[number]) < above:
                    return number
            above = rung
        if not new and self._came_far(curves.values()) < FEWEST:
            finisher = self._best(curves, paused)
            if finisher is not None:
                return finisher
        # A trial before the first rung was interrupted, and goes on before a new one starts.
        return next((n for n, c in curves.items() if n in paused and max(c) < above), None)

    def _came_far(self, curves: Iterable[Mapping[int, float]]) -> int:
        """The number of trials that went beyond the last rung."""
        last = max(self.rungs, default=0)
        return sum(max(curve) > last for curve in curves)

    def _best(
        self, curves: Mapping[int, Mapping[int, float]], paused: Container[int]
    ) -> int | None:
        """The best paused trial of the highest rung that has one with a finite value."""
        for rung in reversed(self.rungs):
            here = [n for n, c in curves.items() if n in paused and max(c) == rung]
            losses = sorted((self._loss(curves[n], rung), n) for n in here)
            if losses and losses[0][0] < math.inf:
                return losses[0][1]
        return None

    def _loss(self, curve: Mapping[int, float], rung: int) -> float:
        """The mean over the last third of the epochs up to a rung, smaller is better."""
        last = range(rung - max(1, rung // 3) + 1, rung + 1)
        values = [curve[epoch] for epoch in last if epoch in curve]
        mean = self.sign * sum(values) / len(values)
        return math.inf if math.isnan(mean) else mean


def promotion(
    name: str, options: Mapping[str, Any], epochs: int | None, sign: float
) -> Promotion | None:
    """The rule of a study's pruner; None for one that ends trials and pauses none.

    Args:
        name, options: of the study file.
        epochs: of a full trial; None where the options say it.
        sign: 1 if smaller values are better, -1 if larger are.

    Raises:
        StudyFileError: an unknown name or option, or a wrong value.
    """
    values = check_pruner(name, options)
    if name != PROMOTE:
        return None
    most = most_epochs(values, epochs)
    assert most is not None
    return Promotion(sign, most, values["reduction_factor"], values["min_resource"])
