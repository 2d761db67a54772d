"""Events of the database, a line each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tuner.logs import document, line
from tuner.storage.history import Event


def record(event: Event) -> dict[str, Any]:
    """An event for programs."""
    return document(event.time, _told(event))


def view(events: Iterable[Event]) -> list[str]:
    """A line an event, for people."""
    return [line(event.time, _told(event)) for event in events]


def _told(event: Event) -> dict[str, Any]:
    told = {"kind": event.kind, "study": event.study, "trial": event.trial, "worker": event.worker}
    return told | event.detail
