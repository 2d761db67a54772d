"""``optimize``, ``retrain``, ``worker`` and ``submit``, mostly as real processes."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import optuna
import pytest

TUNER = Path(sys.executable).with_name("tuner")
URL = "sqlite:///tuner.db"
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def on_terminal(tuner: Path, folder: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and everything that a terminal of 100 columns would have been sent."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.environ["TERM"] = "xterm"
        for name in ("COLUMNS", "LINES", "NO_COLOR"):
            os.environ.pop(name, None)
        os.execv(tuner, [str(tuner), *arguments])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    received = b""
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # the other end was closed
            break
        if not part:
            break
        received += part
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), received.decode()


def test_without_a_terminal_there_is_a_line_for_each_trial(original) -> None:
    outcome = original.first
    assert outcome.code == 0
    lines = outcome.stderr.splitlines()
    assert sorted(line.split(":")[0] for line in lines) == [f"trial {n}" for n in range(4)]
    assert all(re.search(r"; best [\d.]+ \(trial \d\)$", line) for line in lines)
    assert "\x1b" not in outcome.stderr + outcome.stdout


def test_the_summary_compares_with_the_baseline_and_says_what_next(original) -> None:
    text = original.first.stdout
    assert "small: 4 of 4 trials, 0 pruned, 0 failed, in" in text
    assert re.search(r"^baseline +0 +0\.\d{4}$", text, re.M)
    assert re.search(r"^best +\d +0\.\d{4} +[+-]", text, re.M)
    assert "database  sqlite:///tuner.db" in text
    assert "tuner best --study small" in text
    assert "tuner optimize --study small --trials 10 " in text
    lucky = text.count("is also the luckiest: its accuracy has a standard error of")
    assert text.count("tuner confirm --study small") == lucky <= 1


def test_a_terminal_shows_a_live_view_and_then_the_summary(place, warm_tuner: Path) -> None:
    words = ("optimize", "--study", "small", "--trials", "6")
    code, sent = on_terminal(warm_tuner, place.folder, *words)
    assert code == 0
    assert "\x1b[?25l" in sent  # the cursor is hidden while the view lives
    assert sent.rindex("\x1b[?25h") > sent.rindex("\x1b[?25l")
    text = ESCAPES.sub("", sent)
    live, summary = text[: text.index("small: 6 of 6")], text[text.index("small: 6 of 6") :]
    assert "small  maximize accuracy" in live
    assert "6/6 trials" in live
    assert "best      0." in live
    assert "trial 4:" not in live  # plain lines are for logs
    assert "validation split" in summary


def test_json_is_alone_on_stdout(tuner, place) -> None:
    outcome = tuner("optimize", "--study", "small", "--trials", "5", "--json")
    assert outcome.code == 0
    found = json.loads(outcome.stdout)
    assert (found["budget"], found["finished"], found["ended_in_this_run"]) == (5, 5, 1)
    values = [trial.value for trial in optuna.load_study(study_name="small", storage=URL).trials]
    assert found["best"]["value"] == max(values)
    assert found["baseline"]["value"] == values[0]
    assert outcome.stderr.startswith("trial 4: ")


def test_a_budget_that_was_met_is_said_to_be(tuner, place) -> None:
    outcome = tuner("optimize", "--study", "small")
    assert outcome.code == 0
    assert "small: already complete: 4 trials, budget 4" in outcome.stdout
    assert (
        "tuner optimize --study small --trials 10  # extend the study to 10 trials"
        in outcome.stdout
    )
    assert outcome.stderr == ""


def test_a_storage_that_was_named_is_named_in_the_next_command(tuner, place) -> None:
    named = tuner("optimize", "--study", "small", "--storage", "sqlite:///./tuner.db").stdout
    assert "tuner best --study small --storage sqlite:///./tuner.db" in named
    known = tuner("optimize", "--study", "small", TUNER_STORAGE="sqlite:///./tuner.db").stdout
    assert "--storage" not in known


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--study", "digit"], "did you mean 'digits'"),
        (["--study", "none.toml"], "none.toml: no such file"),
        (["--study", "digits", "--timeout", "soon"], "--timeout: found 'soon'"),
        (["--study", "digits", "--workers", "none"], "neither a number"),
        (["--study", "digits", "--device", "cuda:99"], "this machine has no device 'cuda:99'"),
        (["--study", "digits", "--storage", "mysql://a:geheim@b/c"], "mysql://a:***@b/c"),
        (["--study", "digits", "--storage", "sqlite:////nowhere/a.db"], "folder does not exist"),
    ],
)
def test_bad_input_writes_nothing(tuner, empty: Path, arguments: list[str], words: str) -> None:
    outcome = tuner("optimize", *arguments)
    assert outcome.code == 2
    assert words in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert "geheim" not in outcome.stderr
    assert outcome.stdout == ""
    assert not list(empty.iterdir())


def test_a_changed_study_is_refused_with_the_keys(tuner, place) -> None:
    path = Path("studies/small.toml")
    path.write_text(path.read_text().replace("epochs = 3", "epochs = 4"))
    outcome = tuner("optimize", "--study", "small")
    assert outcome.code == 2
    assert "training.epochs" in outcome.stderr


def test_ctrl_c_says_that_the_next_run_goes_on(place) -> None:
    path = place.folder / "studies" / "long.toml"
    text = (place.folder / "studies" / "small.toml").read_text()
    path.write_text(text.replace("epochs = 3", "epochs = 500"))
    command = [TUNER, "optimize", "--study", "long", "--workers", "1", "--json"]
    process = subprocess.Popen(
        command,
        cwd=place.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    _wait_for_a_running_trial(f"sqlite:///{place.folder}/tuner.db")
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stdout == ""
    assert "to continue: tuner optimize --study long" in stderr
    assert "Traceback" not in stderr


def _wait_for_a_running_trial(url: str) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        studies = {s.study_name: s for s in optuna.get_all_study_summaries(url)}
        if "long" in studies and studies["long"].n_trials:
            return
        time.sleep(0.1)
    raise AssertionError("no trial began")


def test_retrain_gives_the_same_number(tuner, place) -> None:
    found = json.loads(tuner("retrain", "--study", "small", "--trial", "1", "--json").stdout)
    assert found["equal"] is True
    assert found["recorded"] == found["value"]
    assert found["epochs"] == 3
    assert "the same" in tuner("retrain", "--study", "small", "--trial", "0").stdout
    missing = tuner("retrain", "--study", "small", "--trial", "9")
    assert missing.code == 2
    assert "no trial 9" in missing.stderr


def test_retrain_fails_where_the_number_differs(tuner, place) -> None:
    storage = optuna.storages.RDBStorage(URL)
    with storage.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE trial_values SET value = 0.5")
    outcome = tuner("retrain", "--study", "small", "--trial", "0")
    assert outcome.code == 1
    assert "recorded 0.5" in outcome.stdout
    assert "not the same" in outcome.stdout


def test_retrain_names_the_epoch_that_differs_where_the_value_does_not(tuner, place) -> None:
    storage = optuna.storages.RDBStorage(URL)
    with storage.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE trial_intermediate_values SET intermediate_value = 0.5 WHERE step = 2"
        )
    outcome = tuner("retrain", "--study", "small", "--trial", "0")
    assert outcome.code == 1
    assert "the value is the same, but not that of epoch 2" in outcome.stdout


def test_a_budget_in_epochs_is_in_words_and_json(tuner, place) -> None:
    path = Path("studies/work.toml")
    path.write_text(Path("studies/small.toml").read_text())
    submitted = tuner("submit", "--study", "work", "--epochs", "5", "--trials", "9")
    assert submitted.stdout == "work waits for workers: 9 trials or 5 epochs\n"
    again = json.loads(tuner("submit", "--study", "work", "--epochs", "5", "--json").stdout)
    assert again == {"study": "work", "budget": None, "epochs_budget": 5}
    outcome = tuner("optimize", "--study", "work", "--epochs", "5", "--workers", "1")
    assert "5 of 5 epochs" in outcome.stdout
    assert "tuner optimize --study work --epochs 10  # extend the study to 10" in outcome.stdout
    found = json.loads(tuner("optimize", "--study", "work", "--epochs", "5", "--json").stdout)
    assert (found["epochs"], found["epochs_budget"], found["budget"]) == (5, 5, None)
    [study] = json.loads(tuner("status", "--study", "work", "--json").stdout)["studies"]
    assert (study["state"], study["paused"], study["epochs_budget"]) == ("finished", 0, 5)


def test_a_worker_trains_what_was_submitted(tuner, place, warm_tuner: Path) -> None:
    path = Path("studies/other.toml")
    path.write_text(Path("studies/small.toml").read_text())
    submitted = tuner("submit", "--study", "other", "--trials", "2")
    assert submitted.stdout == "other waits for workers: 2 trials\n"
    worked = subprocess.run(
        [warm_tuner, "worker", "--idle-exit"],
        env={**os.environ, "TUNER_STUDY": "other"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert worked.returncode == 0, worked.stderr
    assert "serving other" in worked.stderr
    found = json.loads(tuner("status", "--study", "other", "--json").stdout)
    assert found["studies"][0]["finished"] == 2
    assert found["workers"] == []


def test_a_worker_that_is_not_to_wait_wants_a_study_that_is_there(tuner, place) -> None:
    missing = tuner("worker", "--study", "small", "--idle-exit", "--storage", "sqlite:///no.db")
    assert missing.code == 2
    assert "there is no such database" in missing.stderr
    assert not Path("no.db").exists()
    unknown = tuner("worker", "--study", "smal", "--idle-exit")
    assert unknown.code == 2
    assert "no study in this database is called 'smal'" in unknown.stderr
    assert "did you mean 'small'?" in unknown.stderr
