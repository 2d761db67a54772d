"""What optuna-dashboard would do to a study, and is kept from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from sqlalchemy import select

from tuner.dashboard.wsgi import Application, Environ, Refusal, path_of, refuse
from tuner.errors import StorageError
from tuner.storage import schema, studies
from tuner.storage.database import Database

_RENAME = re.compile(r"/api/studies/(\d+)/rename$")
_TABLE = re.compile(r"/csv/(\d+)$")
_IDS = 2**31
_OURS = Refusal(
    HTTPStatus.CONFLICT,
    "a study of tuner's keeps its name: renamed, it would lose its budget, leases and files",
)
_ODD = Refusal(HTTPStatus.BAD_REQUEST, "no file has this study's name: it is not one line of text")
_FAILED = Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "the database could not be asked")


def sparing(database: Database, application: Application) -> Application:
    """An application that renames no study of ours, and names no file by what is no name.

    A study is renamed by a copy of its trials, after which the study itself is deleted, with all
    that only tuner knows of it.
    """

    def asked(environ: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
        try:
            refusal = _refusal(database, _path(environ))
        except StorageError:
            refusal = _FAILED
        return application(environ, start) if refusal is None else refuse(environ, start, refusal)

    return asked


def _path(environ: Environ) -> str:
    # As bottle and optuna-dashboard read it, patterns too: what they take must not pass by.
    return path_of(environ).encode("latin1").decode("utf-8", "ignore").rstrip("/")


def _refusal(database: Database, path: str) -> Refusal | None:
    renamed, table = _RENAME.match(path), _TABLE.match(path)
    study_id = _number(renamed or table)
    if study_id is None:
        return None
    wanted = schema.studies.c.study_id if renamed else studies.STUDIES.c.study_name
    of = wanted.table.c.study_id == study_id
    with database.read() as connection:
        found = connection.execute(select(wanted).where(of)).scalar()
    if renamed:
        return None if found is None else _OURS
    return _ODD if re.search(r"[\0\r\n]", found or "") else None


def _number(found: re.Match[str] | None) -> int | None:
    """The study's number; None if no study has it."""
    try:
        number = int(found[1]) if found else _IDS
    except ValueError:  # thousands of digits
        return None
    return number if number < _IDS else None
