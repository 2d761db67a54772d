"""A finished trial of somebody's own objective, called once more with the same parameters."""

from __future__ import annotations

import math

from optuna import TrialPruned
from optuna.trial import FixedTrial, FrozenTrial, TrialState

from tuner.study.objective import ObjectiveStudy
from tuner.worker.objective import one_number


class Alone:
    """The study of a trial that is run by itself."""

    def stop(self) -> None:
        """Nothing would come after it."""


class Again(FixedTrial):
    """Suggests what a finished trial had, notes what is reported, and ends where that one did."""

    def __init__(self, trial: FrozenTrial) -> None:
        super().__init__(trial.params, trial.number)
        if "seed" in trial.user_attrs:
            self.set_user_attr("seed", trial.user_attrs["seed"])
        pruned = trial.state == TrialState.PRUNED
        self._last = max(trial.intermediate_values, default=math.inf) if pruned else math.inf
        self.reports: dict[int, float] = {}

    @property
    def study(self) -> Alone:
        """What an objective may ask its study for: to stop, which is nothing to one trial."""
        return Alone()

    def report(self, value: float, step: int) -> None:
        self.reports.setdefault(int(step), float(value))
        if step >= self._last:
            raise TrialPruned


def call_again(study: ObjectiveStudy, trial: FrozenTrial) -> tuple[float, dict[int, float]]:
    """What the objective returns and reports now; of a pruned trial, the last report.

    Raises:
        TrainingError: it returns no number.
        Exception: whatever it raises.
    """
    again = Again(trial)
    try:
        value = one_number(study.function()(again), study.objective)
    except TrialPruned:
        value = again.reports[max(again.reports)] if again.reports else math.nan
    return value, again.reports
