"""A person writes into the note of a study that goes on, as optuna-dashboard's page does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tuner.storage import Storage
from tuner.storage.notes import YOURS, save


def test_what_a_person_writes_while_the_note_is_refreshed_is_saved(
    storage: Storage, guard: Callable[..., Any]
) -> None:
    site = guard()
    save(storage, 1, "3 of 60 trials", {})
    begun = site.ask("/api/studies/1").json["note"]
    for i in range(4, 9):
        save(storage, 1, f"{i} of 60 trials", {})
    # The page lets nobody save what has a newer version by then, and the server refuses it.
    assert site.ask("/api/studies/1").json["note"]["version"] == begun["version"]
    edited = {"version": begun["version"] + 1, "body": begun["body"] + "\nLook at **trial 7**.\n"}
    assert site.ask("/api/studies/1/note", "PUT", edited).status == 204
    save(storage, 1, "9 of 60 trials", {})
    shown = site.ask("/api/studies/1").json["note"]
    assert shown["body"] == f"9 of 60 trials\n\n---\n\n{YOURS}\n\nLook at **trial 7**.\n"
    assert shown["version"] == edited["version"]
    assert site.ask("/api/studies/1/note", "PUT", edited).status == 409  # another person's


def test_somebody_who_began_before_there_was_a_line_is_told(
    storage: Storage, guard: Callable[..., Any]
) -> None:
    site = guard()
    save(storage, 1, "3 of 60 trials", {})
    mine = {"version": 1, "body": "a note of mine, which would be all there is"}
    assert site.ask("/api/studies/1/note", "PUT", mine).status == 409
