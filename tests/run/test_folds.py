"""Folds through a whole search."""

from __future__ import annotations

import json
from pathlib import Path

import optuna
import pytest
from typer.testing import CliRunner

import tuner
from tuner.cli import app
from tuner.errors import UsageError
from tuner.exports.write import export
from tuner.metrics import METRICS
from tuner.run.prepare import load_job
from tuner.run.retrain import retrain
from tuner.seeds import derive
from tuner.training.trainer import Trainer

STUDY = """\
[data]
source = "sklearn.datasets:load_wine"
validation = { folds = 5 }
[model]
family = "mlp"
width = 8
[training]
epochs = 3
batch_size = 32
learning_rate = { low = 1e-3, high = 1e-1, log = true }
[search]
trials = 4
sampler = "random"
pruner = "none"
"""


def study(test: float = 0.2, **search: object) -> tuner.Study:
    return tuner.define_study(
        "folded",
        data={"source": "sklearn.datasets:load_wine", "validation": {"folds": 3}, "test": test},
        model={"family": "mlp", "width": 8},
        training={
            "epochs": 3,
            "batch_size": 32,
            "learning_rate": tuner.Range(1e-6, 1e-1, log=True),
        },
        search={"trials": 2, "sampler": "random", "pruner": "none", **search},
    )


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.stdout


def test_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "mine.toml").write_text(STUDY)
    assert "4 trials of 3 epochs on each of 5 folds" in run("check", "--study", "mine")
    checked = json.loads(run("check", "--study", "mine", "--json"))
    assert (checked["data"]["folds"], checked["extent"]["epochs"]) == (5, 5 * 4 * 3)
    run("optimize", "--study", "mine", "--workers", "2")
    found = optuna.load_study(study_name="mine", storage="sqlite:///tuner.db").trials
    assert [trial.state.name for trial in found] == ["COMPLETE"] * 4
    options = tuner.RunOptions(storage="sqlite:///tuner.db", workers=1, device="cpu")
    for trial in found[:2]:
        again = retrain("mine", trial.number, options)
        assert again.equal
        assert again.epochs == 3
    assert "mean over 5 folds" in run("best", "--study", "mine")
    page = run("report", "--study", "mine", "--format", "md", "--out", "-")
    assert "accuracy on the mean over 5 folds, one training each" in page
    assert "validation split" not in page


def test_a_pruned_trial_reported_the_mean(sqlite_url: str) -> None:
    mine = study(
        pruner={"name": "median", "n_startup_trials": 1}, enqueue=[{"learning_rate": 1e-6}]
    )
    tuner.optimize(mine, tuner.RunOptions(storage=sqlite_url, workers=1, device="cpu"))
    first, second = optuna.load_study(study_name="folded", storage=sqlite_url).trials
    assert (first.state.name, second.state.name) == ("COMPLETE", "PRUNED")
    assert second.intermediate_values.keys() == {1}
    job = load_job(mine)
    for trial in (first, second):
        config = mine.config(trial.params)
        seed = trial.user_attrs["seed"] if "seed" in trial.user_attrs else job.seed(trial.number)
        parts = [
            Trainer(config, fold, METRICS["accuracy"], derive(seed, "fold", i))
            for i, fold in enumerate(job.data.folds)
        ]
        epochs = zip(*(part.epochs() for part in parts), strict=True)
        for (number, value), each in zip(trial.intermediate_values.items(), epochs, strict=False):
            assert (number, value) == (each[0].number, sum(e.value for e in each) / 3)


def test_an_objective_is_the_mean() -> None:
    params = {"learning_rate": 0.01}
    mine = study()
    job = load_job(mine)
    values = []
    for i, fold in enumerate(job.data.folds):
        config = mine.config(params)
        alone = Trainer(config, fold, job.metric, derive(job.seed(0), "fold", i))
        values.append([epoch.value for epoch in alone.epochs()][-1])
    assert tuner.objective(mine)(optuna.trial.FixedTrial(params)) == sum(values) / 3


def test_an_answer_and_an_export(sqlite_url: str, tmp_path: Path) -> None:
    options = tuner.RunOptions(storage=sqlite_url, workers=1, device="cpu")
    tuner.optimize(study(), options)
    answer = json.loads(
        run(*f"confirm --study folded --storage {sqlite_url} --seeds 2 --top 1 --json".split())
    )
    assert answer["rows"]
    made = export("folded", tmp_path / "out", options)
    assert made.final
    assert "on the mean over 3 folds" in (tmp_path / "out" / "README.md").read_text()


def test_without_test_rows_nothing_is_exported(sqlite_url: str, tmp_path: Path) -> None:
    options = tuner.RunOptions(storage=sqlite_url, workers=1, device="cpu")
    tuner.optimize(study(test=0.0), options)
    with pytest.raises(UsageError, match="a trial of 3 folds has as many networks"):
        export("folded", tmp_path / "out", options)


NET = """\
from torch import nn


def net(shape, outputs, hidden=4):
    return nn.Sequential(nn.Linear(shape[0], hidden), nn.Dropout(0.2), nn.Linear(hidden, outputs))
"""


@pytest.mark.parametrize("what", ["rnn", "text-cnn", "own"])
def test_texts_a_test_file_and_an_own_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("good fine best", "bad poor worst")
    rows = [f"{words[i % 2].split()[i % 3]} word{i % 5} thing,{i % 7},{i % 2}" for i in range(60)]
    for name, some in (("train", rows[:45]), ("test", rows[45:])):
        (tmp_path / f"{name}.csv").write_text("\n".join(("said,n,y", *some)) + "\n")
    (tmp_path / "folds_net.py").write_text(NET)
    text, family = ("", "folds_net:net") if what == "own" else ('text = "said"\n', what)
    drop = 'drop = ["said"]' if what == "own" else 'drop = ["n"]'
    (tmp_path / "mine.toml").write_text(
        f'[data]\npath = "train.csv"\ntest_path = "test.csv"\ntarget = "y"\n{text}{drop}\n'
        f'validation = {{ folds = 3 }}\n[model]\nfamily = "{family}"\n'
        "[training]\nepochs = 2\nlearning_rate = { low = 1e-3, high = 1e-1, log = true }\n"
        '[search]\ntrials = 2\nsampler = "random"\npruner = "none"\n'
    )
    run("optimize", "--study", "mine.toml", "--workers", "1", "--device", "cpu")
    options = tuner.RunOptions(storage="sqlite:///tuner.db", workers=1, device="cpu")
    assert retrain("mine", 1, options).equal
    job = load_job(tuner.load_study("mine.toml"))
    sizes = [len(fold.validation) for fold in job.data.folds]
    assert sum(sizes) == 45
    assert max(sizes) - min(sizes) <= 2  # equal texts stay in one fold
    if what != "own":  # the words of each fold's training rows alone
        for fold in job.data.folds:
            assert fold.vocabulary is not None
            held = {rows[i].split(",")[0] for i in fold.positions[0]}
            assert set(fold.vocabulary.words) == {w for said in held for w in said.split()}
    said = run(*["confirm", "--study", "mine", "--top", "1", "--seeds", "1", "--device", "cpu"])
    assert "on the test rows over 1 seed" in said
