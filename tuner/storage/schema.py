"""The tables of tuner beside those of Optuna."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)

from tuner.optuna_private import models

VERSION = 4  # of these tables; tuner/storage/migrate.py has the steps from one to the next
NEVER = 1e18  # the time at which the lease of a paused trial expires
LOCK = 0x74756E6572  # "tuner": the advisory lock under which tables and studies are made

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


# The Optuna versions that found this database current, so that the next start need not check.
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
    Column("epochs", Integer),
)
# A released lease has an empty holder and has expired; that of a paused trial has an empty holder
# and expires NEVER. Times are seconds of the database's clock. After `target` epochs the holder
# pauses the trial; null is never.
leases = Table(
    "tuner_leases",
    metadata,
    _trial(),
    Column("study_id", Integer, nullable=False, index=True),
    Column("holder", String(255), nullable=False, index=True),
    Column("token", Integer, nullable=False),
    Column("expires", Float(53), nullable=False),
    Column("target", Integer),
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
# An artifact has one row or more, which a reader reads one by one. `written` is a time of the
# database's clock.
artifacts = Table(
    "tuner_artifacts",
    metadata,
    Column("artifact_id", String(64), primary_key=True),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
    Column("written", Float(53), nullable=False),
)

# What happened, for people. It has no foreign key, or a worker that writes a result would wait for
# another that locks the study to claim a trial. `study_id` is null for events of a worker alone.
events = Table(
    "tuner_events",
    metadata,
    Column("event_id", Integer, primary_key=True),
    Column("time", Float(53), nullable=False),
    Column("study_id", Integer),
    Column("trial_id", Integer),
    Column("worker", String(255), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("detail", Text, nullable=False),
)
Index("ix_tuner_events_study", events.c.study_id, events.c.event_id)

# SQLite enforces no foreign keys here (nor with plain Optuna) and gives a deleted row's number
# to the next one, which must not inherit a lease or a budget.
_OF_TRIAL = (leases, checkpoints)
_OF_STUDY = (studies, events)


def place_triggers(connection: Connection, dialect: str) -> None:
    """Make triggers that delete our rows with Optuna's, whichever program deletes those."""
    if dialect == "sqlite":
        _place(connection, "tuner_trial_deleted", "trials", "trial_id", _OF_TRIAL)
        _place(connection, "tuner_study_deleted", "studies", "study_id", _OF_STUDY)
        return
    gone = "DELETE FROM tuner_events WHERE study_id = OLD.study_id; RETURN NULL;"
    connection.exec_driver_sql(
        "CREATE OR REPLACE FUNCTION tuner_study_deleted() RETURNS trigger LANGUAGE plpgsql "
        f"AS $$ BEGIN {gone} END $$"
    )
    connection.exec_driver_sql("DROP TRIGGER IF EXISTS tuner_study_deleted ON studies")
    connection.exec_driver_sql(
        "CREATE TRIGGER tuner_study_deleted AFTER DELETE ON studies "
        "FOR EACH ROW EXECUTE FUNCTION tuner_study_deleted()"
    )


def _place(
    connection: Connection, name: str, owner: str, key: str, tables: tuple[Table, ...]
) -> None:
    gone = " ".join(f"DELETE FROM {table.name} WHERE {key} = OLD.{key};" for table in tables)
    connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}")
    connection.exec_driver_sql(f"CREATE TRIGGER {name} AFTER DELETE ON {owner} BEGIN {gone} END")


def lock_names(connection: Connection, dialect: str) -> None:
    """Let one transaction at a time create studies; on SQLite a write transaction already does."""
    if dialect == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
