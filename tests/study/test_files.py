from __future__ import annotations

import os
import re

import pytest

from tuner.errors import DataError, StudyFileError
from tuner.study import load
from tuner.study.files import find, local, shipped

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
    assert load("digits").name == "digits"


def test_a_name_in_studies_comes_before_one_that_ships(here):
    (here / "studies" / "digits.toml").write_text(ONE)
    assert find("digits").resolve() == here / "studies" / "digits.toml"
    assert load("digits").document == {"data": {"source": "a:b"}}


@pytest.mark.parametrize("path", ["mine.toml", "./mine.toml", "mine.study", "{}/mine.toml"])
def test_a_path(here, path):
    (here / "mine.toml").write_text(ONE)
    (here / "mine.study").write_text(ONE)
    study = load(path.format(here))
    assert study.name == "mine"
    assert study.folder.resolve() == here


def test_a_byte_order_mark_and_windows_line_ends_are_no_mistake(here):
    (here / "mine.toml").write_bytes(b"\xef\xbb\xbf" + ONE.replace("\n", "\r\n").encode())
    assert load("mine.toml").data.source == "a:b"


@pytest.mark.parametrize("name", ["digit", "", "x" * 50])
def test_no_such_study_lists_the_known_ones(here, name):
    (here / "studies" / "mine.toml").write_text(ONE)
    assert find(name) is None
    with pytest.raises(StudyFileError, match=re.escape(f"no study is called {name!r}")) as caught:
        load(name)
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
        load(name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[data]\nsource = x", r"is not TOML: Invalid value \(at line 2, column 10\)"),
        (b"a = 1\na = 2\nb = 3", "is not TOML: .*line 2"),
        (b"a = " + b"9" * 5000, "is not TOML: "),
        (b"a = " + b"[" * 5000, "is not TOML: "),
        (b"a = 0x" + b"f" * 5000, "unknown key|too large"),
        (b"[data]\nsource = '\xff'", "is not UTF-8 text: byte 17 is 0xff"),
        (b"", "the study says nothing about its data"),
        (b"\x00", "is not TOML"),
    ],
)
def test_a_file_that_cannot_be_read(here, content, message):
    (here / "mine.toml").write_bytes(content)
    with pytest.raises(StudyFileError, match=f"(?s)^mine.toml: .*({message})") as caught:
        load("mine.toml")
    assert str(caught.value).count("mine.toml") == 1


def test_a_file_without_permission(here):
    path = here / "mine.toml"
    path.write_text(ONE)
    path.chmod(0)
    if os.access(path, os.R_OK):  # an administrator may read everything
        assert load("mine.toml")
        return
    with pytest.raises(StudyFileError, match=r"^mine\.toml: cannot be read: Permission denied"):
        load("mine.toml")


def test_a_mistake_is_named_with_its_file_and_its_place(here):
    path = here / "studies" / "mine.toml"
    path.write_text(ONE + "[regularization]\ndropout = { low = 'x', high = 0.5 }")
    with pytest.raises(StudyFileError) as caught:
        load("mine")
    assert str(caught.value) == (
        "studies/mine.toml: regularization.dropout.low: "
        "found 'x', which is not a number between 0 and 0.95"
    )


def test_so_is_one_about_the_data(here):
    (here / "mine.toml").write_text('[data]\npath = "a.csv"')
    with pytest.raises(DataError, match=r"^mine\.toml: data\.target: no target given"):
        load("mine.toml")
