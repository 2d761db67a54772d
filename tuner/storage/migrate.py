"""Creates and upgrades the tables of Optuna and tuner, safely from many processes at once."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import optuna
from sqlalchemy import Connection, exc, func, inspect, select, text
from sqlalchemy.pool import NullPool

from tuner.errors import StorageError
from tuner.storage import schema
from tuner.storage.database import Database, OutageError

# A lock between processes that ends with its process: SQLite's own.


WAIT_SECONDS = 60.0
_GONE_SECONDS = 5.0


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold the lock of a file, which is made for it and removed after it.

    Two processes may hold it at once after a third has left: each has to check whether the work is
    done already.

    Raises:
        sqlite3.OperationalError: the file cannot be made, or is held for more than a minute.
    """
    try:
        with closing(_locked_file(path)):
            yield
    finally:
        path.unlink(missing_ok=True)


def _locked_file(path: Path) -> sqlite3.Connection:
    until = time.monotonic() + _GONE_SECONDS
    while True:
        connection = sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None)
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            connection.close()
            # It was removed after it had been opened.
            if "disk I/O" not in str(error) or time.monotonic() > until:
                raise
        else:
            return connection


# Optuna's own tables, which Optuna makes, checks and upgrades.


UPGRADE = "make a backup, then: tuner db upgrade --storage URL"
UNDEFINED_TABLE = "42P01"
REVISION = text("SELECT version_num FROM alembic_version")


def make_optunas(database: Database) -> None:
    """Make the tables where there are none.

    Raises:
        StorageError: they were made by another version of Optuna.
    """
    with database.translated():
        try:
            _storage(database)
        except RuntimeError as error:
            older = "storage upgrade" in str(error)
            raise StorageError(
                "its tables were made by another version of Optuna",
                where=database.shown,
                hint=UPGRADE if older else "pip install -U optuna",
            ) from error


def upgrade_optunas(database: Database) -> None:
    """Bring the tables to this Optuna's version; StorageError if they are newer."""
    with database.translated():
        theirs = _storage(database, skip_compatibility_check=True)
        current = theirs.get_current_version()
        if current == theirs.get_head_version():
            return
        if current not in theirs.get_all_versions():
            make_optunas(database)  # raises the error that says what is wrong
        theirs.upgrade()


def optunas_revision(database: Database) -> str | None:
    """The version of the tables; None if there are none."""
    try:
        with database.read() as connection:
            return connection.execute(REVISION).scalar()
    except (exc.ProgrammingError, OutageError) as error:
        if no_table(error):
            return None
        raise


def no_table(error: Exception) -> bool:
    """Whether an error is about a missing table, and not about one that may not be read."""
    if isinstance(error, OutageError):  # as SQLite's error about it is translated
        return "no such table" in str(error)
    return getattr(getattr(error, "orig", None), "sqlstate", None) == UNDEFINED_TABLE


def _storage(
    database: Database, skip_compatibility_check: bool = False
) -> optuna.storages.RDBStorage:
    url = database.url.render_as_string(hide_password=False)
    options: dict[str, Any] = {"poolclass": NullPool}
    if database.dialect == "postgresql":  # a pooler's next process lacks the prepared statements
        options["connect_args"] = {"prepare_threshold": None}
    return optuna.storages.RDBStorage(
        url.replace("{", "{{").replace("}", "}}"),  # Optuna fills a template in the URL
        engine_kwargs=options,
        skip_compatibility_check=skip_compatibility_check,
    )


# Making and upgrading tuner's tables, safely from many processes at once.


Step = Callable[[Connection, str], None]


def _artifacts(connection: Connection, dialect: str) -> None:
    """1 to 2: files of studies and trials."""
    schema.artifacts.create(connection, checkfirst=True)


def _events(connection: Connection, dialect: str) -> None:
    """2 to 3: events of studies, trials and workers."""
    schema.events.create(connection, checkfirst=True)
    schema.place_triggers(connection, dialect)


def _pausing(connection: Connection, dialect: str) -> None:
    """3 to 4: budgets in epochs, and leases that end at an epoch."""
    for table, column in (("tuner_studies", "epochs"), ("tuner_leases", "target")):
        if column not in {each["name"] for each in inspect(connection).get_columns(table)}:
            connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {column} INTEGER")


STEPS: tuple[Step, ...] = (_artifacts, _events, _pausing)
"""Each brings the tables from one version to the next, the first from 1 to 2. It is called with a
connection in a transaction and the name of the SQL dialect. A released step never changes."""


