"""Help, exit codes, environment variables, and what is imported when."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import tuner
from tuner import hidden
from tuner.cli import Commands, app, main
from tuner.errors import StudyFileError, TrainingError, UsageError

RUNNING = ["optimize", "confirm", "ablate", "retrain", "worker", "submit"]
CONTROL = ["best", "dashboard", "status", "pause", "resume", "stop"]


@pytest.fixture(autouse=True)
def _ctrl_c_as_before() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


COMMANDS = [
    *RUNNING,
    *CONTROL,
    "check",
    "studies",
    "techniques",
    "logs",
    "copy",
    "delete",
    "gc",
    "db",
]
HEAVY = {"torch", "optuna", "sqlalchemy", "pandas", "sklearn", "scipy", "numpy"}


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "sys.argv = ['tuner', '--help']\n"
        "from tuner.cli import main\n"
        "code = main()\n"
        "print('imported:', *sys.modules)\n"
        "raise SystemExit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0
    helped, imported = done.stdout.split("imported:")
    assert not HEAVY & set(imported.split())
    for command in COMMANDS:
        assert f"  {command} " in helped


READING = [
    ["best", "--study", "small"],
    ["studies"],
    ["status"],
    ["logs", "--study", "small"],
    ["check", "--schema"],
    ["techniques"],
    ["pause", "--study", "small"],
    ["resume", "--study", "small"],
    ["stop", "--study", "small"],
    ["--version"],
]
SLOW = {"torch", "pandas", "scipy.stats", "sklearn", "psycopg", "alembic", "plotly"}
SLOW |= {"optuna_dashboard", "sqlalchemy.dialects.postgresql"}
EACH_IN_A_PROCESS = """
import json, os, sys
import tuner.cli
for words in json.loads(sys.argv[1]):
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.argv[1:] = words
        code = tuner.cli.main()
        print(json.dumps([words, code, list(sys.modules)]), file=sys.stderr, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


def test_commands_that_train_nothing_import_nothing_slow(place) -> None:
    words = [sys.executable, "-c", EACH_IN_A_PROCESS, json.dumps(READING)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    imported = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(command, code) for command, code, _ in imported] == [(each, 0) for each in READING]
    assert {str(command): SLOW & set(names) for command, _, names in imported} == {
        str(each): set() for each in READING
    }


def test_every_command_helps(tuner: Callable[..., Any]) -> None:
    for command in COMMANDS:
        outcome = tuner(command, "--help")
        assert outcome.code == 0
        assert f"Usage: tuner {command}" in outcome.stdout


def _options() -> list[tuple[str, Any]]:
    """Every option and argument there is, with its command."""
    named = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # it is a group
    commands = {**named, **named["db"].commands}
    return [(name, each) for name, command in commands.items() for each in command.params]


def test_every_option_has_an_environment_variable() -> None:
    without = {("check", "--schema")}  # a question, not a setting
    without |= {("delete", option) for option in ("--study", "--yes", "--force")}  # said each time
    for command, option in _options():
        name = option.opts[0]
        if (command, name) in without:
            assert option.envvar is None, (command, name)
        elif name != "--help":
            words = name.removeprefix("--").replace("-", "_").upper()
            known = {f"TUNER_{words}", f"TUNER_{command.upper()}_{words}"}
            assert option.envvar in known, (command, name)


def test_a_variable_means_the_same_to_all_commands() -> None:
    meanings: dict[str, set[object]] = {}
    for _, option in _options():
        if option.envvar is not None:
            means = (*option.opts, option.nargs, option.multiple, getattr(option, "help", None))
            meanings.setdefault(option.envvar, set()).add(means)
    several = {variable for variable, found in meanings.items() if len(found) > 1}
    # A study's name, whatever is done with it; how stderr tells what happens.
    assert several == {"TUNER_STUDY", "TUNER_LOG_FORMAT"}


@pytest.mark.parametrize(
    ("line", "others"),
    [
        ("best digits", {}),
        ("best --json digits", {"as_json": True}),
        ("report --out digits digits", {"out": "digits"}),
        ("report digits --out digits", {"out": "digits"}),
        ("delete digits --yes", {"yes": True}),
        ("delete --yes -- digits", {"yes": True}),
        ("best --study digits", {}),
    ],
)
def test_the_study_may_be_the_one_word_of_a_command(line: str, others: dict[str, Any]) -> None:
    name, *words = line.split()
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    given = command.make_context(name, words).params
    assert given["study"] == "digits"
    assert {key: type(value)(given[key]) for key, value in others.items()} == others


@pytest.mark.parametrize("line", ["best one two", "best one --study two", "studies one"])
def test_a_second_word_is_refused(tuner: Callable[..., Any], line: str) -> None:
    done = tuner(*line.split())
    assert done.code == 2
    assert "unexpected extra argument" in done.stderr or "Missing option" in done.stderr


def test_completion_can_be_installed(tuner: Callable[..., Any]) -> None:
    assert "--install-completion" in tuner("--help").stdout


def test_options_come_from_the_environment(tuner: Callable[..., Any], empty: Path) -> None:
    assert tuner("check", TUNER_STUDY="digits").stdout.startswith("digits: ")
    wrong = tuner("optimize", "--study", "digits", TUNER_TRIALS="0")
    assert wrong.code == 2
    assert "TUNER_TRIALS" in wrong.stderr


@pytest.mark.parametrize("arguments", [["nonsense"], ["optimize"], ["optimize", "--nonsense"]])
def test_wrong_usage_exits_2(tuner: Callable[..., Any], arguments: list[str]) -> None:
    outcome = tuner(*arguments)
    assert outcome.code == 2
    assert outcome.stdout == ""


def test_wrong_usage_shows_no_password(tuner: Callable[..., Any]) -> None:
    said = tuner("status", "postgresql://me:s3cret@host/x").stderr
    assert "(postgresql://me:***@host/x)" in said


ODD = [
    "host=h dbname=d user=u password=s3cret",
    "Server=h;Port=5432;Password=s3cret",
    "DATABASE_URL=u:s3cret@h",
    "DATABASE_URL=postgres://u:s3cret@h/d",
    "postgresql//u:s3cret@h/d",
    "postgresql:/u:s3cret@h/d",
    "postgresql:u:s3cret",
    "jdbc:postgresql://h/d?user=u&password=s3cret",
    "u:s3cret@h/d",
    "postgresql://u:s3 cret@h/d",
    "postgresql://u:s3cret",
]


@pytest.fixture
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hidden, "_known", set())


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.usefixtures("empty", "nothing_known")
def test_what_cannot_be_understood_is_not_repeated(tuner: Callable[..., Any], odd: str) -> None:
    (Path.cwd() / "url").write_text(odd)
    given: list[tuple[tuple[str, ...], dict[str, str]]] = [
        (("status", odd), {}),
        ((odd,), {}),
        (("status", "--storage", odd), {}),
        (("status", f"--storage={odd}"), {}),
        (("status", f"--strage={odd}"), {}),
        (("status",), {"TUNER_STORAGE": odd}),
        (("status",), {"TUNER_STORAGE_FILE": "url"}),
        (("status",), {"TUNER_STORAGE_FILE": odd}),
        (("copy", "--from", odd, "--to", "sqlite:///x.db"), {}),
        (("copy", "--from", "sqlite:///x.db", "--to", odd), {}),
        (("best", "--study", odd), {}),
        (("optimize", "--study", odd), {}),
        (("check",), {"TUNER_STUDY": odd}),
        (("optimize", "--study", "iris", "--trials", odd), {}),
        (("optimize", "--study", "iris"), {"TUNER_TRIALS": odd}),
        (("optimize", "--study", "iris", "--timeout", odd), {}),
        (("optimize", "--study", "iris", "--on", odd), {}),
        (("dashboard", "--trusted-proxy", odd), {}),
        (("init", odd, "--data", odd), {}),
    ]
    for words, environment in given:
        outcome = tuner(*words, **environment)
        assert outcome.code == 2, (words, outcome.stderr)
        said = outcome.stdout + outcome.stderr
        assert "s3cret" not in said, said
        assert "cret@" not in said, said


