"""The percentile pruner that keeps what it computed decides what Optuna's decides."""

from __future__ import annotations

import random

import optuna
import pytest
from optuna.pruners import PercentilePruner
from optuna.trial import TrialState

from tuner.search.percentile import KeptPercentilePruner
from tuner.storage import open_storage


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
@pytest.mark.parametrize(
    "options",
    [
        {"percentile": 50.0, "n_startup_trials": 3},
        {"percentile": 25.0, "n_startup_trials": 0, "n_warmup_steps": 2, "interval_steps": 3},
        {"percentile": 75.0, "n_min_trials": 4},
    ],
)
def test_it_decides_as_optuna(sqlite_url: str, direction: str, options: dict[str, float]) -> None:
    storage = open_storage(sqlite_url)  # it answers with the same list until something changes
    kept = KeptPercentilePruner(**options)
    study = optuna.create_study(storage=storage, direction=direction, pruner=kept)
    optunas, draw, decisions = PercentilePruner(**options), random.Random(0), []
    for number in range(16):
        trial = study.ask()
        for step in range(1, 9):
            value = float("nan") if number == 9 and step < 3 else draw.random() + step / 8
            trial.report(value, step)
            frozen = storage.get_trial(trial._trial_id)
            decisions.append((kept.prune(study, frozen), optunas.prune(study, frozen)))
        study.tell(trial, value, TrialState.COMPLETE)
    assert {mine for mine, _ in decisions} == {True, False}
    assert all(mine == theirs for mine, theirs in decisions)
