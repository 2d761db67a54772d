from __future__ import annotations

import itertools
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

_number = itertools.count()


@pytest.fixture
def module(tmp_path: Path) -> Callable[[str], str]:
    """Writes a module into tmp_path and returns its name, which no other test uses."""

    def write(code: str) -> str:
        name = f"tuner_test_source_{next(_number)}"
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(code))
        return name

    return write


@pytest.fixture
def table(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a CSV file into tmp_path."""

    def write(text: str) -> Path:
        file = tmp_path / "table.csv"
        file.write_text(text)
        return file

    return write