def test_an_error_that_nobody_caught_shows_no_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], empty: Path
) -> None:
    def fail(url: str) -> None:
        raise RuntimeError(f"no {url}") from ValueError("password='s3cret'")

    monkeypatch.setattr("tuner.storage.opened", fail)
    monkeypatch.setattr(sys, "argv", ["tuner", "status", "--storage", "postgresql://u:s3cret@h/d"])
    assert main() == 1
    said = capsys.readouterr().err
    assert said.endswith("RuntimeError: no postgresql://u:***@h/d\n")
    assert "s3cret" not in said


@pytest.fixture
def log_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for where in (sys, threading):
        monkeypatch.setattr(where, "excepthook", where.excepthook)
    before = list(logging.getLogger().handlers)
    yield
    logging.captureWarnings(False)
    logging.getLogger().handlers = before


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["optimize", "--nonsense", "--log-format", "json"], {}),
        (["optimize", "--log-format=json"], {}),  # without --study
        (["worker", "--workers", "x"], {"TUNER_LOG_FORMAT": "json"}),
        (["dashboard", "--nonsense"], {"TUNER_LOG_FORMAT": "json"}),
        (["worker", "--log-format", "json"], {"TUNER_STORAGE_FILE": "absent"}),
    ],
)
@pytest.mark.usefixtures("log_as_before", "empty")
def test_wrong_usage_is_json_where_lines_are(
    tuner: Callable[..., Any], arguments: list[str], environment: dict[str, str]
) -> None:
    outcome = tuner(*arguments, **environment)
    assert (outcome.code, outcome.stdout) == (2, "")
    error = json.loads(outcome.stderr)
    assert (error["kind"], bool(error["message"]), bool(error["hint"])) == ("error", True, True)


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (StudyFileError("is wrong", where="a.b", hint="do this"), 2, "error: a.b: is wrong\n  do"),
        (TrainingError("went wrong"), 1, "error: went wrong\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (KeyboardInterrupt("go on with this"), 130, "go on with this\n"),
    ],
)
def test_errors_become_a_line_and_an_exit_code(error: Exception, code: int, words: str) -> None:
    small = typer.Typer(cls=Commands, pretty_exceptions_enable=False)

    @small.callback()
    def group() -> None: ...

    @small.command()
    def fail() -> None:
        raise error

    result = CliRunner().invoke(small, ["fail"])
    assert result.exit_code == code
    assert words in result.stderr
    assert result.stdout == ""


