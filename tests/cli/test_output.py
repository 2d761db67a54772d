"""What goes to stdout."""

from __future__ import annotations

import json
import math

import pytest
from rich.table import Table

from tuner.cli.output import show, show_json


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
