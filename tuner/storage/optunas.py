"""Optuna's own tables: made, checked and upgraded by Optuna."""

from __future__ import annotations

from typing import Any

import optuna
from sqlalchemy import exc, text
from sqlalchemy.pool import NullPool

from tuner.errors import StorageError
from tuner.storage.database import Database, OutageError

UPGRADE = "make a backup, then: tuner db upgrade --storage URL"
UNDEFINED_TABLE = "42P01"
REVISION = text("SELECT version_num FROM alembic_version")


def make(database: Database) -> None:
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


def upgrade(database: Database) -> None:
    """Bring the tables to this Optuna's version; StorageError if they are newer."""
    with database.translated():
        theirs = _storage(database, skip_compatibility_check=True)
        current = theirs.get_current_version()
        if current == theirs.get_head_version():
            return
        if current not in theirs.get_all_versions():
            make(database)  # says what is wrong
        theirs.upgrade()


def revision(database: Database) -> str | None:
    """The version of the tables; None if there are none."""
    try:
        with database.read() as connection:
            return connection.execute(REVISION).scalar()
    except (exc.ProgrammingError, OutageError) as error:
        if no_table(error):
            return None
        raise


def no_table(error: Exception) -> bool:
    """Whether an error says that there is no such table, and not that nobody may read it."""
    if isinstance(error, OutageError):  # which is what SQLite's is taken for
        return "no such table" in str(error)
    return getattr(getattr(error, "orig", None), "sqlstate", None) == UNDEFINED_TABLE


def _storage(
    database: Database, skip_compatibility_check: bool = False
) -> optuna.storages.RDBStorage:
    url = database.url.render_as_string(hide_password=False)
    options: dict[str, Any] = {"poolclass": NullPool}
    if database.dialect == "postgresql":  # a pooler's next transaction knows of no statements
        options["connect_args"] = {"prepare_threshold": None}
    return optuna.storages.RDBStorage(
        url.replace("{", "{{").replace("}", "}}"),  # Optuna fills a template in the URL
        engine_kwargs=options,
        skip_compatibility_check=skip_compatibility_check,
    )
