"""Finds the database of a command, and studies in it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tuner.errors import StudyFileError, UsageError, nearest
from tuner.hidden import DEFAULT_STORAGE

if TYPE_CHECKING:
    from tuner.storage import Storage
    from tuner.study import Study


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


# A database that exists, and the studies in it.


def opened(url: str) -> Storage:
    """The storage at the URL; StorageError if the database does not exist."""
    from tuner.storage import opened as open_storage

    return open_storage(url)


def stored_ids(storage: Storage) -> dict[str, int]:
    """Ids of the database's studies by name."""
    return {study.study_name: study._study_id for study in storage.get_all_studies()}


def stored_id(storage: Storage, name: str) -> tuple[str, int]:
    """Name and id of a study in the database; UsageError with the known ones if there is none.

    Args:
        name: the study's, or the path of its file.
    """
    known = stored_ids(storage)
    name = _study_name(name, known)
    if name not in known:
        hint = (
            nearest(name, known)
            if known
            else "the database holds no study; tuner optimize --study NAME makes one"
        )
        what = f"no study in this database is called {name!r}"
        raise UsageError(what, where=_shown_url(storage), hint=hint)
    return name, known[name]


def _study_name(name: str, known: Mapping[str, int]) -> str:
    return Path(name).stem if name.endswith(".toml") and name not in known else name


def _shown_url(storage: Storage) -> str:
    from tuner.show.snapshot import shown_url

    return shown_url(storage.url)


def served(
    url: str, names: Sequence[str], idle_exit: bool, say: Callable[[str], None]
) -> tuple[str, ...]:
    """The names of the studies that a worker serves; it may wait for some to be submitted.

    Args:
        names: the studies', or the paths of their files.

    Raises:
        StorageError: there is no such database.
        UsageError: a study is not there, and the worker must not wait for it.
    """
    storage = opened(url)
    known = stored_ids(storage)
    wanted = tuple(_study_name(name, known) for name in names)
    for name in wanted:
        if idle_exit:
            stored_id(storage, name)
        elif name not in known:
            say(f"waiting for {name}: the database holds no such study yet")
    storage.close()
    return wanted


def stored_study(storage: Storage, name: str) -> tuple[Study, int]:
    """A study from the database, and its id.

    Raises:
        UsageError: there is none, or it was not made by tuner.
    """
    from tuner.run.prepare import stored_study as read

    return read(storage, stored_id(storage, name)[0])


def any_study(name: str, url: str) -> Study:
    """A study from its file, else from the database; StudyFileError with all known names."""
    from tuner.storage import open_existing
    from tuner.study import load
    from tuner.study.files import find, local, shipped

    if find(name) is not None:
        return load(name)
    storage = open_existing(url)
    stored = {} if storage is None else stored_ids(storage)
    if storage is not None and name in stored:
        return stored_study(storage, name)[0]
    known = {**shipped(), **local(), **stored}
    raise StudyFileError(f"no study is called {name!r}", hint=nearest(name, known))
