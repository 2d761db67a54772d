"""A study's note, in the attributes in which optuna-dashboard keeps it, written at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from tuner.storage import puts, sql, studies, writes
from tuner.storage.storage import Storage

VERSION, TEXT, STAMP = "dashboard:note_ver", "dashboard:note_str:", "tuner:note"
LENGTH = 2045
"""Characters of an attribute, as the dashboard has it."""
YOURS = "*tuner writes what stands above; what you write below this line stays.*"


def stamp(storage: Storage, study_id: int) -> tuple[dict[str, Any], float]:
    """What the last note said of itself, and how many seconds ago; nothing where there is none.

    Raises:
        KeyError: there is no such study.
    """
    with storage.database.read() as connection:
        known = studies.attrs(connection, studies.SYSTEM_ATTRS, study_id).get(STAMP, {})
        now = connection.execute(select(sql.now(storage.database.dialect))).scalar_one()
    return known, now - known.get("at", float("-inf"))


def save(storage: Storage, study_id: int, text: str, said: Mapping[str, Any]) -> bool:
    """Replace what tuner wrote into the note; what people wrote below it stays.

    Whoever removes the line that divides the two has the note alone: then it stays as it is.

    Args:
        said: what the note says of itself, for `stamp`.

    Returns:
        Whether it was written.

    Raises:
        KeyError: there is no such study.
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
        now = connection.execute(select(sql.now(storage.database.dialect))).scalar_one()
        attrs = _attrs(new, known) | {STAMP: {**said, "at": now}}
        rows = [(study_id, key, value) for key, value in attrs.items()]
        puts.put(connection, [writes.attrs(studies.SYSTEM_ATTRS, rows, "study_id")])
    return True


def _body(known: Mapping[str, Any]) -> str:
    pieces = (known.get(f"{TEXT}{i}") for i in range(len(known)))
    return "".join(piece for piece in pieces if piece is not None)


def _attrs(body: str, known: Mapping[str, Any]) -> dict[str, Any]:
    pieces = [body[at : at + LENGTH] for at in range(0, len(body), LENGTH)]
    before = sum(key.startswith(TEXT) for key in known)
    pieces += [""] * (before - len(pieces))
    texts = {f"{TEXT}{i}": piece for i, piece in enumerate(pieces)}
    return {VERSION: known.get(VERSION, 0) + 1, **texts}