class TablesState(NamedTuple):
    """The state of a database's tables.

    Attributes:
        version: of our tables; None if there are none.
        known: whether this Optuna found its own tables current.
        wal: whether SQLite writes ahead to a log; true for a server, and for a read-only file.
    """

    version: int | None
    known: bool
    wal: bool

    @property
    def current(self) -> bool:
        return self.version == schema.VERSION and self.known and self.wal


class Upgrade(NamedTuple):
    """Versions before and after; `before` is None where there were no tables of ours."""

    before: int | None
    after: int
    optuna_before: str | None
    optuna_after: str

    @property
    def changed(self) -> bool:
        return (self.before, self.optuna_before) != (self.after, self.optuna_after)

    def __str__(self) -> str:
        was = f" (was {self.before or 'none'}, {self.optuna_before or 'none'})"
        now = f"tables of tuner {self.after}, of Optuna {self.optuna_after}"
        return now + (was if self.changed else "")


def ensure(database: Database) -> None:
    """Make or check all tables; safe in any number of processes at once.

    Raises:
        StorageError: the database was made by another version of Optuna or of ours.
    """
    if _checked(database).current:
        return
    if database.unwritable_path is not None:
        raise database.unwritable()
    with _locked(database):
        if _checked(database).current:
            return
        make_optunas(database)
        _make(database)


def upgrade_tables(database: Database) -> Upgrade:
    """Bring older tables, Optuna's too, to this version; safe while others do it, or work.

    Raises:
        StorageError: the database was made by a newer version of Optuna or of ours.
    """
    if database.unwritable_path is not None:
        raise database.unwritable()
    with _locked(database):
        before, revision = read_state(database).version, optunas_revision(database)
        if before is not None and before > schema.VERSION:
            raise _newer(database)
        upgrade_optunas(database)
        for version in range(before or schema.VERSION, schema.VERSION):
            with database.write() as connection:
                STEPS[version - 1](connection, database.dialect)
                connection.execute(schema.versions.update().values(version=version + 1))
        _make(database)
        return Upgrade(before, schema.VERSION, revision, str(optunas_revision(database)))


def read_state(database: Database) -> TablesState:
    """The state of a database's tables; it changes nothing."""
    try:
        with database.read() as connection:
            version = connection.execute(select(func.max(schema.versions.c.version))).scalar()
            known = connection.execute(_KNOWN, {"optuna": optuna.__version__}).scalar() is not None
            wal = True
            if database.dialect == "sqlite" and database.unwritable_path is None:
                wal = connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
            return TablesState(version, known, wal)
    except (exc.ProgrammingError, OutageError) as error:
        if no_table(error):
            return TablesState(None, False, False)
        raise


_KNOWN = text(
    "SELECT v.version FROM tuner_versions v, alembic_version a "
    "WHERE v.optuna = :optuna AND v.revision = a.version_num"
)


def _checked(database: Database) -> TablesState:
    """The state of tables that are not older or newer than this version, or StorageError."""
    state = read_state(database)
    if state.version is None or state.version == schema.VERSION:
        return state
    if state.version > schema.VERSION:
        raise _newer(database)
    what = f"was made by an older tuner: its tables have version {state.version}"
    raise StorageError(f"{what}, not {schema.VERSION}", where=database.shown, hint=UPGRADE)


def _newer(database: Database) -> StorageError:
    what = "was made by a newer tuner"
    return StorageError(what, where=database.shown, hint="pip install -U tuner")


@contextmanager
def _locked(database: Database) -> Iterator[None]:
    if database.dialect == "postgresql":
        # The lock is the transaction's, since a pooler may give the next one to another session.
        # The transaction does nothing else, and may be idle for as long as the tables take.
        with database.write() as connection:
            connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": schema.LOCK})
            yield
        return
    with file_lock(Path(f"{database.url.database}-making")):
        yield


def _make(database: Database) -> None:
    """Make our tables, and record that Optuna's are current."""
    if database.dialect == "sqlite":
        with database.read() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    with database.write() as connection:
        schema.metadata.create_all(connection)
        schema.place_triggers(connection, database.dialect)
        revision = connection.execute(REVISION).scalar_one()
        table = schema.versions
        connection.execute(table.delete().where(table.c.optuna == optuna.__version__))
        row = {"optuna": optuna.__version__, "revision": revision, "version": schema.VERSION}
        connection.execute(table.insert(), row)
