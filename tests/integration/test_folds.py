"""A trial over folds whose worker is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from tuner.run.prepare import load_job
from tuner.study import load_study
from tuner.training.folds import training

FOLDS = "validation = { folds = 3 }\n[model]"


def test_another_worker_finishes_it_with_the_same_value(
    make: Any, until: Callable[..., None], sqlite_url: str
) -> None:
    shared = make(sqlite_url).write(epochs=200, trials=1)
    shared.path.write_text(shared.path.read_text().replace("[model]", FOLDS))
    words = ["optimize", "--study", str(shared.path), "--workers", "1", "--device", "cpu"]
    run = shared.warm(*words)

    def reported() -> int:
        try:
            return len(shared.trials()[0].intermediate_values)
        except Exception:  # no tables yet
            return 0

    until(lambda: reported() > 0, seconds=60)
    ((_, holder, token),) = shared.tokens()
    os.kill(int(holder.split(":")[1]), signal.SIGKILL)
    until(lambda: shared.tokens() and shared.tokens()[0][2] > token)
    assert (run.communicate(timeout=120), run.returncode)[1] == 0
    (trial,) = shared.trials()
    study = load_study(str(shared.path))
    job = load_job(study)
    config, seed = study.config(trial.params), trial.user_attrs["seed"]
    alone = training(config, job.data, job.metric, seed)
    values = {epoch.number: epoch.value for epoch in alone.epochs()}
    assert trial.intermediate_values == values
    assert trial.value == alone.result.value
    assert trial.user_attrs["worker"] != holder
