"""Finds the database of a command, and the studies that a worker serves."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tuner.errors import UsageError
from tuner.hidden import DEFAULT_STORAGE
from tuner.logs import Say

# Finding the database where no option names it: in the environment, or in a file.


STORAGE_FILE = "TUNER_STORAGE_FILE"
"""The variable that names a file with the database's URL, for secrets kept in files."""


def parse_storage(text: str) -> str:
    """The URL that is given, else the one in the file that TUNER_STORAGE_FILE names."""
    return text if text != DEFAULT_STORAGE else default_storage()


def default_storage() -> str:
    """The database if neither ``--storage`` nor TUNER_STORAGE names one."""
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
    """The ``--storage`` that the next command needs, without a password; empty if it needs none."""
    from tuner.storage import redact

    known = os.environ.get("TUNER_STORAGE") or default_storage()
    return "" if storage == known else redact(storage)


# The studies that a worker serves.


def served(url: str, names: Sequence[str], idle_exit: bool, say: Say) -> tuple[str, ...]:
    """The names of the studies that a worker serves; it may wait for some to be submitted.

    Args:
        names: the studies', or the paths of their files.

    Raises:
        StorageError: there is no such database.
        UsageError: a study is not there, and the worker must not wait for it.
    """
    from tuner.run.prepare import stored_id, stored_ids, stored_name
    from tuner.storage import opened

    storage = opened(url)
    known = stored_ids(storage)
    wanted = tuple(stored_name(name, known) for name in names)
    for name in wanted:
        if idle_exit:
            stored_id(storage, name)
        elif name not in known:
            say(f"waiting for {name}: the database holds no such study yet")
    storage.close()
    return wanted
