"""How much of the search's variation goes back to each parameter, by Optuna's PED-ANOVA."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

FEWEST = 10
"""Complete trials below which importances would be noise."""


def importances(storage: BaseStorage, name: str) -> dict[str, float]:
    """Shares in [0, 1] that add up to 1, largest first; empty where there is too little to say.

    Parameters that only some trials have are left out. Source: Watanabe, Bansal and Hutter 2023,
    PED-ANOVA.
    """
    import optuna
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    study = optuna.load_study(study_name=name, storage=storage)
    if len(study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))) < FEWEST:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            evaluator = PedAnovaImportanceEvaluator()
            found = get_param_importances(study, evaluator=evaluator, normalize=True)
        except (ValueError, RuntimeError):  # for example: all values are equal
            return {}
    shares = {name: float(share) for name, share in found.items() if math.isfinite(share)}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))
