"""Connects to a database: URLs, read and write transactions, and errors with a remedy."""

from __future__ import annotations

import importlib.util
import os
import re
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, unquote

from optuna.exceptions import StorageInternalError
from sqlalchemy import Connection, Engine, create_engine, event, exc
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool

from tuner.errors import StorageError, nearest
from tuner.hidden import redact, remember_secret, remember_url

# What a database's errors mean to people: what is wrong, and what to do.


_OPTION = ("an option in its URL is not valid", "change the option, or remove it")
_CAUSES = (
    ("database is locked", "is locked by another program", "end that program, then go on"),
    ("is full", "the disk is full", "free some space, then go on"),
    ("could not extend file", "the server's disk is full", "free some space, then go on"),
    ("No space left", "the disk is full", "free some space, then go on"),
    ("disk I/O error", "the disk cannot be read or written", "check the disk, then go on"),
    ("readonly", "cannot be written", "change its permissions, or move it"),
    ("unable to open", "cannot be opened", "check its path and permissions"),
    ("not a database", "is not a database", "give the path of another file"),
    ("connection option", *_OPTION),
    ("value: ", *_OPTION),
    ("startup parameter", *_OPTION),
    ("certificate file", *_OPTION),
    ("malformed", "is damaged", "restore a backup, or give another file"),
)
_REFUSALS = {  # by the server's code
    "42501": ("this user may not do that", "GRANT it, or give another user in the URL"),
    "22001": ("a name is longer than the database's column", "give a shorter one"),
    "25006": ("cannot be written", "this is a read-only replica; give the URL of the primary"),
}


def failure(cause: str) -> tuple[str, str] | None:
    """What is wrong and what to do, by the driver's words; None if the database is just away."""
    return next(((what, hint) for words, what, hint in _CAUSES if words in cause), None)


def refusal(error: BaseException | None) -> tuple[str, str] | None:
    """The same where a server knows its user but refuses what was asked; None if it did not."""
    return _REFUSALS.get(str(getattr(getattr(error, "orig", None), "sqlstate", "")))


# Database URLs: which are understood, how a connection is made, and how one is shown.


SCHEMES = ("sqlite", "postgresql")
_ALIASES = {"postgres": "postgresql"}
BUSY_SECONDS = 60

_URL = re.compile(r"([A-Za-z][\w.-]*)(?:\+\w+)?://(.*)", re.S)
_SERVERS = tuple(
    re.compile(
        rf"""
        (?: (?P<user> [^:/?@\s]*) (?: : (?P<password> {password}) )? @ )?
        (?P<hosts> [^/?@\s]*)
        (?: / (?P<database> [^?@]*) )?
        (?: \? (?P<query> .*) )?
        """,
        re.X | re.S,
    )
    for password in ("[^/?@]*", "[^@]*")  # as it has to be; not escaped
)
_HOST = re.compile(r"(?P<name> \[[\w:.%]+\] | [\w.%-]*) (?: : (?P<port> \d{0,5}) )?", re.X)
_FOREIGN = (
    (r"\s*\w+\s*=\s*\w+://", "the variable's name is no part of it, and neither are quotes"),
    (r"(?i)\s*jdbc:", "without jdbc: before it, and with USER:PASSWORD@ before the host"),
    (r"(?i).*\b(host|dbname|user|server|password)\s*=", "key=value pairs are written as a URL"),
)
_ESCAPED = "characters such as @ : / ? of a password are written %40 %3A %2F %3F"
_OF_SQLITE = ("timeout",)
_OTHERS = frozenset(
    (
        "connection_limit",
        "max_overflow",
        "pgbouncer",
        "pool_recycle",
        "pool_size",
        "pool_timeout",
        "prepare_threshold",
        "prepared_statement_cache_size",
        "prepared_statements",
        "preparethreshold",
        "socket_timeout",
        "statement_cache_size",
        "supa",
        "workaround",
    )
)
"""What other libraries are told by a URL, and needs no telling here: how many connections there may
be (two at most), and whether statements may be prepared (`database` sees that by itself)."""
_NUMBERS = frozenset(
    (
        "connect_timeout",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "tcp_user_timeout",
    )
)
_SCHEMAS = ("schema", "currentschema")


