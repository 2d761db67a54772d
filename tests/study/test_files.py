"""test_files"""

from __future__ import annotations

import doctest
import os
import re
from pathlib import Path

import pytest

import tuner
from tuner.errors import DataError, StudyFileError
from tuner.study import Choice, Option, Range, define_study, files, load_study
from tuner.study.files import find, local, shipped
from tuner.study.record import fingerprint

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
        "search": {"trials": 60, "sampler": "auto", "pruner": "promote", "seed": 0},
    }
    return define_study(name, **{**said, **changes})


def test_the_same_study_as_the_file():
    built, read = digits(), load_study("digits")
    assert built.nodes == read.nodes
    assert built.document == read.document
    assert fingerprint(built.document) == fingerprint(read.document)
    assert (built.data, built.search, built.metric) == (read.data, read.search, read.metric)
    assert built.baseline() == read.baseline()


def test_a_choice_may_hold_options():
    mine = define_study("mine", data=DATA, training={"optimizer": Choice(("adam", Option("sgd")))})
    assert mine.document["training"] == {"optimizer": {"choices": ["adam", {"name": "sgd"}]}}
    assert next(n.value.labels for n in mine.nodes if n.name == "optimizer") == ("adam", "sgd")


def test_only_data_is_the_standard_space():
    mine = define_study("mine", data=DATA, folder=Path("there"))
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
        ({"data": None}, "data: the study has no data section"),
        ({"name": ""}, "name: found '', which is not a name for a study"),
        ({"name": 3}, "name: found 3, which is not a name for a study"),
    ],
)
def test_a_mistake_is_named_as_in_a_file(changes, message):
    with pytest.raises(StudyFileError, match=f"^{message}"):
        digits(**changes)


def test_the_example():
    assert doctest.testmod(files).failed == 0


def test_it_is_part_of_the_package_s_own_names():
    assert tuner.define_study is define_study
    assert tuner.load_study is load_study


ONE = '[data]\nsource = "a:b"\n'


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The working directory, with a folder for studies."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies").mkdir()
    return tmp_path


def test_the_studies_that_ship_are_found_from_any_folder(here):
    assert set(shipped()) == {
        *(
            "digits",
            "digits-cnn",
            "breast-cancer",
            "diabetes",
            "fashion-mnist",
            "wine",
            "sentiment",
        ),
    }
    assert local() == {}
    assert load_study("digits").name == "digits"


def test_a_name_in_studies_comes_before_one_that_ships(here):
    (here / "studies" / "digits.toml").write_text(ONE)
    assert find("digits").resolve() == here / "studies" / "digits.toml"
    assert load_study("digits").document == {"data": {"source": "a:b"}}


@pytest.mark.parametrize("path", ["mine.toml", "./mine.toml", "mine.study", "{}/mine.toml"])
def test_a_path(here, path):
    (here / "mine.toml").write_text(ONE)
    (here / "mine.study").write_text(ONE)
    study = load_study(path.format(here))
    assert study.name == "mine"
    assert study.folder.resolve() == here


def test_a_byte_order_mark_and_windows_line_ends_are_no_mistake(here):
    (here / "mine.toml").write_bytes(b"\xef\xbb\xbf" + ONE.replace("\n", "\r\n").encode())
    assert load_study("mine.toml").data.source == "a:b"


@pytest.mark.parametrize("name", ["digit", "", "x" * 50])
def test_no_such_study_lists_the_known_ones(here, name):
    (here / "studies" / "mine.toml").write_text(ONE)
    assert find(name) is None
    with pytest.raises(StudyFileError, match=re.escape(f"no study is called {name!r}")) as caught:
        load_study(name)
    known = "breast-cancer, diabetes, digits, digits-cnn, fashion-mnist, mine, sentiment, wine"
    assert f"known: {known}" in caught.value.hint
    assert ("did you mean 'digits'?" in caught.value.hint) == (name == "digit")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no.toml", r"no\.toml: no such file"),
        ("folder.toml", r"folder\.toml: is a directory, not a study file"),
        ("studies", "^studies: is a directory, not a study file"),
        ("x" * 5000, "(cannot be read: File name too long|no study is called)"),
    ],
)
def test_a_path_that_is_no_file(here, name, message):
    (here / "folder.toml").mkdir()
    with pytest.raises(StudyFileError, match=message):
        load_study(name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[data]\nsource = x", r"is not TOML: Invalid value \(at line 2, column 10\)"),
        (b"a = 1\na = 2\nb = 3", "is not TOML: .*line 2"),
        (b"a = " + b"9" * 5000, "is not TOML: "),
        (b"a = " + b"[" * 5000, "is not TOML: "),
        (b"a = 0x" + b"f" * 5000, "unknown key|too large"),
        (b"[data]\nsource = '\xff'", "is not UTF-8 text: byte 17 is 0xff"),
        (b"", "the study has no data section"),
        (b"\x00", "is not TOML"),
    ],
)
def test_a_file_that_cannot_be_read(here, content, message):
    (here / "mine.toml").write_bytes(content)
    with pytest.raises(StudyFileError, match=f"(?s)^mine.toml: .*({message})") as caught:
        load_study("mine.toml")
    assert str(caught.value).count("mine.toml") == 1


def test_a_file_without_permission(here):
    path = here / "mine.toml"
    path.write_text(ONE)
    path.chmod(0)
    if os.access(path, os.R_OK):  # an administrator may read everything
        assert load_study("mine.toml")
        return
    with pytest.raises(StudyFileError, match=r"^mine\.toml: cannot be read: Permission denied"):
        load_study("mine.toml")


def test_a_mistake_is_named_with_its_file_and_its_place(here):
    path = here / "studies" / "mine.toml"
    path.write_text(ONE + "[regularization]\ndropout = { low = 'x', high = 0.5 }")
    with pytest.raises(StudyFileError) as caught:
        load_study("mine")
    assert str(caught.value) == (
        "studies/mine.toml: regularization.dropout.low: "
        "found 'x', which is not a number between 0 and 0.95\n"
        "  zeroes activations after each block; whole channels in a cnn"
    )


def test_so_is_one_about_the_data(here):
    (here / "mine.toml").write_text('[data]\npath = "a.csv"')
    with pytest.raises(DataError, match=r"^mine\.toml: data\.target: no target given"):
        load_study("mine.toml")
