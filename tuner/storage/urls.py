"""Database URLs: which are understood, how a connection is made, and how one is shown."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from tuner.errors import StorageError, nearest
from tuner.hidden import SECRETS, redact, remember

__all__ = ["check_file", "engine_options", "parse", "redact"]
SCHEMES = ("sqlite", "postgresql")
_ALIASES = {"postgres": "postgresql"}
_EXAMPLES = "for example sqlite:///tuner.db or postgresql://user@host/name"
BUSY_SECONDS = 60


def parse(url: str) -> URL:
    """The URL with the driver that is used for it.

    Raises:
        StorageError: it is no URL, its scheme is unknown, its driver is not installed, or it
            names a database in memory, which no other process could see.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise StorageError("is not a database URL", where=redact(url), hint=_EXAMPLES) from None
    remember(parsed.password)
    for name in SECRETS:
        remember(str(parsed.query.get(name, "")))
    scheme = parsed.drivername.split("+")[0]
    scheme = _ALIASES.get(scheme, scheme)
    if scheme == "sqlite":
        return _sqlite(parsed)
    if scheme == "postgresql":
        return _postgresql(parsed)
    raise StorageError(
        f"unknown kind of database {scheme!r}", where=redact(url), hint=nearest(scheme, SCHEMES)
    )


def _sqlite(url: URL) -> URL:
    if url.database in (None, "", ":memory:"):
        raise StorageError(
            "a database in memory cannot be shared by workers",
            where=redact(str(url)),
            hint="name a file: sqlite:///tuner.db",
        )
    return url.set(drivername="sqlite+pysqlite")


def _postgresql(url: URL) -> URL:
    if importlib.util.find_spec("psycopg") is None:
        raise StorageError(
            "the PostgreSQL driver is not installed",
            where=redact(str(url)),
            hint='pip install "tuner[postgres]"',
        )
    return url.set(drivername="postgresql+psycopg")


def check_file(url: URL) -> None:
    """Say what is wrong with an SQLite file's place before SQLite says something vaguer."""
    path = Path(str(url.database))
    folder, where = path.absolute().parent, str(path)
    if not folder.is_dir():
        raise StorageError("its folder does not exist", where=where, hint=f"mkdir -p {folder}")
    if path.is_dir():
        raise StorageError("is a folder, not a database file", where=where)
    # Beside the file SQLite makes its journal, so that the folder has to be writable too.
    for place in (folder, path) if path.exists() else (folder,):
        if not os.access(place, os.W_OK):
            raise StorageError(
                "cannot be written", where=str(place), hint="change its permissions, or move it"
            )


def engine_options(url: URL) -> dict[str, Any]:
    """Arguments of `sqlalchemy.create_engine`: at most two connections in a process."""
    options: dict[str, Any] = {"pool_size": 1, "max_overflow": 1, "pool_timeout": BUSY_SECONDS}
    if url.get_backend_name() == "sqlite":
        busy = float(str(url.query.get("timeout", BUSY_SECONDS)))
        arguments = {"timeout": busy, "check_same_thread": False}
        return options | {"connect_args": arguments}
    # A server that vanished without a word is noticed after about twenty seconds.
    server: dict[str, Any] = {
        "connect_timeout": 10,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 2,
        "tcp_user_timeout": 20_000,
        "application_name": "tuner",
    }
    return options | {"connect_args": server}
