"""Logs events through the logger `tuner`: one line per event, as text or JSON."""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from tuner.hidden import hide

LOGGER = logging.getLogger("tuner")
FORMATS = ("text", "json")
Say = Callable[[str], None]
"""Takes a line for people."""


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
        kind: as in the database, or `note`, or `error`.
        message: for people.
        trial: its number.
    """
    told = {"kind": kind, "study": study, "trial": trial, "worker": worker, "message": message}
    LOGGER.info("%s", message or kind, extra={"event": told | detail})


def note(message: str) -> None:
    """A line that is no event of a trial."""
    tell("note", message)


def configure(form: str) -> None:
    """One line an event on stderr from now on, `text` or `json`; other libraries' lines too.

    Of a process whose lines are JSON, warnings are such lines, and errors that nobody caught.
    """
    guard()
    root, handler = logging.getLogger(), _Stderr()
    handler.setFormatter(_Formatter(form == "json"))
    for earlier in _ours():
        root.removeHandler(earlier)
    root.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    logging.captureWarnings(True)


def gather() -> None:
    """Libraries with a handler of their own for stderr leave their lines to that of `configure`.

    To be called once they are imported; nothing happens where `configure` was not.
    """
    if not _ours():
        return
    known: list[Any] = list(logging.Logger.manager.loggerDict.values())
    for found in known:
        for each in list(getattr(found, "handlers", ())):
            if getattr(each, "stream", None) in (sys.stderr, sys.__stderr__):
                found.removeHandler(each)
                found.propagate = True


def as_json() -> bool:
    """Whether this process' lines are for programs."""
    return any(getattr(each.formatter, "json", False) for each in _ours())


def _ours() -> list[logging.Handler]:
    return [each for each in logging.getLogger().handlers if isinstance(each, _Stderr)]


def guard() -> None:
    """Prints uncaught errors without passwords from now on."""
    sys.excepthook = crashed
    threading.excepthook = _in_thread


def crashed(kind: type[BaseException], error: BaseException | None, trace: Any) -> None:
    """Logs an uncaught error: its traceback without passwords."""
    if as_json():
        told = {"kind": "error", "message": f"{kind.__name__}: {error}"}
        info = (kind, error or kind(), trace)
        LOGGER.critical("%s", kind.__name__, exc_info=info, extra={"event": told})
    else:
        sys.stderr.write(hide("".join(traceback.format_exception(kind, error, trace))))


def _in_thread(found: Any) -> None:
    if found.exc_type is not SystemExit:  # with which a thread may end
        crashed(found.exc_type, found.exc_value, found.exc_traceback)


def document(time: float, told: Mapping[str, Any]) -> dict[str, Any]:
    """An event without what it lacks and without passwords.

    Its time (seconds since 1970) comes first, in UTC.
    """
    shown = datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds")
    found = {name: _plain(value) for name, value in told.items() if value not in (None, "")}
    return {"time": shown.replace("+00:00", "Z"), **found}


def _plain(value: Any) -> Any:
    """What JSON has, without passwords: once quoted and escaped, some would be known no more."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return hide(str(value))


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
        told = getattr(record, "event", None) or _note(record)
        if record.exc_info:
            told = {**told, "traceback": self.formatException(record.exc_info)}
        if not self.json:
            return line(record.created, told)
        return json.dumps(document(record.created, told))


def _note(record: logging.LogRecord) -> dict[str, Any]:
    """What a library that knows of no events logged."""
    return {"kind": "note", "message": record.getMessage(), "logger": record.name}
