"""Lines of events, for people and as JSON."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from tuner import hidden
from tuner.logs import LOGGER, _handlers, as_json, configure, line, note, tell

SECRET = 'pä"5\\5  x'
"""JSON and Python write it otherwise, and `line` sets one blank for two."""


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for where in (sys, threading):
        monkeypatch.setattr(where, "excepthook", where.excepthook)
    monkeypatch.setattr(hidden, "_known", set())
    root, level = logging.getLogger(), LOGGER.level
    before = list(root.handlers)
    root.handlers = [each for each in before if each not in _handlers()]
    yield
    logging.captureWarnings(False)
    root.handlers = before
    LOGGER.setLevel(level)


def test_nothing_is_said_until_somebody_wants_it(capsys: pytest.CaptureFixture[str]) -> None:
    note("quiet")
    assert capsys.readouterr() == ("", "")


def test_an_event_is_one_line_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    configure("text")
    tell("ended", "complete\n0.9", study="digits", trial=3, worker="me", why="all epochs", n=None)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.endswith('Z ended digits trial 3 complete 0.9 why="all epochs" worker=me\n')
    assert not as_json()


def test_an_event_is_one_document_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json")
    tell("ended", "complete\n0.9", study="digits", trial=0, worker="me", password="x")
    note("at postgresql://me:s3cret@host/x")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert list(first)[:3] == ["time", "kind", "study"]
    assert (first["trial"], first["message"]) == (0, "complete\n0.9")
    assert second["message"] == "at postgresql://me:***@host/x"
    assert as_json()


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_password_is_hidden_before_it_is_escaped(
    form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    hidden.remember_secret(SECRET)
    configure(form)
    tell("ended", f"with {SECRET}", why=SECRET, more={"at": [SECRET, ValueError(SECRET)]})
    note(f"{SECRET!r} {json.dumps([SECRET])}")
    said = capsys.readouterr().err
    assert "pä" not in said
    assert "u00e4" not in said
    if form == "json":
        first, second = map(json.loads, said.splitlines())
        assert (first["message"], first["why"]) == ("with ***", "***")
        assert first["more"] == {"at": ["***", "***"]}
        assert second["message"] == "'***' [\"***\"]"


def test_what_is_hidden_leaves_the_json_whole(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json")
    tell("note", "at postgresql://h/x?password=s3cret", where='sqlite:///x?passwd=s3"cret', n=1)
    found = json.loads(capsys.readouterr().err)
    assert found["message"] == "at postgresql://h/x?password=***"
    assert (found["where"], found["n"]) == ("sqlite:///x?passwd=***", 1)


def test_what_others_log_is_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json")
    try:
        raise RuntimeError("at postgresql://me:s3cret@host/x")
    except RuntimeError:
        logging.getLogger("other").warning("odd: %s", 1, exc_info=True)
    found = json.loads(capsys.readouterr().err)
    assert (found["kind"], found["message"], found["logger"]) == ("note", "odd: 1", "other")
    assert "RuntimeError: at postgresql://me:***@host/x" in found["traceback"]


ODD = """
import logging, sys, threading, warnings
from tuner.cli import app, main
from tuner.cli.options import LogFormat
from tuner.logs import gather

@app.command()
def odd(log_format: LogFormat = "text") -> None:
    loud = logging.getLogger("loud")
    loud.addHandler(logging.StreamHandler())
    loud.propagate = False
    gather()
    loud.error("a handler of its own")
    logging.getLogger("quiet").warning("at postgresql://me:s3cret@host/x")
    warnings.warn("old\\nat postgresql://me:s3cret@host/x")
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    raise RuntimeError("at postgresql://me:s3cret@host/x")

sys.exit(main())
"""


def test_whoever_writes_it_a_line_is_json() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ODD, "odd", "--log-format", "json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    own, other, warning, thread, uncaught = map(json.loads, done.stderr.splitlines())
    assert (own["logger"], own["message"]) == ("loud", "a handler of its own")
    assert (other["logger"], other["message"]) == ("quiet", "at postgresql://me:***@host/x")
    assert "UserWarning: old\nat postgresql://me:***@host/x" in warning["message"]
    assert (thread["kind"], thread["message"]) == ("error", "ZeroDivisionError: division by zero")
    assert uncaught["kind"] == "error"
    assert uncaught["message"] == "RuntimeError: at postgresql://me:***@host/x"
    assert uncaught["traceback"].startswith("Traceback")
    assert "s3cret" not in done.stderr


def test_times_are_utc() -> None:
    assert line(0.5, {"kind": "left", "study": None}) == "1970-01-01T00:00:00.500Z left"
