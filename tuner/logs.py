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
    """Logs an event; silent unless `configure` or the program's own logging prints it.

    Args:
        kind: as in the database, or `note`, or `error`.
        message: for people.
        trial: its number.
    """
    event = {"kind": kind, "study": study, "trial": trial, "worker": worker, "message": message}
    LOGGER.info("%s", message or kind, extra={"event": event | detail})


def note(message: str) -> None:
    """Logs a line that is not an event of a trial."""
    tell("note", message)


def configure(form: str) -> None:
    """Prints one line per event to stderr from now on, as `text` or `json`.

    It does so with warnings and other libraries' lines, and as `json` with uncaught errors too.
    """
    guard()
    root, handler = logging.getLogger(), _Stderr()
    handler.setFormatter(_Formatter(form == "json"))
    for earlier in _handlers():
        root.removeHandler(earlier)
    root.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    logging.captureWarnings(True)


def gather() -> None:
    """Removes other libraries' stderr handlers, so that the one of `configure` prints their lines.

    Call it once they are imported; without `configure` before, it does nothing.
    """
    if not _handlers():
        return
    loggers: list[Any] = list(logging.Logger.manager.loggerDict.values())
    for logger in loggers:
        for handler in list(getattr(logger, "handlers", ())):
            if getattr(handler, "stream", None) in (sys.stderr, sys.__stderr__):
                logger.removeHandler(handler)
                logger.propagate = True


def as_json() -> bool:
    """Whether this process logs JSON."""
    return any(getattr(each.formatter, "json", False) for each in _handlers())


def _handlers() -> list[logging.Handler]:
    return [each for each in logging.getLogger().handlers if isinstance(each, _Stderr)]


def guard() -> None:
    """Prints uncaught errors without passwords from now on."""
    sys.excepthook = crashed
    threading.excepthook = _thread_crashed


def crashed(kind: type[BaseException], error: BaseException | None, trace: Any) -> None:
    """Logs an uncaught error: its traceback without passwords."""
    if as_json():
        event = {"kind": "error", "message": f"{kind.__name__}: {error}"}
        info = (kind, error or kind(), trace)
        LOGGER.critical("%s", kind.__name__, exc_info=info, extra={"event": event})
    else:
        sys.stderr.write(hide("".join(traceback.format_exception(kind, error, trace))))


def _thread_crashed(crash: Any) -> None:
    if crash.exc_type is not SystemExit:  # with which a thread may end
        crashed(crash.exc_type, crash.exc_value, crash.exc_traceback)


def document(time: float, event: Mapping[str, Any]) -> dict[str, Any]:
    """An event without empty fields and without passwords.

    Its time (seconds since 1970) comes first, in UTC.
    """
    shown = datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds")
    fields = {name: _json_value(value) for name, value in event.items() if value not in (None, "")}
    return {"time": shown.replace("+00:00", "Z"), **fields}


def _json_value(value: Any) -> Any:
    """A value for JSON without passwords; `hide` would miss some once JSON has escaped them."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(name): _json_value(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(each) for each in value]
    return hide(str(value))


def line(time: float, event: Mapping[str, Any]) -> str:
    """An event for people: time, kind, study, trial, message, other fields, worker."""
    fields = document(time, event)
    words = [fields.pop("time"), fields.pop("kind")]
    words += [str(fields.pop("study"))] if "study" in fields else []
    words += [f"trial {fields.pop('trial')}"] if "trial" in fields else []
    words += [str(fields.pop("message"))] if "message" in fields else []
    worker = fields.pop("worker", None)
    words += [f"{name}={_word(value)}" for name, value in fields.items()]
    words += [f"worker={worker}"] if worker else []
    return " ".join(" ".join(words).split())


def _word(value: Any) -> str:
    text = str(value)
    return json.dumps(text) if " " in text or "\n" in text else text


class _Stderr(logging.StreamHandler[Any]):
    """Writes to the current `sys.stderr` each time: a forked child may have another."""

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
        event = getattr(record, "event", None) or _event_of(record)
        if record.exc_info:
            event = {**event, "traceback": self.formatException(record.exc_info)}
        if not self.json:
            return line(record.created, event)
        return json.dumps(document(record.created, event))


def _event_of(record: logging.LogRecord) -> dict[str, Any]:
    """An event for a line that another library logged."""
    return {"kind": "note", "message": record.getMessage(), "logger": record.name}