class _Host(NamedTuple):
    name: str
    port: str


def parse_url(url: str) -> URL:
    """The URL with the driver that is used for it.

    Nothing of a text that cannot be understood is repeated: a password may stand anywhere in it.

    Raises:
        StorageError: it is no URL, its scheme or an option is unknown, its driver is not
            installed, or it names a database in memory, which no other process could see.
    """
    remember_url(url)
    found = _URL.fullmatch(url.strip())
    if found is None:
        raise _unreadable(url)
    scheme = _ALIASES.get(found[1], found[1])
    if scheme == "sqlite":
        return _sqlite(found[2])
    if scheme == "postgresql":
        return _postgresql(url, found[2])
    raise StorageError(
        f"unknown kind of database {scheme!r}", where=redact(url), hint=nearest(scheme, SCHEMES)
    )


def _unreadable(url: str, hint: str = "") -> StorageError:
    example = "for example sqlite:///tuner.db or postgresql://user@host/name"
    known = (words for form, words in _FOREIGN if re.match(form, url))
    about = hint or next(known, "")
    what = "this is not a database URL (it is not shown: a password may stand in it)"
    return StorageError(what, hint=f"{example}; {about}" if about else example)


def _sqlite(rest: str) -> URL:
    place, asked, query = rest.partition("?")
    if place.strip("/") in ("", ":memory:"):
        raise StorageError(
            "workers cannot share a database in memory",
            hint="name a file: sqlite:///tuner.db",
        )
    if not place.startswith("/"):
        raise StorageError("a file's URL has three slashes", hint="sqlite:///tuner.db")
    path = unquote(place[1:])
    path = str(Path(path).expanduser()) if path.startswith("~/") else path
    shown = f"sqlite:///{path}"
    if asked and not re.fullmatch(r"\w+=[^/&]*(&\w+=[^/&]*)*", query):
        raise StorageError("a ? in its path is written %3F", where=shown)
    options = _options(query, shown)
    _check_known(options, _OF_SQLITE, shown)
    if "timeout" in options and not re.fullmatch(r"\d+(\.\d*)?", options["timeout"]):
        raise StorageError("its timeout is not a number of seconds", where=shown)
    return URL.create("sqlite+pysqlite", database=path, query=options)


def _postgresql(url: str, rest: str) -> URL:
    read = ((found, _hosts(found)) for form in _SERVERS if (found := form.fullmatch(rest)))
    found, places = next((each for each in read if each[1]), (None, []))
    if found is None:
        raise _unreadable(url, _ESCAPED)
    if importlib.util.find_spec("psycopg") is None:
        hint = 'pip install "tuner[postgres]"'
        raise StorageError("the PostgreSQL driver is not installed", where=redact(url), hint=hint)
    user, password, database = (
        None if found[name] is None else unquote(found[name])
        for name in ("user", "password", "database")
    )
    options = _server_options(_options(found["query"] or "", redact(url)), redact(url))
    for secret in (password, *(v for name, v in options.items() if "password" in name)):
        remember_secret(secret)
    made = URL.create(
        "postgresql+psycopg", username=user, password=password, database=database or None
    )
    placed = _placed(made, places).update_query_dict(options)
    if not _connectable(placed):
        raise _unreadable(url, "each of several hosts has a port, or none has")
    return placed


def _connectable(url: URL) -> bool:
    try:
        url.get_dialect()().create_connect_args(url)
    except (ArgumentError, ValueError):
        return False
    return True


def _hosts(found: re.Match[str]) -> list[_Host]:
    """Where the server is; nothing where one cannot be a host and a port."""
    hosts = [_HOST.fullmatch(each) for each in found["hosts"].split(",")]
    places = [_Host(unquote(each["name"]), each["port"] or "") for each in hosts if each]
    right = all(not place.port or 0 < int(place.port) < 2**16 for place in places)
    return places if right and len(places) == len(hosts) else []


