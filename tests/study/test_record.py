"""test_record"""

from __future__ import annotations

import copy
import dataclasses
import json

import pytest
import torch

from tuner.data import DataSet
from tuner.data.dataset import Split, Target
from tuner.data.encoders import OneHot
from tuner.data.prepare import Unchanged
from tuner.data.recipe import Feature, OfArray, OfColumns
from tuner.data.text import Vocabulary
from tuner.errors import StudyFileError
from tuner.space import Recorded
from tuner.study import NetworkStudy, Study, load_study
from tuner.study.files import shipped
from tuner.study.parse import parse
from tuner.study.record import canonical, changed_keys, fingerprint, flat

DIGITS = load_study("digits").document


def changed(path, value):
    """The digits document with something else at a dotted path; without it where it is None."""
    document = copy.deepcopy(DIGITS)
    *tables, key = path.split(".")
    table = document
    for name in tables:
        table = table.setdefault(name, {})
    table.pop(key, None)
    if value is not None:
        table[key] = value
    return document


def test_it_is_the_same_on_every_machine():
    assert fingerprint({"data": {"source": "a:b"}}) == (
        "bb9413599f998f9892aaa52b266fbfc6f6319ebca1b0c83e48078df42a056904"
    )


@pytest.mark.parametrize("name", shipped())
def test_it_survives_the_way_through_a_database(name):
    document = load_study(name).document
    assert fingerprint(json.loads(canonical(document))) == fingerprint(document)
    assert json.loads(canonical(document)) == document


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("description", "new"),
        ("description", None),
        ("search.trials", 100),
        ("search.trials", None),
        ("search.timeout", "10m"),
        ("search.baseline", {}),
        ("regularization.dropout", {"high": 0.6, "low": 0.05, "off": 0}),
        ("training.epochs", 30.0),
    ],
)
def test_it_ignores_the_budget_the_description_and_how_things_are_written(path, value):
    document = changed(path, value)
    assert fingerprint(document) == fingerprint(DIGITS)
    assert changed_keys(DIGITS, document) == []


@pytest.mark.parametrize(
    ("path", "value", "key"),
    [
        ("metric", "f1_macro", "metric"),
        ("metric", None, "metric"),
        ("data.test", 0.25, "data.test"),
        ("data.seed", 1, "data.seed"),
        ("model.depth", 2, None),
        ("model.depth.high", 5, "model.depth.high"),
        ("model.width.choices", [256, 128, 64, 32], "model.width.choices"),
        ("regularization.batch_norm.choices", [1, 0], "regularization.batch_norm.choices"),
        ("regularization.dropout.off", None, "regularization.dropout.off"),
        ("training.epochs", 31, "training.epochs"),
        ("training.optimizer.choices", ["adam"], "training.optimizer.choices"),
        ("search.seed", 1, "search.seed"),
        ("search.sampler", "random", "search.sampler"),
        ("search.pruner", "none", "search.pruner"),
        ("search.baseline", {"dropout": 0.1}, "search.baseline.dropout"),
        ("search.enqueue", [{}], "search.enqueue"),
        ("search.trial_timeout", 9, "search.trial_timeout"),
        ("search.duplicates", True, "search.duplicates"),
    ],
)
def test_anything_else_makes_another_study_and_is_named(path, value, key):
    document = changed(path, value)
    keys = ["model.depth", "model.depth.high", "model.depth.low"] if key is None else [key]
    assert changed_keys(DIGITS, document) == changed_keys(document, DIGITS) == keys
    assert fingerprint(document) != fingerprint(DIGITS)


def test_every_leaf_of_the_document_counts():
    for path in flat(DIGITS):
        budget = path in ("description", "search.trials")
        assert changed_keys(DIGITS, changed(path, None)) == ([] if budget else [path])


def test_flat_keeps_lists_and_empty_tables():
    assert flat({"a": {"b": 1, "c": {}}, "d": [{"e": 2}]}) == {"a.b": 1, "a.c": {}, "d": [{"e": 2}]}


def data_set(task, shape):
    rows = Split(torch.zeros(4, *shape), torch.zeros(4))
    names = ("a", "b")
    target = Target(task, names if task == "classification" else ())
    if task == "multilabel":
        target = Target(task, names=names)
    return DataSet(rows, rows, shape, target)


