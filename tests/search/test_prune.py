"""The percentile pruner that keeps what it computed decides what Optuna's decides."""

from __future__ import annotations

import math
import random

import optuna
import pytest
from optuna.pruners import PercentilePruner
from optuna.trial import TrialState

from tuner.search.propose import Draft
from tuner.search.prune import CachedPercentilePruner, PruningStudy
from tuner.search.pruners import PRUNERS, build_pruner
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
    kept = CachedPercentilePruner(**options)
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


OPTIONS = {"patient": {"pruner": "asha", "patience": 1}, "median": {"n_warmup_steps": 1}}
STEPS, TOGETHER = 12, 4


def report(trial_number: int, step: int) -> float:
    """A curve that falls, rises or is not a number, by the trial's number."""
    if trial_number % 17 == 5 and step > 4:
        return math.nan
    noise = (trial_number * 7919 + step * 104729) % 101 / 101
    return (trial_number * 31 % 23) / 23 + math.exp(-step / 4) * noise + 0.02 * (step % 4)


class Run(Draft):
    """Holds its reports until its trial ends, and writes at once what the pruner notes."""

    def __init__(self, study, trial):
        super().__init__(study._storage.get_trial(trial._trial_id))
        self.study, self.notes = study, []

    def report(self, value, step):
        super().write(reports={step: value})

    def write(self, *, system_attrs):
        super().write(system_attrs=system_attrs)
        for key, value in system_attrs.items():
            self.notes.append((key, value))
            self.study._storage.set_trial_system_attr(self.trial._trial_id, key, value)

    def end(self):
        for step, value in self.trial.intermediate_values.items():
            self.study._storage.set_trial_intermediate_value(self.trial._trial_id, step, value)


@pytest.mark.filterwarnings("ignore:All-NaN slice")
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
@pytest.mark.parametrize("name", PRUNERS)
def test_decides_as_optuna_does(name, direction):
    """60 trials, four side by side; reports reach our storage only when a trial ends."""
    pruner = build_pruner(name, OPTIONS.get(name, {}), epochs=STEPS)
    plain = optuna.create_study(direction=direction, pruner=pruner, study_name="s")
    storage = optuna.storages.InMemoryStorage()
    ours = optuna.create_study(direction=direction, storage=storage, study_name="s")
    judge = PruningStudy(storage, "s", build_pruner(name, OPTIONS.get(name, {}), epochs=STEPS))
    pruned = 0
    for _ in range(15):
        asked = [(plain.ask(), ours.ask()) for _ in range(TOGETHER)]
        running = [(trial, mine, Run(ours, mine)) for trial, mine in asked]
        for step in range(STEPS):
            for each in list(running):
                trial, mine, run = each
                trial.report(report(trial.number, step), step)
                run.report(report(trial.number, step), step)
                decision = judge.should_prune(run)
                assert decision == trial.should_prune()
                if decision or step == STEPS - 1:
                    pruned += decision
                    run.end()
                    end(plain, trial, decision, step)
                    end(ours, mine, decision, step)
                    running.remove(each)
    assert [t.system_attrs for t in ours.trials] == [t.system_attrs for t in plain.trials]
    assert (pruned > 0) == (name not in ("none", "promote"))
    assert pruned < 60


def end(study, trial, pruned, step):
    if pruned:
        study.tell(trial, state=TrialState.PRUNED)
    elif math.isnan(report(trial.number, step)):
        study.tell(trial, state=TrialState.FAIL)
    else:
        study.tell(trial, report(trial.number, step))


def test_a_run_is_judged_by_what_it_holds_and_notes_a_rung_once():
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage, study_name="s")
    judge = PruningStudy(storage, "s", build_pruner("asha", {}, epochs=9))
    first, second = (Run(study, study.ask()) for _ in range(2))
    first.report(0.1, 1)
    second.report(0.2, 1)
    assert not judge.should_prune(first)
    assert not judge.should_prune(first)
    assert first.notes == [("completed_rung_0", 0.1)]
    assert judge.should_prune(second)
    assert [trial.intermediate_values for trial in study.trials] == [{}, {}]
