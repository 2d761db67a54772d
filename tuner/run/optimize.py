"""Creates or continues a study and runs workers until its budget is complete."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from functools import partial
from types import FrameType
from typing import Any

import torch

from tuner.imports import allowing, of_person
from tuner.logs import Say
from tuner.results import confirm
from tuner.results.best import luck_of
from tuner.run.options import RunOptions
from tuner.run.places import place_of
from tuner.run.pool import Crew, Order, Place
from tuner.run.prepare import find_study, join, prepared, with_known_rows, with_seed
from tuner.run.process import quiet
from tuner.run.publish import Publisher
from tuner.show.snapshot import Snapshot, Watch, snapshot
from tuner.storage import OutageError, Storage, artifact_store, open_storage
from tuner.study import Study
from tuner.study.trials import Own, without_pruning
from tuner.worker.job import Job
from tuner.worker.loop import explaining_deletion

WATCH_SECONDS = 0.5


def optimize(
    study: str | Study,
    options: RunOptions,
    watch: Watch = lambda _: None,
    say: Say = lambda _: None,
) -> Snapshot:
    """Runs a study until its budget is complete or its time limit is reached.

    Args:
        study: a study, its name or path, or the name of one in the database.
        watch: called about twice a second, and at the end, with a snapshot.
        say: called with a line for people, if something is not as they asked.

    Returns:
        A snapshot at the end.

    Raises:
        TunerError: the study cannot be run.
        KeyboardInterrupt: after the workers gave their trials back.
    """
    loaded = study if isinstance(study, Study) else find_study(study, options.storage)
    loaded = with_seed(loaded, options.seed)
    with allowing(of_person(options.allow, loaded.folder)), place_of(options, say) as place:
        for warning in loaded.warnings():
            say(f"warning: {warning}")
        return _optimize(loaded, options, place, watch, say)


def _optimize(
    study: Study,
    options: RunOptions,
    place: Place,
    watch: Watch,
    say: Say,
) -> Snapshot:
    quiet()
    begun = time.monotonic()
    job = prepared(with_known_rows(study, options.storage))
    spent = {"data": time.monotonic() - begun}
    storage = open_storage(options.storage)
    artifact_store(storage, options.artifacts)  # an invalid place raises before the study is stored
    job = join(storage, job, options.trials, options.epochs)
    last = train(job, storage, options, place, watch, spent)
    trials = storage.get_all_trials(job.study_id, deepcopy=False)
    if words := without_pruning(study, trials):
        say(f"warning: {words}")
    confirmed = confirm.read(storage, study)
    luck = luck_of(study, trials, last.direction, confirmed)
    return replace(last, luck=luck)


def train(
    job: Job,
    storage: Storage,
    options: RunOptions,
    place: Place,
    watch: Watch,
    spent: Mapping[str, float],
) -> Snapshot:
    """Runs workers on a job until the budget is met or the time is over.

    Args:
        place: where they run.
        spent: seconds that this run took so far, by what they were spent on.

    Raises:
        TrainingError: the study was deleted, or cannot be trained.
    """
    with explaining_deletion(job.study.name):
        return _train(job, storage, options, place, watch, spent)


def _train(
    job: Job,
    storage: Storage,
    options: RunOptions,
    place: Place,
    watch: Watch,
    spent: Mapping[str, float],
) -> Snapshot:
    quiet()
    torch.set_num_threads(1)  # a forked child must not inherit a pool of threads
    progress = storage.progress(job.study_id)
    look = partial(
        snapshot,
        storage,
        job.study,
        job.study_id,
        since=time.monotonic(),
        before=progress.finished,
        own=Own(job.study),
    )
    if not progress.met:
        limit = options.timeout or job.study.search.timeout
        most = progress.budget - progress.finished
        order = Order(options.storage, job, limit, most, partial(_alive, storage))
        with Interruption() as interruption:
            crew = place.start(order)
            _follow(crew, look, watch, interruption)
        spent = {**spent, **crew.spent}
    Publisher(storage, artifact_store(storage, options.artifacts)).finish(job)
    last = replace(look(), spent={name: round(seconds, 3) for name, seconds in spent.items()})
    watch(last)
    return last


def _alive(storage: Storage) -> bool:
    """Whether any worker is alive, or the database does not answer, for which workers wait."""
    try:
        return any(not worker.lost for worker in storage.workers())
    except OutageError:
        return True


def _follow(
    crew: Crew, look: Callable[[], Snapshot], watch: Watch, interruption: Interruption
) -> None:
    """Watches the workers until they end, and stops them after an error."""
    ended = 0
    try:
        while crew.wait(WATCH_SECONDS):
            with suppress(OutageError):  # the workers wait for the database, and so does this
                now = look()
                if now.progress.finished + now.progress.failed > ended:
                    ended = now.progress.finished + now.progress.failed
                    crew.progressed()
                if now.progress.met:
                    crew.met()
                watch(now)
            interruption.check()
        interruption.check()
    finally:
        crew.leave()


class Interruption(AbstractContextManager["Interruption"]):
    """Turns SIGTERM within into KeyboardInterrupt.

    If Python ignores exceptions, as in a finalizer, that of a signal's handler is lost; ``check``
    raises it again. In another thread than the main one, which gets no signals, this does nothing.
    """

    def __init__(self) -> None:
        self._asked = False
        self._ours = threading.current_thread() is threading.main_thread()
        self._before: Any = None

    def __enter__(self) -> Interruption:
        if self._ours:
            self._before = signal.signal(signal.SIGTERM, self._interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        if self._ours:
            signal.signal(signal.SIGTERM, self._before)

    def check(self) -> None:
        """Raises KeyboardInterrupt if SIGTERM was sent."""
        if self._asked:
            raise KeyboardInterrupt

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        raise KeyboardInterrupt
