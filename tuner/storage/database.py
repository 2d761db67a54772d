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

# Errors of a database: what is wrong, and what to do.


_INVALID_OPTION = ("an option in its URL is not valid", "change the option, or remove it")
_CAUSES = (
    ("database is locked", "is locked by another program", "end that program, then go on"),
    ("is full", "the disk is full", "free some space, then go on"),
    ("could not extend file", "the server's disk is full", "free some space, then go on"),
    ("No space left", "the disk is full", "free some space, then go on"),
    ("disk I/O error", "the disk cannot be read or written", "check the disk, then go on"),
    ("readonly", "cannot be written", "change its permissions, or move it"),
    ("unable to open", "cannot be opened", "check its path and permissions"),
    ("not a database", "is not a database", "give the path of another file"),
    ("connection option", *_INVALID_OPTION),
    ("value: ", *_INVALID_OPTION),
    ("startup parameter", *_INVALID_OPTION),
    ("certificate file", *_INVALID_OPTION),
    ("malformed", "is damaged", "restore a backup, or give another file"),
)
_REFUSALS = {  # by the server's code
    "42501": ("this user may not do that", "GRANT it, or give another user in the URL"),
    "22001": ("a name is longer than the database's column", "give a shorter one"),
    "25006": ("cannot be written", "this is a read-only replica; give the URL of the primary"),
}


def failure(cause: str) -> tuple[str, str] | None:
    """What is wrong and what to do, by the driver's words; None if the database is merely away."""
    return next(((what, hint) for words, what, hint in _CAUSES if words in cause), None)


def refusal(error: BaseException | None) -> tuple[str, str] | None:
    """The same for a statement that a server refuses its user; None for any other error."""
    return _REFUSALS.get(str(getattr(getattr(error, "orig", None), "sqlstate", "")))


