from __future__ import annotations

import json
import math

import pytest

from tuner.errors import StudyFileError
from tuner.study import Choice, Option, Range, load_study
from tuner.study.parse import parse
from tuner.study.values import LARGEST, plain


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Range(1, 4), {"low": 1, "high": 4}),
        (Range(0.1, 0.5, off=0.0), {"low": 0.1, "high": 0.5, "off": 0.0}),
        (Range(0.1, 1.0, log=True), {"low": 0.1, "high": 1.0, "log": True}),
        (Range(0.1, 0.5, step=0.1), {"low": 0.1, "high": 0.5, "step": 0.1}),
        (Choice((True, False)), {"choices": [True, False]}),
        (Choice(("adam", Option("sgd"))), {"choices": ["adam", {"name": "sgd"}]}),
        (
            {"choices": ("a", {"name": "b", "c": Range(1, 2)})},
            {"choices": ["a", {"name": "b", "c": {"low": 1, "high": 2}}]},
        ),
        (LARGEST, LARGEST),
    ],
)
def test_objects_become_what_a_file_would_say(value, expected):
    assert plain(value) == expected
    assert json.loads(json.dumps(plain(value))) == expected


def test_an_option_that_was_parsed_becomes_its_table_again():
    (choice,) = (n.value for n in load_study("digits").nodes if n.name == "optimizer")
    table = plain(choice)["choices"][2]
    assert table == {"name": "sgd", "momentum": {"low": 0.0, "high": 0.99}, "nesterov": False}


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (None, "found None, which a study cannot hold"),
        (object, "found <class 'object'>, which a study cannot hold"),
        (b"x", "found b'x', which a study cannot hold"),
        ({1, 2}, "found {1, 2}, which a study cannot hold"),
        (math.nan, "found nan, which is not a finite number"),
        (-math.inf, "found -inf, which is not a finite number"),
        (LARGEST + 1, "found a whole number of 54 bits, which is too large"),
        pytest.param(
            -(10**5000), "found a whole number of 16610 bits, which is too large", id="huge"
        ),
        ("\ud800", r"found '\ud800', which is not Unicode text"),
        ({1: 2}, "found 1 as a key, not a string"),
    ],
)
def test_nothing_else_is_let_in(value, what):
    with pytest.raises(StudyFileError) as caught:
        plain({"a": [0, value]})
    assert (caught.value.where, caught.value.what) == ("a[1]", what)


@pytest.mark.parametrize("name", ["", " ", "\u3000"])
def test_a_name_is_not_empty(name):
    with pytest.raises(StudyFileError, match="holds no letter"):
        parse(name, {"data": {"source": "sklearn.datasets:load_iris"}})


def test_what_holds_itself_is_refused():
    endless = []
    endless.append(endless)
    with pytest.raises(StudyFileError, match="nested too deeply"):
        plain({"a": endless})


@pytest.mark.parametrize("name", ["a\nb", "a\r", "\x1b[2J", "a\x00", "a\u2028b", "a\x85", "\ud800"])
def test_a_name_is_one_line_of_text(name):
    with pytest.raises(StudyFileError, match="a line break or a control character"):
        parse(name, {"data": {"source": "a:b"}})


@pytest.mark.parametrize("name", ["my study", "digits:confirm", "Größe-2 ``x``", "نمی\u200cخواهم"])
def test_any_other_name_is_taken(name):
    assert parse(name, {"data": {"source": "a:b"}}).name == name
