"""Makes a plain Optuna objective of a study, for use in any script."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import optuna
from optuna.trial import TrialState

from tuner.data.spec import DIVISIONS
from tuner.errors import UsageError
from tuner.imports import allowing, of_person
from tuner.run.prepare import DATA, load_job, with_network
from tuner.study import Study, load_study
from tuner.training.folds import training
from tuner.training.trainer import check_batches
from tuner.worker.job import DIVISION, NetworkJob, check_rows


def objective(name: str | Study) -> Callable[[optuna.Trial], float]:
    """A plain Optuna objective of a study or its name: suggests, trains, reports, prunes.

    The Optuna study gets the record of the rows as a user attribute, like a study of tuner's.

    Raises:
        UsageError: when called, if the Optuna study's direction is not the metric's.
        DataError: when called, if the Optuna study has trials that were trained on other rows.

    >>> import optuna, tuner  # doctest: +SKIP
    >>> study = optuna.create_study(direction="maximize")  # doctest: +SKIP
    >>> study.optimize(tuner.objective("digits"), n_trials=10)  # doctest: +SKIP
    """
    study = with_network(name if isinstance(name, Study) else load_study(name))
    rules = of_person((), study.folder)
    with allowing(rules):
        job = load_job(study)
        check_batches(job.study, job.data, job.metric)
        jobs = {DIVISIONS[-1]: job}

    def train(trial: optuna.Trial) -> float:
        with allowing(rules):
            return run(trial)

    def run(trial: optuna.Trial) -> float:
        _check_direction(trial, jobs[DIVISIONS[-1]])
        known, rule = _known(trial)
        if rule not in jobs:  # the Optuna study began under an earlier rule
            data = replace(jobs[DIVISIONS[-1]].spec, division=rule)
            jobs[rule] = load_job(replace(study, data=data))
        job = jobs[rule]
        if known is None and job.record is not None:
            known = _keep(trial, job.record)
        check_rows(study, job.data, known)
        seed = job.seed(trial.number)
        trial.set_user_attr("seed", seed)
        config = study.sample(trial)
        course = training(config, job.data_for(config), job.metric, seed)
        for epoch in course.epochs():
            trial.report(epoch.value, epoch.number)
            if not epoch.finite or trial.should_prune():
                raise optuna.TrialPruned
        return course.result.value

    return train


def _known(trial: optuna.Trial) -> tuple[dict[str, Any] | None, int]:
    """The record of the rows in a trial's study, and the rule by which they are divided."""
    study = getattr(trial, "study", None)  # a FixedTrial belongs to none
    if study is None:
        return None, DIVISIONS[-1]
    known: dict[str, Any] | None = study.user_attrs.get(DATA)
    if known is not None:
        return known, known[DIVISION]
    earlier = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    return None, DIVISIONS[0 if any("seed" in each.user_attrs for each in earlier) else -1]


def _keep(trial: optuna.Trial, record: dict[str, Any]) -> dict[str, Any]:
    study = getattr(trial, "study", None)
    if study is None:
        return record
    study.set_user_attr(DATA, record)
    stored: dict[str, Any] = study.user_attrs[DATA]  # another process may have set its own
    return stored


def _check_direction(trial: optuna.Trial, job: NetworkJob) -> None:
    """Raises UsageError if the study, which minimizes by default, has the wrong direction."""
    study, wanted = getattr(trial, "study", None), job.metric.direction
    if study is not None and study.direction.name.lower() != wanted:
        raise UsageError(
            f"the direction of {job.metric.name} is {wanted}, and the Optuna study has another",
            where=study.study_name,
            hint=f'optuna.create_study(direction="{wanted}")',
        )
