"""Lines of events, for people and as JSON."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from tuner.logs import LOGGER, as_json, configure, line, note, tell


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = LOGGER.handlers, LOGGER.level, LOGGER.propagate
    yield
    LOGGER.handlers, LOGGER.propagate = before[0], before[2]
    LOGGER.setLevel(before[1])


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


def test_what_others_log_is_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json")
    try:
        raise RuntimeError("at postgresql://me:s3cret@host/x")
    except RuntimeError:
        logging.getLogger("tuner.other").warning("odd: %s", 1, exc_info=True)
    found = json.loads(capsys.readouterr().err)
    assert (found["kind"], found["message"]) == ("note", "odd: 1")
    assert "RuntimeError: at postgresql://me:***@host/x" in found["traceback"]


def test_times_are_utc() -> None:
    assert line(0.5, {"kind": "left", "study": None}) == "1970-01-01T00:00:00.500Z left"
