"""Ends trials at their time limit, and stops studies whose trials keep failing."""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from optuna.trial import FrozenTrial, TrialState

from tuner.errors import MissingError, TrainingError
from tuner.logs import note
from tuner.storage import Lease, OutageError, Storage, Update
from tuner.storage.lease import STOPPED

# Stopping a study when too many of its trials fail.


REFUSED = "refused"
"""Why a trial ended untried: it was enqueued with values outside the search space."""
PERMANENT = "permanent"
"""An attribute of a trial that failed as any other would, for rows cannot be read."""
OPENS = "the study is stopped; `tuner resume` opens it again"
TOO_MANY_FAILURES = 10
"""A study is stopped when so many more trials failed than finished."""


def check_failures(
    storage: Storage,
    patiently: Callable[[Callable[[], Any]], Any],
    study_id: int,
    name: str,
    trial: FrozenTrial,
) -> None:
    """Stops a study if too many of its trials failed, or one as any other would; to be called after
    each that fails.

    Args:
        patiently: makes a call to the database, as ``Patience`` does.
        trial: that failed.

    Raises:
        TrainingError: the study is stopped.
        StopRequested: it is time to leave, and the database did not answer.
    """
    error = trial.user_attrs.get("error")
    if trial.user_attrs.get(PERMANENT) is True:
        patiently(lambda: storage.set_study_state(study_id, STOPPED))
        raise TrainingError(f"trial {trial.number} failed: {error}", where=name, hint=OPENS)
    progress = patiently(lambda: storage.progress(study_id))
    if progress.failed < TOO_MANY_FAILURES + progress.finished:
        return
    trials = patiently(lambda: storage.get_all_trials(study_id, deepcopy=False))
    refused = sum(each.user_attrs.get("ended") == REFUSED for each in trials)
    failed = progress.failed - refused  # those were not run
    if failed < TOO_MANY_FAILURES + progress.finished:
        return
    patiently(lambda: storage.set_study_state(study_id, STOPPED))
    raise TrainingError(
        f"{failed} trials failed, the last with: {error}",
        where=name,
        hint=OPENS,
    )


# Ending trials at their time limit, and recording their result.
#
# An exception ends a trial of tuner's networks and of most objectives (``Leaving.within``). An
# objective that catches all exceptions, or waits within a library, goes on. So the worker announces
# each limited trial to the process that started it. That ends the worker of an overdue trial, and
# records how the trial ended. Where that process is gone, or there is none, a thread of the worker
# does both. A trial that lets no thread run does not renew its lease, and another worker gets it.


GRACE_SECONDS = 10.0
"""Seconds after its limit in which a trial may still end by itself."""
TIME_LIMIT = "time limit"


class LimitedTrial(NamedTuple):
    """A trial with a time limit, as its worker announces it when it begins.

    Attributes:
        study: the study's name.
        limit: the study's limit in seconds.
        left: the seconds that are left to this worker.
    """

    study: str
    study_id: int
    trial_id: int
    number: int
    holder: str
    token: int
    limit: float
    left: float


def limited_trial(study: str, lease: Lease, limit: float, spent: float) -> LimitedTrial:
    """The limited trial of a lease; `spent` are the seconds of earlier workers."""
    return LimitedTrial(
        study,
        study_id=lease.study_id,
        trial_id=lease.trial_id,
        number=lease.number,
        holder=lease.holder,
        token=lease.token,
        limit=limit,
        left=max(0.0, limit - spent),
    )


def nothing_reported(limit: float) -> str:
    """Why a trial failed that reached its time limit before it had a value."""
    return f"its trial_timeout of {limit:g} s was over before it reported anything"


class Term:
    """The time until which a worker's trial may last."""

    def __init__(self) -> None:
        self._begun: LimitedTrial | None = None
        self._until = math.inf

    def hear(self, trial: LimitedTrial | None) -> None:
        """Takes in an announcement: a trial began, or (None) ended."""
        self._begun = trial
        self._until = math.inf if trial is None else time.monotonic() + trial.left + GRACE_SECONDS

    @property
    def overdue(self) -> LimitedTrial | None:
        """The trial that should have ended by now."""
        return self._begun if time.monotonic() > self._until else None


def record_overdue(storage: Storage, overdue: LimitedTrial) -> None:
    """Records the end of an overdue trial, whose worker was ended.

    If the database does not answer, another worker gets the trial when the lease has run out.

    Raises:
        TrainingError: too many trials failed; the study is stopped.
    """
    try:
        trial = storage.get_trial(overdue.trial_id)
        lease = Lease(
            overdue.study_id, overdue.trial_id, overdue.number, overdue.holder, overdue.token, trial
        )
        update = _end(lease, overdue.limit)
        if storage.writer.write([update]) or update.state != TrialState.FAIL:
            return
        ended = storage.get_trial(overdue.trial_id)
        check_failures(storage, lambda call: call(), overdue.study_id, overdue.study, ended)
    except OutageError as error:
        note(f"{overdue.study}: could not record that trial {overdue.number} timed out: {error}")
    except MissingError:  # the study was deleted
        return


OVERDUE = 77
"""The exit code of a worker that ended itself with an overdue trial."""


@contextmanager
def ending_itself(storage: Storage, trial: LimitedTrial) -> Iterator[None]:
    """Ends this process, and records how the trial ended, if this takes so long that no other
    process can be there to do so."""
    lock, over = threading.Lock(), False

    def end() -> None:
        with lock:
            if over:
                return
            note(
                f"{trial.study}: trial {trial.number} did not stop at its time limit; its worker "
                "ends itself"
            )
            try:
                record_overdue(storage, trial)
            except TrainingError as error:
                note(str(error))
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(OVERDUE)

    timer = threading.Timer(trial.left + 2 * GRACE_SECONDS, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        with lock:  # or, if it is ending the process, for ever
            over = True


def _end(lease: Lease, limit: float) -> Update:
    last = _last(lease.trial)
    facts: dict[str, Any] = {
        "ended": "failed" if last is None else TIME_LIMIT,
        "seconds": round(limit + GRACE_SECONDS, 3),
        "worker": lease.holder,
    }
    if last is None:
        why = f"{nothing_reported(limit)}; it did not stop, and its worker was ended with it"
        return Update(lease, state=TrialState.FAIL, user_attrs={**facts, "error": why})
    return Update(lease, state=TrialState.PRUNED, value=last, user_attrs=facts)


def _last(trial: FrozenTrial) -> float | None:
    """Its last reported value; None if there is none, or it is not a number."""
    reports = trial.intermediate_values
    value = reports[max(reports)] if reports else math.nan
    return None if math.isnan(value) else value
