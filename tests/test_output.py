from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from threading import Thread

import pytest

from tuner.output import one_line, replacing, to_json, toml, toml_document, toml_key, write


def _half(file: Path) -> None:
    with replacing(file) as part:
        part.write_text("half")
        raise KeyError


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "report.md"
    write(file, "before\r\n")
    with pytest.raises(KeyError):
        _half(file)
    assert file.read_bytes() == b"before\r\n"
    assert list(tmp_path.iterdir()) == [file]
    write(file, "é\n")
    assert file.read_bytes() == "é\n".encode()
    assert list(tmp_path.iterdir()) == [file]


def test_a_name_as_long_as_a_file_system_takes(tmp_path: Path) -> None:
    file = tmp_path / ("n" * 255)
    write(file, "text")
    assert file.read_text() == "text"


def test_a_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", list[str]()
    os.mkfifo(pipe)
    reader = Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    write(pipe, "through")
    reader.join()
    assert read == ["through"]
    assert pipe.is_fifo()


def test_why_it_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        write(tmp_path / "file" / "below", "text")


def test_json_has_no_infinity() -> None:
    document = {"a": [float("inf"), (1.5, float("nan"))], "b": "text"}
    assert json.loads(to_json(document)) == {"a": [None, [1.5, None]], "b": "text"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (3, "3"),
        (1e-05, "1e-05"),
        (0.0, "0.0"),
        ("adam", '"adam"'),
        ({"name": "sgd", "momentum": 0.9}, '{ name = "sgd", momentum = 0.9 }'),
    ],
)
def test_toml(value: object, text: str) -> None:
    assert toml(value) == text
    assert tomllib.loads(f"x = {text}")["x"] == value


def test_a_document_with_any_keys_and_texts_is_read_back() -> None:
    document = {
        "description": 'a "\\" \x7f \n 😀',
        "empty": [],
        "data": {"path": "é.csv", "sgd.momentum": 0.1, "é": {"a b": [True, {}]}},
        "own section": {"low": float("-inf")},
    }
    text = toml_document(document)
    assert tomllib.loads(text) == document
    assert "[data]\npath = " in text
    assert '"sgd.momentum" = 0.1' in text


def test_keys_are_quoted_where_they_must_be() -> None:
    names = ("a_b-1", "sgd.momentum", "é")
    assert [toml_key(name) for name in names] == ["a_b-1", '"sgd.momentum"', '"é"']


def test_a_comment_is_one_line_that_toml_can_hold() -> None:
    comment = one_line(" a\n  b\x00\x7fc ")
    assert comment == "a bc"
    assert tomllib.loads(f"# {comment}") == {}
