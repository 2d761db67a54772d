"""Transactions: a worker that stops within one does not keep its locks."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from sqlalchemy import text

from tuner.storage import OutageError, Storage, open_storage
from tuner.storage.database import STUCK_SECONDS


def test_the_server_ends_a_transaction_that_is_stuck(
    postgres_url: str, join: Callable[[Storage], int]
) -> None:
    storage = open_storage(postgres_url)
    study_id = join(storage)
    with storage.database.write() as connection:
        shown = connection.execute(text("SHOW idle_in_transaction_session_timeout")).scalar()
    assert shown == f"{STUCK_SECONDS}s"
    other = open_storage(postgres_url)

    def stuck() -> None:
        with storage.database.write() as connection:
            connection.execute(text("SET idle_in_transaction_session_timeout = '100ms'"))
            connection.execute(text("SELECT study_id FROM studies FOR UPDATE"))
            pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
            other.set_budget(study_id, 5)  # needs no lock of Optuna's
            while pid in _backends(other):
                time.sleep(0.05)
            connection.execute(text("SELECT 1"))

    with pytest.raises(OutageError, match="idle-in-transaction"):
        stuck()
    assert storage.progress(study_id).budget == 5  # a new connection


def _backends(storage: Storage) -> list[int]:
    with storage.database.read() as connection:
        found = connection.execute(text("SELECT pid FROM pg_stat_activity"))
        return [int(pid) for pid in found.scalars()]


def test_a_busy_timeout_may_be_given_in_the_url(sqlite_url: str) -> None:
    storage = open_storage(f"{sqlite_url}?timeout=0.5")
    with storage.database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 500


def test_a_server_that_goes_away_before_a_transaction_begins_is_an_outage(
    postgres_url: str,
) -> None:
    ours, other = open_storage(postgres_url).database, open_storage(postgres_url).database
    with ours.read() as connection:
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
    with other.read() as connection:
        connection.exec_driver_sql("SELECT pg_terminate_backend(%(pid)s, 5000)", {"pid": pid})
    with pytest.raises(OutageError, match="cannot be reached"), ours.write():
        pass
    with ours.write() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1