def test_windows_is_refused_in_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["tuner", "--version"])
    monkeypatch.setattr(sys, "platform", "win32")
    code = main()
    with pytest.raises(UsageError, match="not on Windows"):
        _ = tuner.optimize
    monkeypatch.undo()
    told = capsys.readouterr()
    assert (code, told.out) == (2, "")
    assert "error: tuner runs on Linux and macOS, not on Windows\n  run it in WSL" in told.err


PRESSING = """\
import os, signal, sys, time
def press():
    os.kill(os.getpid(), signal.SIGINT)
sys.modules["keyboard"] = sys.modules["__main__"]
from tuner.cli import app, main
@app.command()
def wait():
    {during}
sys.argv = ["tuner", "wait"]
sys.exit(main())
"""
FRAGILE = """\
import keyboard, os, time
try:
    keyboard.press()
except BaseException:
    os.abort()
"""
AT_THE_END = "import atexit; atexit.register(press); press(); time.sleep(60)"


def pressed(folder: Path, during: str) -> tuple[int, str, str]:
    """Exit code and words of a command during which somebody presses Ctrl-C."""
    done = subprocess.run(
        [sys.executable, "-c", PRESSING.format(during=during)],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_ctrl_c_while_the_interpreter_ends_is_not_heard(tmp_path: Path) -> None:
    assert pressed(tmp_path, AT_THE_END) == (130, "", "interrupted\n")
    after_success = "import atexit; atexit.register(press); print('done')"
    assert pressed(tmp_path, after_success) == (0, "done\n", "")


FINALIZED = """\
class Pressing:
        def __del__(self):
            press()
    Pressing()
    print("deleted", flush=True)
    time.sleep(60)"""
CALLED_BACK = """\
import weakref
    class Key:
        pass
    keys, key = weakref.WeakKeyDictionary(), Key()
    keys[key] = type("Value", (), {"__del__": lambda self: press()})()
    del key
    print("deleted", flush=True)
    time.sleep(60)"""


@pytest.mark.parametrize("during", [FINALIZED, CALLED_BACK])
def test_ctrl_c_is_not_lost_where_exceptions_are_ignored(tmp_path: Path, during: str) -> None:
    assert pressed(tmp_path, during) == (
        130,
        "deleted\n",
        "interrupted\n",
    )


def test_ctrl_c_waits_for_the_end_of_an_import(tmp_path: Path) -> None:
    fragile = (
        "import keyboard, os\ntry:\n    keyboard.press()\nexcept BaseException:\n    os.abort()\n"
    )
    (tmp_path / "fragile.py").write_text(fragile)
    once = pressed(tmp_path, "import fragile; print('imported', flush=True); time.sleep(60)")
    assert once == (130, "imported\n", "interrupted\n")
    (tmp_path / "slow.py").write_text(f"{FRAGILE}keyboard.press()\ntime.sleep(60)\n")
    assert pressed(tmp_path, "import slow") == (130, "", "interrupted\n")


def test_main_gives_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["tuner", "--version"])
    assert main() == 0
    assert capsys.readouterr().out.strip()[0].isdigit()
    monkeypatch.setattr(sys, "argv", ["tuner", "nonsense"])
    assert main() == 2
