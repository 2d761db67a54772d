"""A password that is planted in several places turns up nowhere."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
from sqlalchemy import inspect, text

BEFORE, AFTER, OTHER = "pl4nted", "s3cret", "an0ther-one"
SECRET = f'{BEFORE}-pä"5\\5-{AFTER}'
"""Its middle is written otherwise in a URL, in JSON and in Python; its ends never are."""
LOUD = """
import logging, os, warnings
from urllib.parse import unquote

def loud(trial):
    x = trial.suggest_float("x", 0, 1)
    url, password = unquote(os.environ["TUNER_STORAGE"]), os.environ["PGPASSWORD"]
    warnings.warn(f"odd: {url}")
    logging.getLogger("another").warning("%r %s", url, password)
    if trial.number:
        raise RuntimeError("no " + os.environ["TUNER_STORAGE"] + " " + repr(url) + password)
    return x
"""
STUDY = """
objective = "loud:loud"
direction = "minimize"
[search]
trials = 3
sampler = "random"
"""


def test_a_password_turns_up_nowhere(
    make: Callable[..., Any], postgres_url: str, tmp_path: Path
) -> None:
    shared = make(postgres_url.replace("tuner@", f"tuner:{quote(SECRET)}@"), "loud")
    (tmp_path / "loud.py").write_text(LOUD)
    shared.path.write_text(STUDY)
    said = ""

    def run(*words: str, code: int, **more: str) -> str:
        nonlocal said
        process = shared.command(*words, PGPASSWORD=OTHER, **more)
        lines: set[str] = set()
        while process.poll() is None:  # what it says fits into the pipes
            lines |= _command_lines(process.pid)
            time.sleep(0.05)
        out, err = process.communicate(timeout=60)
        assert process.returncode == code, err
        said += "\n".join([out, err, *lines, ""])
        return str(err)

    study, as_json = ("--study", "loud.toml"), {"TUNER_LOG_FORMAT": "json"}
    run("submit", *study, code=0)
    events = _events(run("worker", "--idle-exit", "--allow", "loud", code=1, **as_json))
    assert {"started", "claimed", "ended", "left"} <= {event["kind"] for event in events}
    notes = [event for event in events if event.get("logger") == "another"]
    assert notes[0]["message"].startswith("'postgresql://tuner:***@")
    assert any("UserWarning: odd" in event["message"] for event in events if "message" in event)
    assert "RuntimeError: no postgresql://tuner:***@" in said
    run("resume", "--study", "loud", code=0)
    assert _events(run("optimize", *study, "--workers", "2", code=1, **as_json))[-1]["hint"]
    run("logs", "--study", "loud", "--json", code=0)
    away = f"postgresql://tuner:{quote(SECRET)}@localhost:1/{quote(SECRET)}?password={OTHER}"
    run("status", code=2, TUNER_STORAGE=away)
    bad = f"postgresql://tuner:{quote(SECRET)}@[bad/x"
    (error,) = _events(run("dashboard", code=2, TUNER_STORAGE=bad, **as_json))
    assert (error["kind"], "where" in error) == ("error", False)
    assert error["message"].startswith("this is not a database URL")
    assert said.count("tuner worker --idle-exit") >= 1  # its command line was seen
    for secret in (BEFORE, AFTER, OTHER):
        assert secret not in said
        assert secret not in _rows(shared)


def _events(errors: str) -> list[dict[str, Any]]:
    """All that was written on stderr: each line is an event."""
    return [json.loads(line) for line in errors.splitlines()]


def _command_lines(pid: int) -> set[str]:
    """Of a process that was just started and of what it starts."""
    try:
        process = psutil.Process(pid)
        started = [process, *process.children(recursive=True)]
        return {" ".join(each.cmdline()) for each in started}
    except psutil.Error:
        return set()


def _rows(shared: Any) -> str:
    """All that is in the database."""
    engine = shared.storage.database.engine
    with shared.storage.database.read() as connection:
        names = inspect(engine).get_table_names()
        return "".join(str(connection.execute(text(f"TABLE {name}")).all()) for name in names)
