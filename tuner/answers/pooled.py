"""What the trials of the search say about parameters: no experiment, and marked as such."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from optuna.trial import FrozenTrial, TrialState

from tuner.answers.estimate import of_differences
from tuner.answers.importances import importances
from tuner.answers.main_effects import MainEffect, Trained, main_effect
from tuner.metrics import limits
from tuner.search.view import StudyView
from tuner.space import Node, walk
from tuner.storage import Storage, measured
from tuner.study import Study
from tuner.study.trials import Own

if TYPE_CHECKING:
    import pandas as pd

METHOD = "PED-ANOVA"


@dataclass(frozen=True)
class Pooled:
    """Over the complete trials of a search, which the sampler chose.

    Attributes:
        trials: so many complete ones.
        effects: of each technique that the study searches, in its order.
        importances: share in [0, 1] of each parameter by PED-ANOVA, the largest first; empty where
            there are too few trials to say.
    """

    trials: int = 0
    effects: tuple[MainEffect, ...] = ()
    importances: Mapping[str, float] = field(default_factory=dict)

    def to_frame(self) -> pd.DataFrame:
        """A row for each technique; its importance with that of its switch."""
        import pandas as pd

        rows = [
            {**vars(each), "importance": self.importance(each.technique)} for each in self.effects
        ]
        return pd.DataFrame(rows)

    def importance(self, name: str) -> float | None:
        """That of a parameter or of its switch, whichever is larger; None where it has none."""
        known = [self.importances.get(each) for each in (name, f"{name}.on")]
        return max((share for share in known if share is not None), default=None)


def techniques(study: Study) -> tuple[Node, ...]:
    """The parameters that the study searches and that can be switched off."""
    return tuple(n for n in walk(study.nodes) if n.searched and n.leaf.off is not None)


def pooled(storage: Storage, study: Study, study_id: int) -> Pooled:
    """Reads the trials of a search."""
    trials = storage.get_all_trials(study_id, deepcopy=False)
    metric, direction = measured(storage, study_id)
    own = Own(study)
    trained = _trained(study, own(trials))
    sign = 1 if direction == "maximize" else -1
    possible = of_differences(limits(metric))
    return Pooled(
        trials=len(trained),
        effects=tuple(
            main_effect(node.name, node.leaf.off, trained, sign, possible)
            for node in techniques(study)
        ),
        importances=importances(StudyView(storage, study.name, own.learned), study.name),
    )


def _trained(study: Study, trials: Sequence[FrozenTrial]) -> list[Trained]:
    """Complete trials with a finite value."""
    return [
        (study.config(trial.params), trial.values[0])
        for trial in trials
        if trial.state == TrialState.COMPLETE and trial.values and math.isfinite(trial.values[0])
    ]