IMAGES = data_set("classification", (1, 8, 8))
ROWS = data_set("classification", (30,))
NUMBERS = data_set("regression", (10,))
SEQUENCES = data_set("regression", (12, 3))
LABELS = data_set("multilabel", (10,))
TEXT = dataclasses.replace(ROWS, vocabulary=Vocabulary(("good", "bad"), 30))

MADE = {
    name: OfColumns(
        (30,), (Feature("kind", "categorical", tuple(texts), OneHot(tuple(texts)), None),)
    )
    for name, texts in {"three": "abc", "two": "ab"}.items()
}
THREE, TWO = (dataclasses.replace(ROWS, recipe=MADE[name]) for name in ("three", "two"))
TABLE = dataclasses.replace(ROWS, recipe=OfArray((30,), (), Unchanged()))
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
    classes, numbers = Target("classification", ("a", "b")), Target("regression")
    assert read("").metric_for(classes).name == "accuracy"
    assert read("").metric_for(numbers).name == "rmse"
    said = dataclasses.replace(read(""), metric="roc_auc")
    assert said.metric_for(classes).name == "roc_auc"
    with pytest.raises(StudyFileError) as caught:
        said.metric_for(numbers)
    assert str(caught.value) == (
        "x: metric: roc_auc is for classification, but the data is for regression\n"
        "  for regression: mse, rmse, mae, mape, pinball, r2"
    )


def test_a_metric_with_options_and_one_of_ones_own():
    data = {"source": "a:b"}
    numbers = Target("regression")
    study = parse("x", {"data": data, "metric": {"name": "pinball", "quantile": 0.9}})
    assert (study.metric, study.metric_options) == ("pinball", {"quantile": 0.9})
    assert study.metric_for(numbers).name == "pinball(quantile=0.9)"
    assert parse("x", {"data": data, "metric": "pinball"}).metric_options == {"quantile": 0.5}
    entry = {"name": "mine:cost", "under": 3}
    own = parse("x", {"data": data, "metric": entry, "direction": "minimize"})
    metric = own.metric_for(numbers)
    assert (metric.name, metric.direction) == ("mine:cost(under=3)", "minimize")
    assert own.metric_for(Target("classification", ("a", "b"))).task == "classification"
    with pytest.raises(StudyFileError, match="x: metric: f1 is for two classes"):
        parse("x", {"data": data, "metric": "f1"}).metric_for(
            Target("classification", tuple("abc"))
        )


@pytest.mark.parametrize("loss", ["pinball", {"choices": ["auto", "mae"]}])
def test_a_loss_has_to_fit_the_data(loss):
    study = parse("x", {"data": {"source": "a:b"}, "training": {"loss": loss}})
    with pytest.raises(StudyFileError, match=r"training\.loss: .* is for regression") as caught:
        study.check_fit(ROWS)
    assert caught.value.hint == "for classification: cross_entropy, brier"


