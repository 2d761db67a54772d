"""Where the database is, if a command is not told: in the environment, or in a file."""

from __future__ import annotations

import os
from pathlib import Path

from tuner.errors import UsageError

DEFAULT_STORAGE = "sqlite:///tuner.db"
STORAGE_FILE = "TUNER_STORAGE_FILE"
"""Names a file with the database's URL, for where secrets are files."""


def parse_storage(text: str) -> str:
    """The URL that was given, else the one in the file TUNER_STORAGE_FILE: so it stands nowhere."""
    return text if text != DEFAULT_STORAGE else default_storage()


def default_storage() -> str:
    """The database where neither ``--storage`` nor TUNER_STORAGE names one."""
    path = os.environ.get(STORAGE_FILE)
    if not path:
        return DEFAULT_STORAGE
    try:
        url = Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise UsageError(
            f"cannot be read: {error.strerror}", where=path, hint=f"{STORAGE_FILE} names it"
        ) from None
    if not url:
        raise UsageError("is empty", where=path, hint=f"{STORAGE_FILE} names it")
    return url


def needed_url(storage: str) -> str:
    """What the next command needs as ``--storage``, without a password; empty if nothing."""
    from tuner.storage import redact

    known = os.environ.get("TUNER_STORAGE") or default_storage()
    return "" if storage == known else redact(storage)
