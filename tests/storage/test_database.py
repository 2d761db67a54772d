"""A server that refuses: it says what, and what to do, without a traceback."""

from __future__ import annotations

import multiprocessing
import os
import pwd
import sqlite3
import tempfile
import time
from collections.abc import Callable
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tuner.errors import StorageError
from tuner.storage import OutageError, Storage, open_storage, redact
from tuner.storage.database import STUCK_SECONDS, parse_url
from tuner.storage.storage import upgrade


def test_a_user_without_rights_is_told_so(postgres_url: str, join: Callable[..., int]) -> None:
    owner = open_storage(postgres_url)
    study_id = join(owner)
    user = f"reader_{parse_url(postgres_url).database}"
    url = postgres_url.replace("//tuner@", f"//{user}@")
    with owner.database.write() as connection:
        connection.execute(text(f'CREATE ROLE "{user}" LOGIN'))
    with pytest.raises(StorageError, match="may not do that") as caught:
        open_storage(url)
    assert caught.value.where == url
    assert "GRANT" in caught.value.hint

    with owner.database.write() as connection:
        connection.execute(text(f'GRANT SELECT ON ALL TABLES IN SCHEMA public TO "{user}"'))
    reader = open_storage(url)
    assert reader.progress(study_id).budget == 3
    for change in (lambda: upgrade(url), lambda: reader.set_budget(study_id, 9)):
        with pytest.raises(StorageError, match="may not do that") as caught:
            change()
        assert not isinstance(caught.value, OutageError)
    reader.close()
    with owner.database.write() as connection:
        connection.execute(text(f'DROP OWNED BY "{user}"'))
        connection.execute(text(f'DROP ROLE "{user}"'))
    owner.close()


def test_a_user_who_may_make_no_tables_is_told_so(postgres_url: str, postgres: Any) -> None:
    empty = str(postgres.create())
    owner = open_storage(postgres_url)
    user = f"reader_{parse_url(empty).database}"
    with owner.database.write() as connection:
        connection.execute(text(f'CREATE ROLE "{user}" LOGIN'))
    with pytest.raises(StorageError, match="may not do that"):  # says Optuna's cause
        open_storage(empty.replace("//tuner@", f"//{user}@"))
    with owner.database.write() as connection:
        connection.execute(text(f'DROP ROLE "{user}"'))
    owner.close()


# Transactions: a worker that stops within one does not keep its locks.


def test_the_server_ends_a_transaction_that_is_stuck(
    postgres_url: str, join: Callable[[Storage], int]
) -> None:
    storage = open_storage(postgres_url)
    study_id = join(storage)
    with storage.database.write() as connection:
        shown = connection.execute(text("SHOW idle_in_transaction_session_timeout")).scalar()
    assert shown == f"{STUCK_SECONDS}s"
    other = open_storage(postgres_url)

    def stuck() -> None:
        with storage.database.write() as connection:
            connection.execute(text("SET idle_in_transaction_session_timeout = '100ms'"))
            connection.execute(text("SELECT study_id FROM studies FOR UPDATE"))
            pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
            other.set_budget(study_id, 5)  # needs no lock of Optuna's
            while pid in _backends(other):
                time.sleep(0.05)
            connection.execute(text("SELECT 1"))

    with pytest.raises(OutageError, match="idle-in-transaction"):
        stuck()
    assert storage.progress(study_id).budget == 5  # a new connection


def _backends(storage: Storage) -> list[int]:
    with storage.database.read() as connection:
        found = connection.execute(text("SELECT pid FROM pg_stat_activity"))
        return [int(pid) for pid in found.scalars()]


def test_a_busy_timeout_may_be_given_in_the_url(sqlite_url: str) -> None:
    storage = open_storage(f"{sqlite_url}?timeout=0.5")
    with storage.database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 500


def test_a_server_that_goes_away_before_a_transaction_begins_is_an_outage(
    postgres_url: str,
) -> None:
    ours, other = open_storage(postgres_url).database, open_storage(postgres_url).database
    with ours.read() as connection:
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
    with other.read() as connection:
        connection.exec_driver_sql("SELECT pg_terminate_backend(%(pid)s, 5000)", {"pid": pid})
    with pytest.raises(OutageError, match="cannot be reached"), ours.write():
        pass
    with ours.write() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1


