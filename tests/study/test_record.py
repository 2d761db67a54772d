from __future__ import annotations

import dataclasses

import pytest
import torch

from tuner.data import DataSet
from tuner.data.dataset import Split, Target
from tuner.data.encoders import OneHot
from tuner.data.recipe import Feature, OfColumns
from tuner.data.vocabulary import Vocabulary
from tuner.errors import StudyFileError
from tuner.sampling import Recorded


def data_set(task, shape):
    rows = Split(torch.zeros(4, *shape), torch.zeros(4))
    target = Target(task, ("a", "b") if task == "classification" else ())
    return DataSet(rows, rows, shape, target)


IMAGES = data_set("classification", (1, 8, 8))
ROWS = data_set("classification", (30,))
NUMBERS = data_set("regression", (10,))
TEXT = dataclasses.replace(ROWS, vocabulary=Vocabulary(("good", "bad"), 30))

MADE = {
    name: OfColumns(
        (30,), (Feature("kind", "categorical", tuple(texts), OneHot(tuple(texts)), None),)
    )
    for name, texts in {"three": "abc", "two": "ab"}.items()
}
THREE, TWO = (dataclasses.replace(ROWS, recipe=MADE[name]) for name in ("three", "two"))
VECTORS = '[model]\ncategories = { choices = ["one-hot", "embedding"] }'

SEARCH = """
[regularization]
dropout = { off = 0.0, low = 0.05, high = 0.6 }
weight_decay = { off = 0.0, low = 1e-6, high = 1e-1, log = true }
[training]
epochs = { low = 1, high = 20 }
optimizer = { choices = ["adam", { name = "sgd", momentum = { low = 0.0, high = 0.99 } }] }
[search]
baseline = { weight_decay = 0.01, epochs = 5 }
enqueue = [{ optimizer = "sgd", "sgd.momentum" = 0.5 }, { dropout = 0.3 }]
"""


def test_a_study_does_not_change(read):
    with pytest.raises(dataclasses.FrozenInstanceError):
        read("").name = "other"


def test_trial_0_is_the_baseline_then_come_the_enqueued_then_the_sampler(read):
    study = read(SEARCH)
    off = {"dropout.on": False, "weight_decay.on": False, "epochs": 20, "optimizer": "adam"}
    assert study.fixed_params(0) == study.baseline()
    assert study.baseline() == off | {"weight_decay.on": True, "weight_decay": 0.01, "epochs": 5}
    assert study.fixed_params(1) == off | {"optimizer": "sgd", "sgd.momentum": 0.5}
    assert study.fixed_params(2) == off | {"dropout.on": True, "dropout": 0.3}
    assert study.fixed_params(3) is None


def test_config_is_what_was_sampled(read):
    study = read(SEARCH)
    params = study.fixed_params(1)
    assert study.config(params) == study.sample(Recorded(params))
    assert study.config(params)["sgd.momentum"] == 0.5


@pytest.mark.parametrize(
    ("epochs", "most"), [("7", 7), ("{ low = 3, high = 9 }", 9), ("{ choices = [8, 2] }", 8)]
)
def test_max_epochs(read, epochs, most):
    assert read(f"[training]\nepochs = {epochs}").max_epochs == most


def test_metric_by_task_unless_said(read):
    assert read("").metric_for("classification").name == "accuracy"
    assert read("").metric_for("regression").name == "rmse"
    said = dataclasses.replace(read(""), metric="roc_auc")
    assert said.metric_for("classification").name == "roc_auc"
    with pytest.raises(StudyFileError) as caught:
        said.metric_for("regression")
    assert str(caught.value) == (
        "x: metric: roc_auc is for classification, but the data is for regression\n"
        "  for regression: mse, rmse, mae, r2"
    )


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("", NUMBERS),
        ("", IMAGES),
        ('[model]\nfamily = "cnn"\n[regularization]\ncutout = 0.3', IMAGES),
        ("[regularization]\nlabel_smoothing = 0.1", ROWS),
        ("[regularization]\ncutout = 0.0", NUMBERS),
        ('[model]\nfamily = { choices = ["rnn", "text-cnn"] }', TEXT),
        ('[training]\nclass_weights = "none"\nsampling = "shuffled"', NUMBERS),
        (VECTORS, THREE),
        (VECTORS, dataclasses.replace(TWO, rest=(THREE,))),
        ('[model]\ncategories = "one-hot"', TWO),
    ],
)
def test_a_study_that_fits_its_data(read, text, data):
    read(text).check_fit(data)


@pytest.mark.parametrize(
    ("text", "data", "message"),
    [
        ('[model]\nfamily = "cnn"', ROWS, r"^x: model\.family cnn: needs images .* shape \[30\]"),
        ('[model]\nfamily = { choices = ["mlp", "cnn"] }', ROWS, r"^x: model\.family cnn: needs"),
        (
            "[regularization]\nshift = { off = 0.0, low = 0.1, high = 0.2 }",
            ROWS,
            r"^x: regularization\.shift: needs images",
        ),
        (
            "[regularization]\nlabel_smoothing = 0.1",
            NUMBERS,
            r"^x: regularization\.label_smoothing: needs classes, but the data is for regression",
        ),
        (
            '[training]\nclass_weights = { choices = ["none", "balanced"] }',
            NUMBERS,
            r"^x: training\.class_weights: needs classes, but the data is for regression",
        ),
        ('[model]\nfamily = "rnn"', ROWS, r"^x: model\.family rnn: needs text.*\n.*text = "),
        ('[model]\nfamily = "mlp"', TEXT, r"^x: model\.family mlp: .*is text\n.*rnn, text-cnn"),
        ('[model]\nfamily = "cnn"', TEXT, r"^x: model\.family cnn: .*is text\n.*rnn, text-cnn"),
        (
            '[model]\nfamily = "rnn"\n[regularization]\nmixup = 0.2',
            TEXT,
            r"^x: regularization\.mixup: needs numbers .* is text\n  leave it out",
        ),
        (
            '[model]\nfamily = "rnn"\n[regularization]\nshift = 0.2',
            TEXT,
            r"^x: regularization\.shift: needs images .*\n  leave it out",
        ),
        (
            VECTORS,
            TWO,
            r"^x: model\.categories: needs a column of more than two .*\n  leave it out",
        ),
        ('[model]\ncategories = "embedding"', NUMBERS, r"^x: model\.categories: needs a column"),
        ('[training]\nsampling = "balanced"', NUMBERS, r"^x: training\.sampling: needs classes"),
    ],
)
def test_a_study_that_does_not_fit_its_data(read, text, data, message):
    with pytest.raises(StudyFileError, match=message):
        read(text).check_fit(data)