def _placed(url: URL, places: list[_Host]) -> URL:
    """With its hosts: several, and a folder of sockets, go into the query."""
    first = places[0]
    if len(places) == 1 and not first.name.startswith("/"):
        return url.set(host=first.name.strip("[]") or None, port=int(first.port or 0) or None)
    query = {"host": ",".join(place.name.strip("[]") for place in places)}
    if any(place.port for place in places):
        query["port"] = ",".join(place.port or "5432" for place in places)
    return url.set(query=query)


def _options(query: str, shown: str) -> dict[str, str]:
    """The options of a URL by name; each once."""
    found: dict[str, str] = {}
    if any(piece and "=" not in piece for piece in query.split("&")):
        raise StorageError("has an option without a value", where=_bare(shown), hint=_ESCAPED)
    for name, value in parse_qsl(query, keep_blank_values=True):
        if not re.fullmatch(r"[A-Za-z_]\w*", name):
            raise StorageError("has an option without a name", where=_bare(shown), hint=_ESCAPED)
        if name in found:
            raise StorageError(f"has the option {name!r} twice", where=_bare(shown))
        found[name] = value
    return found


def _bare(shown: str) -> str:
    return shown.partition("?")[0]


def _check_known(options: Iterable[str], known: Iterable[str], shown: str) -> None:
    unknown = next((name for name in options if name not in known), None)
    if unknown is not None:
        what = f"unknown option {unknown!r}"
        raise StorageError(what, where=_bare(shown), hint=nearest(unknown, known))


def _server_options(options: Mapping[str, str], shown: str) -> dict[str, str]:
    """Those that the driver takes, as it takes them; without what means nothing here."""
    from psycopg.pq import Conninfo

    kept = {name: value for name, value in options.items() if name.lower() not in _OTHERS}
    for name in [name for name in kept if name.lower() in _SCHEMAS]:
        if kept.pop(name) not in ("public", ""):
            hint = "options=-csearch_path%3DNAME, or ALTER ROLE … SET search_path"
            what = f"the option {name!r} is understood for public alone"
            raise StorageError(what, where=_bare(shown), hint=hint)
    if "ssl" in kept:  # as JDBC and others say it
        kept["sslmode"] = _sslmode(kept.pop("ssl"), kept.get("sslmode"), shown)
    for name in _NUMBERS & kept.keys():
        if not re.fullmatch(r"-?\d{1,9}", kept[name]):
            raise StorageError(f"the option {name!r} is not a whole number", where=_bare(shown))
    _check_known(kept, [each.keyword.decode() for each in Conninfo.get_defaults()], shown)
    return kept


def _sslmode(ssl: str, mode: str | None, shown: str) -> str:
    if ssl.lower() not in ("true", "1", "require"):
        hint = "sslmode=require, or any other of PostgreSQL's modes"
        raise StorageError("the option 'ssl' can only be true", where=_bare(shown), hint=hint)
    return mode or "require"


def exists(url: URL) -> bool:
    """Whether an SQLite file is there.

    Raises:
        StorageError: there can be none of this name.
    """
    path = Path(str(url.database))
    try:
        return path.exists()
    except (OSError, ValueError) as error:
        what = f"is not a valid file: {getattr(error, 'strerror', None) or error}"
        raise StorageError(what, where=str(path)) from None


def check_file(url: URL) -> None:
    """Say what is wrong with an SQLite file's place before SQLite says something vaguer."""
    path = Path(str(url.database))
    folder, where = path.absolute().parent, str(path)
    is_there = exists(url)
    if not folder.is_dir():
        raise StorageError("its folder does not exist", where=where, hint=f"mkdir -p {folder}")
    if path.is_dir():
        raise StorageError("is a folder, not a database file", where=where)
    hint = "change its permissions, or move it"
    if not is_there:
        if not os.access(folder, os.W_OK):
            raise StorageError("cannot be written", where=str(folder), hint=hint)
    elif not os.access(path, os.R_OK):
        raise StorageError("cannot be read", where=where, hint=hint)


def read_only_file(url: URL) -> Path | None:
    """The file, or its folder, that keeps an SQLite database from being written.

    Beside the file SQLite makes its journal, so that the folder has to be writable too.
    """
    path = Path(str(url.database))
    places = (path.absolute().parent, path)
    return next((each for each in places if each.exists() and not os.access(each, os.W_OK)), None)


