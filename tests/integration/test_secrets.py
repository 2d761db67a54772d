"""A password that is planted in several places turns up nowhere."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import inspect, text

SECRET, OTHER = "pl4nted-s3cret", "an0ther-one"
LOUD = """
import os

def loud(trial):
    x = trial.suggest_float("x", 0, 1)
    if trial.number:
        raise RuntimeError("no " + os.environ["TUNER_STORAGE"] + " " + os.environ["PGPASSWORD"])
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
    shared = make(postgres_url.replace("tuner@", f"tuner:{SECRET}@"), "loud")
    (tmp_path / "loud.py").write_text(LOUD)
    shared.path.write_text(STUDY)
    said = ""

    def run(*words: str, code: int, **more: str) -> None:
        nonlocal said
        process = shared.command(*words, PGPASSWORD=OTHER, **more)
        lines: set[str] = set()
        while process.poll() is None:  # what it says fits into the pipes
            lines |= _command_lines(process.pid)
            time.sleep(0.05)
        out, err = process.communicate(timeout=60)
        assert process.returncode == code, err
        said += "\n".join([out, err, *lines, ""])

    study = ("--study", "loud.toml")
    run("submit", *study, code=0)
    run("worker", "--idle-exit", "--allow", "loud", code=0, TUNER_LOG_FORMAT="json")
    events = [json.loads(line) for line in said.splitlines() if line.startswith('{"time"')]
    assert {"started", "claimed", "ended", "left"} <= {event["kind"] for event in events}
    assert "RuntimeError: no postgresql://tuner:***@" in said
    run("resume", "--study", "loud", code=0)
    run("optimize", *study, "--workers", "2", code=1, TUNER_LOG_FORMAT="json")
    run("logs", "--study", "loud", code=0)
    away = f"postgresql://tuner:{SECRET}@localhost:1/{SECRET}?password={OTHER}"
    run("status", code=2, TUNER_STORAGE=away)
    run("status", code=2, TUNER_STORAGE=f"postgresql://tuner:{SECRET}@[bad/x")
    assert said.count("tuner worker --idle-exit") >= 1  # its command line was seen
    for secret in (SECRET, OTHER):
        assert secret not in said
        assert secret not in _rows(shared)


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
