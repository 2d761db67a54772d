"""Options that are more than a number or a string."""

from __future__ import annotations

import gc
import json
import math
from pathlib import Path

import pytest
import typer
from rich.table import Table

from tuner.cli.lookup import STORAGE_FILE, parse_storage
from tuner.cli.options import brief, count_of, parse_device, parse_workers, show, show_json
from tuner.errors import UsageError
from tuner.hidden import DEFAULT_STORAGE


@pytest.mark.parametrize("text", ["1", "12", "auto"])
def test_workers(text: str) -> None:
    assert parse_workers(text) == text


@pytest.mark.parametrize("text", ["0", "-1", "two", "", "1.5"])
def test_wrong_workers(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="number of at least 1"):
        parse_workers(text)


def test_count_of_workers() -> None:
    assert count_of("3") == 3
    assert count_of("auto") == "auto"


@pytest.mark.parametrize("text", ["auto", "cpu", "cuda", "cuda:0", "cuda:12"])
def test_device(text: str) -> None:
    assert parse_device(text) == text


@pytest.mark.parametrize("text", ["gpu", "cuda:", "cuda:x", "cpu:0"])
def test_wrong_device(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is none of"):
        parse_device(text)


def test_the_url_may_be_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(STORAGE_FILE, raising=False)
    assert parse_storage(DEFAULT_STORAGE) == DEFAULT_STORAGE
    monkeypatch.setenv(STORAGE_FILE, str(tmp_path / "url"))
    assert parse_storage("sqlite:///given.db") == "sqlite:///given.db"
    with pytest.raises(UsageError, match="cannot be read"):
        parse_storage(DEFAULT_STORAGE)
    (tmp_path / "url").write_text("\n")
    with pytest.raises(UsageError, match="is empty"):
        parse_storage(DEFAULT_STORAGE)
    (tmp_path / "url").write_text("postgresql://a:b@c/d\n")
    assert parse_storage(DEFAULT_STORAGE) == "postgresql://a:b@c/d"


# What goes to stdout.


def test_json_has_no_infinity(capsys: pytest.CaptureFixture[str]) -> None:
    show_json({"a": math.inf, "b": [math.nan, 1.5], "c": {"d": (True, None)}})
    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert found == {"a": None, "b": [None, 1.5], "c": {"d": [True, None]}}


def test_tables_in_files_have_a_row_a_line_and_brackets_stay(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    table = Table("shape", "words")
    table.add_row("[1, 8, 8]", "word " * 40)
    show(table)
    out = capsys.readouterr().out
    assert "[1, 8, 8]" in out
    assert out.count("word word") >= 1
    assert not any(line.endswith(" ") for line in out.splitlines())
    row = next(line for line in out.splitlines() if "[1, 8, 8]" in line)
    assert row.count("word") == 40


def test_a_brief_command_looks_for_no_garbage_and_leaves_the_collector_as_it_was() -> None:
    @brief
    def command(word: str) -> tuple[str, bool]:
        if not word:
            raise UsageError("no word")
        return word, gc.isenabled()

    assert gc.isenabled()
    assert command("word") == ("word", False)
    assert gc.isenabled()
    with pytest.raises(UsageError):
        command("")
    assert gc.isenabled()
    assert command.__name__ == "command"