def only_read(url: URL) -> str:
    """What SQLite is to open of a file that may not be written.

    Raises:
        StorageError: results stand in a journal, which SQLite cannot use without writing.
    """
    path = Path(str(url.database)).absolute()
    wal, shared = (path.with_name(path.name + end) for end in ("-wal", "-shm"))
    left = wal.exists() and wal.stat().st_size > 0
    if left and not shared.exists() and not os.access(path.parent, os.W_OK):
        hint = f"copy {path.name} and {wal.name} to a folder of yours, and give that"
        raise StorageError("a part of it is in its journal", where=str(wal), hint=hint)
    # Without a journal nobody is at it, and SQLite needs none of its locks, nor their file.
    how = "mode=ro" if left or os.access(path.parent, os.W_OK) else "immutable=1"
    return f"file:{quote(str(path))}?{how}"


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
    return options | {"connect_args": {k: v for k, v in server.items() if k not in url.query}}


# One engine: read and write transactions, the database's clock, and errors that say what to do.


STUCK_SECONDS = 10  # a transaction of which the server hears nothing for so long is rolled back
OUTAGE_SECONDS = 1.0  # a connection that breaks is no outage
PING_SECONDS = 1.0  # a connection that was used more recently is not asked whether it lives


class OutageError(StorageError):
    """The database does not answer at the moment; the same call may work later."""


def explained(error: Exception) -> StorageError:
    """An error that nobody foresaw as one of ours."""
    if isinstance(error, StorageError):
        return error
    return StorageError(f"results cannot be written: {type(error).__name__}: {error}")


class Database:
    """An engine for one URL; forked children get connections of their own.

    Args:
        url: as `urls.parse` returns it.
        options: overrides of `urls.engine_options`.
        shown: the URL in messages, without its password.

    Attributes:
        only_read: of an SQLite file, why it is: what may not be written, the file or its folder.
        outages: for how many seconds each the database did not answer, until somebody tells it.
    """

    def __init__(
        self, url: URL, options: dict[str, Any] | None = None, shown: str | None = None
    ) -> None:
        self.url = url
        self.shown = shown or redact(str(url))
        self.dialect = url.get_backend_name()
        self.only_read = read_only_file(url) if self.dialect == "sqlite" else None
        merged = engine_options(url) | (options or {})
        merged["connect_args"] = engine_options(url)["connect_args"] | merged["connect_args"]
        if self.only_read is not None:  # each time anew: others may be writing by then
            merged = {"poolclass": NullPool, "connect_args": merged["connect_args"]}
        self.engine = create_engine(url, **merged)
        if self.only_read is not None:
            event.listen(self.engine, "do_connect", partial(_only_read, url))
        self._reader, self._writer = _split(self.engine, self.dialect)
        self.outages: tuple[float, ...] = ()
        self._away_since: float | None = None
        _databases.add(self)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection on which every statement sees what is committed at that moment."""
        with self.translated(), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction; on SQLite it holds the write lock from its start."""
        if self.only_read is not None:
            raise self.unwritable()
        with self.translated(), self._writer.begin() as connection:
            self._answers()
            yield connection

    @contextmanager
    def moment(self) -> Iterator[Connection]:
        """A connection that reads everything as it was at one moment."""
        begin = "BEGIN" if self.dialect == "sqlite" else "BEGIN ISOLATION LEVEL REPEATABLE READ"
        with self.read() as connection:
            connection.exec_driver_sql(begin)
            yield connection

    def unwritable(self) -> StorageError:
        """Says what keeps an SQLite file from being written."""
        hint = "change its permissions, or move it"
        return StorageError("cannot be written", where=str(self.only_read), hint=hint)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn the driver's errors into ours; an IntegrityError passes as it is."""
        try:
            yield
        except _FAILURES as error:
            raise self._explain(error) from error
        except exc.DBAPIError as error:
            # A connection that breaks inside a result shows up as any kind of error.
            if error.connection_invalidated or "not a database" in str(error.orig):
                raise self._explain(error) from error
            self._refuse(error)
            raise
        except StorageInternalError as error:  # what Optuna makes of any
            self._refuse(error.__cause__)
            raise
        self._answers()

    def _answers(self) -> None:
        if self._away_since is None:
            return
        away, self._away_since = time.monotonic() - self._away_since, None
        if away >= OUTAGE_SECONDS:
            self.outages += (away,)

    def _refuse(self, error: BaseException | None) -> None:
        found = refusal(error)
        if found is not None:
            what, hint = found
            cause = self._first_line(getattr(error, "orig", error))
            raise StorageError(f"{what} ({cause})", where=self.shown, hint=hint) from error

    def _first_line(self, error: object) -> str:
        cause = str(error).strip().splitlines()[0]
        return cause.replace(str(self.url.password), "***") if self.url.password else cause

    def _explain(self, error: Exception) -> StorageError:
        cause = self._first_line(getattr(error, "orig", None) or error)
        found = failure(cause)
        if found is not None:
            return StorageError(f"{found[0]} ({cause})", where=self.shown, hint=found[1])
        hint = "is the server running, and are host, user, password and database name right?"
        if self._away_since is None and "no such table" not in cause:
            self._away_since = time.monotonic()
        return OutageError(f"cannot be reached ({cause})", where=self.shown, hint=hint)

    def after_fork(self) -> None:
        """Forget the parent's connections without closing them: the parent still uses them."""
        _inherited.append(self.engine.pool)
        self.engine.dispose(close=False)
        self.outages, self._away_since = (), None  # the parent tells its own
        self._reader, self._writer = _split(self.engine, self.dialect)

    def close(self) -> None:
        self.engine.dispose()


