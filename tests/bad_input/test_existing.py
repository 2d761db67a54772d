"""Commands that do not fit what the database holds leave it as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from typer.testing import CliRunner

from tuner.cli import app
from tuner.storage import open_storage

Run = Callable[..., str]
URL = "sqlite:///tuner.db"


def _study(name: str) -> optuna.Study:
    return optuna.load_study(study_name=name, storage=URL)


@pytest.mark.parametrize(
    ("old", "new", "keys"),
    [
        ("epochs = 2", "epochs = 3", ["training.epochs"]),
        ("high = 1e-1", "high = 1.0", ["training.learning_rate.high"]),
        ('"accuracy"', '"f1_macro"', ["metric"]),
        ('"random"', '"tpe"\nseed = 1', ["search.sampler", "search.seed"]),
        ('"kind"', '"kind"\nseed = 1', ["data.seed"]),
        ("[training]", "[regularization]\nema = 0.9\n[training]", ["regularization.ema"]),
    ],
)
def test_a_study_that_has_changed(
    trained: Path, edit: Callable[..., None], refused: Run, old: str, new: str, keys: list[str]
) -> None:
    edit(old, new)
    words = (f"mine: the study has changed since it began: {', '.join(keys)}\n", "another name")
    refused("optimize", "--study", "mine", "--trials", "9", words=words)
    refused("submit", "--study", "mine", words=words)


def test_what_the_console_script_says_of_a_changed_study(
    trained: Path, edit: Callable[..., None], refused_warm: Run
) -> None:
    edit("epochs = 2", "epochs = 3")
    refused_warm("optimize", "--study", "mine", words=("began: training.epochs\n",))


def test_another_seed_is_another_study(trained: Path, refused: Run) -> None:
    words = ("mine: the study has changed since it began: search.seed\n",)
    refused("optimize", "--study", "mine", "--seed", "7", words=words)


def test_no_such_study_in_the_database(trained: Path, refused_warm: Run, refused: Run) -> None:
    words = ("'mien'", "did you mean 'mine'? known: mine")
    for command in ("status", "pause", "resume", "stop", "best"):
        refused(command, "--study", "mien", words=words)
    refused("retrain", "--study", "mien", "--trial", "0", words=words)
    refused_warm("best", "--study", "mien", words=words)


def test_retrain_of_a_trial_without_a_value(trained: Path, refused: Run) -> None:
    words = ("mine: the study has no trial 9", "0 to 2")
    refused("retrain", "--study", "mine", "--trial", "9", words=words)
    study = _study("mine")
    study.tell(study.ask(), state=optuna.trial.TrialState.FAIL)
    study.ask()
    words = ("mine: trial 3 is fail", "no value", "tuner best --study mine")
    refused("retrain", "--study", "mine", "--trial", "3", words=words)
    words = ("mine: trial 4 is running", "no value")
    refused("retrain", "--study", "mine", "--trial", "4", words=words)
    refused("retrain", "--study", "mine", "--trial", "-1", words=("'--trial'", "0"))
    refused("retrain", "--study", "mine", "--trial", "x", words=("'--trial'", "integer"))


def test_a_study_that_something_else_made(folder: Path, refused: Run) -> None:
    optuna.create_study(study_name="mine", storage=URL, direction="maximize")
    optuna.create_study(study_name="other", storage=URL)
    open_storage(URL).close()  # adds tables of its own beside Optuna's
    refused("optimize", "--study", "mine", words=("mine: ", "tuner did not make", "another data"))
    for command in (("best",), ("retrain", "--trial", "0")):
        refused(*command, "--study", "other", words=("'other'",))


def test_a_study_without_trials(folder: Path, refused: Run) -> None:
    assert CliRunner().invoke(app, ["submit", "--study", "mine"]).exit_code == 0
    words = ("mine: the study has no trial 0", "it has no trials yet")
    refused("retrain", "--study", "mine", "--trial", "0", words=words)
    best = CliRunner().invoke(app, ["best", "--study", "mine"])
    assert best.exit_code == 2
    assert "no trial of 'mine' is complete yet\n  tuner optimize --study mine" in best.stderr


def test_the_budget_may_change(trained: Path, edit: Callable[..., None]) -> None:
    edit("trials = 3", 'trials = 4\ntimeout = "1h"')
    edit('metric = "accuracy"', 'description = "longer"\nmetric = "accuracy"')
    result = CliRunner().invoke(app, ["optimize", "--study", "mine", "--workers", "1"])
    assert result.exit_code == 0, result.stderr
    assert len(_study("mine").trials) == 4
