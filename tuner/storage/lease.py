"""Records that a worker and the storage exchange: leases, updates, proposals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

OPEN, PAUSED, STOPPED = "open", "paused", "stopped"
STATES = (OPEN, PAUSED, STOPPED)
"""What people set a study to."""
FINISHED, FOREIGN = "finished", "foreign"
"""What a study is beside that: open with its budget met, or made by other programs."""
LEASE_SECONDS = 30.0
"""So long a lease lasts, and a worker that is silent for longer is lost."""


@dataclass(frozen=True)
class Lease:
    """A worker's time-limited claim on a running trial.

    Attributes:
        token: grows by one with every holder; a write with an earlier token is refused.
        trial: the trial with its parameters and, if `resumed`, what was reported so far.
        checkpoint: the bytes that the last holder wrote, or None.
        resumed: whether an earlier holder left the trial unfinished.
    """

    study_id: int
    trial_id: int
    number: int
    holder: str
    token: int
    trial: FrozenTrial
    checkpoint: bytes | None = None
    resumed: bool = False


@dataclass(frozen=True)
class Update:
    """What a worker has to tell about one trial; writing it again changes nothing.

    Attributes:
        reports: intermediate values by step; non-finite ones are stored as Optuna does.
        state: a finished state, or None while the trial goes on.
        value: the objective of a complete or pruned trial.
        age: seconds since `state` was reached (an update may have to wait for its writing).
        params: Optuna's internal number and the distribution by name, of a trial whose parameters
            are suggested while it runs; one that is there already stays.
        artifacts: by identifier, to be kept in the database; their metadata are system attributes.
    """

    lease: Lease
    reports: Mapping[int, float] = field(default_factory=dict)
    user_attrs: Mapping[str, Any] = field(default_factory=dict)
    system_attrs: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: bytes | None = None
    state: TrialState | None = None
    value: float | None = None
    age: float = 0.0
    params: Mapping[str, tuple[float, BaseDistribution]] = field(default_factory=dict)
    artifacts: Mapping[str, bytes] = field(default_factory=dict)


class ExhaustedError(Exception):
    """There is nothing left to propose."""


class Propose(Protocol):
    """Makes the trial with this number; `fixed` are parameters that somebody asked for.

    The trial's parameters, attributes and (if it is finished already) state and values are used.
    A function whose attribute `learns` is false gives each number its own configuration: it is
    asked again when another worker took the number in the meantime. Otherwise its method
    `renumber(trial, number)`, if it has one, gives the trial what belongs to the other number.
    One whose attribute `covers` is true gives what no other trial has: it is asked when the storage
    knows all of them and none can be added, and raises ExhaustedError where nothing is left.
    """

    def __call__(self, number: int, fixed: Mapping[str, Any] | None) -> FrozenTrial: ...
