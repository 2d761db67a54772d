"""URLs that are understood, and what is said about those that are not."""

from __future__ import annotations

import multiprocessing
import os
import pwd
import sqlite3
import tempfile
from multiprocessing.queues import Queue
from pathlib import Path

import pytest

from tuner.errors import StorageError
from tuner.storage import open_storage, redact
from tuner.storage.urls import parse


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///tuner.db", "sqlite:///tuner.db"),
        ("postgresql://me:s3cret@host/name", "postgresql://me:***@host/name"),
        ("postgresql://me:s3:c/r@et@host/name", "postgresql://me:***@host/name"),
        ("postgresql:///n?user=me&password=s3cret&x=1", "postgresql:///n?user=me&password=***&x=1"),
        ("nonsense", "nonsense"),
    ],
)
def test_redact(url: str, shown: str) -> None:
    assert redact(url) == shown


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_postgresql_uses_psycopg_3(scheme: str) -> None:
    assert parse(f"{scheme}://me@host/name").drivername == "postgresql+psycopg"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://me:s3cret@host/name", ["mysql", "known: postgresql, sqlite"]),
        ("sqlit:///tuner.db", ["did you mean 'sqlite'"]),
        ("tuner.db", ["not a database URL", "sqlite:///tuner.db"]),
        ("sqlite:///:memory:", ["in memory", "name a file"]),
        ("sqlite:////no/such/folder/tuner.db", ["does not exist", "mkdir -p /no/such/folder"]),
        ("sqlite:////usr", ["is a folder"]),
        ("postgresql://me:s3cret@127.0.0.1:9/name", ["cannot be reached", "me:***@127.0.0.1"]),
    ],
)
def test_a_bad_url_is_explained_without_its_password(url: str, words: list[str]) -> None:
    with pytest.raises(StorageError) as caught:
        open_storage(url)
    assert caught.value.exit_code == 2
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "s3cret" not in message


def test_something_else_than_a_database(tmp_path: Path) -> None:
    path = tmp_path / "tuner.db"
    path.write_text("accuracy,loss\n" * 500)
    with pytest.raises(StorageError, match="is not a database"):
        open_storage(f"sqlite:///{path}")


def _open_as_nobody(url: str, answers: Queue[str]) -> None:
    if os.getuid() == 0:  # root may write anywhere
        os.setuid(pwd.getpwnam("nobody").pw_uid)
    try:
        open_storage(url)
    except StorageError as error:
        answers.put(str(error))
    else:
        answers.put("opened")


def test_a_read_only_folder() -> None:
    fork = multiprocessing.get_context("fork")
    answers = fork.Queue()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tuner.db").touch(mode=0o444)
        folder.chmod(0o555)
        url = f"sqlite:///{folder}/tuner.db"
        child = fork.Process(target=_open_as_nobody, args=(url, answers))
        child.start()
        assert f"{folder}: cannot be written" in answers.get(timeout=30)
        child.join(30)


def test_a_full_or_locked_database_is_explained(sqlite_url: str) -> None:
    storage = open_storage(sqlite_url, engine_kwargs={"connect_args": {"timeout": 0.1}})
    holder = sqlite3.connect(str(storage.database.url.database), isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="locked by another program"):
        storage.register_worker("me", "host", 1, "cpu")
    holder.execute("ROLLBACK")
    storage.register_worker("me", "host", 1, "cpu")
