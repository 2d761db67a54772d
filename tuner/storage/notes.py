"""Reads and writes a study's note in the attributes that optuna-dashboard uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select

from tuner.storage import sql, studies
from tuner.storage.storage import Storage

VERSION, TEXT = "dashboard:note_ver", "dashboard:note_str:"
STAMP, TURN = "tuner:note", "tuner:note_turn"
LENGTH = 2045
"""Characters of an attribute, as the dashboard splits a note."""
YOURS = "*tuner writes what stands above; what you write below this line stays.*"


def turn(storage: Storage, study_id: int, seconds: float) -> bool:
    """Whether this worker is to update a study's note: one of all may, once in so many seconds.

    Raises:
        MissingError: there is no such study.
    """
    with storage.database.read() as connection:
        if not _due(connection, study_id, seconds):
            return False
    with storage.database.write() as connection:
        studies.require(connection, study_id, lock=True)
        if not _due(connection, study_id, seconds):
            return False
        now = connection.execute(select(sql.now(storage.database.dialect))).scalar_one()
        studies.set_attr(connection, studies.SYSTEM_ATTRS, study_id, TURN, now)
    return True


def _due(connection: Connection, study_id: int, seconds: float) -> bool:
    last = studies.attrs(connection, studies.SYSTEM_ATTRS, study_id).get(TURN, float("-inf"))
    now = connection.execute(select(sql.now(connection.dialect.name))).scalar_one()
    return bool(now - last >= seconds)


def stamp(storage: Storage, study_id: int) -> dict[str, Any]:
    """The facts that a note was written from; empty if there is none, or people saved it since.

    Raises:
        MissingError: there is no such study.
    """
    with storage.database.read() as connection:
        known = studies.attrs(connection, studies.SYSTEM_ATTRS, study_id)
    facts = dict(known.get(STAMP, {}))
    return facts if facts.pop(VERSION, None) == known.get(VERSION) else {}


def save(storage: Storage, study_id: int, text: str, facts: Mapping[str, Any]) -> bool:
    """Replace what tuner wrote into the note; what people wrote below it stays.

    If people removed the line that divides the two, the note is theirs and stays as it is. By the
    version, the dashboard refuses to save an edit that began before; it is raised only if the line
    is new.

    Args:
        facts: what the note is written from, for `stamp`.

    Returns:
        Whether it was written.

    Raises:
        MissingError: there is no such study.
    """
    with storage.database.write() as connection:
        studies.require(connection, study_id, lock=True)
        known = studies.attrs(connection, studies.SYSTEM_ATTRS, study_id)
        body = _body(known)
        _, line, tail = body.partition(YOURS)
        if body and not line:
            if STAMP in known:
                return False
            tail = "\n\n" + body
        new = f"{text}\n\n---\n\n{YOURS}{tail.rstrip()}\n"
        version = known.get(VERSION, 0) + (not line)
        attrs = {VERSION: version, STAMP: {**facts, VERSION: version}, **_texts(new, known)}
        rows = [(study_id, key, value) for key, value in attrs.items()]
        sql.put(connection, [sql.attrs(studies.SYSTEM_ATTRS, rows, "study_id")])
    return True


def _body(known: Mapping[str, Any]) -> str:
    pieces = (known.get(f"{TEXT}{i}") for i in range(len(known)))
    return "".join(piece for piece in pieces if piece is not None)


def _texts(body: str, known: Mapping[str, Any]) -> dict[str, str]:
    pieces = [body[at : at + LENGTH] for at in range(0, len(body), LENGTH)]
    before = sum(key.startswith(TEXT) for key in known)
    pieces += [""] * (before - len(pieces))
    return {f"{TEXT}{i}": piece for i, piece in enumerate(pieces)}
