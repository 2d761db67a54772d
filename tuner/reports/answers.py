"""What `confirm` and `ablate` found out, as far as a report needs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuner.answers import ablate, confirm, replicas
from tuner.answers.ablate import Ablation
from tuner.answers.confirm import Confirmation
from tuner.answers.estimate import Estimate
from tuner.reports.outcomes import Outcome, pooled
from tuner.worker.building import OUTCOME

if TYPE_CHECKING:
    from tuner.storage import Storage
    from tuner.study import Study

__all__ = ["Ablation", "Answers", "Confirmation", "Estimate", "read_answers", "tested"]


@dataclass(frozen=True)
class Answers:
    """What is known beyond the trials of the search; None where the command has not run."""

    confirmation: Confirmation | None = None
    ablation: Ablation | None = None
    outcome: Outcome | None = None


def read_answers(storage: Storage, study: Study) -> Answers:
    """What the database holds of them, also while they are still running."""
    confirmation = confirm.read(storage, study)
    outcome = None
    if confirmation is not None:
        finished = replicas.finished(storage, study, confirm.WHAT)
        label = confirmation.winner.label
        kept = [
            trial.user_attrs[OUTCOME]
            for (name, _, final), (_, trial) in sorted(finished.items())
            if final and name == label and OUTCOME in trial.user_attrs
        ]
        outcome = pooled(kept)
    return Answers(confirmation, ablate.read(storage, study), outcome)


def tested(found: Confirmation) -> tuple[str, Estimate, Estimate | None]:
    """The split that counts, the winner's estimate there and the baseline's.

    It is "test" where the winner was measured there, and the baseline too if there is one.
    """
    baseline = found.baseline
    if found.winner.test is not None and (baseline is None or baseline.test is not None):
        return "test", found.winner.test, None if baseline is None else baseline.test
    return "validation", found.winner.validation, None if baseline is None else baseline.validation
