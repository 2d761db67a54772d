"""One engine: read and write transactions, the database's clock, and errors that say what to do."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from optuna.exceptions import StorageInternalError
from sqlalchemy import Connection, Engine, create_engine, event, exc
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from tuner.errors import StorageError
from tuner.storage import causes, urls

STUCK_SECONDS = 10  # a transaction of which the server hears nothing for so long is rolled back
OUTAGE_SECONDS = 1.0  # a connection that breaks is no outage
PING_SECONDS = 1.0  # a connection that was used more recently is not asked whether it lives


class OutageError(StorageError):
    """The database does not answer at the moment; the same call may work later."""


def explained(error: Exception) -> StorageError:
    """An error that nobody foresaw as one of ours."""
    if isinstance(error, StorageError):
        return error
    return StorageError(f"results cannot be told: {type(error).__name__}: {error}")


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
        self.shown = shown or urls.redact(str(url))
        self.dialect = url.get_backend_name()
        self.only_read = urls.unwritable(url) if self.dialect == "sqlite" else None
        merged = urls.engine_options(url) | (options or {})
        merged["connect_args"] = urls.engine_options(url)["connect_args"] | merged["connect_args"]
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
        found = causes.refusal(error)
        if found is not None:
            what, hint = found
            cause = self._first_line(getattr(error, "orig", error))
            raise StorageError(f"{what} ({cause})", where=self.shown, hint=hint) from error

    def _first_line(self, error: object) -> str:
        cause = str(error).strip().splitlines()[0]
        return cause.replace(str(self.url.password), "***") if self.url.password else cause

    def _explain(self, error: Exception) -> StorageError:
        cause = self._first_line(getattr(error, "orig", None) or error)
        found = causes.failure(cause)
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
    positional[:] = [urls.only_read(url)]
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