# URLs that are understood, and what is said about those that are not.


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///tuner.db", "sqlite:///tuner.db"),
        ("postgresql://me:s3cret@host/name", "postgresql://me:***@host/name"),
        ("postgresql://me:s3:c/r@et@host/name", "postgresql://me:***@host/name"),
        ("postgresql:///n?user=me&password=s3cret&x=1", "postgresql:///n?user=me&password=***&x=1"),
        ("postgresql://h:1/n?user=me&password=s3@cret", "postgresql://h:1/n?user=me&password=***"),
        ("postgresql://me@s3cret@host/name", "postgresql://***@host/name"),
        ("postgresql:///me:s3cret@host/name", "postgresql://***:***@host/name"),
        ("postgresql://me:s3cret", "postgresql://***"),
        ("postgresql://me:s3cret#/host", "postgresql://***"),
        ("postgresql://me:s3cret@h1:5432,h2/name", "postgresql://me:***@h1:5432,h2/name"),
        ("s3://key:s3cret@bucket/folder", "s3://key:***@bucket/folder"),
        ("s3://bucket/a@2x?secret=s3cret", "s3://bucket/a@2x?secret=***"),
        ("nonsense", "***"),
        ("postgresql:/me:s3cret@host/name", "***"),
    ],
)
def test_redact(url: str, shown: str) -> None:
    assert redact(url) == shown


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_postgresql_uses_psycopg_3(scheme: str) -> None:
    assert parse_url(f"{scheme}://me@host/name").drivername == "postgresql+psycopg"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://me:s3cret@host/name", ["mysql", "known: postgresql, sqlite"]),
        ("sqlit:///tuner.db", ["did you mean 'sqlite'"]),
        ("tuner.db", ["not a database URL", "sqlite:///tuner.db"]),
        ("host=h dbname=d user=me password=s3cret", ["not a database URL", "written as a URL"]),
        ("Server=h;Port=5432;Password=s3cret", ["not a database URL", "written as a URL"]),
        ("jdbc:postgresql://h/n?user=me&password=s3cret", ["not a database URL", "without jdbc:"]),
        ("DATABASE_URL=postgres://me:s3cret@h/n", ["not a database URL", "variable's name"]),
        ("postgresql//me:s3cret@h/n", ["not a database URL"]),
        ("postgresql:/me:s3cret@h/n", ["not a database URL"]),
        ("me:s3cret@h/n", ["not a database URL"]),
        ("postgresql://me:s3cret@[h/n", ["not a database URL", "%40"]),
        ("postgresql://me:s3cret", ["not a database URL", "%40"]),
        ("postgresql://me:pw@s3cret@h/n", ["not a database URL", "%40"]),
        ("postgresql://me@s3cret@h/n", ["not a database URL", "%40"]),
        ("postgresql:///me:s3cret@h/n", ["not a database URL", "%40"]),
        ("postgresql://me:1@h:s3cret/n", ["not a database URL"]),
        ("postgresql://me:s3cret@h:99999/n", ["not a database URL"]),
        ("postgresql://me@h/n?s3cret", ["me@h/n: has an option without a value"]),
        ("postgresql://me@h/n?pasword=s3cret", ["unknown option 'pasword'", "'password'"]),
        ("postgresql://me@h/n?schema=mine", ["option 'schema'", "search_path"]),
        ("postgresql://me@h/n?sslaccept=strict", ["unknown option 'sslaccept'", "sslmode"]),
        ("postgresql://me@h/n?ssl=maybe", ["option 'ssl'", "sslmode=require"]),
        ("postgresql://me@h/n?sslmode=a&sslmode=b", ["'sslmode' twice"]),
        ("postgresql://me@127.0.0.1:9/n?sslmode=tight", ["an option in its URL", "sslmode"]),
        (
            "postgresql://me@127.0.0.1:9/n?connect_timeout=x",
            ["is not a whole number"],
        ),
        ("postgresql://me@h/n?port=s3cret", ["not a database URL", "hosts"]),
        ("postgresql://h1,h2/n?port=1,2,3", ["not a database URL", "hosts"]),
        ("sqlite:///q?x/t.db", ["a ? in its path is written %3F"]),
        ("sqlite:///t.db?mode=ro", ["unknown option 'mode'", "known: timeout"]),
        ("sqlite:///t.db?timeout=long", ["timeout is not a number"]),
        (f"sqlite:///{'x' * 300}/t.db", ["File name too long"]),
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
    told: BaseException | None = caught.value
    while told is not None:  # what it came from may be printed too
        assert "s3cret" not in f"{told!r} {told}"
        told = told.__context__


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("postgres://me:p@h.example:5433/n?sslmode=require", {"host": "h.example", "port": 5433}),
        ("postgresql://me@h/n?pgbouncer=true&schema=public&connection_limit=5", {"host": "h"}),
        ("postgresql://me@h/n?prepare_threshold=0&pool_timeout=20&supa=x", {"host": "h"}),
        ("postgresql://me@h/n?options=endpoint%3Dep-1", {"options": "endpoint=ep-1"}),
        ("postgresql://me@h/n?ssl=true", {"sslmode": "require"}),
        ("postgresql://me@h/n?channel_binding=require", {"channel_binding": "require"}),
        ("postgresql://me@h1,h2:6/n", {"host": "h1,h2", "port": "5432,6"}),
        ("postgresql://h1:5,[::1]/n?target_session_attrs=any", {"host": "h1,::1"}),
        ("postgresql://me@[::1]:5/n", {"host": "::1", "port": 5}),
        ("postgresql://me@%2Fvar%2Frun/n", {"host": "/var/run"}),
        ("postgresql://me:p/w@h/n", {"password": "p/w", "host": "h"}),
        ("postgresql://me:a%40b@h/n%20m", {"password": "a@b", "dbname": "n m"}),
        ("postgresql://h:5/n?user=me&password=a@b", {"password": "a@b", "host": "h", "port": 5}),
    ],
)
def test_what_managed_databases_give_is_understood(url: str, same: dict[str, object]) -> None:
    parsed = parse_url(url)
    _, options = parsed.get_dialect()().create_connect_args(parsed)
    assert same.items() <= options.items()
    assert not {"pgbouncer", "schema", "pool_timeout", "ssl", "supa"} & options.keys()
    again = parse_url(parsed.render_as_string(hide_password=False))
    assert again.get_dialect()().create_connect_args(again)[1] == options


def test_a_path_may_have_any_character(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a?b @{x}%").mkdir()
    open_storage("sqlite:///~/a%3Fb @{x}%25/t.db").close()
    assert (tmp_path / "a?b @{x}%" / "t.db").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a?b @{x}%"]


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
        storage.claims.register("me", "host", 1, "cpu")
    holder.execute("ROLLBACK")
    storage.claims.register("me", "host", 1, "cpu")


def test_a_database_that_nobody_has_any_more_leaves_no_journal(
    sqlite_url: str, join: Callable[..., int]
) -> None:
    """Whoever copies the file copies all of it."""
    storage = open_storage(sqlite_url)
    join(storage)
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    journal = file.with_name(f"{file.name}-wal")
    assert journal.exists()
    del storage
    assert not journal.exists()
