"""CMA-ES whose state is numbers, and never code."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.samplers import CmaEsSampler

from tuner.search.cmaes import DAMAGE, KEY, NumbersCmaEsSampler, optimizer
from tuner.search.propose import propose
from tuner.search.samplers import build_sampler

optuna.logging.set_verbosity(optuna.logging.ERROR)
Value = Callable[[optuna.Trial], float]


class Attack:
    """A pickle that makes a file when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def value(trial: optuna.Trial) -> float:
    x, y = trial.suggest_float("x", -5, 5), trial.suggest_float("y", 1e-3, 1e3, log=True)
    return (x - 1) ** 2 + y + trial.suggest_int("n", 1, 9)


def searched(kind: type[CmaEsSampler], trials: int, **options: Any) -> optuna.Study:
    """As tuner does, with a sampler made anew for each trial."""
    study = optuna.create_study()
    for number in range(trials):
        study.sampler = kind(seed=number, n_startup_trials=1, popsize=4, **options)
        study.optimize(value, n_trials=1)
    return study


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize(
    "options", [{}, {"lr_adapt": True}, {"use_separable_cma": True}, {"with_margin": True}]
)
def test_it_proposes_what_optuna_does(options: dict[str, bool]) -> None:
    ours, plain = (searched(each, 24, **options) for each in (NumbersCmaEsSampler, CmaEsSampler))
    assert [trial.params for trial in ours.trials] == [trial.params for trial in plain.trials]
    kept = [t for t in ours.trials if f"{KEY}:0" in t.system_attrs]
    assert len(kept) >= 3  # several generations went through the database
    assert not any(k.startswith("cma:optimizer") for t in ours.trials for k in t.system_attrs)


@pytest.mark.parametrize("key", ["cma:optimizer:0", f"{KEY}:0"])
def test_a_pickle_in_the_database_is_not_run(tmp_path: Path, key: str) -> None:
    mark = tmp_path / "attacked"
    code = pickle.dumps(Attack(mark)).hex()

    def attacked(sampler: optuna.samplers.BaseSampler) -> optuna.trial.FrozenTrial:
        study = optuna.create_study(study_name="attacked")
        trial = study.ask()
        value(trial)
        trial.storage.set_trial_system_attr(trial._trial_id, key, code)
        study.tell(trial, 1.0)
        return propose(study._storage, "attacked", sampler, optuna.pruners.NopPruner(), 1, value)

    if key == "cma:optimizer:0":
        attacked(CmaEsSampler(seed=0))
        assert mark.exists()
        mark.rmdir()
    assert attacked(build_sampler("cmaes", {}, seed=0, number=1)).params.keys() == {"x", "y", "n"}
    assert not mark.exists()


@pytest.mark.parametrize(
    "found",
    [
        "text",
        [1],
        8004,
        None,
        {"kind": "SepCMA", "state": {}},
        {"kind": "system", "state": {}},
        {"kind": "CMA", "state": {"_mean": "text"}},
        {"kind": "CMA", "state": {}},
        {"dtype": "object", "shape": [1], "data": [1]},
        {"dtype": "float64", "shape": [2], "data": ["a", "b"]},
    ],
)
def test_anything_else_is_refused(found: Any) -> None:
    with pytest.raises(DAMAGE):
        optimizer(found)
