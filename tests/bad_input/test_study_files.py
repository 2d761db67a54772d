"""Mistakes in a study file: each is named with its place, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., str]
RATE = "learning_rate = { low = 1e-3, high = 1e-1, log = true }"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        # an unknown key, with the nearest known one
        ("epochs = 2", "epoch = 2", ("training.epoch: unknown key", "did you mean 'epochs'?")),
        ('metric = "', 'metrik = "', ("metrik: unknown key", "did you mean 'metric'?")),
        ("[training]", "[trainig]", ("trainig: unknown key", "did you mean 'training'?")),
        ("target = ", "tagret = ", ("data.tagret: unknown key", "did you mean 'target'?")),
        ("trials = 3", "trails = 3", ("search.trails: unknown key", "did you mean 'trials'?")),
        (
            "high = 1e-1, log",
            "hihg = 1e-1, log",
            ("training.learning_rate.hihg: unknown key", "did you mean 'high'?"),
        ),
        (
            '[training]\noptimizer = "adam"',
            '[training]\noptimizer = { name = "sgd", momentun = 0.9 }',
            ("training.optimizer.sgd.momentun: unknown key", "did you mean 'momentum'?"),
        ),
        ("epochs = 2", "dropout = 0.1", ("training.dropout", "it stands in [regularization]")),
        # an unknown name
        ('"accuracy"', '"acuracy"', ("'acuracy'", "did you mean 'accuracy'?")),
        ('"linear"', '"linera"', ("model.family: unknown family", "did you mean 'linear'?")),
        ('"random"', '"ramdon"', ("search.sampler", "did you mean 'random'?")),
        ('"none"', '"non"', ("search.pruner", "did you mean 'none'?")),
        ("epochs = 2", 'class_weights = "balancd"', ("training.class_weights", "'balanced'?")),
        ("epochs = 2", "sampling = true", ("training.sampling", "shuffled, balanced")),
        (
            'target = "kind"',
            'target = "kind"\npreprocessing = { choices = ["standard", "quantil"] }',
            ("data.preprocessing.choices[1]: unknown preprocessing", "'quantile'?"),
        ),
        # a wrong type
        ("epochs = 2", 'epochs = "two"', ("training.epochs: found 'two'", "whole number")),
        ("epochs = 2", "epochs = 2.5", ("training.epochs: found 2.5", "whole number")),
        ("epochs = 2", "epochs = true", ("training.epochs: found", "whole number")),
        ("epochs = 2", "epochs = 0", ("training.epochs: found 0", "1")),
        (RATE, "learning_rate = -1.0", ("training.learning_rate: found -1.0",)),
        (RATE, "learning_rate = nan", ("training.learning_rate: found nan",)),
        ("trials = 3", "trials = 0", ("search.trials: found 0", "at least 1")),
        ("trials = 3", "trials = 3.0", ("search.trials: found 3.0", "not a whole number")),
        ("trials = 3", 'timeout = "soon"', ("search.timeout: found 'soon'", "10m")),
        ('"accuracy"', "3", ("metric: found 3", "not a name or a table with a name")),
        ('"accuracy"', '{ name = "f1", k = 2 }', ("metric.k: f1 has no option 'k'",)),
        ('"accuracy"', '"mine:score"', ("direction: the study has no direction", "maximize")),
        ("epochs = 2", 'loss = "brierr"', ("training.loss: unknown loss", "'brier'?")),
        ("high = 1e-1, log", "high = 1e-1, step = true, log", ("training.learning_rate.step",)),
        ("log = true", "log = 1", ("training.learning_rate.log: found 1", "true or false")),
        # bounds that cannot be
        ("low = 1e-3", "low = 1.0", ("training.learning_rate: low = 1.0 is above high = 0.1",)),
        ("low = 1e-3", "low = 0.0", ("training.learning_rate", "0.0")),
        (
            "[training]",
            "[regularization]\ndropout = { low = 0.0, high = 0.5, log = true }\n[training]",
            ("regularization.dropout", "log range is above 0", "off = 0.0"),
        ),
        ("low = 1e-3, ", "", ("training.learning_rate", "a range without low")),
        # a choice of nothing, or of the same twice
        (RATE, "learning_rate = { choices = [] }", ("learning_rate.choices: found []", "choose")),
        (RATE, "learning_rate = { choices = [0.1, 0.1] }", ("0.1 twice",)),
        # a configuration outside of the space
        ("trials = 3", "baseline = { epoch = 3 }", ("search.baseline.epoch: unknown key",)),
        ("trials = 3", "enqueue = [{ learning_rate = 9.0 }]", ("search.enqueue[0]", "9.0")),
        # not TOML
        ("epochs = 2", "epochs = ", ("studies/mine.toml: is not TOML", "line 11")),
    ],
)
def test_a_mistake_is_named(
    edit: Callable[..., None], refused: Run, old: str, new: str, words: tuple[str, ...]
) -> None:
    if "optimizer" in old:
        edit("[training]", old)
    edit(old, new)
    refused("optimize", "--study", "mine", words=("studies/mine.toml: ", *words))


@pytest.mark.parametrize("command", ["optimize", "submit", "check"])
def test_every_command_that_reads_the_file_refuses_it(
    edit: Callable[..., None], refused: Run, command: str
) -> None:
    edit("epochs = 2", "epoch = 2")
    refused(command, "--study", "mine", words=("studies/mine.toml: training.epoch: unknown key",))


def test_no_such_study(refused: Run) -> None:
    for command in ("optimize", "submit", "check"):
        known = (
            "known: breast-cancer, diabetes, digits, digits-cnn, fashion-mnist, mine, sentiment, "
        )
        known += "wine"
        refused(command, "--study", "dijits", words=("'dijits'", "did you mean 'digits'?", known))
        refused(command, "--study", "no.toml", words=("no.toml: no such file",))
        refused(command, "--study", "studies", words=("studies",))
        refused(command, "--study", "", words=("known: ",))


def test_what_the_console_script_says(
    folder: Path, edit: Callable[..., None], refused_warm: Run
) -> None:
    edit("epochs = 2", "epoch = 2")
    said = refused_warm("optimize", "--study", "mine", words=())
    lines = said.splitlines()
    assert lines[0] == "error: studies/mine.toml: training.epoch: unknown key"
    assert lines[1].startswith("  did you mean 'epochs'? known: ")
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"accuracy"', '"pinball"', ("metric: pinball(quantile=0.5) is for regress", "log_loss")),
        ('"accuracy"', '"top_k_accuracy"', ("metric: top_k_accuracy(k=2)", "2 classes: one, two")),
        ("epochs = 2", 'loss = "mae"', ("training.loss: mae is for regression", "brier")),
    ],
)
def test_a_metric_or_loss_that_does_not_fit_the_data(
    edit: Callable[..., None], refused: Run, old: str, new: str, words: tuple[str, ...]
) -> None:
    edit(old, new)
    refused("optimize", "--study", "mine", words=("mine: ", *words))


def test_a_metric_of_two_classes_names_those_that_there_are(
    folder: Path, edit: Callable[..., None], refused: Run
) -> None:
    text = (folder / "table.csv").read_text()
    rows = [line.split(",") for line in text.splitlines()]
    kinds = [["three"] if i % 3 == 0 and i else row[2:] for i, row in enumerate(rows)]
    lines = [",".join(row[:2] + kind) for row, kind in zip(rows, kinds, strict=True)]
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    edit('"accuracy"', '"f1"')
    words = ("mine: metric: f1 is for two classes", "3 classes: one, three, two", "f1_macro")
    refused("optimize", "--study", "mine", words=words)
