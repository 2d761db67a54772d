"""Tables of our own beside Optuna's, and their creation by many processes at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.storages._rdb import models
from sqlalchemy import (
    Column,
    Connection,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    exc,
    text,
)
from sqlalchemy.pool import NullPool

from tuner.errors import StorageError
from tuner.storage.database import Database, OutageError
from tuner.storage.filelock import file_lock

VERSION = 2
_LOCK = 0x74756E6572  # "tuner": the advisory lock under which tables and studies are made

metadata = MetaData()


def _study() -> Column[int]:
    return Column(
        "study_id",
        ForeignKey(models.StudyModel.__table__.c.study_id, ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    )


def _trial() -> Column[int]:
    return Column(
        "trial_id",
        ForeignKey(models.TrialModel.__table__.c.trial_id, ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    )


# The Optuna versions that found this database current: the next start need not ask alembic.
versions = Table(
    "tuner_versions",
    metadata,
    Column("optuna", String(64), primary_key=True),
    Column("revision", String(64), nullable=False),
    Column("version", Integer, nullable=False),
)
studies = Table(
    "tuner_studies",
    metadata,
    _study(),
    Column("budget", Integer, nullable=False),
    Column("state", String(16), nullable=False),
)
# A released lease has an empty holder and has expired. Times are seconds of the database's clock.
leases = Table(
    "tuner_leases",
    metadata,
    _trial(),
    Column("study_id", Integer, nullable=False, index=True),
    Column("holder", String(255), nullable=False, index=True),
    Column("token", Integer, nullable=False),
    Column("expires", Float(53), nullable=False),
)
checkpoints = Table(
    "tuner_checkpoints", metadata, _trial(), Column("data", LargeBinary, nullable=False)
)
workers = Table(
    "tuner_workers",
    metadata,
    Column("holder", String(255), primary_key=True),
    Column("host", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("device", String(64), nullable=False),
    Column("renewed", Float(53), nullable=False),
)
# Of an artifact, in rows that a reader takes one by one; `written` is of the database's clock.
artifacts = Table(
    "tuner_artifacts",
    metadata,
    Column("artifact_id", String(64), primary_key=True),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
    Column("written", Float(53), nullable=False),
)

# SQLite enforces no foreign keys here (nor with plain Optuna) and gives a deleted row's number
# to the next one, which must not inherit a lease or a budget.
_TRIGGERS = (
    "CREATE TRIGGER IF NOT EXISTS tuner_trial_deleted AFTER DELETE ON trials BEGIN "
    "DELETE FROM tuner_leases WHERE trial_id = OLD.trial_id; "
    "DELETE FROM tuner_checkpoints WHERE trial_id = OLD.trial_id; END",
    "CREATE TRIGGER IF NOT EXISTS tuner_study_deleted AFTER DELETE ON studies BEGIN "
    "DELETE FROM tuner_studies WHERE study_id = OLD.study_id; END",
)
_CURRENT = text(
    "SELECT v.version FROM tuner_versions v, alembic_version a "
    "WHERE v.optuna = :optuna AND v.revision = a.version_num"
)


def ensure(database: Database) -> None:
    """Make or check all tables; safe in any number of processes at once.

    Raises:
        StorageError: the database was made by another version of Optuna or of ours.
    """
    if _is_current(database):
        return
    with _locked(database):
        if _is_current(database):
            return
        _optuna(database)
        if database.dialect == "sqlite":
            with database.read() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        with database.write() as connection:
            _create(connection, database.dialect)


def _is_current(database: Database) -> bool:
    try:
        with database.read() as connection:
            version = connection.execute(_CURRENT, {"optuna": optuna.__version__}).scalar()
            if database.dialect == "sqlite" and version is not None:
                mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
                version = version if mode == "wal" else None
    except exc.ProgrammingError:  # PostgreSQL: no such table
        return False
    except OutageError as error:
        if "no such table" in str(error):
            return False
        raise
    if version is not None and version > VERSION:
        raise StorageError(
            "was made by a newer tuner", where=database.shown, hint="pip install -U tuner"
        )
    return version == VERSION


@contextmanager
def _locked(database: Database) -> Iterator[None]:
    if database.dialect == "postgresql":
        with database.read() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
            try:
                yield
            finally:
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})
        return
    with file_lock(Path(f"{database.url.database}-making")):
        yield


def _optuna(database: Database) -> None:
    url = database.url.render_as_string(hide_password=False)
    escaped = url.replace("{", "{{").replace("}", "}}")  # Optuna fills a template in the URL
    with database.translated():
        try:
            optuna.storages.RDBStorage(escaped, engine_kwargs={"poolclass": NullPool})
        except RuntimeError as error:
            raise StorageError(
                "its tables were made by another version of Optuna",
                where=database.shown,
                hint=str(error),
            ) from error


def _create(connection: Connection, dialect: str) -> None:
    metadata.create_all(connection)
    if dialect == "sqlite":
        for trigger in _TRIGGERS:
            connection.exec_driver_sql(trigger)
    revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    connection.execute(versions.delete().where(versions.c.optuna == optuna.__version__))
    row = {"optuna": optuna.__version__, "revision": revision, "version": VERSION}
    connection.execute(versions.insert(), row)


def lock_names(connection: Connection, dialect: str) -> None:
    """Let one transaction at a time create studies; on SQLite a write transaction already does."""
    if dialect == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
