"""Runs ``confirm`` and ``ablate``: workers retrain known configurations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from optuna.trial import FrozenTrial

from tuner.errors import TrainingError, UsageError, nearest
from tuner.imports import allowing, of_person
from tuner.metrics import sign_of
from tuner.results import ablate as taking_apart
from tuner.results import confirm as confirming
from tuner.results import yardsticks as beside
from tuner.results.ablate import PATH, VIEWS, Ablation, Mixture, mixture
from tuner.results.confirm import Confirmation, ConfirmRequest, candidates
from tuner.results.ensemble import MOST
from tuner.results.replicas import Replica, enqueue, find_holder, read_results
from tuner.run.optimize import train
from tuner.run.options import RunOptions
from tuner.run.places import place_of
from tuner.run.prepare import load_job, prepared, stored_study
from tuner.run.publish import Publisher
from tuner.show.snapshot import Watch
from tuner.storage import Artifacts, Storage, artifact_store, opened
from tuner.study import Study
from tuner.study.objective import ObjectiveStudy
from tuner.study.trials import Own, baseline_trial
from tuner.training.trainer import one_thread
from tuner.worker.job import Job, NetworkJob


def confirm(
    study: str | Study,
    options: RunOptions,
    *,
    top: int = 5,
    seeds: int = 5,
    ensemble: int = MOST,
    yardsticks: bool = True,
    watch: Watch = lambda _: None,
) -> Confirmation:
    """Trains the best configurations and the baseline over seeds; it repeats no finished training.

    Args:
        study: one that the database holds, or its name.
        top: the number of configurations.
        seeds: trainings of each on the training rows, and again on all rows of the search.
        ensemble: picks of the ensemble that is chosen among these trainings; 0 for none.
        yardsticks: measure models without a search beside them, when all is trained.
        watch: called about twice a second with a snapshot.

    Raises:
        UsageError: no trial is complete, or a number is out of range.

    The objective of a study that has its own is called again with other seeds: there are no test
    rows, no ensemble and no yardsticks.
    """
    _check_counts(top=top, seeds=seeds)
    if ensemble < 0:
        raise UsageError(f"found {ensemble}", where="--ensemble", hint="give 0 for none, or more")
    replication = Replication(study, options, watch)
    with allowing(replication.rules):
        wanted = replication.wanted(top, seeds)
        labels = tuple(dict.fromkeys(each.label for each in wanted))
        asked = ConfirmRequest(labels, seeds, top, replication.tests, ensemble, yardsticks)
        remember = partial(confirming.remember, request=asked)
        done = replication.train(confirming.COMMAND, wanted, remember)
        if done and replication.tests:
            epochs = confirming.epochs_found(replication.storage, replication.job.study)
            final = confirming.final_replicas(wanted, epochs)
            done = replication.train(confirming.COMMAND, final, remember)
        if done and yardsticks and isinstance(replication.job, NetworkJob):
            replication.measure_yardsticks(replication.job, asked.split)
        store = artifact_store(replication.storage, options.artifacts)
        confirmation = replication.answer(store, asked)
    Publisher(replication.storage, store).finish(replication.job)
    return confirmation


def ablate(
    study: str | Study,
    options: RunOptions,
    *,
    seeds: int = 5,
    views: Sequence[str] = VIEWS,
    watch: Watch = lambda _: None,
) -> Ablation:
    """Trains the confirmed configuration with each technique changed alone, over seeds.

    Args:
        study: one that the database holds, or its name.
        seeds: trainings of each configuration.
        views: of "off", "on" and "path".
        watch: called about twice a second with a snapshot.

    Raises:
        UsageError: no trial is complete, the baseline is not, or the two are the same; or the study
            has its own objective.
    """
    _check_counts(seeds=seeds)
    for view in views:
        if view not in VIEWS:
            raise UsageError(f"no view {view!r}", where="--view", hint=nearest(view, VIEWS))
    replication = Replication(study, options, watch)
    replication.require_network()
    with allowing(replication.rules):
        mixed, confirmed = replication.mixture()
        number, kinds = mixed.best.number, tuple(view for view in VIEWS if view in views)
        asked = taking_apart.AblateRequest(number, replication.tests, confirmed, seeds, kinds)
        remember = partial(taking_apart.remember, request=asked)
        wanted = taking_apart.single_change_replicas(mixed, views, seeds, replication.tests)
        done = replication.train(taking_apart.COMMAND, wanted, remember)
        while done and PATH in views:
            trained = read_results(replication.storage, replication.job.study, taking_apart.COMMAND)
            steps = taking_apart.next_steps(
                mixed, trained, seeds, replication.tests, replication.sign
            )
            done = bool(steps) and replication.train(taking_apart.COMMAND, steps, remember)
    ablation = taking_apart.read(replication.storage, replication.job.study, asked)
    if ablation is None or not ablation.effects:
        raise _too_early(replication.job.study.name)
    return ablation


def _too_early(name: str) -> TrainingError:
    what = "too few trainings are complete to compare anything"
    return TrainingError(what, where=name, hint="the same command trains the rest")


def _check_counts(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            hint = "give at least 1"
            raise UsageError(f"found {count}", where=f"--{name}", hint=hint)


class Replication:
    """Trains configurations of a study in the database again.

    Attributes:
        rules: which modules may be imported meanwhile.
    """

    def __init__(self, study: str | Study, options: RunOptions, watch: Watch) -> None:
        self.options, self.watch = options, watch
        self.storage = opened(options.storage)
        stored, study_id = stored_study(self.storage, study)
        folder = Path() if isinstance(study, str) else study.folder  # whoever read it trusts it
        self.rules = of_person(options.allow, folder)
        load = prepared if isinstance(stored, ObjectiveStudy) else load_job
        with allowing(self.rules):
            self.job: Job = load(stored, study_id).keep_rows(self.storage)
        self.direction = self.job.metric.direction
        self.sign = sign_of(self.direction)
        self.trials: list[FrozenTrial] = self.storage.get_all_trials(study_id, deepcopy=False)
        self.tests = isinstance(self.job, NetworkJob) and self.job.data.test != 0

    def require_network(self) -> None:
        """Raises UsageError if the study has its own objective, which has no techniques."""
        if not isinstance(self.job, NetworkJob):
            name = self.job.study.name
            raise UsageError(
                "ablate changes techniques of a network, and the study has its own objective",
                where=name,
                hint=f"`tuner confirm --study {name}` repeats its best configurations over seeds",
            )

    def train(
        self, what: str, wanted: Iterable[Replica], remember: Callable[[Storage, int], None]
    ) -> bool:
        """Trains the replicas that are not trained yet; whether all of them ended.

        Args:
            remember: stores the request with the study of the replicas.
        """
        metric = self.job.metric
        study, study_id = enqueue(self.storage, self.job.study, metric, what, wanted)
        progress = self.storage.progress(study_id)
        if not progress.hands_out:
            hint = f"tuner resume --study {study.name} opens it again"
            raise UsageError(f"the study is {progress.state}", where=study.name, hint=hint)
        remember(self.storage, study_id)
        job = replace(self.job, study=study, study_id=study_id)
        if self.tests and isinstance(job, NetworkJob):
            _ = job.finals  # read before workers are forked, so that they share it
        with place_of(self.options) as place:
            last = train(job, self.storage, self.options, place, self.watch, {})
        return last.progress.met

    def measure_yardsticks(self, job: NetworkJob, split: str) -> None:
        """Stores the yardsticks with the trainings of `confirm`, unless they are there."""
        holder = find_holder(self.storage, self.job.study.name, confirming.COMMAND)
        if holder is not None and not beside.stored(self.storage, holder[1], split):
            measured = beside.yardsticks(job, tests=self.tests)
            beside.store(self.storage, holder[1], split, measured)

    def answer(self, store: Artifacts, asked: ConfirmRequest) -> Confirmation:
        """The result of `confirm`, with its ensemble and temperatures once all trainings are done.

        Raises:
            TrainingError: there is none yet.
        """
        storage, study = self.storage, self.job.study
        confirmation = confirming.read(storage, study, asked)
        if confirmation is None:
            raise _too_early(study.name)
        if not confirmation.finished or not isinstance(self.job, NetworkJob):
            return confirmation
        metric = self.job.metric
        if confirming.has_choices(storage, study, metric, asked):
            return confirmation
        with one_thread():
            confirming.store_choices(storage, store, study, metric, asked, confirmation)
        return confirming.read(storage, study, asked) or confirmation

    def wanted(self, top: int, seeds: int) -> list[Replica]:
        """The replicas that `confirm` trains."""
        study, budget = self.job.study, self.storage.progress(self.job.study_id).budget
        return confirming.validation_replicas(
            study, self.trials, self.direction, top, seeds, budget
        )

    def mixture(self) -> tuple[Mixture, bool]:
        """The mixture of the baseline with the confirmed configuration, or else with the best of
        the search; and whether a finished `confirm` chose it."""
        study = self.job.study
        confirmed = confirming.read(self.storage, study)
        budget = self.storage.progress(self.job.study_id).budget
        best = candidates(study, self.trials, self.direction, 1, budget)
        baseline = baseline_trial(study, Own(study)(self.trials))
        if baseline is None or not best:
            raise UsageError(
                "a comparison needs a complete baseline and another complete trial",
                where=study.name,
                hint=f"train more: tuner optimize --study {study.name}",
            )
        chosen = None if confirmed is None else confirmed.best_but_baseline
        number = best[0].number if chosen is None else chosen.number
        epochs = confirming.epochs_found(self.storage, study)
        mixed = mixture(study, baseline, self.trials[number], epochs)
        if not mixed.techniques:
            what = f"trial {number} has the techniques of the baseline: there is nothing to ablate"
            raise UsageError(what, where=study.name)
        return mixed, confirmed is not None and confirmed.finished
