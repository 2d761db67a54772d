"""Runs ``confirm`` and ``ablate``: workers retrain known configurations."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
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
from tuner.results.ablate import VIEWS, Ablation, Mixture, mixture
from tuner.results.confirm import Confirmation, ConfirmRequest, Trainings, candidates
from tuner.results.ensemble import MOST
from tuner.results.replicas import (
    Needed,
    Replica,
    ReplicaKey,
    enqueue,
    find_holder,
    same_trainings,
    seconds_of,
)
from tuner.run.optimize import train
from tuner.run.options import RunOptions, worker_devices
from tuner.run.places import place_of
from tuner.run.prepare import load_job, prepared, stored_study
from tuner.run.publish import Publisher
from tuner.show.snapshot import Snapshot, Watch
from tuner.storage import Artifacts, Storage, artifact_store, opened
from tuner.study import NetworkStudy, Study
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
    full: bool = False,
    budget: float | None = None,
    watch: Watch = lambda _: None,
) -> Confirmation:
    """Trains the best configurations and the baseline over seeds; it repeats no finished training.

    Args:
        study: one that the database holds, or its name.
        top: the number of configurations.
        seeds: trainings of each on the training rows, and of the winner and the baseline again on
            all rows of the search. A configuration that can hardly win any more gets fewer.
        ensemble: picks of the ensemble that is chosen among these trainings; 0 for none.
        yardsticks: measure models without a search beside them, when all is trained.
        full: every configuration gets all seeds, and each again on all rows of the search.
        budget: seconds for all trainings. Those of the search's best configuration and of the
            baseline then come first.
        watch: called about twice a second with a snapshot, in which trials are trainings.

    Raises:
        UsageError: no trial is complete, or a number is out of range.

    The objective of a study that has its own is called again with other seeds: there are no test
    rows, no ensemble and no yardsticks.
    """
    _check_counts(top=top, seeds=seeds)
    if ensemble < 0:
        raise UsageError(f"found {ensemble}", where="--ensemble", hint="give 0 for none, or more")
    replication = Replication(study, options, watch, budget)
    with allowing(replication.rules):
        replicas = replication.wanted(top, seeds)
        labels = tuple(dict.fromkeys(each.label for each in replicas))
        tests = replication.tests
        asked = ConfirmRequest(labels, seeds, top, tests, ensemble, yardsticks, full)
        store = artifact_store(replication.storage, options.artifacts)
        done = _confirm(replication, store, asked, replicas, in_time=budget is not None)
        if done and yardsticks and isinstance(replication.job, NetworkJob):
            replication.measure_yardsticks(replication.job, asked.split)
        confirmation = replication.answer(store, asked)
    Publisher(replication.storage, store).finish(replication.job)
    return confirmation


def _confirm(
    replication: Replication,
    store: Artifacts,
    asked: ConfirmRequest,
    replicas: Sequence[Replica],
    *,
    in_time: bool,
) -> bool:
    """Trains what a request needs; whether all of it is done.

    Args:
        replicas: all that it may need on the validation rows.
        in_time: the search's best configuration and the baseline come first, on all rows.
    """
    storage, study = replication.storage, replication.job.study
    remember = partial(confirming.remember, request=asked)

    def known() -> Trainings:
        return confirming.trainings(storage, study, asked)

    def train(batch: Sequence[Replica]) -> bool:
        return replication.train(confirming.COMMAND, batch, remember, known)

    def train_finals() -> bool:
        epochs, wanted = confirming.epochs_found(storage, study), known().wanted
        finals = confirming.final_replicas(replicas, wanted, epochs)
        return not finals or train(finals)

    if in_time:
        first = [each for each in replicas if each.label in (asked.labels[0], confirming.BASELINE)]
        if not (train(first) and train_finals()):
            return False
    while batch := known().batch(replicas, len(worker_devices(replication.options))):
        if not train(batch):
            return False
    replication.choose_ensemble(store, asked)
    return train([]) and train_finals()


def ablate(
    study: str | Study,
    options: RunOptions,
    *,
    seeds: int = 5,
    views: Sequence[str] = VIEWS,
    full: bool = False,
    watch: Watch = lambda _: None,
) -> Ablation:
    """Trains the confirmed configuration with each technique changed alone, over seeds.

    Args:
        study: one that the database holds, or its name.
        seeds: trainings of each configuration.
        views: of "off", "on" and "path".
        full: on the path every state gets all seeds, also one that can hardly be the best of its
            step.
        watch: called about twice a second with a snapshot, in which trials are trainings.

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
    storage, study_now = replication.storage, replication.job.study
    with allowing(replication.rules):
        mixed, confirmed = replication.mixture()
        number, kinds = mixed.best.number, tuple(view for view in VIEWS if view in views)
        tests = replication.tests
        asked = taking_apart.AblateRequest(number, tests, confirmed, seeds, kinds, full)
        remember = partial(taking_apart.remember, request=asked)
        known = partial(taking_apart.variants, storage, study_now, mixed, asked, replication.sign)
        workers = len(worker_devices(replication.options))
        batch, done = known().batch(workers), True
        while done:
            done = replication.train(taking_apart.COMMAND, batch, remember, known) and bool(batch)
            batch = known().batch(workers)
    ablation = taking_apart.read(storage, study_now, asked)
    if ablation is None or not ablation.effects:
        raise _too_early(study_now.name)
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
        limit: seconds for all trainings; None is no limit.
        begun, before: when the first of them began, and what was trained by then.
    """

    def __init__(
        self, study: str | Study, options: RunOptions, watch: Watch, budget: float | None = None
    ) -> None:
        self.options, self.watch = options, watch
        self.begun, limits = math.nan, (options.timeout, budget)
        self.limit = min((each for each in limits if each is not None), default=None)
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
        self.before = frozenset[ReplicaKey]()

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
        self,
        command: str,
        batch: Sequence[Replica],
        remember: Callable[[Storage, int], None],
        known: Callable[[], Needed],
    ) -> bool:
        """Trains the replicas of a batch that are not trained yet; whether all of them ended.

        Args:
            remember: stores the request with the study of the replicas.
            known: gives what is done of the request, and what it needs.
        """
        metric, now = self.job.metric, known()
        same = {}
        if command != confirming.COMMAND:
            same = same_trainings(self.storage, self.job.study, confirming.COMMAND, batch)
        study, study_id = enqueue(
            self.storage, self.job.study, metric, command, batch, now.wanted, same
        )
        progress = self.storage.progress(study_id)
        if not progress.hands_out:
            hint = f"tuner resume --study {study.name} opens it again"
            raise UsageError(f"the study is {progress.state}", where=study.name, hint=hint)
        remember(self.storage, study_id)
        if math.isnan(self.begun):
            self.begun, self.before = time.monotonic(), frozenset(now.done)
        left = None if self.limit is None else self.begun + self.limit - time.monotonic()
        if left is not None and left <= 0 and not progress.met:
            return False
        job: Job = replace(self.job, study=study, study_id=study_id)
        if isinstance(self.job, NetworkJob) and isinstance(study, NetworkStudy):
            finals = any(each.final for each in batch)
            job = self.job.replicating(study, study_id, finals=finals)
        options, watch = replace(self.options, timeout=left), self._watched(command, known)
        with place_of(options) as place:
            last = train(job, self.storage, options, place, watch, {})
        return last.progress.met

    def _watched(self, command: str, known: Callable[[], Needed]) -> Watch:
        """Shows the trainings of the whole request, and the time that they take."""

        ended, totals = -1, (0, 0, 0.0, 0.0)

        def watch(now: Snapshot) -> None:
            nonlocal ended, totals
            if ended != now.progress.finished:
                ended, totals = now.progress.finished, self._totals(command, known())
            wanted, done, spent, rest = totals
            elapsed = time.monotonic() - self.begun
            left = elapsed * rest / spent if spent > 0 else math.nan
            progress = replace(now.progress, budget=wanted, complete=done, pruned=0)
            self.watch(replace(now, progress=progress, elapsed=elapsed, left=left))

        return watch

    def _totals(self, command: str, needed: Needed) -> tuple[int, int, float, float]:
        """How many trainings a request needs, how many of them are done, and the seconds of work
        that this command has spent on them and that are left."""
        wanted, done = needed.wanted, needed.wanted & needed.done
        seconds = partial(seconds_of, self.storage, self.job.study, command)
        return len(wanted), len(done), seconds(done - self.before), seconds(wanted - done)

    def measure_yardsticks(self, job: NetworkJob, split: str) -> None:
        """Stores the yardsticks with the trainings of `confirm`, unless they are there."""
        holder = find_holder(self.storage, self.job.study.name, confirming.COMMAND)
        if holder is not None and not beside.stored(self.storage, holder[1], split):
            measured = beside.yardsticks(job, tests=self.tests)
            beside.store(self.storage, holder[1], split, measured)

    def choose_ensemble(self, store: Artifacts, asked: ConfirmRequest) -> None:
        """Stores the ensemble before the trainings for the test rows, of which it needs some."""
        if not (isinstance(self.job, NetworkJob) and self.tests) or asked.full:
            return
        storage, study = self.storage, self.job.study
        if confirming.has_ensemble(storage, study, asked):
            return
        confirmation = confirming.read(storage, study, asked)
        if confirmation is not None:
            with one_thread():
                metric = self.job.metric
                confirming.store_choices(
                    *(storage, store, study, metric, asked, confirmation), measured=False
                )

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
            confirming.store_choices(
                *(storage, store, study, metric, asked, confirmation), measured=True
            )
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
