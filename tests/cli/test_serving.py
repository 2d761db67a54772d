"""``tuner dashboard``: what it wants before it serves, and that it ends when asked."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tuner.cli.serving import on_desktop
from tuner.dashboard.serve import leave

ABSENT = "sqlite:///absent.db"


def test_a_database_that_is_not_there_is_not_made(tuner: Callable[..., Any], empty: Path) -> None:
    outcome = tuner("dashboard", "--storage", ABSENT)
    assert outcome.code == 2
    assert "there is no such database" in outcome.stderr
    assert not list(empty.iterdir())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_others_are_not_served_without_a_password(
    tuner: Callable[..., Any], empty: Path, host: str
) -> None:
    outcome = tuner("dashboard", "--storage", ABSENT, "--host", host)
    assert outcome.code == 2
    for way in ("--password-file", "TUNER_PASSWORD", "--no-auth"):
        assert way in outcome.stderr
    open_to_all = tuner("dashboard", "--storage", ABSENT, "--host", host, "--no-auth")
    assert "no such database" in open_to_all.stderr
    safe = tuner("dashboard", "--storage", ABSENT, TUNER_HOST=host, TUNER_PASSWORD="long enough")
    assert "no such database" in safe.stderr


def test_a_password_and_no_auth_contradict_each_other(
    tuner: Callable[..., Any], empty: Path
) -> None:
    outcome = tuner("dashboard", "--no-auth", TUNER_PASSWORD="long enough")
    assert outcome.code == 2
    assert "--no-auth" in outcome.stderr
    assert "long enough" not in outcome.stderr


def test_a_port_that_is_taken_is_named(place: Any, tuner: Callable[..., Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        outcome = tuner("dashboard", "--port", port)
    assert outcome.code == 2
    assert f"127.0.0.1:{port}: cannot listen there" in outcome.stderr
    assert "--port 0" in outcome.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_is_and_serves_until_asked_to_end(
    place: Any, warm_tuner: Path, number: signal.Signals
) -> None:
    password = place.folder / "password"
    password.write_text("correct horse\n", encoding="utf-8")
    secret = {"TUNER_PASSWORD_FILE": str(password)} if number == signal.SIGTERM else {}
    process = subprocess.Popen(
        [warm_tuner, "dashboard", "--port", "0"],
        cwd=place.folder,
        env={**os.environ, **secret, "TUNER_LOG_FORMAT": "json"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said.startswith("the dashboard is at http://127.0.0.1:")
        address = said.split()[-1]
        with urlopen(f"{address}healthz", timeout=30) as reply:
            assert reply.read() == b"ok\n"
        if secret:
            with pytest.raises(HTTPError, match="401"):
                urlopen(f"{address}api/studies", timeout=30)
        else:
            with urlopen(f"{address}api/studies", timeout=30) as reply:
                (study,) = json.load(reply)["study_summaries"]
            assert study["study_name"] == "small"
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 0
        told = [json.loads(line) for line in errors.splitlines()]
        assert [(each["kind"], each["message"]) for each in told[:1]] == [("started", "dashboard")]
        assert "Traceback" not in errors
    finally:
        process.kill()
        process.communicate()


def test_where_ctrl_c_is_ignored_it_says_what_ends_it(
    place: Any, started_without_ctrl_c: Callable[..., Any]
) -> None:
    with started_without_ctrl_c("dashboard", "--port", "0", "--log-format", "json") as process:
        address = process.stdout.readline().split()[-1]
        with urlopen(f"{address}healthz", timeout=60) as reply:
            assert reply.read() == b"ok\n"
        process.send_signal(signal.SIGINT)
        process.terminate()
        told = [json.loads(line) for line in process.communicate(timeout=60)[1].splitlines()]
    assert process.returncode == 0
    assert f"to stop, send SIGTERM: kill {process.pid}" in told[1]["message"]
    assert told[-1]["kind"] == "left"


def test_a_second_sigterm_is_no_error_in_the_middle_of_the_first() -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as left:
            leave(signal.SIGTERM, None)
        assert (left.value.code, signal.getsignal(signal.SIGTERM)) == (0, signal.SIG_DFL)
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("environment", "platform", "terminal", "expected"),
    [
        ({"DISPLAY": ":0"}, "linux", True, True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True, True),
        ({}, "darwin", True, True),
        ({}, "linux", True, False),
        ({"DISPLAY": ":0"}, "linux", False, False),
        ({"DISPLAY": ":0", "SSH_CONNECTION": "a b"}, "linux", True, False),
        ({"CI": "true"}, "darwin", True, False),
    ],
)
def test_a_browser_opens_only_before_somebody(
    environment: dict[str, str], platform: str, terminal: bool, expected: bool
) -> None:
    assert on_desktop(environment, platform, terminal) is expected
