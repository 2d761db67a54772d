"""Metrics with options, and metrics and losses of the user's, from `optimize` to `export`."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

import tuner
from tuner.data import Target
from tuner.errors import StudyFileError
from tuner.run.prepare import load_job, submit

MODULE = "my_measures"
TEXT = """
import torch

calls = 0

def distance(predictions, targets, power=2):
    hot = torch.nn.functional.one_hot(targets, predictions.shape[1])
    return (predictions - hot).abs().pow(power).sum(1).mean()

def whole(predictions, targets):
    if len(targets) < 110:
        raise ValueError("too few rows")
    return (predictions.argmax(1) == targets).double().mean()

def third_time(predictions, targets):
    global calls
    calls += 1
    return 1 / (calls - 3)

def focal(outputs, targets, gamma=2.0):
    logarithms = outputs.log_softmax(1)
    return -(targets * (1 - logarithms.exp()) ** gamma * logarithms).sum(1)

def plain(gradient, state, step):
    return gradient, state

def falling(progress):
    return 1 - progress

def half(targets, generator):
    return torch.randperm(len(targets), generator=generator)[: len(targets) // 2]
"""
NAMES = {"loss": "focal", "optimizer": "plain", "lr_scheduler": "falling", "sampling": "half"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with the user's module."""
    (tmp_path / f"{MODULE}.py").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TUNER_ALLOW", raising=False)
    sys.modules.pop(MODULE, None)  # another test's
    return tmp_path


@pytest.fixture
def options(sqlite_url: str) -> tuner.RunOptions:
    return tuner.RunOptions(sqlite_url, workers=1, device="cpu")


def defined(name: str, metric: Any, direction: Any = None, **data: Any) -> tuner.Study:
    source = {"source": "sklearn.datasets:load_wine", **data}
    loss = {"choices": ["auto", "brier", {"name": f"{MODULE}:focal", "gamma": 1.5}]}
    if "diabetes" in source["source"]:
        loss = {"choices": ["auto", "mae", {"name": "pinball", "quantile": 0.4}]}
    first = {"loss": loss["choices"][1], "dropout": 0.2}
    return tuner.define_study(
        name,
        metric=metric,
        direction=direction,
        data=source,
        model={"family": "mlp", "depth": 1, "width": 8},
        regularization={"dropout": {"off": 0.0, "low": 0.1, "high": 0.3}},
        training={"epochs": 3, "loss": loss, "learning_rate": 0.02},
        search={"trials": 4, "sampler": "random", "pruner": "none", "enqueue": [first]},
    )


OWN = {"name": f"{MODULE}:distance", "power": 1}
LOW = {"name": "pinball", "quantile": 0.9}
STUDIES: dict[str, Callable[[], tuner.Study]] = {
    f"{MODULE}:distance(power=1)": lambda: defined("s", OWN, "minimize"),
    f"{MODULE}:distance(power=2)": lambda: defined(
        "s", {**OWN, "power": 2}, "minimize", validation={"folds": 2}
    ),
    "pinball(quantile=0.9)": lambda: defined(
        "s", LOW, source="sklearn.datasets:load_diabetes", test=0.3
    ),
    "top_k_accuracy(k=2)": lambda: defined("s", "top_k_accuracy"),
}


@pytest.mark.parametrize("metric", STUDIES)
def test_every_command_knows_the_metric_and_the_losses(
    metric: str, options: tuner.RunOptions, folder: Path
) -> None:
    study = STUDIES[metric]()
    last = tuner.optimize(study, options)
    assert last.progress.met
    assert tuner.retrain("s", 1, options).equal
    confirmed = tuner.confirm("s", options, top=2, seeds=2, full=True)
    assert (confirmed.metric, confirmed.finished) == (metric, True)
    assert all(each.test is not None for each in confirmed.rows)
    held = optuna.load_study(study_name="s:confirm", storage=options.storage)
    assert held.metric_names == [metric]
    assert all(len(trial.user_attrs["left_out"]) in (0, 20) for trial in held.trials)
    assert tuner.best("s", options).direction == confirmed.direction
    verdict = tuner.report("s", options).verdict
    assert any(metric in each for each in verdict)  # the first may say that the baseline wins
    sides = tuner.compare(["s", "s:confirm"], options).sides
    assert [side.metric for side in sides] == [metric, metric]
    final = study.folds is not None
    exported = tuner.export("s", folder / "model", options, trial=1, final=final)
    assert exported.metric == metric
    assert tuner.load(folder / "model")
    document = tomllib.loads((folder / "model" / "study.toml").read_text())
    assert document["metric"] == study.document["metric"]
    assert document.get("direction") == study.document.get("direction")
    assert document["training"]["loss"] in ("brier", "mae")


def test_the_interval_of_an_effect_allows_for_other_rows(options: tuner.RunOptions) -> None:
    study = defined("s", LOW, source="sklearn.datasets:load_diabetes", test=0.3)
    tuner.optimize(study, options)
    ablation = tuner.ablate("s", options, seeds=2, views=["on"])
    names = {effect.technique for effect in ablation.effects}
    assert names <= {"loss", "dropout"}
    assert names
    for effect in ablation.effects:
        values = effect.difference.values
        assert effect.difference.low < min(values) <= max(values) < effect.difference.high
    held = optuna.load_study(study_name="s:ablate", storage=options.storage)
    assert all(len(trial.user_attrs["left_out"]) == 20 for trial in held.trials)


def test_a_metric_that_needs_every_row_has_no_interval_over_rows(
    options: tuner.RunOptions,
) -> None:
    study = defined(
        "s", f"{MODULE}:whole", "maximize", source="sklearn.datasets:load_breast_cancer"
    )
    tuner.optimize(study, options)
    confirmed = tuner.confirm("s", options, top=1, seeds=2)
    assert confirmed.finished
    held = optuna.load_study(study_name="s:confirm", storage=options.storage)
    assert all(trial.user_attrs["left_out"] == [] for trial in held.trials)


def test_a_metric_that_raises_fails_the_trial_with_its_message(
    options: tuner.RunOptions,
) -> None:
    """The first call is the check before any trial, the third that of the second epoch."""
    study = defined("s", f"{MODULE}:third_time", "maximize")
    tuner.optimize(study, options)
    trials = optuna.load_study(study_name="s", storage=options.storage).trials
    assert trials[0].state == TrialState.FAIL
    error = trials[0].user_attrs["error"]
    assert f"{MODULE}:third_time: the metric raised ZeroDivisionError" in error
    assert "it was given probabilities, float64 [37, 3]" in error
    assert {trial.state for trial in trials[1:]} == {TrialState.COMPLETE}


def test_a_plain_objective_has_the_metric_too() -> None:
    study = defined("s", OWN, "minimize")
    plain = optuna.create_study(direction="minimize")
    plain.optimize(tuner.objective(study), n_trials=2)
    assert all(trial.value > 0 for trial in plain.trials)


def test_another_quantile_is_another_study(options: tuner.RunOptions) -> None:
    tuner.optimize(defined("s", LOW, source="sklearn.datasets:load_diabetes"), options)
    other = defined("s", {**LOW, "quantile": 0.5}, source="sklearn.datasets:load_diabetes")
    with pytest.raises(StudyFileError, match=r"has changed since it began: metric\.quantile"):
        tuner.optimize(other, options)


@pytest.mark.parametrize("kind", ["metric", "loss", "optimizer", "lr_scheduler", "sampling"])
def test_a_worker_imports_only_what_it_is_allowed(
    kind: str, make: Any, sqlite_url: str, folder: Path
) -> None:
    shared = make(sqlite_url, "measured").write()
    text = shared.path.read_text()
    own = f'metric = "{MODULE}:distance"\ndirection = "minimize"'
    if kind == "metric":
        text = text.replace('metric = "accuracy"', own)
    else:
        text = re.sub(rf"(?m)^{kind} = .*\n", "", text)
        text = text.replace("[training]", f'[training]\n{kind} = "{MODULE}:{NAMES[kind]}"')
    shared.path.write_text(text)
    submit(str(shared.path), sqlite_url)
    worker = shared.warm("worker", "--idle-exit", "--device", "cpu")
    _, said = worker.communicate(timeout=60)
    assert worker.returncode == 1
    assert f"the module '{MODULE}' is not allowed here, and was not imported" in said
    assert len(shared.trials()) == 0
    worker = shared.warm("worker", "--idle-exit", "--device", "cpu", "--allow", MODULE)
    _, said = worker.communicate(timeout=60)
    assert worker.returncode == 0, said
    assert shared.progress.complete == 4


def test_the_metric_is_known_without_its_module(folder: Path) -> None:
    """Whoever only reads a study, such as a dashboard, imports nothing."""
    (folder / f"{MODULE}.py").unlink()
    metric = defined("s", OWN, "minimize").metric_for(Target("regression"))
    assert (metric.name, metric.direction) == (f"{MODULE}:distance(power=1)", "minimize")
    with pytest.raises(StudyFileError, match=f"no module '{MODULE}'"):
        load_job(defined("s", OWN, "minimize"))
