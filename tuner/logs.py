"""What processes say: one line an event, for people or as JSON, through the logger `tuner`."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tuner.hidden import hide

LOGGER = logging.getLogger("tuner")
FORMATS = ("text", "json")


def tell(
    kind: str,
    message: str = "",
    *,
    study: str | None = None,
    trial: int | None = None,
    worker: str | None = None,
    **detail: Any,
) -> None:
    """Something happened; silent unless `configure`, or the program's own logging, wants it.

    Args:
        kind: as in the database, or `note`.
        message: for people.
        trial: its number.
    """
    told = {"kind": kind, "study": study, "trial": trial, "worker": worker, "message": message}
    LOGGER.info("%s", message or kind, extra={"event": told | detail})


def note(message: str) -> None:
    """A line that is no event of a trial."""
    tell("note", message)


def configure(form: str) -> None:
    """One line an event on stderr from now on: `text` or `json`."""
    handler = _Stderr()
    handler.setFormatter(_Formatter(form == "json"))
    LOGGER.handlers = [handler]
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False


def as_json() -> bool:
    """Whether this process' lines are for programs."""
    return any(getattr(each.formatter, "json", False) for each in LOGGER.handlers)


def document(time: float, told: Mapping[str, Any]) -> dict[str, Any]:
    """An event without what it lacks, its time (seconds since 1970) first, in UTC."""
    shown = datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds")
    found = {name: value for name, value in told.items() if value not in (None, "")}
    return {"time": shown.replace("+00:00", "Z"), **found}


def line(time: float, told: Mapping[str, Any]) -> str:
    """An event for people: when, what, which study and trial, what else, which worker."""
    left = document(time, told)
    words = [left.pop("time"), left.pop("kind")]
    words += [str(left.pop("study"))] if "study" in left else []
    words += [f"trial {left.pop('trial')}"] if "trial" in left else []
    words += [str(left.pop("message"))] if "message" in left else []
    worker = left.pop("worker", None)
    words += [f"{name}={_word(value)}" for name, value in left.items()]
    words += [f"worker={worker}"] if worker else []
    return " ".join(" ".join(words).split())


def _word(value: Any) -> str:
    text = str(value)
    return json.dumps(text) if " " in text or "\n" in text else text


class _Stderr(logging.StreamHandler[Any]):
    """What stderr is when something is said: a forked child may have another."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        return sys.stderr


class _Formatter(logging.Formatter):
    def __init__(self, json: bool) -> None:
        super().__init__()
        self.json = json

    def format(self, record: logging.LogRecord) -> str:
        told = getattr(record, "event", None) or {"kind": "note", "message": record.getMessage()}
        if record.exc_info:
            told = {**told, "traceback": self.formatException(record.exc_info)}
        if not self.json:
            return hide(line(record.created, told))
        return hide(json.dumps(document(record.created, told), default=str))
