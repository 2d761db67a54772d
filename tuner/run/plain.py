"""A study as a plain Optuna objective, for anybody's script."""

from __future__ import annotations

from collections.abc import Callable

import optuna

from tuner.allowed import allowing, of_person
from tuner.errors import UsageError
from tuner.run.prepare import load_job
from tuner.study import Study
from tuner.study import load as load_study
from tuner.training.folds import training
from tuner.training.own import check_batches
from tuner.worker.job import Job


def objective(name: str | Study) -> Callable[[optuna.Trial], float]:
    """A plain Optuna objective of a study or its name: suggests, trains, reports, prunes.

    Raises:
        UsageError: when called, if the Optuna study's direction is not the metric's.

    >>> import optuna, tuner  # doctest: +SKIP
    >>> study = optuna.create_study(direction="maximize")  # doctest: +SKIP
    >>> study.optimize(tuner.objective("digits"), n_trials=10)  # doctest: +SKIP
    """
    study = name if isinstance(name, Study) else load_study(name)
    rules = of_person((), study.folder)
    with allowing(rules):
        job = load_job(study)
        check_batches(job.study, job.data, job.metric)

    def train(trial: optuna.Trial) -> float:
        with allowing(rules):
            return run(trial)

    def run(trial: optuna.Trial) -> float:
        _check_direction(trial, job)
        seed = job.seed(trial.number)
        trial.set_user_attr("seed", seed)
        config = study.sample(trial)
        trainer = training(config, job.data_for(config), job.metric, seed)
        for epoch in trainer.epochs():
            trial.report(epoch.value, epoch.number)
            if not epoch.finite or trial.should_prune():
                raise optuna.TrialPruned
        return trainer.result.value

    return train


def _check_direction(trial: optuna.Trial, job: Job) -> None:
    """Optuna minimizes unless told otherwise; a FixedTrial belongs to no study."""
    study, wanted = getattr(trial, "study", None), job.metric.direction
    if study is not None and study.direction.name.lower() != wanted:
        raise UsageError(
            f"{job.metric.name} is to {wanted}, and the Optuna study does not",
            where=study.study_name,
            hint=f'optuna.create_study(direction="{wanted}")',
        )
