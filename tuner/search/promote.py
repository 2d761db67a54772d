"""When a trial pauses, and which paused trial goes on, as a function of the history.

Asynchronous successive halving that promotes (Li et al., MLSys 2020). A trial pauses at each rung.
Whoever is free promotes the best paused trial that is among the best of its rung, on the highest
rung that has one, or starts a new trial. Nobody waits, and nothing is lost: a paused trial may be
promoted at any later time, when others make it one of the best.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from tuner.search.pruners import check_pruner

NAME = "promote"

# Trials that pause, and trials that go on.


PAUSED_AT = "paused"
"""The user attribute of a trial that paused: the epoch. A trial that went on has later reports."""
CONTINUES = "continues"
"""The user attribute of a trial that goes on where another one ended: that one's number."""


def last_epoch(trial: FrozenTrial) -> int:
    """The last epoch that a trial reported; 0 before its first."""
    return max(trial.intermediate_values, default=0)


def is_paused(trial: FrozenTrial) -> bool:
    """Whether a trial is paused, or went on and has not reported an epoch since."""
    paused_at = trial.user_attrs.get(PAUSED_AT)
    return trial.state == TrialState.RUNNING and paused_at == last_epoch(trial) > 0


# The rule.


@dataclass(frozen=True)
class Promotion:
    """When a trial pauses, and which paused trial goes on.

    Args:
        sign: 1 if smaller values are better, -1 if larger are.
        epochs: of a full trial.
        reduction_factor: one in this many trials of a rung is promoted.
        min_resource: the least epoch at which a trial pauses.
    """

    sign: float
    epochs: int
    reduction_factor: int = 3
    min_resource: int = 1

    @property
    def rungs(self) -> tuple[int, ...]:
        """The epochs after which trials pause, ascending: full trials have equal steps to the last.

        They are fractions of a full trial, so that the last stretch is no shorter than others.
        """
        rungs: list[int] = []
        epoch = _rounded(self.epochs, self.reduction_factor)
        while epoch >= self.min_resource and epoch < (rungs[-1] if rungs else self.epochs):
            rungs.append(epoch)
            epoch = _rounded(self.epochs, self.reduction_factor ** (len(rungs) + 1))
        return tuple(reversed(rungs))

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
            new: whether the budget has room for another trial.

        Returns:
            None to start a new trial, or, where there is no room for one, to leave all that are
            paused where they are.
        """
        continued = {each.user_attrs.get("continues") for each in trials}
        curves = {
            each.number: each.intermediate_values
            for each in trials
            if each.intermediate_values and each.number not in continued
        }
        for rung in reversed(self.rungs):
            values = {n: self._loss(steps[rung]) for n, steps in curves.items() if rung in steps}
            best = sorted(values, key=lambda number: (values[number], number))
            for number in best[: len(best) // self.reduction_factor]:
                waits = number in paused and max(curves[number]) == rung
                if waits and math.isfinite(values[number]):
                    return number
        return None

    def _loss(self, value: float) -> float:
        return math.inf if math.isnan(value) else self.sign * value


def _rounded(epochs: int, by: int) -> int:
    return math.floor(epochs / by + 0.5)


def promotion(name: str, options: Mapping[str, Any], epochs: int, sign: float) -> Promotion | None:
    """The rule of a study's pruner; None for one that ends trials and pauses none.

    Args:
        name, options: of the study file.
        epochs: of a full trial.
        sign: 1 if smaller values are better, -1 if larger are.

    Raises:
        StudyFileError: an unknown name or option, or a wrong value.
    """
    values = check_pruner(name, options)
    return Promotion(sign, epochs, **values) if name == NAME else None
