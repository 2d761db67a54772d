"""A lock between processes that no crash leaves behind: SQLite's own."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

WAIT_SECONDS = 60.0
_GONE_SECONDS = 5.0


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold the lock of a file, which is made for it and removed after it.

    Two may hold it at once after a third has left: whoever gets it has to look whether the work
    is done already.

    Raises:
        sqlite3.OperationalError: the file cannot be made, or is held for more than a minute.
    """
    try:
        with closing(_locked(path)):
            yield
    finally:
        path.unlink(missing_ok=True)


def _locked(path: Path) -> sqlite3.Connection:
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
