"""Ends trials at their time limit, and stops studies whose trials keep failing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from optuna.trial import FrozenTrial, TrialState

from tuner.errors import MissingError, TrainingError
from tuner.logs import note
from tuner.storage import Lease, OutageError, Storage, Update
from tuner.storage.lease import STOPPED

# Stopping a study when too many of its trials fail.


REFUSED = "refused"
"""Why a trial ended untried: it was enqueued with values outside the search space."""
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


# Ending trials at their time limit, and recording their result.
#
# Within a worker's own code and most objectives an exception ends them (``Leaving.within``). One
# that catches everything, or waits within a library, hears none: the process that started the
# worker knows from it until when its trial may last, ends the worker, and tells how the trial
# ended.


GRACE_SECONDS = 10.0
"""So long after its limit a trial may still end by itself."""
TIME_LIMIT = "time limit"


class Begun(NamedTuple):
    """What a worker says when it begins a trial that has a time limit.

    Attributes:
        study: its name.
        limit: the study's, in seconds.
        left: how much of that is left to this worker.
    """

    study: str
    study_id: int
    trial_id: int
    number: int
    holder: str
    token: int
    limit: float
    left: float


def begun(study: str, lease: Lease, limit: float, spent: float) -> Begun:
    """What to say of a lease; `spent` are seconds of earlier workers that count."""
    return Begun(
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
    """Why a trial failed that was over before it had a value."""
    return f"its trial_timeout of {limit:g} s was over before it reported anything"


class Term:
    """Until when a worker's trial may last, by what the worker says."""

    def __init__(self) -> None:
        self._begun: Begun | None = None
        self._until = math.inf

    def hear(self, said: Begun | None) -> None:
        """A trial began, or (None) ended."""
        self._begun = said
        self._until = math.inf if said is None else time.monotonic() + said.left + GRACE_SECONDS

    @property
    def overdue(self) -> Begun | None:
        """The trial that should have ended by now."""
        return self._begun if time.monotonic() > self._until else None


def tell_overdue(storage: Storage, over: Begun) -> None:
    """Tells how a trial ended whose worker was ended with it.

    If the database does not answer, the trial is another worker's once the lease has run out.

    Raises:
        TrainingError: too many trials failed; the study is stopped.
    """
    try:
        trial = storage.get_trial(over.trial_id)
        lease = Lease(over.study_id, over.trial_id, over.number, over.holder, over.token, trial)
        update = _end(lease, over.limit)
        if storage.writer.write([update]) or update.state != TrialState.FAIL:
            return
        error = update.user_attrs["error"]
        check_failures(storage, lambda call: call(), over.study_id, over.study, error)
    except OutageError as error:
        note(f"{over.study}: could not record that trial {over.number} timed out: {error}")
    except MissingError:  # the study was deleted
        return


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
    """What it reported last, if that is a number."""
    reports = trial.intermediate_values
    value = reports[max(reports)] if reports else math.nan
    return None if math.isnan(value) else value
