"""Opening a storage by its URL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuner.errors import StorageError
from tuner.storage import urls, versions
from tuner.storage.database import Database
from tuner.storage.lease import LEASE_SECONDS
from tuner.storage.storage import Storage


def open_storage(
    url: str,
    *,
    engine_kwargs: Mapping[str, Any] | None = None,
    lease_seconds: float = LEASE_SECONDS,
) -> Storage:
    """The storage at a URL; its tables are made if they are not there.

    Args:
        url: `sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST/NAME`.
        engine_kwargs: overrides for `sqlalchemy.create_engine`.
        lease_seconds: how long a lease lasts without being renewed.

    Raises:
        StorageError: it cannot be reached, read or written, or holds something else.
    """
    return Storage(url, engine_kwargs=engine_kwargs, lease_seconds=lease_seconds)


def open_existing(url: str, *, engine_kwargs: Mapping[str, Any] | None = None) -> Storage | None:
    """The storage at a URL, or None where there is no SQLite file: looking makes none.

    Raises:
        StorageError: as `open_storage` does.
    """
    parsed = urls.parse(url)
    if parsed.get_backend_name() == "sqlite" and not urls.exists(parsed):
        return None
    return open_storage(url, engine_kwargs=engine_kwargs)


def opened(url: str, *, engine_kwargs: Mapping[str, Any] | None = None) -> Storage:
    """The storage of a database that has to be there: looking makes none.

    Raises:
        StorageError: there is none, or as `open_storage` does.
    """
    storage = open_existing(url, engine_kwargs=engine_kwargs)
    if storage is None:
        raise _missing(url)
    return storage


def upgrade(url: str) -> versions.Upgrade:
    """Bring the tables of a database that has to be there to this version.

    Raises:
        StorageError: there is none, it cannot be reached or written, or is of a newer version.
    """
    parsed = urls.parse(url)
    if parsed.get_backend_name() == "sqlite":
        urls.check_file(parsed)
        if not urls.exists(parsed):
            raise _missing(url)
    database = Database(parsed, shown=urls.redact(url))
    try:
        return versions.upgrade(database)
    finally:
        database.close()


def _missing(url: str) -> StorageError:
    return StorageError(
        "there is no such database",
        where=urls.redact(url),
        hint="tuner optimize --study NAME makes it; --storage or TUNER_STORAGE names another",
    )
