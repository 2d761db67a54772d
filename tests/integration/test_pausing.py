"""Trials that pause: the same numbers, exact budgets, whoever is killed, and what people see."""

from __future__ import annotations

import json
from typing import Any

import pytest
from optuna.trial import FrozenTrial, TrialState

from tuner.errors import UsageError
from tuner.run.optimize import optimize
from tuner.run.options import RunOptions
from tuner.run.prepare import submit
from tuner.run.retrain import retrain
from tuner.search.promote import CONTINUES, PAUSED_AT, is_paused, last_epoch
from tuner.study.trials import epochs_trained

RULE = 'pruner = { name = "promote", reduction_factor = 2 }'


def pausing(shared: Any, rule: str = RULE, **changes: Any) -> Any:
    """The study file of a search whose trials pause after 1 and 3 of 9 epochs."""
    shared.write(**{"epochs": 9, "trials": 8, **changes})
    shared.path.write_text(shared.path.read_text().replace('pruner = "none"', rule))
    return shared


def run(shared: Any, **options: Any) -> list[FrozenTrial]:
    optimize(str(shared.path), RunOptions(shared.url, workers=1, device="cpu", **options))
    trials: list[FrozenTrial] = shared.trials()
    return trials


def first_of(trial: FrozenTrial, trials: list[FrozenTrial]) -> FrozenTrial:
    """The trial that this one continues, or itself."""
    while CONTINUES in trial.user_attrs:
        trial = trials[trial.user_attrs[CONTINUES]]
    return trial


@pytest.fixture
def whole(make: Any, sqlite_url: str) -> list[FrozenTrial]:
    """The trials of the same study, in a database of its own, that do not pause."""
    return run(pausing(make(f"{sqlite_url}.whole"), 'pruner = "none"'))


def test_a_trial_that_paused_has_the_numbers_of_one_that_did_not(
    make: Any, sqlite_url: str, whole: list[FrozenTrial]
) -> None:
    trials = run(pausing(make(sqlite_url)))
    assert [trial.params for trial in trials] == [trial.params for trial in whole]
    for trial, same in zip(trials, whole, strict=True):
        reached = last_epoch(trial)
        expected = {step: same.intermediate_values[step] for step in range(1, reached + 1)}
        assert trial.intermediate_values == expected
        assert trial.value == expected[reached]
    ends = {last_epoch(trial) for trial in trials}
    assert {1, 9} <= ends <= {1, 3, 9}
    assert trials[0].state == TrialState.COMPLETE  # the baseline never pauses
    assert epochs_trained(trials) < epochs_trained(whole)


def test_an_enqueued_configuration_never_pauses(make: Any, sqlite_url: str) -> None:
    worst = "enqueue = [{ learning_rate = 1e-3, dropout = 0.5 }]"
    trials = run(pausing(make(sqlite_url), search=worst))
    assert trials[1].params["learning_rate"] == 1e-3
    assert [PAUSED_AT in trial.user_attrs for trial in trials[:3]] == [False, False, True]


def test_a_larger_budget_continues_what_ended(
    make: Any, sqlite_url: str, whole: list[FrozenTrial]
) -> None:
    shared = pausing(make(sqlite_url))
    run(shared, epochs=24)
    trials = run(shared, epochs=72)
    assert epochs_trained(trials) == 72
    continued = [trial for trial in trials if CONTINUES in trial.user_attrs]
    assert continued
    for trial in continued:
        first = first_of(trial, trials)
        assert trial.params == first.params
        assert trial.user_attrs["seed"] == first.user_attrs["seed"]
        same = whole[first.number].intermediate_values if first.number < len(whole) else {}
        both = trial.intermediate_values.keys() & same.keys()
        assert all(trial.intermediate_values[step] == same[step] for step in both)
    last = max(continued, key=last_epoch)
    assert retrain("small", last.number, RunOptions(shared.url, device="cpu")).equal


@pytest.mark.parametrize("rule", [RULE, 'pruner = "none"'])
def test_a_budget_in_epochs_is_exact_whoever_is_killed(
    make: Any, database_url: str, until: Any, rule: str
) -> None:
    shared = pausing(make(database_url), rule, epochs=60, search="epochs = 500")
    shared.path.write_text(shared.path.read_text().replace("trials = 8\n", ""))
    submit(str(shared.path), shared.url)
    workers = [shared.worker() for _ in range(3)]
    until(lambda: epochs_trained(shared.trials()) > 60)
    workers[0].kill()
    shared.worker()
    for worker in shared.processes[1:]:
        worker.join(60)
        assert worker.exitcode == 0
    trials = shared.trials()
    assert epochs_trained(trials) == 500
    assert {trial.state.is_finished() for trial in trials} == {True}
    assert shared.progress.state == "finished"
    assert shared.tokens() == []


def test_what_is_paused_is_shown_and_waits(make: Any, sqlite_url: str, until: Any) -> None:
    shared = pausing(make(sqlite_url), epochs=400, trials=40)
    command = shared.warm("optimize", "--study", str(shared.path), "--workers", "1")
    until(lambda: shared.path.exists() and "small" in shared.storage.open_studies())
    until(lambda: shared.progress.paused >= 3)
    command.send_signal(2)
    command.wait(30)
    paused = [trial for trial in shared.trials() if is_paused(trial)]
    assert 0 < shared.progress.paused <= len(paused)  # one may have gone on at that moment
    status = shared.warm("status", "--json")
    [study] = json.loads(status.communicate(timeout=30)[0])["studies"]
    assert study["paused"] == shared.progress.paused
    with pytest.raises(UsageError, match="is paused and has no value"):
        retrain("small", paused[0].number, RunOptions(shared.url, device="cpu"))
    said = shared.warm("pause", "--study", "small").communicate(timeout=30)[0]
    assert "paused, and keep their checkpoints" in said
