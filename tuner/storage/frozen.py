"""Making Optuna's frozen trials."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from optuna.trial import FrozenTrial, TrialState

from tuner.storage.lease import Update

MANY = 500
GROWS = "tuner:grows"
"""The system attribute of a trial whose parameters are drawn while it runs."""


def blank(number: int = -1, trial_id: int = -1) -> FrozenTrial:
    """A trial that runs from now on and has nothing yet."""
    return FrozenTrial(
        number=number,
        state=TrialState.RUNNING,
        value=None,
        datetime_start=datetime.now(),
        datetime_complete=None,
        params={},
        distributions={},
        user_attrs={},
        system_attrs={},
        intermediate_values={},
        trial_id=trial_id,
    )


def clone(trial: FrozenTrial) -> FrozenTrial:
    """A shallow copy, at a third of what `copy.copy` takes."""
    new = FrozenTrial.__new__(FrozenTrial)
    new.__dict__.update(trial.__dict__)
    return new


def updated(old: FrozenTrial, update: Update, complete: datetime | None) -> FrozenTrial:
    """The trial with what an update tells; `complete` is when it ended, in local time."""
    new = clone(old)
    if update.reports:
        new.intermediate_values = {**old.intermediate_values, **update.reports}
    if update.user_attrs:
        new.user_attrs = {**old.user_attrs, **update.user_attrs}
    if update.system_attrs:
        new.system_attrs = {**old.system_attrs, **update.system_attrs}
    if update.params:
        drawn = {name: kind.to_external_repr(v) for name, (v, kind) in update.params.items()}
        new.params = {**drawn, **old.params}
        kinds = {name: kind for name, (_, kind) in update.params.items()}
        new.distributions = {**kinds, **old.distributions}
    if update.state is not None:
        new.state = update.state
        new.values = None if update.value is None else [float(update.value)]
        new.datetime_complete = complete
    return new


@contextmanager
def uncollected(trials: int) -> Iterator[None]:
    """No garbage collection while very many objects are made: it takes a third of the time."""
    if trials < MANY or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
