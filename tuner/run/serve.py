"""A worker for every open study of a database."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from tuner.errors import TrainingError, TunerError
from tuner.run.options import devices
from tuner.run.prepare import load_job, stored_study
from tuner.run.process import open_worker
from tuner.storage import Storage
from tuner.worker import Job
from tuner.worker.signals import Leaving

POLL_SECONDS = 1.0


def serve(
    url: str,
    studies: Sequence[str] = (),
    *,
    device: str = "auto",
    idle_exit: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Serves open studies, the oldest first, until it is asked to leave.

    Args:
        studies: serve these alone; empty is all.
        device: ``auto`` is the first GPU, or the CPU.
        idle_exit: leave when no open study has anything left to do.
        say: called with a line for people.

    Raises:
        TunerError: the database cannot be used, or the last study that is left cannot.
    """
    leaving = Leaving()
    leaving.install()
    worker = open_worker(url, devices(device)[0], leaving)
    jobs: dict[int, Job | None] = {}
    try:
        while not leaving():
            study = _next(worker.storage, studies, jobs)
            if study is None:
                if idle_exit:
                    return
                _doze(leaving)
                continue
            name, study_id = study
            job = jobs[study_id] = jobs.get(study_id) or _load(worker.storage, name, say)
            if job is not None:
                _work(worker.work, job, say)
    finally:
        worker.close()


def _next(
    storage: Storage, wanted: Sequence[str], jobs: dict[int, Job | None]
) -> tuple[str, int] | None:
    """The oldest open study with something to hand out that this worker can load."""
    for name, study_id in storage.open_studies().items():
        usable = study_id not in jobs or jobs[study_id] is not None
        if usable and (not wanted or name in wanted) and not storage.progress(study_id).met:
            return name, study_id
    return None


def _load(storage: Storage, name: str, say: Callable[[str], None]) -> Job | None:
    """None, and a word about it, for a study whose data is not here."""
    try:
        study, study_id = stored_study(storage, name)
        say(f"serving {name}")
        return load_job(study, study_id)
    except TunerError as error:
        say(f"cannot serve {name}: {error}")
        return None


def _work(work: Callable[[Job], None], job: Job, say: Callable[[str], None]) -> None:
    try:
        work(job)
    except TrainingError as error:
        say(f"stopped: {error}")


def _doze(leaving: Leaving) -> None:
    until = time.monotonic() + POLL_SECONDS
    while time.monotonic() < until and not leaving():
        time.sleep(0.1)
