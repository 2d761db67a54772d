from __future__ import annotations

import doctest
from pathlib import Path

import pytest

import tuner
from tuner.errors import StudyFileError
from tuner.study import Choice, Option, Range, build, load, study
from tuner.study.fingerprint import fingerprint

DATA = {"source": "sklearn.datasets:load_digits"}


def digits(name="digits", **changes):
    """The digits study, written in Python."""
    said = {
        "description": "8x8 handwritten digits, a small fully connected network",
        "metric": "accuracy",
        "data": {**DATA, "validation": 0.2, "test": 0.2},
        "model": {"family": "mlp", "depth": Range(1, 4), "width": Choice((32, 64, 128, 256))},
        "regularization": {
            "batch_norm": Choice((True, False)),
            "dropout": Range(0.05, 0.6, off=0.0),
            "l1_lambda": Range(1e-7, 1e-3, log=True, off=0.0),
            "weight_decay": Range(1e-6, 1e-1, log=True, off=0.0),
        },
        "training": {
            "epochs": 30,
            "batch_size": 64,
            "learning_rate": Range(1e-4, 1e-1, log=True),
            "optimizer": {
                "choices": ["adam", "rmsprop", {"name": "sgd", "momentum": Range(0.0, 0.99)}]
            },
            "lr_scheduler": {
                "choices": [
                    "constant",
                    "exponential",
                    "cosine",
                    {"name": "polynomial", "power": Range(0.5, 3.0)},
                ]
            },
        },
        "search": {"trials": 60, "sampler": "tpe", "pruner": "hyperband", "seed": 0},
    }
    return study(name, **{**said, **changes})


def test_the_same_study_as_the_file():
    built, read = digits(), load("digits")
    assert built.nodes == read.nodes
    assert built.document == read.document
    assert fingerprint(built.document) == fingerprint(read.document)
    assert (built.data, built.search, built.metric) == (read.data, read.search, read.metric)
    assert built.baseline() == read.baseline()


def test_a_choice_may_hold_options():
    mine = study("mine", data=DATA, training={"optimizer": Choice(("adam", Option("sgd")))})
    assert mine.document["training"] == {"optimizer": {"choices": ["adam", {"name": "sgd"}]}}
    assert next(n.value.labels for n in mine.nodes if n.name == "optimizer") == ("adam", "sgd")


def test_only_data_is_the_standard_space():
    mine = study("mine", data=DATA, folder=Path("there"))
    assert mine.document == {"data": DATA}
    assert mine.folder == Path("there")
    assert sum(node.searched for node in mine.nodes) == 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"regularization": {"dropout": Range(0.6, 0.05)}}, r"regularization\.dropout: low = 0\.6"),
        ({"regularization": {"dropout": None}}, r"regularization\.dropout: found None"),
        ({"model": {"width": Choice(())}}, r"model\.width\.choices: found \[\]"),
        ({"training": {"epochs": "x"}}, r"training\.epochs: found 'x'"),
        ({"data": "a:b"}, "data: found 'a:b', which is not a table"),
        ({"data": None}, "data: the study says nothing about its data"),
        ({"name": ""}, "name: found '', which is no name for a study"),
        ({"name": 3}, "name: found 3, which is no name for a study"),
    ],
)
def test_a_mistake_is_named_as_in_a_file(changes, message):
    with pytest.raises(StudyFileError, match=f"^{message}"):
        digits(**changes)


def test_the_example():
    assert doctest.testmod(build).failed == 0


def test_it_is_part_of_the_package_s_own_names():
    assert tuner.define_study is study
    assert tuner.load_study is load
