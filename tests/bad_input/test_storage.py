"""Databases that cannot be, cannot be reached, or belong to something else."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import optuna
import pytest

Run = Callable[..., str]
OPTIMIZE = ("optimize", "--study", "mine", "--storage")
SECRET = "gr8-s3cret"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresq://u@h/n", ("unknown kind of database", "did you mean 'postgresql'?")),
        (f"mysql://me:{SECRET}@host/name", ("mysql://me:***@host/name", "known: postgresql")),
        ("tuner.db", ("this is not a database URL", "sqlite:///tuner.db")),
        ("sqlite://tuner.db", ("three slashes", "sqlite:///tuner.db")),
        ("sqlite://", ("in memory", "sqlite:///tuner.db")),
        ("sqlite:///:memory:", ("in memory", "sqlite:///tuner.db")),
        ("sqlite:///nowhere/tuner.db", ("its folder does not exist", "mkdir -p ")),
        ("sqlite:///studies", ("studies: is a folder, not a database file",)),
        ("sqlite:///table.csv", ("table.csv: is not a database", "another file")),
    ],
)
def test_a_url_that_cannot_be(refused: Run, url: str, words: tuple[str, ...]) -> None:
    said = refused(*OPTIMIZE, url, words=words)
    assert SECRET not in said


@pytest.mark.parametrize(
    "arguments",
    [
        ("best", "--study", "mine"),
        ("retrain", "--study", "mine", "--trial", "0"),
        ("status",),
        ("pause", "--study", "mine"),
    ],
)
def test_looking_into_a_database_makes_none(refused: Run, arguments: tuple[str, ...]) -> None:
    refused(*arguments, words=("sqlite:///tuner.db: there is no such database",))


def test_a_server_that_does_not_answer(refused_warm: Run) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    url = f"postgresql://me:{SECRET}@127.0.0.1:{port}/name"
    words = ("cannot be reached", f"me:***@127.0.0.1:{port}/name", "is the server running")
    said = refused_warm("optimize", "--study", "mine", words=words, TUNER_STORAGE=url)
    assert SECRET not in said


def test_a_driver_that_is_not_installed(tmp_path: Path, refused_process: Run) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text("import sys\nsys.modules['psycopg'] = None\n")
    url = f"postgresql://me:{SECRET}@127.0.0.1/name"
    words = ("PostgreSQL driver is not installed", 'pip install "tuner[postgres]"')
    said = refused_process(*OPTIMIZE, url, words=words, PYTHONPATH=str(hidden))
    assert SECRET not in said


def test_a_read_only_folder(folder: Path, refused_process: Run) -> None:
    folder.chmod(0o555)
    try:
        words = (f"{folder}: cannot be written", "change its permissions")
        refused_process("optimize", "--study", "mine", words=words)
    finally:
        folder.chmod(0o755)


def test_a_file_that_is_not_a_database(folder: Path, refused_warm: Run) -> None:
    (folder / "tuner.db").write_text("accuracy,loss\n" * 500)
    words = ("sqlite:///tuner.db: is not a database", "another file")
    refused_warm("optimize", "--study", "mine", words=words)


def _stamp(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()


def test_a_database_of_a_newer_optuna(folder: Path, refused_warm: Run) -> None:
    storage = optuna.storages.RDBStorage("sqlite:///tuner.db")
    storage.engine.dispose()
    _stamp(folder / "tuner.db", "UPDATE alembic_version SET version_num = 'v99.0.0.a'")
    words = ("sqlite:///tuner.db: ", "another version of Optuna")
    refused_warm("optimize", "--study", "mine", words=words)


def test_a_database_of_tuner_that_a_newer_optuna_took_over(trained: Path, refused: Run) -> None:
    _stamp(trained / "tuner.db", "UPDATE alembic_version SET version_num = 'v99.0.0.a'")
    for command in (("optimize", "--study", "mine"), ("best", "--study", "mine"), ("status",)):
        refused(*command, words=("sqlite:///tuner.db: ", "another version of Optuna"))


def test_a_database_of_a_newer_tuner(trained: Path, refused: Run) -> None:
    _stamp(trained / "tuner.db", "UPDATE tuner_versions SET version = 99")
    words = ("sqlite:///tuner.db: was made by a newer tuner", "pip install -U tuner")
    refused("optimize", "--study", "mine", words=words)