@pytest.mark.parametrize(
    ("metric", "smoothing", "warned"),
    [
        ("accuracy", {"off": 0.0, "low": 0.1, "high": 0.2}, False),
        ("log_loss", {"off": 0.0, "low": 0.1, "high": 0.2}, True),
        ("roc_auc", 0.1, True),
        ("roc_auc", 0.0, False),
        (None, 0.1, False),
        ("mine:cost", 0.1, False),
    ],
)
def test_smoothed_labels_do_not_go_with_every_metric(metric, smoothing, warned):
    document = {"data": {"source": "a:b"}, "regularization": {"label_smoothing": smoothing}}
    document |= {"metric": metric} if metric else {}
    document |= {"direction": "minimize"} if metric == "mine:cost" else {}
    said = parse("x", document).warnings()
    assert any("regularization.label_smoothing: pulls" in each for each in said) == warned


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("", NUMBERS),
        ("", IMAGES),
        ('[model]\nfamily = "cnn"\n[regularization]\ncutout = 0.3', IMAGES),
        ("[regularization]\nlabel_smoothing = 0.1", ROWS),
        ("[regularization]\ncutout = 0.0", NUMBERS),
        ('[model]\nfamily = { choices = ["rnn", "text-cnn"] }', TEXT),
        ('[model]\nfamily = { choices = ["rnn", "mlp", "transformer"] }', ROWS),
        ('[model]\nfamily = { choices = ["rnn", "mlp", "transformer"] }', SEQUENCES),
        ('[training]\nclass_weights = "none"\nsampling = "shuffled"', NUMBERS),
        (VECTORS, THREE),
        (VECTORS, dataclasses.replace(TWO, rest=(THREE,))),
        ('[model]\ncategories = "one-hot"', TWO),
        ('[model]\nnumbers = { choices = ["plain", "periodic"] }', TABLE),
        ("[model]\ninput_scale = true", TWO),
        ('[model]\nfamily = "cnn"\nnumbers = "plain"\ninput_scale = false', IMAGES),
        ('[regularization]\nnormalization = { choices = ["none", "batch", "group"] }', ROWS),
        ('[regularization]\nbatch_norm = true\nnormalization = "none"', ROWS),
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
        (
            '[model]\nfamily = "text-cnn"',
            ROWS,
            r"^x: model\.family text-cnn: needs text.*\n.*text = ",
        ),
        (
            '[model]\nfamily = "rnn"',
            IMAGES,
            r"^x: model\.family rnn: needs text, or a sequence .* \[1, 8, 8\]\n  for images: cnn",
        ),
        (
            '[model]\nfamily = "transformer"',
            THREE,
            r"^x: model\.family transformer: needs .*table with categories\n.*text = ",
        ),
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
        (
            '[model]\nnumbers = { choices = ["plain", "periodic"] }',
            THREE,
            r"^x: model\.numbers: needs a column of numbers\n  leave it out",
        ),
        (
            '[model]\nfamily = "cnn"\nnumbers = "piecewise-linear"',
            IMAGES,
            r"^x: model\.numbers: needs a table, but a row is of shape \[1, 8, 8\]",
        ),
        (
            '[model]\nfamily = "rnn"\ninput_scale = { choices = [true, false] }',
            TEXT,
            r"^x: model\.input_scale: needs a table, but a row is text",
        ),
        ('[training]\nsampling = "balanced"', NUMBERS, r"^x: training\.sampling: needs classes"),
        (
            '[regularization]\nbatch_norm = true\nnormalization = "layer"',
            ROWS,
            r"^x: regularization\.batch_norm: both it and regularization\.normalization normalize",
        ),
        (
            "[regularization]\nbatch_norm = { choices = [true, false] }\n"
            'normalization = { choices = ["none", "group"] }',
            ROWS,
            r"^x: regularization\.batch_norm: both it .*\n  leave it out",
        ),
        (
            '[training]\nclass_weights = "balanced"',
            LABELS,
            r"^x: training\.class_weights: needs classes, but the data is for multilabel",
        ),
        (
            '[training]\nloss = "cross_entropy"',
            LABELS,
            r"cross_entropy is for classification, .* multilabel\n.*: binary_cross_entropy",
        ),
    ],
)
def test_a_study_that_does_not_fit_its_data(read, text, data, message):
    with pytest.raises(StudyFileError, match=message):
        read(text).check_fit(data)


OWN = {"objective": "a:b", "direction": "maximize", "search": {"enqueue": [{"x": 1}]}}


def test_both_kinds_are_studies_and_each_has_what_it_knows():
    network, own = load_study("digits"), parse("own", OWN)
    assert isinstance(network, Study)
    assert isinstance(own, Study)
    assert type(network) is NetworkStudy
    assert not {"data", "kept", "sample"} & set(dir(own))
    with pytest.raises(TypeError, match="abstract"):
        Study(name="", description="", metric=None, nodes=(), search=own.search, document={})


def test_what_decides_about_the_rows():
    assert parse("own", OWN).rows == {"objective": "a:b"}
    rows = load_study("digits").rows
    assert rows["source"] == "sklearn.datasets:load_digits"
    assert (rows["seed"], rows["folds"]) == (0, None)
    assert "features" not in rows


def test_an_objective_has_no_baseline_and_nobody_knows_its_steps():
    own = parse("own", OWN)
    assert (own.baseline(), own.folds, own.max_epochs) == (None, None, None)
    assert own.fixed_params(0) == {"x": 1}
    assert own.fixed_params(1) is None
    assert own.config({"x": 2}) == {"x": 2}
    network = load_study("digits")
    assert network.fixed_params(0) == network.baseline()
