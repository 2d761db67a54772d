from __future__ import annotations

import inspect

import pytest

from tuner import errors
from tuner.errors import DataError, StudyFileError, TrainingError, TunerError, nearest


def test_says_where_then_what_then_what_to_do():
    assert str(TunerError("it broke")) == "it broke"
    assert str(TunerError("it broke", where="here")) == "here: it broke"
    assert str(TunerError("it broke", where="here", hint="mend it")) == "here: it broke\n  mend it"


def test_every_error_is_in_one_tree_with_an_exit_code():
    classes = [
        c for _, c in inspect.getmembers(errors, inspect.isclass) if c.__module__ == errors.__name__
    ]
    assert all(issubclass(c, TunerError) for c in classes)
    assert {c.exit_code for c in classes} == {1, 2, 143}
    assert (StudyFileError.exit_code, DataError.exit_code, TrainingError.exit_code) == (2, 2, 1)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("adm", "did you mean 'adam'? known: adam, sgd"),
        ("", "known: adam, sgd"),
        ("something else", "known: adam, sgd"),
    ],
)
def test_nearest_guesses_only_what_is_near_and_lists_all(name, hint):
    assert nearest(name, ["sgd", "adam"]) == hint


def test_nearest_of_nothing():
    assert nearest("x", []) == "known: "
