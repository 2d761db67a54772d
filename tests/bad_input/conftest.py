"""A folder with a small study, and commands in it that have to be refused."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tuner.cli import app

STUDY = """\
metric = "accuracy"

[data]
path = "table.csv"
target = "kind"

[model]
family = "linear"

[training]
epochs = 2
learning_rate = { low = 1e-3, high = 1e-1, log = true }

[search]
trials = 3
sampler = "random"
pruner = "none"
"""
TABLE = "a,b,kind\n" + "".join(f"{i},{i % 7},{'one' if i < 20 else 'two'}\n" for i in range(40))
BARE = {name: value for name, value in os.environ.items() if not name.startswith("TUNER_")}
TUNER = Path(sys.executable).with_name("tuner")
# Root may write anywhere: without this capability it may write only what its permissions allow.
WITHOUT_OVERRIDE = (
    "import ctypes, os, sys\n"
    "PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1\n"
    "if os.getuid() == 0:\n"
    "    assert ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0) == 0\n"
    "os.execv(sys.argv[1], sys.argv[1:])"
)

Refused = Callable[..., str]


def contents(folder: Path) -> dict[str, object]:
    """Everything in a folder: bytes of files, and all rows of databases."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if "__pycache__" in name or name.endswith((".db-wal", ".db-shm")):
            continue
        is_database = path.is_file() and path.read_bytes().startswith(b"SQLite format 3\0")
        found[name] = _rows(path) if is_database else path.read_bytes() if path.is_file() else None
    return found


def _rows(path: Path) -> list[str]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return list(connection.iterdump())


def _check(code: int, stdout: str, stderr: str, words: tuple[str, ...]) -> str:
    assert code == 2, stderr
    assert stdout == ""
    assert "error: " in stderr.lower()
    assert "Traceback" not in stderr
    assert "Warning" not in stderr
    for word in words:
        assert word in stderr
    return stderr


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with `studies/mine.toml` and its data, `table.csv`."""
    here = tmp_path / "here"
    (here / "studies").mkdir(parents=True)
    (here / "studies" / "mine.toml").write_text(STUDY)
    (here / "table.csv").write_text(TABLE)
    monkeypatch.chdir(here)
    for name in os.environ:
        if name.startswith("TUNER_"):
            monkeypatch.delenv(name)
    return here


@pytest.fixture
def edit(folder: Path) -> Callable[..., None]:
    """Replaces a part of the study file that is there once."""

    def replace(old: str, new: str, name: str = "studies/mine.toml") -> None:
        text = (folder / name).read_text()
        assert text.count(old) == 1, old
        (folder / name).write_text(text.replace(old, new))

    return replace


@pytest.fixture
def refused(folder: Path) -> Refused:
    """Runs a command in this process; it has to say these words on stderr and write nothing."""

    def run(*arguments: str, words: tuple[str, ...]) -> str:
        before = contents(folder)
        result = CliRunner().invoke(app, list(arguments))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert contents(folder) == before
        return _check(result.exit_code, result.stdout, result.stderr, words)

    return run


@pytest.fixture
def refused_process(folder: Path) -> Refused:
    """The same with the console script in a process of its own."""
    return _refused_by(folder, sys.executable, "-c", WITHOUT_OVERRIDE, str(TUNER))


@pytest.fixture
def refused_warm(folder: Path, warm_tuner: Path) -> Refused:
    """The same without the seconds of its imports."""
    return _refused_by(folder, str(warm_tuner))


def _refused_by(folder: Path, *command: str) -> Refused:
    def run(*arguments: str, words: tuple[str, ...], **environment: str) -> str:
        before = contents(folder)
        done = subprocess.run(
            [*command, *arguments],
            env={**BARE, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert contents(folder) == before
        return _check(done.returncode, done.stdout, done.stderr, words)

    return run


@pytest.fixture(scope="session")
def _trained(tmp_path_factory: pytest.TempPathFactory, warm_tuner: Path) -> Path:
    here = tmp_path_factory.mktemp("trained")
    (here / "studies").mkdir()
    (here / "studies" / "mine.toml").write_text(STUDY)
    (here / "table.csv").write_text(TABLE)
    command = [warm_tuner, "optimize", "--study", "mine", "--workers", "1"]
    subprocess.run(command, cwd=here, env=BARE, check=True, capture_output=True, timeout=120)
    return here / "tuner.db"


@pytest.fixture
def trained(_trained: Path, folder: Path) -> Path:
    """The folder, with the database of a run of its study."""
    shutil.copy(_trained, folder / "tuner.db")
    return folder


@pytest.fixture
def console() -> Path:
    """The console script."""
    return TUNER
