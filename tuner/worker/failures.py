"""When so many trials fail that a study is not worth going on with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tuner.errors import TrainingError
from tuner.storage import Storage
from tuner.storage.lease import STOPPED

REFUSED = "refused"
"""Why a trial ended that nobody tried: it was queued with what the study does not search."""
TOO_MANY_FAILURES = 10
"""A study stops when so many more trials failed than finished."""


def check_failures(
    storage: Storage,
    patiently: Callable[[Callable[[], Any]], Any],
    study_id: int,
    name: str,
    error: object,
) -> None:
    """After a trial that failed: stop its study if that is one too many.

    Args:
        patiently: calls what asks the database, as ``Patience`` does.
        error: why the trial failed.

    Raises:
        TrainingError: too many trials failed; the study is stopped.
        StopRequested: it is time to leave, and the database did not answer.
    """
    progress = patiently(lambda: storage.progress(study_id))
    if progress.failed < TOO_MANY_FAILURES + progress.finished:
        return
    trials = patiently(lambda: storage.get_all_trials(study_id, deepcopy=False))
    refused = sum(each.user_attrs.get("ended") == REFUSED for each in trials)
    failed = progress.failed - refused  # nobody tried those
    if failed < TOO_MANY_FAILURES + progress.finished:
        return
    patiently(lambda: storage.set_study_state(study_id, STOPPED))
    raise TrainingError(
        f"{failed} trials failed, the last with: {error}",
        where=name,
        hint="the study is stopped; `tuner resume` opens it again",
    )