# Database URLs: parsing and checking them.


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
    for password in ("[^/?@]*", "[^@]*")  # escaped as it has to be; not escaped
)
_HOST = re.compile(r"(?P<name> \[[\w:.%]+\] | [\w.%-]*) (?: : (?P<port> \d{0,5}) )?", re.X)
_HINTS = (
    (r"\s*\w+\s*=\s*\w+://", "the variable's name is no part of it, and neither are quotes"),
    (r"(?i)\s*jdbc:", "without jdbc: before it, and with USER:PASSWORD@ before the host"),
    (r"(?i).*\b(host|dbname|user|server|password)\s*=", "key=value pairs are written as a URL"),
)
_ESCAPE_HINT = "characters such as @ : / ? of a password are written %40 %3A %2F %3F"
_SQLITE_OPTIONS = ("timeout",)
_IGNORED_OPTIONS = frozenset(
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
"""Options for other libraries, which are ignored here: they limit the connections (there are two
at most), or say whether statements may be prepared (`Database` finds that out by itself)."""
_NUMBER_OPTIONS = frozenset(
    (
        "connect_timeout",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "tcp_user_timeout",
    )
)
_SCHEMA_OPTIONS = ("schema", "currentschema")


class _Host(NamedTuple):
    name: str
    port: str


def parse_url(url: str) -> URL:
    """The URL with the driver that is used for it.

    An error repeats nothing of a text that is no URL: a password may be anywhere in it.

    Raises:
        StorageError: it is no URL, its scheme or an option is unknown, its driver is not
            installed, or it names a database in memory, which no other process could see.
    """
    remember_url(url)
    match = _URL.fullmatch(url.strip())
    if match is None:
        raise _not_a_url(url)
    scheme = _ALIASES.get(match[1], match[1])
    if scheme == "sqlite":
        return _sqlite(match[2])
    if scheme == "postgresql":
        return _postgresql(url, match[2])
    raise StorageError(
        f"unknown kind of database {scheme!r}", where=redact(url), hint=nearest(scheme, SCHEMES)
    )


def _not_a_url(url: str, hint: str = "") -> StorageError:
    example = "for example sqlite:///tuner.db or postgresql://user@host/name"
    known = (words for form, words in _HINTS if re.match(form, url))
    about = hint or next(known, "")
    what = "this is not a database URL (it is not shown: a password may stand in it)"
    return StorageError(what, hint=f"{example}; {about}" if about else example)


def _sqlite(rest: str) -> URL:
    place, mark, query = rest.partition("?")
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
    if mark and not re.fullmatch(r"\w+=[^/&]*(&\w+=[^/&]*)*", query):
        raise StorageError("a ? in its path is written %3F", where=shown)
    options = _options(query, shown)
    _check_known(options, _SQLITE_OPTIONS, shown)
    if "timeout" in options and not re.fullmatch(r"\d+(\.\d*)?", options["timeout"]):
        raise StorageError("its timeout is not a number of seconds", where=shown)
    return URL.create("sqlite+pysqlite", database=path, query=options)


def _postgresql(url: str, rest: str) -> URL:
    read = ((match, _hosts(match)) for form in _SERVERS if (match := form.fullmatch(rest)))
    match, hosts = next((each for each in read if each[1]), (None, []))
    if match is None:
        raise _not_a_url(url, _ESCAPE_HINT)
    if importlib.util.find_spec("psycopg") is None:
        hint = 'pip install "tuner[postgres]"'
        raise StorageError("the PostgreSQL driver is not installed", where=redact(url), hint=hint)
    user, password, database = (
        None if match[name] is None else unquote(match[name])
        for name in ("user", "password", "database")
    )
    options = _server_options(_options(match["query"] or "", redact(url)), redact(url))
    for secret in (password, *(v for name, v in options.items() if "password" in name)):
        remember_secret(secret)
    url_without_hosts = URL.create(
        "postgresql+psycopg", username=user, password=password, database=database or None
    )
    parsed = _with_hosts(url_without_hosts, hosts).update_query_dict(options)
    if not _connectable(parsed):
        raise _not_a_url(url, "each of several hosts has a port, or none has")
    return parsed


def _connectable(url: URL) -> bool:
    try:
        url.get_dialect()().create_connect_args(url)
    except (ArgumentError, ValueError):
        return False
    return True


def _hosts(match: re.Match[str]) -> list[_Host]:
    """The server's hosts; empty if any of them is not a host and a port."""
    matches = [_HOST.fullmatch(each) for each in match["hosts"].split(",")]
    hosts = [_Host(unquote(each["name"]), each["port"] or "") for each in matches if each]
    valid = all(not host.port or 0 < int(host.port) < 2**16 for host in hosts)
    return hosts if valid and len(hosts) == len(matches) else []


def _with_hosts(url: URL, hosts: list[_Host]) -> URL:
    """With its hosts: several, and a folder of sockets, go into the query."""
    first = hosts[0]
    if len(hosts) == 1 and not first.name.startswith("/"):
        return url.set(host=first.name.strip("[]") or None, port=int(first.port or 0) or None)
    query = {"host": ",".join(host.name.strip("[]") for host in hosts)}
    if any(host.port for host in hosts):
        query["port"] = ",".join(host.port or "5432" for host in hosts)
    return url.set(query=query)


def _options(query: str, shown: str) -> dict[str, str]:
    """The options of a URL by name; each once."""
    options: dict[str, str] = {}
    if any(piece and "=" not in piece for piece in query.split("&")):
        raise StorageError("has an option without a value", where=_base(shown), hint=_ESCAPE_HINT)
    for name, value in parse_qsl(query, keep_blank_values=True):
        if not re.fullmatch(r"[A-Za-z_]\w*", name):
            raise StorageError(
                "has an option without a name", where=_base(shown), hint=_ESCAPE_HINT
            )
        if name in options:
            raise StorageError(f"has the option {name!r} twice", where=_base(shown))
        options[name] = value
    return options


def _base(shown: str) -> str:
    return shown.partition("?")[0]


def _check_known(options: Iterable[str], known: Iterable[str], shown: str) -> None:
    unknown = next((name for name in options if name not in known), None)
    if unknown is not None:
        what = f"unknown option {unknown!r}"
        raise StorageError(what, where=_base(shown), hint=nearest(unknown, known))


def _server_options(options: Mapping[str, str], shown: str) -> dict[str, str]:
    """The options as the driver takes them, without those that are ignored."""
    from psycopg.pq import Conninfo

    accepted = {
        name: value for name, value in options.items() if name.lower() not in _IGNORED_OPTIONS
    }
    for name in [name for name in accepted if name.lower() in _SCHEMA_OPTIONS]:
        if accepted.pop(name) not in ("public", ""):
            hint = "options=-csearch_path%3DNAME, or ALTER ROLE … SET search_path"
            what = f"the option {name!r} is understood for public alone"
            raise StorageError(what, where=_base(shown), hint=hint)
    if "ssl" in accepted:  # as JDBC and others write it
        accepted["sslmode"] = _sslmode(accepted.pop("ssl"), accepted.get("sslmode"), shown)
    for name in _NUMBER_OPTIONS & accepted.keys():
        if not re.fullmatch(r"-?\d{1,9}", accepted[name]):
            raise StorageError(f"the option {name!r} is not a whole number", where=_base(shown))
    _check_known(accepted, [each.keyword.decode() for each in Conninfo.get_defaults()], shown)
    return accepted


def _sslmode(ssl: str, mode: str | None, shown: str) -> str:
    if ssl.lower() not in ("true", "1", "require"):
        hint = "sslmode=require, or any other of PostgreSQL's modes"
        raise StorageError("the option 'ssl' can only be true", where=_base(shown), hint=hint)
    return mode or "require"


def exists(url: URL) -> bool:
    """Whether an SQLite file exists.

    Raises:
        StorageError: no file can have this name.
    """
    path = Path(str(url.database))
    try:
        return path.exists()
    except (OSError, ValueError) as error:
        what = f"is not a valid file: {getattr(error, 'strerror', None) or error}"
        raise StorageError(what, where=str(path)) from None


def check_file(url: URL) -> None:
    """Raise an error about an SQLite file's place that is more exact than SQLite's own."""
    path = Path(str(url.database))
    folder, where = path.absolute().parent, str(path)
    file_exists = exists(url)
    if not folder.is_dir():
        raise StorageError("its folder does not exist", where=where, hint=f"mkdir -p {folder}")
    if path.is_dir():
        raise StorageError("is a folder, not a database file", where=where)
    hint = "change its permissions, or move it"
    if not file_exists:
        if not os.access(folder, os.W_OK):
            raise StorageError("cannot be written", where=str(folder), hint=hint)
    elif not os.access(path, os.R_OK):
        raise StorageError("cannot be read", where=where, hint=hint)


def read_only_file(url: URL) -> Path | None:
    """The file, or its folder, that keeps an SQLite database from being written.

    SQLite makes its journal beside the file, so the folder has to be writable too.
    """
    path = Path(str(url.database))
    places = (path.absolute().parent, path)
    return next((each for each in places if each.exists() and not os.access(each, os.W_OK)), None)


def read_only_uri(url: URL) -> str:
    """The URI by which SQLite opens a file that may not be written.

    Raises:
        StorageError: results are in a journal, which SQLite cannot use without writing.
    """
    path = Path(str(url.database)).absolute()
    wal, shared = (path.with_name(path.name + end) for end in ("-wal", "-shm"))
    journal = wal.exists() and wal.stat().st_size > 0
    if journal and not shared.exists() and not os.access(path.parent, os.W_OK):
        hint = f"copy {path.name} and {wal.name} to a folder of yours, and give that"
        raise StorageError("a part of it is in its journal", where=str(wal), hint=hint)
    # Without a journal no program is using the file, and SQLite needs no locks, nor their file.
    mode = "mode=ro" if journal or os.access(path.parent, os.W_OK) else "immutable=1"
    return f"file:{quote(str(path))}?{mode}"


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


# One engine: its transactions, its outages, and its errors.


STUCK_SECONDS = 10  # the server rolls back a transaction that is idle for so long
OUTAGE_SECONDS = 1.0  # a connection that breaks is no outage
PING_SECONDS = 1.0  # a connection that was used more recently is not asked whether it lives


class OutageError(StorageError):
    """The database does not answer at the moment; the same call may work later."""


def explained(error: Exception) -> StorageError:
    """Any error as a StorageError."""
    if isinstance(error, StorageError):
        return error
    return StorageError(f"results cannot be written: {type(error).__name__}: {error}")


class Database:
    """An engine for one URL; forked children get connections of their own.

    Args:
        url: as `parse_url` returns it.
        options: overrides of `engine_options`.
        shown: the URL in messages, without its password.

    Attributes:
        unwritable_path: the SQLite file, or its folder, that may not be written; None if both may.
        outages: the seconds of each outage that is not recorded as an event yet.
    """

    def __init__(
        self, url: URL, options: dict[str, Any] | None = None, shown: str | None = None
    ) -> None:
        self.url = url
        self.shown = shown or redact(str(url))
        self.dialect = url.get_backend_name()
        self.unwritable_path = read_only_file(url) if self.dialect == "sqlite" else None
        merged = engine_options(url) | (options or {})
        merged["connect_args"] = engine_options(url)["connect_args"] | merged["connect_args"]
        if self.unwritable_path is not None:  # connect each time: others may be writing by then
            merged = {"poolclass": NullPool, "connect_args": merged["connect_args"]}
        self.engine = create_engine(url, **merged)
        if self.unwritable_path is not None:
            event.listen(self.engine, "do_connect", partial(_on_read_only_connect, url))
        self._reader, self._writer = _readers_and_writers(self.engine, self.dialect)
        self.outages: tuple[float, ...] = ()
        self._away_since: float | None = None
        _databases.add(self)
        # When nobody has it any more, at the latest at the end of the process, its connections are
        # closed: SQLite then writes its journal into its file, which somebody may copy.
        weakref.finalize(self, self.engine.dispose)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection on which every statement sees what is committed at that moment."""
        with self.translated(), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction; on SQLite it holds the write lock from its start."""
        if self.unwritable_path is not None:
            raise self.unwritable()
        with self.translated(), self._writer.begin() as connection:
            self._note_answer()
            yield connection

    @contextmanager
    def moment(self) -> Iterator[Connection]:
        """A connection that reads everything as it was at one moment."""
        begin = "BEGIN" if self.dialect == "sqlite" else "BEGIN ISOLATION LEVEL REPEATABLE READ"
        with self.read() as connection:
            connection.exec_driver_sql(begin)
            yield connection

    def unwritable(self) -> StorageError:
        """The error that names what keeps an SQLite file from being written."""
        hint = "change its permissions, or move it"
        return StorageError("cannot be written", where=str(self.unwritable_path), hint=hint)

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
        except StorageInternalError as error:  # Optuna's, for any error of the driver
            self._refuse(error.__cause__)
            raise
        self._note_answer()

    def _note_answer(self) -> None:
        """The database answers: an outage that was under way is over."""
        if self._away_since is None:
            return
        away, self._away_since = time.monotonic() - self._away_since, None
        if away >= OUTAGE_SECONDS:
            self.outages += (away,)

    def _refuse(self, error: BaseException | None) -> None:
        """Raise a StorageError for a statement that the server refuses."""
        reason = refusal(error)
        if reason is not None:
            what, hint = reason
            cause = self._first_line(getattr(error, "orig", error))
            raise StorageError(f"{what} ({cause})", where=self.shown, hint=hint) from error

    def _first_line(self, error: object) -> str:
        cause = str(error).strip().splitlines()[0]
        return cause.replace(str(self.url.password), "***") if self.url.password else cause

    def _explain(self, error: Exception) -> StorageError:
        cause = self._first_line(getattr(error, "orig", None) or error)
        reason = failure(cause)
        if reason is not None:
            return StorageError(f"{reason[0]} ({cause})", where=self.shown, hint=reason[1])
        hint = "is the server running, and are host, user, password and database name right?"
        if self._away_since is None and "no such table" not in cause:
            self._away_since = time.monotonic()
        return OutageError(f"cannot be reached ({cause})", where=self.shown, hint=hint)

    def after_fork(self) -> None:
        """Forget the parent's connections without closing them: the parent still uses them."""
        _inherited.append(self.engine.pool)
        self.engine.dispose(close=False)
        self.outages, self._away_since = (), None  # the parent records its own
        self._reader, self._writer = _readers_and_writers(self.engine, self.dialect)

    def close(self) -> None:
        self.engine.dispose()


_FAILURES = exc.OperationalError, exc.InterfaceError, exc.TimeoutError
_databases: weakref.WeakSet[Database] = weakref.WeakSet()
_inherited: list[Any] = []


def _readers_and_writers(engine: Engine, dialect: str) -> tuple[Engine, Engine]:
    # Drivers begin no transactions: reading needs none, and _on_begin begins a writer's.
    event.listen(engine, "begin", _on_begin)
    if dialect == "sqlite":
        event.listen(engine, "connect", _on_sqlite_connect)
    else:
        event.listen(engine, "connect", _on_postgres_connect)
        event.listen(engine, "checkin", _on_checkin)
        event.listen(engine, "checkout", _on_checkout)
    return engine, engine.execution_options(tuner_write=True)


def _on_postgres_connect(connection: Any, _: Any) -> None:
    connection.autocommit = True
    # If another process answers than the one that accepted the connection, there is a pooler such
    # as PgBouncer: the next transaction may run in a process without the prepared statements.
    backend_pid = connection.execute("SELECT pg_backend_pid()").fetchone()[0]
    if backend_pid != connection.info.backend_pid:
        connection.prepare_threshold = None


def _on_read_only_connect(
    url: URL, _: Any, __: Any, positional: list[Any], named: dict[str, Any]
) -> None:
    positional[:] = [read_only_uri(url)]
    named["uri"] = True


def _on_checkin(_: Any, record: Any) -> None:
    record.info["used"] = time.monotonic()


def _on_checkout(connection: Any, record: Any, _: Any) -> None:
    # SQLAlchemy's own ping comes before every use, and takes a tenth of a trial's time.
    if time.monotonic() - record.info.get("used", float("inf")) > PING_SECONDS:
        try:
            connection.execute("SELECT 1")
        except connection.OperationalError as error:
            raise exc.DisconnectionError from error  # the pool connects anew


def _on_sqlite_connect(connection: Any, _: Any) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA synchronous=NORMAL")


# A worker that is stopped within a transaction must not hold its locks for ever. The setting is the
# transaction's: a pooler would pass a session's on to other programs.
_BEGIN = f"BEGIN; SET LOCAL idle_in_transaction_session_timeout = '{STUCK_SECONDS}s'"


def _on_begin(connection: Connection) -> None:
    if connection.get_execution_options().get("tuner_write"):
        # Through SQLAlchemy, which recognizes the errors of a lost connection.
        sqlite = connection.dialect.name == "sqlite"
        connection.exec_driver_sql("BEGIN IMMEDIATE" if sqlite else _BEGIN)


def _after_fork() -> None:
    for database in list(_databases):
        database.after_fork()


os.register_at_fork(after_in_child=_after_fork)
