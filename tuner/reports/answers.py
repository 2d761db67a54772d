"""What `confirm` and `ablate` found out, as far as a report needs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from tuner.storage import Storage
    from tuner.study import Study


class Estimate(Protocol):
    """A mean over seeds with its standard deviation, its 95% interval and each seed's value."""

    @property
    def mean(self) -> float: ...
    @property
    def sd(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...
    @property
    def values(self) -> tuple[float, ...]: ...


class Measured(Protocol):
    """A configuration trained over seeds; ``label`` is "baseline" or "trial N"."""

    @property
    def label(self) -> str: ...
    @property
    def number(self) -> int: ...
    @property
    def config(self) -> dict[str, Any]: ...
    @property
    def validation(self) -> Estimate: ...
    @property
    def test(self) -> Estimate | None: ...


class Confirmation(Protocol):
    """The best few and the baseline over seeds; the winner is the best by validation."""

    @property
    def rows(self) -> tuple[Measured, ...]: ...
    @property
    def winner(self) -> Measured: ...
    @property
    def baseline(self) -> Measured: ...


class Effect(Protocol):
    """What a technique contributes: ``view`` is "off", "on" or "path"; positive is better."""

    @property
    def technique(self) -> str: ...
    @property
    def view(self) -> str: ...
    @property
    def difference(self) -> Estimate: ...
    @property
    def words(self) -> str: ...


class Ablation(Protocol):
    """The effects of all techniques that were looked at."""

    @property
    def effects(self) -> tuple[Effect, ...]: ...


@dataclass(frozen=True)
class Answers:
    """What is known beyond the trials of the search; None where the command has not run."""

    confirmation: Confirmation | None = None
    ablation: Ablation | None = None


def read_answers(storage: Storage, study: Study) -> Answers:
    """What the database holds of them."""
    return Answers()