_FAILURES = exc.OperationalError, exc.InterfaceError, exc.TimeoutError
_databases: weakref.WeakSet[Database] = weakref.WeakSet()
_inherited: list[Any] = []


def _split(engine: Engine, dialect: str) -> tuple[Engine, Engine]:
    # Drivers begin no transactions: reading needs none, and a writer's are begun by _on_begin.
    event.listen(engine, "begin", _on_begin)
    if dialect == "sqlite":
        event.listen(engine, "connect", _on_connect)
    else:
        event.listen(engine, "connect", _on_connected)
        event.listen(engine, "checkin", _on_checkin)
        event.listen(engine, "checkout", _on_checkout)
    return engine, engine.execution_options(tuner_write=True)


def _on_connected(connection: Any, _: Any) -> None:
    connection.autocommit = True
    # Where another process answers than the one that said it would, a pooler such as PgBouncer is
    # between: the next transaction may be another process', which knows of no statements.
    answering = connection.execute("SELECT pg_backend_pid()").fetchone()[0]
    if answering != connection.info.backend_pid:
        connection.prepare_threshold = None


def _only_read(url: URL, _: Any, __: Any, positional: list[Any], named: dict[str, Any]) -> None:
    positional[:] = [only_read(url)]
    named["uri"] = True


def _on_checkin(_: Any, record: Any) -> None:
    record.info["used"] = time.monotonic()


def _on_checkout(connection: Any, record: Any, _: Any) -> None:
    # SQLAlchemy's own ping comes before every use, and is a tenth of what a trial costs.
    if time.monotonic() - record.info.get("used", float("inf")) > PING_SECONDS:
        try:
            connection.execute("SELECT 1")
        except connection.OperationalError as error:
            raise exc.DisconnectionError from error  # the pool connects anew


def _on_connect(connection: Any, _: Any) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA synchronous=NORMAL")


# A worker that is stopped within a transaction must not keep its locks from all others. Of the
# transaction alone: a pooler gives what a session is told to other programs.
_BEGIN = f"BEGIN; SET LOCAL idle_in_transaction_session_timeout = '{STUCK_SECONDS}s'"


def _on_begin(connection: Connection) -> None:
    if connection.get_execution_options().get("tuner_write"):
        # By SQLAlchemy, which knows the errors of a server that is gone.
        sqlite = connection.dialect.name == "sqlite"
        connection.exec_driver_sql("BEGIN IMMEDIATE" if sqlite else _BEGIN)


def _after_fork() -> None:
    for database in list(_databases):
        database.after_fork()


os.register_at_fork(after_in_child=_after_fork)
