"""When so many trials fail that a study is not worth going on with."""

from __future__ import annotations

from optuna.trial import FrozenTrial

from tuner.errors import TrainingError
from tuner.storage import Storage
from tuner.storage.lease import STOPPED
from tuner.worker.facts import REFUSED
from tuner.worker.job import AnyJob
from tuner.worker.patience import Patience

TOO_MANY_FAILURES = 10
"""A study stops when so many more trials failed than finished."""


def check_failures(storage: Storage, patiently: Patience, job: AnyJob, trial: FrozenTrial) -> None:
    """After a trial that failed: stop its study if that is one too many.

    Raises:
        TrainingError: too many trials failed; the study is stopped.
        StopRequested: it is time to leave, and the database did not answer.
    """
    progress = patiently(lambda: storage.progress(job.study_id))
    if progress.failed < TOO_MANY_FAILURES + progress.finished:
        return
    trials = patiently(lambda: storage.get_all_trials(job.study_id, deepcopy=False))
    refused = sum(each.user_attrs.get("ended") == REFUSED for each in trials)
    failed = progress.failed - refused  # nobody tried those
    if failed < TOO_MANY_FAILURES + progress.finished:
        return
    patiently(lambda: storage.set_study_state(job.study_id, STOPPED))
    raise TrainingError(
        f"{failed} trials failed, the last with: {trial.user_attrs.get('error')}",
        where=job.study.name,
        hint="the study is stopped; `tuner resume` opens it again",
    )
