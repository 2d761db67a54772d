"""Databases and studies by name."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import psycopg
import pytest

from tuner.cli.lookup import served
from tuner.dashboard.serve import Options, application
from tuner.errors import StorageError, StudyFileError
from tuner.operation.copy import copy
from tuner.run.prepare import find_study
from tuner.storage import open_existing, open_storage, opened

URL = "sqlite:///tuner.db"


def test_looking_makes_no_file(empty: Path) -> None:
    assert open_existing(URL) is None
    with pytest.raises(StorageError, match="there is no such database"):
        opened(URL)
    with pytest.raises(StudyFileError, match="no study is called 'x'"):
        find_study("x", URL)
    assert not list(empty.iterdir())


def test_an_unknown_scheme_is_an_error_though_no_file_is_there(empty: Path) -> None:
    with pytest.raises(StorageError, match="unknown kind of database"):
        open_existing("mysql://a/b")


def test_a_worker_serves_by_names_what_was_named_by_files(place) -> None:
    said: list[str] = []
    files = ["studies/small.toml", "studies/later.toml"]
    assert served(URL, files, False, said.append) == ("small", "later")
    assert said == ["waiting for later: the database holds no such study yet"]
    assert served(URL, files[:1], True, said.append) == ("small",)


READING = [
    ["status"],
    ["studies"],
    ["best", "--study", "small"],
    ["report", "--study", "small", "--out", "../report.html"],
    ["compare", "small", "other"],
    ["logs", "--study", "small"],
    ["check", "--study", "small"],
    ["export", "--study", "small", "--out", "../exported"],
    ["retrain", "--study", "small", "--trial", "0"],
    ["copy", "--from", "", "--to", "sqlite:///../copied.db"],
]
WRITING = [
    ["pause", "--study", "small"],
    ["delete", "--study", "small", "--yes"],
    ["optimize", "--study", "small", "--trials", "9", "--workers", "1"],
    ["worker", "--study", "small", "--idle-exit"],
    ["gc"],
]


def _said(tuner: Any, url: str, *commands: list[str]) -> list[Any]:
    """The exit code of each command and what it says on stderr."""

    def run(words: list[str]) -> tuple[int, str]:
        given = [word or url for word in words]
        storage = [] if words[0] == "copy" else ["--storage", url]
        outcome = tuner(*given, *storage, TUNER_SPOOL=str(Path("../spool").resolve()))
        return outcome.code, outcome.stderr

    return [run(words) for words in commands]


def _without_override(target: Callable[[], Any]) -> Any:
    """What a child says that may do only what permissions allow; root may do anything else."""
    fork = multiprocessing.get_context("fork")
    answers = fork.SimpleQueue()

    def child() -> None:
        libc, header = ctypes.CDLL(None), (ctypes.c_uint32 * 2)(0x20080522, 0)
        data = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice
        assert libc.capget(header, data) == 0
        for i in (0, 1):
            data[i] &= ~0b1110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER
        assert libc.capset(header, data) == 0
        answers.put(target())

    process = fork.Process(target=child)
    process.start()
    process.join(120)
    assert process.exitcode == 0
    return answers.get()


def _second(place: Any) -> None:
    """The database has another study, for `compare`."""
    copied = f"sqlite:///{place.folder}/second.db"
    source, target = open_storage(URL), open_storage(copied)
    list(copy(source, target))
    for storage in (source, target):
        storage.close()
    with sqlite3.connect(place.folder / "second.db") as connection:
        connection.execute("UPDATE studies SET study_name = 'other'")
    source, target = open_storage(copied), open_storage(URL)
    list(copy(source, target))
    for storage in (source, target):
        storage.close()


@pytest.fixture
def locked(place: Any) -> Iterator[Callable[[], list[str]]]:
    """Makes the folder and the database one that may only be read; the names in it."""

    def lock() -> list[str]:
        for path in place.folder.glob("tuner.db*"):
            path.chmod(0o444)
        place.folder.chmod(0o555)
        return sorted(path.name for path in place.folder.iterdir())

    yield lock
    place.folder.chmod(0o755)


def test_what_only_reads_needs_no_right_to_write(place: Any, tuner: Any, locked: Any) -> None:
    _second(place)
    before = locked()
    said = _without_override(lambda: _said(tuner, URL, *READING, *WRITING))
    reading, writing = said[: len(READING)], said[len(READING) :]
    assert [code for code, _ in reading] == [0] * len(READING), reading
    assert [code for code, _ in writing] == [2] * len(WRITING), writing
    assert all("cannot be written" in what for _, what in writing), writing
    assert _without_override(_pages) == ["200 OK"] * 3
    assert sorted(path.name for path in place.folder.iterdir()) == before


def _pages() -> list[str]:
    """How a dashboard answers."""
    storage, answered = opened(URL), []
    served = application(storage, Options(read_only=True))
    for path in ("/api/studies", "/api/studies/1", "/metrics"):
        environ: dict[str, Any] = {"PATH_INFO": path}
        setup_testing_defaults(environ)
        list(served(environ, lambda status, *_: answered.append(status)))
    return answered


def test_what_stands_in_the_journal_is_read_too(place: Any, tuner: Any, locked: Any) -> None:
    writer = sqlite3.connect(place.folder / "tuner.db")
    writer.execute("UPDATE tuner_studies SET budget = 77")
    writer.commit()  # in the journal alone until this connection is closed
    before = locked()
    shown = _without_override(lambda: tuner("status", "--storage", URL))
    assert (shown.code, " 77 " in shown.stdout) == (0, True), shown
    assert sorted(path.name for path in place.folder.iterdir()) == before
    place.folder.chmod(0o755)
    copied = {name: (place.folder / name).read_bytes() for name in ("tuner.db", "tuner.db-wal")}
    writer.close()
    for name, content in copied.items():  # as who copies a database without all of its parts
        (place.folder / name).write_bytes(content)
    locked()
    refused = _without_override(lambda: tuner("status", "--storage", URL))
    assert (refused.code, "copy tuner.db and tuner.db-wal" in refused.stderr) == (2, True), refused


def test_a_user_of_the_server_may_have_no_right_but_to_read(
    place: Any, tuner: Any, postgres_url: str
) -> None:
    _second(place)
    primary = open_storage(postgres_url)
    list(copy(open_storage(URL), primary))
    primary.close()
    name = f"reader_{os.getpid()}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE USER {name}".encode())
        connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}".encode())
    url = postgres_url.replace("tuner@", f"{name}@")
    quick = [words for words in READING if words[0] not in ("export", "report")]
    reading = _said(tuner, url, *quick)
    writing = _said(tuner, url, *WRITING[:-1])  # gc finds nothing to remove
    assert [code for code, _ in reading] == [0] * len(quick), reading
    assert [code for code, _ in writing] == [2] * len(writing), writing
    assert all("this user may not do that" in said for _, said in writing), writing
