"""Records that a worker and the storage exchange: leases, updates, proposals."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

OPEN, PAUSED, STOPPED = "open", "paused", "stopped"
STATES = (OPEN, PAUSED, STOPPED)
"""The states that people set."""
FINISHED, FOREIGN = "finished", "foreign"
"""Two more states: open with a complete budget, and made by another program."""
LEASE_SECONDS = 30.0
"""How long a lease lasts; a worker that is silent for longer is lost."""


@dataclass(frozen=True)
class Lease:
    """A worker's time-limited claim on a running trial.

    Attributes:
        token: grows by one with every holder; a write with an earlier token is refused.
        trial: the trial with its parameters and, if `resumed`, its reports so far.
        checkpoint: the bytes that the last holder wrote, or None.
        resumed: whether an earlier holder left the trial unfinished.
        target: the epoch after which the holder pauses the trial; None is never.
    """

    study_id: int
    trial_id: int
    number: int
    holder: str
    token: int
    trial: FrozenTrial
    checkpoint: bytes | None = None
    resumed: bool = False
    target: int | None = None


@dataclass(frozen=True)
class Update:
    """What a worker writes about one trial; writing it again changes nothing.

    Attributes:
        reports: intermediate values by step; non-finite ones are stored as Optuna does.
        state: a finished state, or None while the trial goes on.
        value: the objective of a complete or pruned trial.
        age: seconds since `state` was reached (an update may wait before it is written).
        params: Optuna's internal number and the distribution by name, of a trial whose parameters
            are suggested while it runs; one that is stored already stays.
        artifacts: by identifier, for the database; their metadata are system attributes.
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


class Rule(Protocol):
    """Decides after which epoch a trial pauses, and which paused trial goes on."""

    @property
    def pauses(self) -> bool:
        """Whether trials pause before a budget in epochs makes them."""

    def target(self, trial: FrozenTrial) -> int:
        """The epoch to which a worker that gets the trial now trains it."""

    def choice(
        self, trials: Sequence[FrozenTrial], paused: Container[int], new: bool
    ) -> int | None:
        """The number of the paused trial that goes on; None for a new one or, without `new`, none.

        Args:
            trials: all of the study.
            paused: the numbers of those that may go on.
            new: whether the budget has room for a new trial.
        """

    def continued(self, trial: FrozenTrial, number: int) -> FrozenTrial:
        """A new trial of this number that goes on where an ended one paused."""


class Propose(Protocol):
    """Makes the trial with this number; `fixed` are the parameters of an enqueued trial.

    The trial's parameters, attributes and (if it is finished already) state and values are used.
    A function whose attribute `learns` is false gives each number its own configuration: it is
    asked again when another worker took the number in the meantime. Otherwise its method
    `renumber(trial, number)`, if it has one, gives the trial what belongs to the other number.
    One whose attribute `covers` is true gives each trial parameters that no other has: it is called
    when the storage has read all trials and none can be added, and raises ExhaustedError if no
    parameters are left. Its attribute `rule`, if it has one, says when trials pause and go on.
    """

    def __call__(self, number: int, fixed: Mapping[str, Any] | None) -> FrozenTrial: ...
