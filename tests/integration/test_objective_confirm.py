"""``tuner confirm`` calls somebody's own objective again with other seeds."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from optuna.trial import TrialState
from typer.testing import CliRunner

from tuner.cli import app
from tuner.reports.report import report
from tuner.results.confirm import Confirmation
from tuner.run.optimize import optimize
from tuner.run.options import RunOptions
from tuner.run.replicate import confirm
from tuner.seeds import derive
from tuner.worker.job import REPLICA

STUDY = """\
objective = "own_noise:noisy"
direction = "minimize"
metric = "accuracy"
[search]
trials = 8
trial_timeout = 30
sampler = "random"
pruner = { name = "promote", max_resource = 9 }
"""
OBJECTIVE = """\
import os
import random

import optuna
import tuner


def noisy(trial):
    x = trial.suggest_float("x", 0.0, 10.0)
    deep = trial.suggest_categorical("deep", [True, False])
    y = trial.suggest_int("y", 1, 3) if deep else 0
    noise = random.Random(tuner.seed(trial)).gauss(0, 0.1)
    if "replica" in trial.user_attrs and not os.path.exists("failed"):
        open("failed", "w").close()
        raise OSError("the disk is full")
    folder = tuner.checkpoint(trial)
    (folder / "state").write_text("x")
    for step in range(9):
        trial.report(100 + x + y + step, step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return 100 + x + y + noise
"""


@pytest.fixture(autouse=True)
def _there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUNER_SPOOL", str(tmp_path / "spool"))
    sys.modules.pop("own_noise", None)
    (tmp_path / "own_noise.py").write_text(OBJECTIVE)
    return


def searched(make: Any, url: str) -> Any:
    shared = make(url, "noisy")
    shared.path.write_text(STUDY)
    optimize(str(shared.path), RunOptions(url, workers=1, device="cpu"))
    return shared


def confirmed(shared: Any, **changes: Any) -> Confirmation:
    options = RunOptions(shared.url, **{"workers": 2, "device": "cpu", **changes})
    return confirm("noisy", options, top=2, seeds=3)


def told(shared: Any, *words: str) -> str:
    found = CliRunner().invoke(app, list(words), env=shared.environment)
    assert found.exit_code == 0, found.output
    return " ".join(found.stdout.split())


def test_the_best_are_repeated_over_seeds(make: Any, database_url: str) -> None:
    shared = searched(make, database_url)
    trials = shared.trials()
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    best = sorted(complete, key=lambda trial: trial.value)[:2]
    answer = confirmed(shared)
    assert (answer.finished, answer.own_objective) == (True, True)
    assert {row.number for row in answer.rows} == {trial.number for trial in best}
    replicas = [t for t in make(shared.url, "noisy:confirm").trials() if REPLICA in t.user_attrs]
    assert [t.state.name for t in replicas].count("FAIL") == 1  # it was trained again
    done = [trial for trial in replicas if trial.state == TrialState.COMPLETE]
    assert len(done) == 2 * 3
    seeds = {trial.user_attrs["seed"] for trial in done}
    assert seeds == {derive(0, "replica", index) % 2**32 for index in range(3)}
    for row in answer.rows:
        mine = [t for t in done if t.user_attrs[REPLICA]["label"] == row.label]
        assert {t.user_attrs["seed"] for t in mine} == seeds
        assert all(t.params == trials[row.number].params for t in mine)
        assert all(len(t.intermediate_values) == 9 for t in mine)  # whole, without a pause
        assert row.validation.mean == pytest.approx(fmean(t.value for t in mine))
        assert row.validation.low < row.validation.mean < row.validation.high
        assert row.test is None
    assert answer.winner.validation.mean > 100  # "accuracy" is a name here, and has no limits
    assert (answer.baseline, answer.gain, answer.ensemble, answer.rivals) == (None, None, None, ())
    assert confirmed(shared) == answer
    assert len(make(shared.url, "noisy:confirm").trials()) == len(replicas)


def test_people_see_it_as_that_of_a_network(make: Any, sqlite_url: str) -> None:
    shared = searched(make, sqlite_url)
    words = ("--study", "noisy", "--top", "2", "--seeds", "2")
    said = told(shared, "confirm", *words, "--workers", "1", "--device", "cpu")
    assert "by its own objective over 2 seeds" in said
    assert "tuner knows no test rows of it" in said
    assert "no ensemble" not in said
    choice = json.loads(told(shared, "best", "--study", "noisy", "--json"))
    assert choice["chosen_by"] == "confirm"
    assert choice["confirmed"]["own_objective"] is True
    assert choice["number"] == choice["confirmed"]["winner"]["number"]
    assert "by its own objective over 2 seeds" in told(shared, "best", "--study", "noisy")
    page = report("noisy", RunOptions(shared.url))
    assert page.verdict[0].startswith("Confirmed over 2 seeds: trial ")
    assert "on the own objective" in page.verdict[0]
    assert "tuner knows no test rows of it" in page.verdict[1]
    assert "confirmed" in page.figures


def test_what_is_left_is_trained_by_any_worker(make: Any, sqlite_url: str) -> None:
    shared = searched(make, sqlite_url)
    (shared.folder / "failed").touch()
    unfinished = confirm("noisy", RunOptions(shared.url, workers=1, device="cpu"), top=1, seeds=1)
    assert unfinished.finished
    held = make(shared.url, "noisy:confirm")
    assert held.progress.finished == 1
    answer = confirmed(shared, workers=1)
    assert held.progress.finished == 6
    assert len(answer.rows) == 2
