"""Retrains one trial from the database alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

from optuna import TrialPruned
from optuna.trial import FixedTrial, FrozenTrial, TrialState

from tuner.errors import UsageError
from tuner.imports import allowing, of_person
from tuner.run.options import RunOptions, device_again
from tuner.run.prepare import load_job, stored_study
from tuner.search.promote import is_paused
from tuner.storage import opened
from tuner.study.objective import ObjectiveStudy
from tuner.study.trials import RESULT, Own, check_number
from tuner.training.trainer import one_thread
from tuner.worker.job import NetworkJob, course_of
from tuner.worker.objective import one_number
from tuner.worker.run import amount

# Retraining a trial of a user's objective: calls it again with the same parameters.


class Alone:
    """The study of a trial that is run by itself."""

    def stop(self) -> None:
        """Does nothing, since no trial comes after it."""


class Again(FixedTrial):
    """Suggests the parameters of a finished trial, collects reports, and is pruned where it was."""

    def __init__(self, trial: FrozenTrial) -> None:
        super().__init__(trial.params, trial.number)
        if "seed" in trial.user_attrs:
            self.set_user_attr("seed", trial.user_attrs["seed"])
        pruned = trial.state == TrialState.PRUNED
        self._last = max(trial.intermediate_values, default=math.inf) if pruned else math.inf
        self.reports: dict[int, float] = {}

    @property
    def study(self) -> Alone:
        """The study, which an objective may ask to stop."""
        return Alone()

    def report(self, value: float, step: int) -> None:
        self.reports.setdefault(int(step), float(value))
        if step >= self._last:
            raise TrialPruned


def call_again(study: ObjectiveStudy, trial: FrozenTrial) -> tuple[float, dict[int, float]]:
    """The value that the objective returns now, or a pruned trial's last report; and all reports.

    Raises:
        TrainingError: it returns no number.
        Exception: any error that it raises.
    """
    again = Again(trial)
    try:
        value = one_number(study.function()(again), study.objective)
    except TrialPruned:
        value = again.reports[max(again.reports)] if again.reports else math.nan
    return value, again.reports


# Retraining any trial from the database alone.


@dataclass(frozen=True)
class Retrained:
    """A trial's recorded numbers beside those of a new training.

    Args:
        recorded: the value in the database.
        value: the value now.
        epochs: epochs trained, or the number of steps that a user's objective reported.
        differing: epochs whose recorded value differs from the new one, each with both values.
    """

    study: str
    number: int
    metric: str
    recorded: float
    value: float
    epochs: int
    differing: tuple[tuple[int, float, float], ...]
    step: str = "epoch"

    @property
    def equal(self) -> bool:
        return self.recorded == self.value and not self.differing


def retrain(study_name: str, number: int, options: RunOptions) -> Retrained:
    """Retrains a finished trial with its own seed, for as many epochs as it had.

    Raises:
        UsageError: no such trial, or one without a value.
    """
    storage = opened(options.storage)
    study, study_id = stored_study(storage, study_name)
    trials = storage.get_all_trials(study_id, deepcopy=False)
    check_number(study.name, number, len(trials))
    trial = trials[number]
    if trial.state in RESULT and (reason := Own(study).reason(trial)):
        what = f"trial {number} is another program's: {reason}"
        raise UsageError(what, where=study.name)
    if not trial.state.is_finished() or trial.value is None:
        state = "paused" if is_paused(trial) else trial.state.name.lower()
        raise UsageError(
            f"trial {number} is {state} and has no value to reproduce",
            where=study.name,
            hint=f"`tuner best --study {study.name}` names one that has",
        )
    with allowing(of_person(options.allow)), one_thread():
        if isinstance(study, ObjectiveStudy):
            return _called(study, trial)
        device = device_again(options.device, trial.user_attrs)
        return _train(load_job(study, study_id), trial, device)


def _called(study: ObjectiveStudy, trial: FrozenTrial) -> Retrained:
    value, reports = call_again(study, trial)
    recorded = trial.intermediate_values
    both = [(step, recorded.get(step, now), now) for step, now in reports.items()]
    assert trial.value is not None
    return Retrained(
        study=study.name,
        number=trial.number,
        metric=study.metric,
        recorded=trial.value,
        value=value,
        epochs=len(reports),
        differing=tuple(each for each in both if each[1] != each[2]),
        step=study.step,
    )


def _train(job: NetworkJob, trial: FrozenTrial, device: str) -> Retrained:
    course = course_of(job, trial, device)
    recorded, differing = trial.intermediate_values, []
    wanted = amount(trial.user_attrs, "epochs", max(recorded, default=course.plan.epochs))
    for epoch in course.epochs():
        before = recorded.get(epoch.number, epoch.value)
        if before != epoch.value:
            differing.append((epoch.number, before, epoch.value))
        if epoch.number >= wanted:
            break
    value = course.result.value if course.done else course.history[-1]
    assert trial.value is not None
    return Retrained(
        study=job.study.name,
        number=trial.number,
        metric=job.metric.name,
        recorded=trial.value,
        value=value,
        epochs=course.epoch,
        differing=tuple(differing),
    )
